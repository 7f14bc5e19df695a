#include "host/hubd/phones/usb_pipe.h"

#include "protocol/adb.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct usb_pipe *pipe_of(struct hal_stream *stream) {
    return (struct usb_pipe *)(void *)stream;
}

static void signal_owner(struct usb_pipe *pipe) {
    uint64_t one = 1;
    if (!pipe->is_signalled && pipe->stream.ops != NULL) {
        pipe->is_signalled = true;
        (void)!write(pipe->stream.handle, &one, sizeof one);
    }
}

static void quiet_owner(struct usb_pipe *pipe) {
    uint64_t count;
    if (pipe->is_signalled) {
        pipe->is_signalled = false;
        (void)!read(pipe->stream.handle, &count, sizeof count);
    }
}

static void fail(struct usb_pipe *pipe, enum status status, const char *reason) {
    if (pipe->failed_as == STATUS_OK) {
        pipe->failed_as = status;
        pipe->reason = reason;
    }
    signal_owner(pipe);
}

const char *usb_pipe_reason(enum status status) {
    switch ((int)status) {
    case STATUS_UNPLUGGED:
        return "was unplugged";
    case STATUS_STALLED:
        return "halted its endpoint";
    case STATUS_TOO_LARGE:
        return "sent more than was asked for";
    default:
        return "the USB transfer failed";
    }
}

/* FULL waits for others to come back; anything else is the end of the pipe. */
static bool submit(struct usb_pipe *pipe, struct hal_usb_transfer *transfer) {
    enum status status = hal_usb_submit(pipe->usb, transfer);
    pipe->is_starved = pipe->is_starved || status == STATUS_FULL;
    if (status != STATUS_OK && status != STATUS_FULL) {
        fail(pipe, status, usb_pipe_reason(status));
    }
    return status == STATUS_OK;
}

/* ---- from the phone ---- */

static uint32_t whole_packets(uint32_t bytes, uint32_t packet) {
    return (bytes + packet - 1) / packet * packet;
}

static bool ask_one(struct usb_pipe *pipe, uint32_t wanted) {
    struct usb_pipe_transfer *next =
        &pipe->in_ring[(pipe->in_first + pipe->in_count) % USB_PIPE_IN];
    uint32_t most = wanted == 0 ? ADB_HEADER_SIZE : wanted;
    next->wanted = wanted;
    next->is_ready = false;
    next->transfer = (struct hal_usb_transfer){
        .device = pipe->device,
        .endpoint = pipe->in.address,
        .data = next->data,
        .size = whole_packets(most, pipe->in.packet_bytes),
        .owner = pipe,
    };
    if (!submit(pipe, &next->transfer)) {
        return false;
    }
    pipe->in_count += 1;
    return true;
}

/* The size of a payload is known when its header came; the next header may be asked for behind the
 * last part of it. */
static void ask(struct usb_pipe *pipe) {
    while (pipe->failed_as == STATUS_OK && pipe->in_count < USB_PIPE_IN) {
        if (pipe->in_left > 0) {
            uint32_t size = pipe->in_left < HAL_USB_CHUNK ? pipe->in_left : HAL_USB_CHUNK;
            if (!ask_one(pipe, size)) {
                return;
            }
            pipe->in_left -= size;
        } else if (!pipe->is_header_asked) {
            if (!ask_one(pipe, 0)) {
                return;
            }
            pipe->is_header_asked = true;
        } else {
            return;
        }
    }
}

/* An empty packet in the place of a header is left out: some phones end their payloads with one. */
static void skip_empty(struct usb_pipe *pipe) {
    pipe->empties += 1;
    pipe->in_count -= 1; /* it is the last one of the ring */
    pipe->is_header_asked = false;
    if (pipe->empties > USB_PIPE_EMPTY_MAX) {
        fail(pipe, STATUS_MALFORMED, "sends empty packets without end");
    }
}

static void take_header(struct usb_pipe *pipe, struct usb_pipe_transfer *done) {
    struct adb_message message;
    if (done->transfer.moved == 0) {
        skip_empty(pipe);
        return;
    }
    pipe->empties = 0;
    pipe->is_header_asked = false;
    if (done->transfer.moved != ADB_HEADER_SIZE ||
        adb_decode((struct bytes){done->data, ADB_HEADER_SIZE}, ADB_PAYLOAD_MAX, &message) !=
            STATUS_OK) {
        fail(pipe, STATUS_MALFORMED, "sent what is no ADB message");
        return;
    }
    pipe->in_left = message.payload_size;
    done->is_ready = true;
}

