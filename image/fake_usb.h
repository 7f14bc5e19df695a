/* fake_usb.h - a USB bus with phones that are not there, behind hal/usb.h: this board has no USB
 * host. Each is a device with Android's ADB interface and the device's side of the protocol; what
 * its shell is asked takes a while and ends with status 0. */
#ifndef IMAGE_FAKE_USB_H
#define IMAGE_FAKE_USB_H

#include "hal/usb.h"
#include "protocol/adb_connection.h"

enum {
    FAKE_USB_PHONES = 8,
    FAKE_USB_TRANSFERS = 4,      /* of one phone, waiting for data */
    FAKE_USB_OUTPUT = 16 * 1024, /* more than ADB_CONNECTION_OUTPUT_MIN */
    FAKE_USB_ANSWER_MS = 150,    /* of its shell */
    FAKE_USB_REBOOT_MS = 3000,
};

struct fake_phone {
    struct hal_usb_device device;
    struct adb_connection adb;
    bool is_plugged, is_open, is_hanging;
    bool owes_attach, owes_detach;
    uint64_t back_ms; /* when it plugs itself in again; 0: never */
    uint32_t stream;  /* that waits for its shell; 0: none */
    bool is_exiting;  /* its answer is sent; the stream is closed when it has been taken */
    uint64_t answer_ms;
    struct hal_usb_transfer *waiting[FAKE_USB_TRANSFERS]; /* IN, oldest first */
    uint32_t waiting_count;
    uint64_t served; /* shell services */
    uint8_t output[FAKE_USB_OUTPUT];
};

struct fake_usb {
    struct hal_usb usb;
    uint64_t now_ms;
    uint32_t id_count;
    struct hal_usb_transfer *done_first, *done_last; /* outcomes that wait to be told */
    struct fake_phone phones[FAKE_USB_PHONES];
};

/* All are plugged in. */
void fake_usb_open(struct fake_usb *bus);
/* In every turn, before hal_usb_next(). */
void fake_usb_step(struct fake_usb *bus, uint64_t now_ms);
/* When something happens by itself; UINT64_MAX: nothing does. */
uint64_t fake_usb_deadline_ms(const struct fake_usb *bus);

void fake_usb_plug(struct fake_usb *bus, uint32_t phone, bool is_in);
/* A phone that hangs takes every byte and says nothing, until it is plugged in anew. */
void fake_usb_hang(struct fake_usb *bus, uint32_t phone);

#endif
