/* The calls of the programs that see the emulated bus, as usbfs answers them. */
#include "host/shared/loop.h"
#include "tests/usb/bus.h"
#include "tests/usb/usb_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/usbdevice_fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct file files[OPENS];

static int submit(struct file *file, const struct shim_request *request, const uint8_t *payload) {
    struct port *port = file->node->port;
    struct transfer *transfer = bus_transfer_new(file);
    if (transfer == NULL) {
        return -ENOMEM;
    }
    transfer->address = request->address;
    const struct usbdevfs_urb *urb = (const struct usbdevfs_urb *)(const void *)payload;
    size_t sent = request->size - sizeof *urb;
    transfer->urb.type = urb->type;
    transfer->urb.endpoint = urb->endpoint;
    transfer->urb.flags = urb->flags;
    transfer->urb.buffer_length = urb->buffer_length;
    transfer->data = calloc(1, (size_t)transfer->urb.buffer_length + 1);
    memcpy(transfer->data, payload + sizeof *urb, sent);
    struct transfer **last = &file->node->transfers;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = transfer;
    if (file->node->hub != NULL) {
        int size = bus_hub_answer(file->node, transfer->data, transfer->data + SETUP_BYTES,
                                  (size_t)transfer->urb.buffer_length - SETUP_BYTES);
        transfer->moved = size < 0 ? 0 : (uint32_t)size;
        bus_transfer_finish(transfer, size < 0 ? -EPIPE : 0);
        bus_show(file->node);
        return 0;
    }
    port->transfers += 1;
    if (port->detach_at > 0 && --port->detach_at == 0) {
        bus_unplug(port);
        return 0;
    }
    if (transfer->urb.type == USBDEVFS_URB_TYPE_CONTROL) {
        int size = link_usb_answer(transfer->data, &port->phone, 512, transfer->data + SETUP_BYTES,
                                   (size_t)transfer->urb.buffer_length - SETUP_BYTES);
        for (int i = 0; i < size && port->is_two_faced; i++) {
            transfer->data[SETUP_BYTES + i] ^= 0x5a;
        }
        transfer->moved = size < 0 ? 0 : (uint32_t)size;
        bus_transfer_finish(transfer, size < 0 ? -EPIPE : 0);
        bus_show(file->node);
    } else {
        bus_pump(file->node, loop_now_ms());
    }
    return 0;
}

static void write_all(int program, const void *data, size_t size) {
    size_t at = 0;
    while (at < size) {
        ssize_t count = write(program, (const char *)data + at, size - at);
        if (count <= 0) {
            return; /* it has ended; poll() will say so */
        }
        at += (size_t)count;
    }
}

/* True: something was reaped, and the answer is sent. */
static bool reap(struct file *file) {
    for (struct transfer *t = file->node->transfers; t != NULL; t = t->next) {
        if (!t->is_done || t->file != file) {
            continue;
        }
        bool is_control = t->urb.type == USBDEVFS_URB_TYPE_CONTROL;
        bool is_in = ((is_control ? t->data[0] : t->urb.endpoint) & 0x80) != 0;
        struct shim_answer answer;
        memset(&answer, 0, sizeof answer);
        answer.status = t->status;
        answer.moved = t->moved;
        answer.size = is_in ? t->moved : 0;
        answer.address = t->address;
        write_all(file->program, &answer, sizeof answer);
        write_all(file->program, t->data + (is_control ? SETUP_BYTES : 0), answer.size);
        bus_transfer_release(t);
        bus_show(file->node);
        return true;
    }
    return false;
}

static int discard(const struct file *file, uint64_t address) {
    for (struct transfer *t = file->node->transfers; t != NULL; t = t->next) {
        if (!t->is_done && t->file == file && t->address == address) {
            bus_transfer_finish(t, -ENOENT);
            bus_show(file->node);
            return 0;
        }
    }
    return -EINVAL;
}

static void give_back(struct file *file) {
    struct node *node = file->node;
    if (node->claimed_by == file) {
        node->claimed_by = NULL;
        if (node->port != NULL) {
            link_usb_disconnect(&node->port->link);
        }
    }
}

static void close_file(struct file *file) {
    struct node *node = file->node;
    for (struct transfer *t = node->transfers; t != NULL;) {
        struct transfer *following = t->next;
        if (t->file == file) {
            bus_transfer_release(t);
        }
        t = following;
    }
    give_back(file);
    file->node = NULL;
    bus_show(node);
}

static int claim(struct file *file) {
    struct port *port = file->node->port;
    if (port->is_unconfigured) {
        return -ENOENT;
    }
    if (port->fault == BUS_BUSY || file->node->claimed_by != NULL) {
        return -EBUSY;
    }
    file->node->claimed_by = file;
    port->claims += 1;
    link_usb_connect(&port->link, &port->phone, 512);
    return 0;
}

