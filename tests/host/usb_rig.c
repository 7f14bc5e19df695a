#include "tests/host/usb_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct usb_rig usb_rig;

static enum status submit(struct hal_usb *usb, struct hal_usb_transfer *transfer) {
    (void)usb;
    if (usb_rig.refusal != STATUS_OK) {
        return usb_rig.refusal;
    }
    if (usb_rig.room == 0) {
        return STATUS_FULL;
    }
    usb_rig.room -= 1;
    transfer->is_in_flight = true;
    if ((transfer->endpoint & 0x80) != 0) {
        usb_rig.in[usb_rig.in_count++] = transfer;
    } else {
        usb_rig.out[usb_rig.out_count++] = transfer;
    }
    return STATUS_OK;
}

static void cancel(struct hal_usb *usb, struct hal_usb_transfer *transfer) {
    (void)usb;
    transfer->status = STATUS_CLOSED;
}

struct hal_usb_transfer *usb_rig_take(struct hal_usb_transfer **list, unsigned *count) {
    assert_true(*count > 0);
    struct hal_usb_transfer *first = list[0];
    *count -= 1;
    memmove((void *)list, (void *)(list + 1), *count * sizeof *list);
    usb_rig.room += 1;
    first->is_in_flight = false;
    return first;
}

void usb_rig_begin(void) {
    static const struct hal_usb_ops ops = {.submit = submit, .cancel = cancel};
    usb_rig = (struct usb_rig){.usb.ops = &ops, .room = USB_RIG_MANY};
}
