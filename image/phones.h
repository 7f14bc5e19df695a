/* phones.h - the phones of a board: who is on the bus, whether it answers, and the attempt that
 * runs on it. As hubd does it (host/hubd/phones, host/hubd/run), with what a board has: ADB without
 * keys over hal/usb.h, shell services one after the other, no port power.
 *
 * What is seen of a phone and what the core believes are compared in every turn, and the events
 * that are missing are sent: so nothing is lost when the core says "not now". */
#ifndef IMAGE_PHONES_H
#define IMAGE_PHONES_H

#include "hal/usb.h"
#include "image/run.h"

enum {
    PHONES_MAX = 8,
    PHONES_BUFFER = 16 * 1024,
    PHONES_SILENT_MS = 5000,    /* to say who it is */
    PHONES_RETRY_MS = 10000,    /* between two resets of one that is silent */
    PHONES_RECOVERY_MS = 60000, /* then it is given up */
    PHONES_AWAY_MS = 90000,     /* a reboot that was asked for */
};

struct phones_line {
    uint32_t device; /* of the bus; 0: the place is free */
    uint32_t row;    /* of the core; HUB_NONE */
    char serial[HAL_USB_SERIAL_SIZE];
    char slot[HAL_USB_SLOT_SIZE];
    bool is_here;      /* plugged in */
    bool is_told_here; /* the core has heard of it */
    bool was_lost;     /* it left since then */
    bool is_online, is_silent, is_refused;
    uint64_t since_ms;  /* recovering, or away */
    uint64_t silent_ms; /* when it counts as silent */
    uint8_t state_seen; /* enum record_phone_state */
    struct hal_usb_transfer in, out;
    uint8_t endpoint_in, endpoint_out;
    struct adb_connection adb;
    struct run run;
    uint8_t output[PHONES_BUFFER];
    uint8_t in_data[PHONES_BUFFER], out_data[PHONES_BUFFER];
    size_t in_used; /* of in_data, that the connection has not taken */
};

struct phones {
    struct hub *hub;
    struct hal_usb *usb;
    uint64_t now_ms;
    struct phones_line lines[PHONES_MAX];
};

void phones_init(struct phones *phones, struct hub *hub, struct hal_usb *usb);
/* In every turn, before hub_step(). */
void phones_step(struct phones *phones, uint64_t now_ms);
uint64_t phones_deadline_ms(const struct phones *phones);

#endif
