/* The transfers of the emulated bus: bytes between a program and a phone. */
#include "host/shared/loop.h"
#include "tests/usb/bus.h"

#include <errno.h>
#include <linux/usbdevice_fs.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct transfer pool[TRANSFERS];

/* NULL: there are too many. */
struct transfer *bus_transfer_new(struct file *file) {
    struct transfer *transfer = pool;
    while (transfer < pool + TRANSFERS && transfer->node != NULL) {
        transfer++;
    }
    if (transfer == pool + TRANSFERS) {
        return NULL;
    }
    *transfer = (struct transfer){.node = file->node, .file = file};
    return transfer;
}

/* Writable exactly when something may be reaped, or the device has left. */
void bus_show(struct node *node) {
    bool has_done = bus_is_gone(node);
    for (const struct transfer *t = node->transfers; t != NULL; t = t->next) {
        has_done = has_done || t->is_done;
    }
    char byte = 0;
    if (has_done && node->is_full) {
        node->is_full = read(node->pipe, &byte, 1) != 1;
    } else if (!has_done && !node->is_full) {
        node->is_full = write(node->pipe, &byte, 1) == 1;
    }
}

void bus_transfer_finish(struct transfer *transfer, int status) {
    transfer->status = status;
    transfer->is_done = true;
}

void bus_transfer_release(struct transfer *transfer) {
    struct transfer **at = &transfer->node->transfers;
    while (*at != transfer) {
        at = &(*at)->next;
    }
    *at = transfer->next;
    free(transfer->data);
    memset(transfer, 0, sizeof *transfer);
}

/* False: it waits for the phone. */
static bool move_out(struct port *port, struct transfer *transfer, uint64_t now_ms) {
    uint32_t size = (uint32_t)transfer->urb.buffer_length;
    const uint8_t *data = transfer->data;
    if (transfer->moved < size) {
        struct bytes rest = {data + transfer->moved, size - transfer->moved};
        transfer->moved += (uint32_t)link_usb_take(&port->link, rest, now_ms);
    }
    if (transfer->moved < size || port->link.fault == LINK_USB_SILENT) {
        return false;
    }
    if (size % port->link.packet_bytes != 0 || size == 0 ||
        (transfer->urb.flags & USBDEVFS_URB_ZERO_PACKET) != 0) {
        link_usb_take_end(&port->link, now_ms);
    }
    return true;
}

static bool move_in(struct port *port, struct transfer *transfer) {
    return link_usb_give(&port->link, transfer->data, (uint32_t)transfer->urb.buffer_length,
                         &transfer->moved, loop_now_ms());
}

static int spoiled_status(const struct port *port) {
    if (link_usb_is_stalled(&port->link)) {
        return -EPIPE;
    }
    switch (port->fault) {
    case BUS_STALL:
        return -EPIPE;
    case BUS_BABBLE:
        return -EOVERFLOW;
    case BUS_ERROR:
        return -EPROTO;
    case BUS_GOOD:
    case BUS_DENIED:
    case BUS_BUSY:
    default:
        return 0;
    }
}

/* Moves what can move: each endpoint's transfers in their order. */
void bus_pump(struct node *node, uint64_t now_ms) {
    struct port *port = node->port;
    bool is_waiting[2] = {false, false};
    if (port == NULL || node->claimed_by == NULL || !port->phone.is_connected) {
        return;
    }
    for (unsigned round = 0; round < 3; round++) {
        phone_step(&port->phone, now_ms);
        is_waiting[0] = is_waiting[1] = false;
        for (struct transfer *t = node->transfers; t != NULL; t = t->next) {
            bool is_in = (t->urb.endpoint & 0x80) != 0;
            if (t->is_done || is_waiting[is_in]) {
                continue;
            }
            int status = spoiled_status(port);
            if (status != 0) {
                bus_transfer_finish(t, status);
            } else if (is_in ? move_in(port, t) : move_out(port, t, now_ms)) {
                bus_transfer_finish(t, 0);
            } else {
                is_waiting[is_in] = true;
            }
        }
    }
    bus_show(node);
}