static void done_in(struct usb_pipe *pipe, struct usb_pipe_transfer *done) {
    enum status status = done->transfer.status;
    if (status != STATUS_OK) {
        fail(pipe, status, usb_pipe_reason(status));
        return;
    }
    if (done->wanted == 0) {
        take_header(pipe, done);
    } else if (done->transfer.moved != done->wanted) {
        fail(pipe, STATUS_MALFORMED, "sent a payload of another length than its header said");
    } else {
        done->is_ready = true;
    }
    ask(pipe);
    if (done->is_ready) {
        signal_owner(pipe);
    }
}

static enum status read_pipe(struct hal_stream *stream, void *target, size_t size,
                             size_t *size_read) {
    struct usb_pipe *pipe = pipe_of(stream);
    struct usb_pipe_transfer *first = &pipe->in_ring[pipe->in_first];
    stream->wants = 0;
    stream->has_buffered = false;
    if (pipe->in_count == 0 || !first->is_ready) {
        if (pipe->failed_as != STATUS_OK) {
            return pipe->failed_as;
        }
        quiet_owner(pipe);
        return STATUS_AGAIN;
    }
    size_t left = first->transfer.moved - pipe->in_taken;
    bool is_all = left <= size;
    size_t count = is_all ? left : size;
    memcpy(target, first->data + pipe->in_taken, count);
    pipe->in_taken += (uint32_t)count;
    if (is_all) {
        pipe->in_taken = 0;
        pipe->in_first = (pipe->in_first + 1) % USB_PIPE_IN;
        pipe->in_count -= 1;
        ask(pipe);
    }
    stream->has_buffered = pipe->in_count > 0 && pipe->in_ring[pipe->in_first].is_ready;
    *size_read = count;
    return STATUS_OK;
}

/* ---- to the phone ---- */

static bool open_out(struct usb_pipe *pipe) {
    for (uint32_t i = 0; i < USB_PIPE_OUT; i++) {
        if (!pipe->out_ring[i].transfer.is_in_flight && !pipe->out_ring[i].is_ready) {
            pipe->out_filling = i;
            pipe->out_filled = 0;
            pipe->is_out_open = true;
            return true;
        }
    }
    return false;
}

/* A filled transfer goes out at once, or when there is memory: is_ready marks the latter. Order is
 * kept by letting nothing else out meanwhile. */
static void send_filled(struct usb_pipe *pipe) {
    struct usb_pipe_transfer *filled = &pipe->out_ring[pipe->out_filling];
    if (submit(pipe, &filled->transfer)) {
        filled->is_ready = false;
        pipe->is_out_open = false;
    } else {
        filled->is_ready = true;
    }
}

static void fill_end(struct usb_pipe *pipe) {
    struct usb_pipe_transfer *filled = &pipe->out_ring[pipe->out_filling];
    filled->transfer = (struct hal_usb_transfer){
        .device = pipe->device,
        .endpoint = pipe->out.address,
        .data = filled->data,
        .size = pipe->out_filled,
        .ends_with_zero = pipe->out_left == 0 && pipe->out_filled % pipe->out.packet_bytes == 0,
        .owner = pipe,
    };
    send_filled(pipe);
}

static size_t fill(struct usb_pipe *pipe, const uint8_t *source, size_t size) {
    bool is_header = pipe->out_left == 0;
    size_t most = is_header ? ADB_HEADER_SIZE - pipe->out_filled
                  : pipe->out_left < HAL_USB_CHUNK - pipe->out_filled
                      ? pipe->out_left
                      : HAL_USB_CHUNK - pipe->out_filled;
    size_t count = size < most ? size : most;
    uint8_t *data = pipe->out_ring[pipe->out_filling].data;
    memcpy(data + pipe->out_filled, source, count);
    pipe->out_filled += (uint32_t)count;
    if (is_header) {
        struct adb_message message;
        if (pipe->out_filled == ADB_HEADER_SIZE) {
            fill_end(pipe);
            check(adb_decode((struct bytes){data, ADB_HEADER_SIZE}, UINT32_MAX, &message) ==
                  STATUS_OK); /* we wrote it */
            pipe->out_left = message.payload_size;
        }
        return count;
    }
    pipe->out_left -= (uint32_t)count;
    if (pipe->out_left == 0 || pipe->out_filled == HAL_USB_CHUNK) {
        fill_end(pipe);
    }
    return count;
}