/* A number, or minus an error; what the argument is to become is in `target`. */
static int serve(struct file *file, const struct shim_request *request, const uint8_t *payload,
                 struct shim_answer *answer, uint32_t *target) {
    struct port *port = file->node->port;
    if (request->request == (uint32_t)USBDEVFS_REAPURBNDELAY) {
        return bus_is_gone(file->node) ? -ENODEV : -EAGAIN;
    }
    if (request->request == (uint32_t)USBDEVFS_DISCARDURB) {
        return discard(file, request->address);
    }
    if (bus_is_gone(file->node)) {
        return -ENODEV;
    }
    switch (request->request) {
    case (uint32_t)USBDEVFS_GET_CAPABILITIES:
        *target = USBDEVFS_CAP_ZERO_PACKET | USBDEVFS_CAP_BULK_CONTINUATION |
                  USBDEVFS_CAP_NO_PACKET_SIZE_LIM | USBDEVFS_CAP_REAP_AFTER_DISCONNECT;
        answer->size = sizeof *target;
        return 0;
    case (uint32_t)USBDEVFS_SUBMITURB:
        return submit(file, request, payload);
    case (uint32_t)USBDEVFS_CLAIMINTERFACE:
        return port == NULL ? 0 : claim(file);
    case (uint32_t)USBDEVFS_RELEASEINTERFACE:
        give_back(file);
        return 0;
    case (uint32_t)USBDEVFS_RESET:
        if (port == NULL) {
            bus_restart_hub(file->node->hub);
            return 0;
        }
        port->resets += 1;
        phone_reset(&port->phone);
        bus_cure(port, CURE_RESET);
        return 0;
    case (uint32_t)USBDEVFS_CLEAR_HALT:
    case (uint32_t)USBDEVFS_SETCONFIGURATION:
    case (uint32_t)USBDEVFS_SETINTERFACE:
        return 0;
    case (uint32_t)USBDEVFS_GETDRIVER:
    case (uint32_t)USBDEVFS_IOCTL: /* of a driver: there is none to detach */
        return -ENODATA;
    default:
        return -ENOTTY;
    }
}

static int open_file(int program, uint32_t number) {
    if (number >= NODES || bus_is_gone(&bus_nodes[number])) {
        return -ENODEV;
    }
    if (bus_nodes[number].port != NULL && bus_nodes[number].port->fault == BUS_DENIED) {
        return -EACCES;
    }
    for (unsigned i = 1; i < OPENS; i++) {
        if (files[i].node == NULL) {
            files[i] = (struct file){.node = &bus_nodes[number], .program = program};
            return (int)i;
        }
    }
    return -EMFILE;
}

static void answer_call(int program, const struct shim_request *request, const uint8_t *payload) {
    struct shim_answer answer;
    uint32_t target = 0;
    int result = -EBADF;
    memset(&answer, 0, sizeof answer);
    if (request->call == SHIM_READ && request->handle < OPENS &&
        files[request->handle].node != NULL) {
        const struct node *node = files[request->handle].node;
        answer.size = node->descriptors_size;
        write_all(program, &answer, sizeof answer);
        write_all(program, node->descriptors, answer.size);
        return;
    }
    if (request->call == SHIM_OPEN) {
        result = open_file(program, request->handle);
    } else if (request->handle < OPENS && files[request->handle].node != NULL) {
        struct file *file = &files[request->handle];
        if (request->call == SHIM_CLOSE) {
            close_file(file);
            result = 0;
        } else if (request->request == (uint32_t)USBDEVFS_REAPURBNDELAY && reap(file)) {
            return;
        } else {
            result = serve(file, request, payload, &answer, &target);
        }
    }
    bool is_reset =
        request->call == SHIM_IOCTL && result == 0 && request->request == (uint32_t)USBDEVFS_RESET;
    struct port *port = is_reset ? files[request->handle].node->port : NULL;
    if (port != NULL && port->reset_ms != 0) {
        port->reset_due_ms = loop_now_ms() + port->reset_ms;
        port->reset_program = program;
        return;
    }
    answer.result = result < 0 ? -1 : result;
    answer.error = result < 0 ? -result : 0;
    write_all(program, &answer, sizeof answer);
    write_all(program, &target, answer.size);
}

void bus_step_reset(struct port *port, uint64_t now_ms) {
    struct shim_answer answer = {0};
    if (port->reset_due_ms != 0 && now_ms >= port->reset_due_ms) {
        port->reset_due_ms = 0;
        write_all(port->reset_program, &answer, sizeof answer);
    }
}

static bool read_all(int program, void *data, size_t size) {
    size_t at = 0;
    while (at < size) {
        ssize_t count = read(program, (char *)data + at, size - at);
        if (count <= 0) {
            return false;
        }
        at += (size_t)count;
    }
    return true;
}

void bus_hear(struct pollfd *from) {
    static _Alignas(16) uint8_t payload[(2 << 20) + 64];
    struct shim_request request;
    int program = from->fd;
    if (read_all(program, &request, sizeof request) && request.size <= sizeof payload &&
        read_all(program, payload, request.size)) {
        answer_call(program, &request, payload);
        return;
    }
    for (unsigned i = 1; i < OPENS; i++) {
        if (files[i].node != NULL && files[i].program == program) {
            close_file(&files[i]);
        }
    }
    close(program);
    from->fd = -1;
}

void bus_welcome(void) {
    int program = accept4(bus_waiting[1].fd, NULL, NULL, SOCK_CLOEXEC);
    for (unsigned i = 2; i < PROGRAMS + 2; i++) {
        if (bus_waiting[i].fd < 0) {
            bus_waiting[i].fd = program;
            return;
        }
    }
    bus_die("too many programs");
}

void bus_listen(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/usb.sock", bus_root);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, PROGRAMS) != 0) {
        bus_die("cannot listen");
    }
    bus_waiting[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    bus_waiting[1] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (unsigned i = 2; i < PROGRAMS + 2; i++) {
        bus_waiting[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    }
}
