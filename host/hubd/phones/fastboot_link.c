#include "host/hubd/phones/fastboot_link.h"

#include "host/hubd/phones/usb_pipe.h"
#include "protocol/text.h"

#include <string.h>

enum { STARVED_MS = 20 }; /* until others have given transfer memory back */

static void go_on(struct fastboot_link *link);

/* ---- the end of a command ---- */

static void keep_text(char text[FASTBOOT_LINK_TEXT], struct bytes from) {
    size_t size = 0;
    while (size < FASTBOOT_LINK_TEXT - 1 && size < from.size) {
        bool is_plain = from.data[size] >= ' ' && from.data[size] < 0x7f;
        text[size] = is_plain ? (char)from.data[size] : '?';
        size += 1;
    }
    text[size] = '\0';
}

static void end(struct fastboot_link *link, enum status status, struct bytes words) {
    char text[FASTBOOT_LINK_TEXT];
    struct fastboot_result result = {.status = status, .text = text};
    struct fastboot_handler handler = link->handler;
    keep_text(text, words);
    if (link->is_busy) {
        link->is_busy = false;
        handler.ended(handler.owner, &result);
    }
}

static void cancel_all(struct fastboot_link *link) {
    hal_usb_cancel(link->usb, &link->answer.transfer);
    for (uint32_t i = 0; i < FASTBOOT_LINK_OUT; i++) {
        link->ring[i].is_waiting = false;
        hal_usb_cancel(link->usb, &link->ring[i].transfer);
    }
}

static void lose(struct fastboot_link *link, enum status status, const char *reason) {
    link->host.state = FASTBOOT_BROKEN;
    cancel_all(link);
    end(link, status, text_view(reason));
}

/* ---- transfers ---- */

/* True: it is on its way, or will be when there is memory. */
static bool submit(struct fastboot_link *link, struct hal_usb_transfer *transfer,
                   bool *is_waiting) {
    enum status status = hal_usb_submit(link->usb, transfer);
    *is_waiting = status == STATUS_FULL;
    link->is_starved = link->is_starved || status == STATUS_FULL;
    if (status != STATUS_OK && status != STATUS_FULL) {
        lose(link, status, usb_pipe_reason(status));
        return false;
    }
    return true;
}

static uint32_t whole_packets(uint32_t bytes, uint32_t packet) {
    return (bytes + packet - 1) / packet * packet;
}

static void ask(struct fastboot_link *link) {
    bool is_waiting = false;
    uint32_t size = whole_packets(FASTBOOT_RESPONSE_MAX, link->in.packet_bytes);
    link->answer.transfer = (struct hal_usb_transfer){
        .device = link->device,
        .endpoint = link->in.address,
        .data = link->answer.data,
        .size = size < FASTBOOT_LINK_ANSWER ? size : FASTBOOT_LINK_ANSWER,
        .owner = link,
    };
    link->is_asked = submit(link, &link->answer.transfer, &is_waiting) && !is_waiting;
}

static struct fastboot_link_out *find_free(struct fastboot_link *link) {
    for (uint32_t i = 0; i < FASTBOOT_LINK_OUT; i++) {
        if (!link->ring[i].transfer.is_in_flight && !link->ring[i].is_waiting) {
            return &link->ring[i];
        }
    }
    return NULL;
}

static bool send_out(struct fastboot_link *link, struct fastboot_link_out *out, uint32_t size) {
    out->transfer = (struct hal_usb_transfer){
        .device = link->device,
        .endpoint = link->out.address,
        .data = out->data,
        .size = size,
        .owner = link,
    };
    return submit(link, &out->transfer, &out->is_waiting);
}

/* What waits for memory goes first: data must not overtake data. */
static bool send_waiting(struct fastboot_link *link) {
    for (uint32_t i = 0; i < FASTBOOT_LINK_OUT; i++) {
        struct fastboot_link_out *out = &link->ring[i];
        if (out->is_waiting &&
            (!submit(link, &out->transfer, &out->is_waiting) || out->is_waiting)) {
            return false;
        }
    }
    return true;
}

