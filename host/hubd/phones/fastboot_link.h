/* fastboot_link.h - a phone's bootloader on USB: one fastboot command after the other, with several
 * transfers in flight while data goes out.
 *
 * Source: AOSP fastboot/README.md, usb_linux.cpp. A command and an answer are one transfer each;
 * data never ends with an empty packet, and empty packets in front of an answer are left out.
 * What a bootloader says is checked by protocol/fastboot.h; after it broke the protocol, stayed
 * silent or lost a transfer, the link is BROKEN: open it anew, perhaps behind a reset of its port,
 * because a bootloader whose download is cut short takes all that comes for the rest of it.
 *
 * The owner brings the memory, hands over TRANSFERRED events whose transfer's owner is the link,
 * and keeps the memory until fastboot_link_is_idle(). A lease's token is checked as in
 * phone_link.h: one below the fence is refused. */
#ifndef HOST_HUBD_FASTBOOT_LINK_H
#define HOST_HUBD_FASTBOOT_LINK_H

#include "hal/usb.h"
#include "protocol/fastboot.h"
#include "protocol/usb_descriptor.h"

enum {
    FASTBOOT_LINK_OUT = 4, /* transfers at once */
    FASTBOOT_LINK_ANSWER = 1024,
    FASTBOOT_LINK_EMPTY_MAX = 1000, /* empty packets in a row */
    FASTBOOT_LINK_TEXT = 128        /* of an answer, with its NUL */
};

/* How a command ended. OK; DENIED: FAIL. Any other breaks the link: TIMEOUT, UNPLUGGED, STALLED,
 * MALFORMED, TOO_LARGE, IO, CLOSED (`fill` gave up). */
struct fastboot_result {
    enum status status;
    const char *text; /* of OKAY or FAIL, its printable part; else why. Valid during the call. */
};

/* The calls may begin a command or close the link. None comes after fastboot_link_close(). */
struct fastboot_handler {
    /* Puts up to `capacity` bytes of a download there; 0: there are none, give up. */
    size_t (*fill)(void *owner, uint8_t *target, size_t capacity);
    void (*note)(void *owner, struct bytes text); /* of INFO or TEXT; may be NULL */
    void (*ended)(void *owner, const struct fastboot_result *result);
    void *owner;
};

struct fastboot_order {
    const char *name;
    const char *argument; /* "": none */
    uint32_t data_bytes;  /* of a download; then name and argument are not used */
    uint32_t patience_ms; /* of silence; 0: FASTBOOT_RESPONSE_MS */
    struct fastboot_handler handler;
};

struct fastboot_link_answer {
    struct hal_usb_transfer transfer; /* first */
    uint8_t data[FASTBOOT_LINK_ANSWER];
};

struct fastboot_link_out {
    struct hal_usb_transfer transfer; /* first */
    bool is_waiting;                  /* filled; it found no memory yet */
    uint8_t data[HAL_USB_CHUNK];
};

struct fastboot_link {
    struct hal_usb *usb; /* NULL: not open */
    uint32_t device;
    struct usb_endpoint in, out;
    struct fastboot_host host;
    struct fastboot_handler handler;
    uint64_t fence;
    uint64_t heard_ms; /* the last thing that went well */
    uint32_t patience_ms;
    uint32_t unsent_bytes; /* of a download, not yet in a transfer */
    uint32_t empties;
    bool is_busy;    /* a command is under way */
    bool is_new;     /* it has not been sent yet */
    bool is_starved; /* a transfer found no memory */
    bool is_asked;   /* an answer is asked for */
    bool is_early;   /* the answer came before the last data was counted */
    struct fastboot_link_answer answer;
    struct fastboot_link_out ring[FASTBOOT_LINK_OUT];
};

/* Takes a device that is open. The link is idle, or zeroed. */
void fastboot_link_open(struct fastboot_link *link, struct hal_usb *usb, uint32_t device,
                        const struct usb_interface *interface, uint64_t fence);

/* Whether commands can be given: open, and not broken. */
bool fastboot_link_is_usable(const struct fastboot_link *link);

/* Begins a command; `handler.ended` follows, never from here. ILLEGAL: not usable, or one is under
 * way. AGAIN: transfers of the one before still come back. STALE_LEASE. TOO_LARGE: text that is no
 * command, or too long. */
must_check enum status fastboot_link_command(struct fastboot_link *link, uint64_t token,
                                             const struct fastboot_order *order, uint64_t now_ms);

/* Gives up what is under way, without a call; the link is not usable until it is opened anew. */
void fastboot_link_close(struct fastboot_link *link);

void fastboot_link_done(struct fastboot_link *link, struct hal_usb_transfer *transfer,
                        uint64_t now_ms);

/* The device has left the bus. */
void fastboot_link_unplugged(struct fastboot_link *link);

/* Tries again what found no memory; ends what was silent for too long. */
void fastboot_link_step(struct fastboot_link *link, uint64_t now_ms);

/* When fastboot_link_step() has something to do; UINT64_MAX: never by time alone. */
uint64_t fastboot_link_deadline_ms(const struct fastboot_link *link, uint64_t now_ms);

/* Whether no transfer is in flight. */
bool fastboot_link_is_idle(const struct fastboot_link *link);

#endif
