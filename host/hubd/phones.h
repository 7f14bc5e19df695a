/* phones.h - the phones of this host: connects them, finds out who they are, tells the core.
 *
 * A line is one place where a phone may be: a TCP address, or a USB slot that has been seen with a
 * phone (phones_usb.c). It reconnects with backoff by itself. What the core believes follows from
 * what the line sees: phones_step() compares the two and sends the events that are missing, so an
 * event that had no room in the open group is simply sent by the next step. */
#ifndef HOST_HUBD_PHONES_H
#define HOST_HUBD_PHONES_H

#include "firmware/hub.h"
#include "firmware/ladder.h"
#include "hal/linux/tcp.h"
#include "host/hubd/hub_power.h"
#include "host/hubd/phone_link.h"
#include "host/hubd/usb_pipe.h"

enum {
    PHONES_MAX = 128,
    PHONES_KNOWN = 256, /* rows of the core's table on the largest board */
    PHONES_OUTPUT_BYTES = 128,
    PHONES_AWAY_MS = 180000 /* a phone that its lease has rebooted must be back in this time */
};

struct phones;

struct phone_line {
    struct phone_link link; /* first: the link's owner calls give it back */
    struct usb_pipe pipe;   /* USB only */
    struct tcp_address address;
    struct hal_stream stream;
    struct phones *phones;
    const char *refusal;    /* USB: it cannot be used, because; NULL: it can */
    uint64_t retry_ms;      /* when to connect again */
    uint64_t away_since_ms; /* 0: it is not away */
    uint64_t left_ms;       /* USB: when it was unplugged */
    uint32_t serial_size;
    uint32_t identify_operation;    /* 0: none runs */
    uint32_t phone;                 /* row in the core; HUB_NONE: not known yet */
    uint32_t failures;              /* in a row; for the backoff */
    uint32_t device;                /* USB: of hal/usb.h; 0: nothing is plugged in */
    uint32_t denials;               /* USB: in a row */
    uint32_t hub_group;             /* USB: the same for all phones of one hub */
    struct usb_interface interface; /* USB only */
    bool is_usb;
    bool is_identified;
    bool was_lost;   /* the core has not been told of the last loss */
    bool has_left;   /* since its lease asked for a reboot */
    bool is_cycling; /* USB: its port's power is being switched */
    bool was_quarantined;
    char slot[RECORD_ID_MAX + 1]; /* `tcp:HOST:PORT`, or the slot of hal/usb.h */
    char serial[PHONES_OUTPUT_BYTES];
};

struct phones {
    struct hub *hub;
    struct loop *loop;
    struct adb_key *key; /* NULL: phones that ask for a key stay unauthorized */
    struct phone_line *lines;
    uint32_t line_count;
    struct jitter jitter;
    uint64_t now_ms;
    struct phone_link_asked opens; /* what every line's link is given */
    struct hal_usb *usb;           /* NULL: none */
    struct loop_source usb_source;
    struct hub_power power;
    struct ladder ladders[PHONES_KNOWN]; /* of the core's phones, by row */
    uint64_t rungs[LADDER_RUNG_COUNT];   /* tried, ever; END: quarantined */
};

/* `lines` is zeroed memory for PHONES_MAX lines. */
void phones_init(struct phones *phones, struct hub *hub, struct loop *loop, struct adb_key *key,
                 struct phone_line *lines);

/* Adds a line; connects at the next step. MALFORMED: not HOST:PORT. FULL. */
must_check enum status phones_add_tcp(struct phones *phones, const char *address);

/* Looks for phones on a bus from now on. IO: the loop refused it. */
must_check enum status phones_add_usb(struct phones *phones, struct hal_usb *usb);

void phones_step(struct phones *phones, uint64_t now_ms);

/* When phones_step() has something to do next. */
uint64_t phones_deadline_ms(const struct phones *phones);

/* The line a phone is on now; NULL: none that answers. */
struct phone_line *phones_line_of(struct phones *phones, uint32_t phone);

void phones_close(struct phones *phones);

#endif