static void send_data(struct fastboot_link *link) {
    while (link->host.state == FASTBOOT_SENDING && link->unsent_bytes > 0) {
        struct fastboot_link_out *out = find_free(link);
        if (out == NULL || link->is_starved) {
            return;
        }
        size_t most = link->unsent_bytes < HAL_USB_CHUNK ? link->unsent_bytes : HAL_USB_CHUNK;
        size_t size = link->handler.fill(link->handler.owner, out->data, most);
        check(size <= most);
        if (size == 0) {
            lose(link, STATUS_CLOSED, "the rest of the download is not there");
            return;
        }
        link->unsent_bytes -= (uint32_t)size;
        if (!send_out(link, out, (uint32_t)size)) {
            return;
        }
    }
}

/* ---- answers ---- */

static void take_answer(struct fastboot_link *link, struct bytes packet) {
    struct fastboot_response response;
    if (fastboot_host_response(&link->host, packet, &response) != STATUS_OK) {
        lose(link, STATUS_MALFORMED, "broke the fastboot protocol");
        return;
    }
    switch (response.kind) {
    case FASTBOOT_OKAY:
        end(link, STATUS_OK, response.text);
        return;
    case FASTBOOT_FAIL:
        cancel_all(link);
        end(link, STATUS_DENIED, response.text);
        return;
    case FASTBOOT_DATA:
        link->unsent_bytes = response.data_bytes;
        break;
    case FASTBOOT_INFO:
    case FASTBOOT_TEXT:
    case FASTBOOT_KIND_COUNT:
    default:
        if (link->handler.note != NULL) {
            link->handler.note(link->handler.owner, response.text);
        }
        break;
    }
    go_on(link);
}

static void done_in(struct fastboot_link *link, uint32_t moved) {
    link->is_asked = false;
    if (moved == 0) {
        link->empties += 1;
        if (link->empties > FASTBOOT_LINK_EMPTY_MAX) {
            lose(link, STATUS_MALFORMED, "sends empty packets without end");
            return;
        }
        go_on(link);
        return;
    }
    link->empties = 0;
    bool is_all_out = link->host.state == FASTBOOT_SENDING && link->unsent_bytes == 0;
    if (is_all_out) {
        link->is_early = true; /* taken when the last transfer has come back */
        link->answer.transfer.moved = moved;
        return;
    }
    take_answer(link, (struct bytes){link->answer.data, moved});
}

static void done_out(struct fastboot_link *link, const struct hal_usb_transfer *transfer) {
    if (transfer->moved != transfer->size) {
        lose(link, STATUS_IO, "took only a part of what was sent");
        return;
    }
    if (link->host.state != FASTBOOT_SENDING) {
        return; /* a command */
    }
    check(fastboot_host_transferred(&link->host, transfer->moved) == STATUS_OK);
    if (link->host.state == FASTBOOT_ENDING && link->is_early) {
        link->is_early = false;
        take_answer(link, (struct bytes){link->answer.data, link->answer.transfer.moved});
        return;
    }
    go_on(link);
}

/* Whatever can be begun now. */
static void go_on(struct fastboot_link *link) {
    link->is_starved = false;
    if (!link->is_busy || !send_waiting(link)) {
        return;
    }
    if (!link->is_asked && !link->is_early) {
        ask(link);
    }
    send_data(link);
}

/* ---- what the owner does ---- */

void fastboot_link_open(struct fastboot_link *link, struct hal_usb *usb, uint32_t device,
                        const struct usb_interface *interface, uint64_t fence) {
    check(fastboot_link_is_idle(link));
    memset(link, 0, offsetof(struct fastboot_link, answer));
    for (uint32_t i = 0; i < FASTBOOT_LINK_OUT; i++) {
        link->ring[i].is_waiting = false;
    }
    link->usb = usb;
    link->device = device;
    link->in = interface->in;
    link->out = interface->out;
    link->fence = fence;
    fastboot_host_init(&link->host);
}

bool fastboot_link_is_usable(const struct fastboot_link *link) {
    return link->usb != NULL && link->host.state != FASTBOOT_BROKEN;
}