static enum status write_pipe(struct hal_stream *stream, const void *source, size_t size,
                              size_t *size_written) {
    struct usb_pipe *pipe = pipe_of(stream);
    const uint8_t *from = source;
    size_t written = 0;
    stream->wants = 0;
    while (written < size && pipe->failed_as == STATUS_OK) {
        bool is_held = pipe->is_out_open && pipe->out_ring[pipe->out_filling].is_ready;
        if (is_held || (!pipe->is_out_open && !open_out(pipe))) {
            break;
        }
        written += fill(pipe, from + written, size - written);
    }
    if (pipe->failed_as != STATUS_OK) {
        return pipe->failed_as;
    }
    if (written == 0) { /* what may be read meanwhile is looked for when this can go on */
        quiet_owner(pipe);
        pipe->is_out_waiting = true;
        stream->wants = HAL_STREAM_READABLE;
        return STATUS_AGAIN;
    }
    *size_written = written;
    return STATUS_OK;
}

static void done_out(struct usb_pipe *pipe, const struct usb_pipe_transfer *done) {
    enum status status = done->transfer.status;
    if (status != STATUS_OK) {
        fail(pipe, status, usb_pipe_reason(status));
    } else if (done->transfer.moved != done->transfer.size) {
        fail(pipe, STATUS_IO, "took only a part of what was sent");
    } else if (pipe->is_out_waiting) {
        pipe->is_out_waiting = false;
        signal_owner(pipe);
    }
}

/* ---- life ---- */

static void close_pipe(struct hal_stream *stream) {
    struct usb_pipe *pipe = pipe_of(stream);
    for (uint32_t i = 0; i < USB_PIPE_IN; i++) {
        hal_usb_cancel(pipe->usb, &pipe->in_ring[i].transfer);
    }
    for (uint32_t i = 0; i < USB_PIPE_OUT; i++) {
        hal_usb_cancel(pipe->usb, &pipe->out_ring[i].transfer);
    }
    close(stream->handle);
    stream->handle = -1;
    if (pipe->failed_as == STATUS_OK) {
        pipe->failed_as = STATUS_CLOSED;
    }
}

enum status usb_pipe_open(struct usb_pipe *pipe, struct hal_usb *usb, uint32_t device,
                          const struct usb_interface *interface) {
    static const struct hal_stream_ops ops = {
        .read = read_pipe, .write = write_pipe, .close = close_pipe};
    check(usb_pipe_is_idle(pipe) && pipe->stream.ops == NULL);
    memset(pipe, 0, offsetof(struct usb_pipe, in_ring));
    for (uint32_t i = 0; i < USB_PIPE_OUT; i++) {
        pipe->out_ring[i].is_ready = false;
    }
    pipe->stream.handle = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (pipe->stream.handle < 0) {
        return STATUS_IO;
    }
    pipe->stream.ops = &ops;
    pipe->usb = usb;
    pipe->device = device;
    pipe->in = interface->in;
    pipe->out = interface->out;
    pipe->failed_as = STATUS_OK;
    pipe->reason = "";
    ask(pipe);
    return STATUS_OK;
}

void usb_pipe_done(struct usb_pipe *pipe, struct hal_usb_transfer *transfer) {
    struct usb_pipe_transfer *done = (struct usb_pipe_transfer *)(void *)transfer;
    if (pipe->stream.ops == NULL) {
        return; /* closed meanwhile */
    }
    if (transfer->endpoint == pipe->in.address) {
        done_in(pipe, done);
    } else {
        done_out(pipe, done);
    }
}

void usb_pipe_unplugged(struct usb_pipe *pipe) {
    if (pipe->stream.ops != NULL) {
        fail(pipe, STATUS_UNPLUGGED, usb_pipe_reason(STATUS_UNPLUGGED));
    }
}

void usb_pipe_go_on(struct usb_pipe *pipe) {
    if (!pipe->is_starved || pipe->stream.ops == NULL || pipe->failed_as != STATUS_OK) {
        return;
    }
    pipe->is_starved = false;
    if (pipe->is_out_open && pipe->out_ring[pipe->out_filling].is_ready) {
        send_filled(pipe);
    }
    ask(pipe);
    if (pipe->is_out_waiting && !pipe->is_starved) {
        pipe->is_out_waiting = false;
        signal_owner(pipe);
    }
}

bool usb_pipe_is_idle(const struct usb_pipe *pipe) {
    bool is_idle = true;
    for (uint32_t i = 0; i < USB_PIPE_IN; i++) {
        is_idle = is_idle && !pipe->in_ring[i].transfer.is_in_flight;
    }
    for (uint32_t i = 0; i < USB_PIPE_OUT; i++) {
        is_idle = is_idle && !pipe->out_ring[i].transfer.is_in_flight;
    }
    return is_idle;
}
