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
#include "host/hubd/phones/battery_care.h"
#include "host/hubd/phones/fastboot_link.h"
#include "host/hubd/phones/phone_link.h"
#include "host/hubd/phones/slot_power.h"
#include "host/hubd/phones/usb_pipe.h"
#include "host/hubd/phones/vitals.h"

enum {
    PHONES_MAX = 128,
    PHONES_KNOWN = 256, /* rows of the core's table on the largest board */
    PHONES_OUTPUT_BYTES = 128,
};

struct phones;

struct phone_line {
    struct phone_link link; /* first: the link's owner calls give it back */
    union {                 /* USB only */
        struct usb_pipe pipe;
        struct fastboot_link fastboot; /* is_bootloader */
    };
    struct tcp_address address;
    struct hal_stream stream;
    struct phones *phones;
    const char *refusal;     /* USB: it cannot be used, because; NULL: it can */
    uint64_t retry_ms;       /* when to connect again */
    uint64_t away_since_ms;  /* 0: it is not away */
    uint64_t left_ms;        /* USB: when it was unplugged */
    uint64_t steady_ms;      /* USB: since when it works without falling; 0: it does not */
    uint64_t reset_until_ms; /* USB: its port is being reset; 0: it is not */
    uint64_t reboot_ms;      /* USB: recovery asked it to reboot; it may take so long to leave */
    uint32_t serial_size;
    uint32_t identify_operation;    /* 0: none runs */
    uint32_t phone;                 /* row in the core; HUB_NONE: not known yet */
    uint32_t failures;              /* in a row; for the backoff */
    uint32_t device;                /* USB: of hal/usb.h; 0: nothing is plugged in */
    uint32_t denials;               /* USB: in a row */
    uint32_t endpoints;             /* USB: that its controller keeps for it */
    uint32_t hub_group;             /* USB: the same for all phones of one hub */
    struct usb_interface interface; /* USB only */
    bool is_usb;
    bool is_bootloader; /* USB: what is plugged in is its bootloader; the link above stays CLOSED */
    bool leaves_bootloader; /* it is to be asked to reboot */
    bool is_admitted;       /* USB: its controller has room for it */
    bool is_unconfigured;   /* USB: it had no configuration when it was announced */
    bool is_identified;
    bool was_lost;     /* the core has not been told of the last loss */
    bool has_left;     /* since its lease asked for a reboot */
    bool is_cycling;   /* USB: its port's power is being switched */
    bool was_online;   /* USB: in this connection */
    bool has_answered; /* USB: in the connection before */
    bool wants_reboot; /* USB: as soon as it answers */
    bool was_quarantined;
    char slot[RECORD_ID_MAX + 1]; /* `tcp:HOST:PORT`, or the slot of hal/usb.h */
    char serial[PHONES_OUTPUT_BYTES];
};

/* What an operator's configuration says of a place. */
struct slot_label {
    char slot[RECORD_ID_MAX + 1];
    char labels[HUB_LABELS_BYTES]; /* words, as hub_phone_slot_label() takes them */
};

struct slot_labels {
    struct slot_label rows[PHONES_MAX];
    uint32_t count;
};

struct phones {
    struct hub *hub;
    const struct slot_labels *slots; /* NULL: no place has labels */
    struct loop *loop;
    struct adb_key *key; /* NULL: phones that ask for a key stay unauthorized */
    struct phone_line *lines;
    uint32_t line_count;
    struct jitter jitter;
    uint64_t now_ms;
    struct phone_link_asked opens; /* what every line's link is given */
    unsigned withheld;             /* ADB_FEATURE_* that phones are not offered; set after init */
    struct hal_usb *usb;           /* NULL: none */
    const char *usb_obstacle; /* USB is wanted, and does not work, because; NULL: all is well */
    uint64_t away_ms;         /* a phone that its lease has rebooted, or that left while it
                                       recovered, must be back in this time */
    uint32_t endpoints_max;   /* of each USB controller; 0: not known */
    struct loop_source usb_source;
    struct slot_power power;
    struct battery_care battery;
    struct vitals vitals;
    struct ladder ladders[PHONES_KNOWN]; /* of the core's phones, by row */
    uint64_t rungs[LADDER_RUNG_COUNT];   /* tried, ever; END: quarantined */
};

/* `lines` is zeroed memory for PHONES_MAX lines. */
void phones_init(struct phones *phones, struct hub *hub, struct loop *loop, struct adb_key *key,
                 struct phone_line *lines);

/* Adds a line; connects at the next step. MALFORMED: not HOST:PORT. FULL. */
must_check enum status phones_add_tcp(struct phones *phones, const char *address);

/* Looks for phones on a bus from now on. IO: the loop refused it, and nothing is done. */
must_check enum status phones_add_usb(struct phones *phones, struct hal_usb *usb);

void phones_step(struct phones *phones, uint64_t now_ms);

/* When phones_step() has something to do next. */
uint64_t phones_deadline_ms(const struct phones *phones);

/* The line a phone is on now; NULL: none that answers. */
struct phone_line *phones_line_of(struct phones *phones, uint32_t phone);

/* The labels of a place; "" when it has none. */
const char *phones_slot_labels(const struct phones *phones, const char *slot);

/* The line of a phone that is in its bootloader and takes commands; NULL: there is none. */
struct phone_line *phones_bootloader_of(struct phones *phones, uint32_t phone);

/* Lets a phone leave its bootloader that its lease has no more use for, as far as it takes
 * commands; where it does not, recovery knows more. */
void phones_leave_bootloader(struct phone_line *line);

void phones_close(struct phones *phones);

#endif