static uint32_t put_order(uint8_t *target, const struct fastboot_order *order) {
    if (order->data_bytes > 0) {
        fastboot_put_download(target, order->data_bytes);
        return FASTBOOT_DOWNLOAD_BYTES;
    }
    return fastboot_put_command(target, FASTBOOT_COMMAND_MAX, text_view(order->name),
                                text_view(order->argument));
}

enum status fastboot_link_command(struct fastboot_link *link, uint64_t token,
                                  const struct fastboot_order *order, uint64_t now_ms) {
    check(order->handler.ended != NULL);
    check(order->data_bytes == 0 || order->handler.fill != NULL);
    if (token < link->fence) {
        return STATUS_STALE_LEASE;
    }
    if (!fastboot_link_is_usable(link) || link->is_busy) {
        return STATUS_ILLEGAL;
    }
    if (!fastboot_link_is_idle(link)) {
        return STATUS_AGAIN;
    }
    uint32_t size = put_order(link->ring[0].data, order);
    if (size == 0) {
        return STATUS_TOO_LARGE;
    }
    check(fastboot_host_command(&link->host, order->data_bytes, false) == STATUS_OK);
    link->handler = order->handler;
    link->patience_ms = order->patience_ms == 0 ? FASTBOOT_RESPONSE_MS : order->patience_ms;
    link->heard_ms = now_ms;
    link->unsent_bytes = 0;
    link->empties = 0;
    link->ring[0].transfer = (struct hal_usb_transfer){
        .device = link->device,
        .endpoint = link->out.address,
        .data = link->ring[0].data,
        .size = size,
        .owner = link,
    };
    link->ring[0].is_waiting = true; /* fastboot_link_step() sends it */
    link->is_busy = true;
    link->is_new = true;
    return STATUS_OK;
}

void fastboot_link_close(struct fastboot_link *link) {
    link->is_busy = false;
    if (link->usb != NULL) {
        link->host.state = FASTBOOT_BROKEN;
        cancel_all(link);
    }
}

void fastboot_link_done(struct fastboot_link *link, struct hal_usb_transfer *transfer,
                        uint64_t now_ms) {
    if (!fastboot_link_is_usable(link)) {
        return;
    }
    if (transfer->status != STATUS_OK) {
        lose(link, transfer->status, usb_pipe_reason(transfer->status));
        return;
    }
    link->heard_ms = now_ms;
    if (transfer == &link->answer.transfer) {
        done_in(link, transfer->moved);
    } else {
        done_out(link, transfer);
    }
}

void fastboot_link_unplugged(struct fastboot_link *link) {
    if (fastboot_link_is_usable(link)) {
        lose(link, STATUS_UNPLUGGED, usb_pipe_reason(STATUS_UNPLUGGED));
    }
}

void fastboot_link_step(struct fastboot_link *link, uint64_t now_ms) {
    if (!fastboot_link_is_usable(link) || !link->is_busy) {
        return;
    }
    if (now_ms - link->heard_ms >= link->patience_ms) {
        lose(link, STATUS_TIMEOUT, "does not answer");
    } else if (link->is_starved || link->is_new) {
        link->is_new = false;
        go_on(link);
    }
}

uint64_t fastboot_link_deadline_ms(const struct fastboot_link *link, uint64_t now_ms) {
    if (!fastboot_link_is_usable(link) || !link->is_busy) {
        return UINT64_MAX;
    }
    uint64_t starved_ms = link->is_starved ? now_ms + STARVED_MS : UINT64_MAX;
    uint64_t silent_ms = link->heard_ms + link->patience_ms;
    uint64_t due_ms = starved_ms < silent_ms ? starved_ms : silent_ms;
    return link->is_new ? now_ms : due_ms;
}

bool fastboot_link_is_idle(const struct fastboot_link *link) {
    bool is_idle = !link->answer.transfer.is_in_flight;
    for (uint32_t i = 0; i < FASTBOOT_LINK_OUT; i++) {
        is_idle = is_idle && !link->ring[i].transfer.is_in_flight;
    }
    return is_idle;
}
