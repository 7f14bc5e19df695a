/* fastboot.h - commands and responses of the fastboot protocol, and the course of one command, for
 * both ends of the link.
 *
 * Source: AOSP fastboot/README.md, constants.h, fastboot_driver.cpp, tcp.cpp. The host sends one
 * command at a time, as ASCII in one packet. The device answers with packets of at most 256 bytes:
 * any number of INFO and TEXT, then OKAY, FAIL, or DATA with the size of what is to be transferred,
 * after which a second row of answers ends the command. Over USB a packet is a bulk transfer; over
 * TCP (port 5554) each is preceded by its length. */
#ifndef PROTOCOL_FASTBOOT_H
#define PROTOCOL_FASTBOOT_H

#include "hal/base.h"

enum {
    FASTBOOT_COMMAND_MAX = 4096,  /* bytes of a command; bootloaders before version 0.4 take 64 */
    FASTBOOT_RESPONSE_MAX = 256,  /* bytes of a response, its four letters included */
    FASTBOOT_RESPONSE_MS = 30000, /* silence after which the device is lost; INFO starts it anew */
    FASTBOOT_TCP_PORT = 5554,
    FASTBOOT_TCP_HELLO_BYTES = 4, /* "FB01", from either side, before anything else */
    FASTBOOT_TCP_LENGTH_BYTES = 8,
};

/* The interface of a USB device that speaks it. */
enum { FASTBOOT_USB_CLASS = 0xff, FASTBOOT_USB_SUBCLASS = 0x42, FASTBOOT_USB_PROTOCOL = 0x03 };

/* Writes `name`, and `:argument` when the argument is not empty. Returns the size; 0: a byte that
 * is not printable ASCII, or more than `capacity` or FASTBOOT_COMMAND_MAX. */
uint32_t fastboot_put_command(uint8_t *target, uint32_t capacity, struct bytes name,
                              struct bytes argument);

/* Writes `download:%08x`. Returns the size. */
enum { FASTBOOT_DOWNLOAD_BYTES = 17 };
void fastboot_put_download(uint8_t target[FASTBOOT_DOWNLOAD_BYTES], uint32_t bytes);

/* Splits a command at its first colon. MALFORMED: empty, too long, or not printable ASCII. */
must_check enum status fastboot_get_command(struct bytes packet, struct bytes *name,
                                            struct bytes *argument);

enum fastboot_kind {
    FASTBOOT_OKAY,
    FASTBOOT_FAIL,
    FASTBOOT_DATA,
    FASTBOOT_INFO, /* a line for a person, or one of `getvar:all` */
    FASTBOOT_TEXT, /* a part of a line */
    FASTBOOT_KIND_COUNT
};

struct fastboot_response {
    enum fastboot_kind kind;
    struct bytes text;   /* behind the four letters, as the device sent it: any bytes */
    uint32_t data_bytes; /* DATA only */
};

/* Reads one response. MALFORMED: none of the five, above FASTBOOT_RESPONSE_MAX, or DATA without
 * eight hexadecimal digits. */
must_check enum status fastboot_get_response(struct bytes packet,
                                             struct fastboot_response *response);

/* Writes a response, its text cut at FASTBOOT_RESPONSE_MAX. Returns the size. */
uint32_t fastboot_put_response(uint8_t target[FASTBOOT_RESPONSE_MAX], enum fastboot_kind kind,
                               struct bytes text);
uint32_t fastboot_put_data(uint8_t target[FASTBOOT_RESPONSE_MAX], uint32_t bytes);

/* A hexadecimal or decimal number as variables give it (`0x10000000`, `268435456`). MALFORMED: no
 * such number, or above 64 bits. */
must_check enum status fastboot_get_number(struct bytes text, uint64_t *number);

/* ---- one command, as the host sees it ---- */

enum fastboot_state {
    FASTBOOT_IDLE,      /* nothing is under way */
    FASTBOOT_ASKED,     /* command sent: an answer is awaited */
    FASTBOOT_SENDING,   /* the device awaits data_left bytes from us */
    FASTBOOT_RECEIVING, /* data_left bytes come from the device */
    FASTBOOT_ENDING,    /* data is over: the last answer is awaited */
    FASTBOOT_BROKEN,    /* the device broke the protocol: only a new connection helps */
    FASTBOOT_STATE_COUNT
};

enum fastboot_event {
    FASTBOOT_ON_COMMAND,
    FASTBOOT_ON_OKAY,
    FASTBOOT_ON_FAIL,
    FASTBOOT_ON_DATA_OUT, /* DATA, and the command sends */
    FASTBOOT_ON_DATA_IN,  /* DATA, and the command receives */
    FASTBOOT_ON_NOTE,     /* INFO or TEXT */
    FASTBOOT_ON_TRANSFERRED,
    FASTBOOT_ON_WRONG, /* what does not fit: another size, a malformed response */
    FASTBOOT_EVENT_COUNT
};

struct fastboot_host {
    uint8_t state;       /* enum fastboot_state */
    bool is_upload;      /* DATA will come from the device */
    uint32_t data_bytes; /* that a download announced */
    uint32_t data_left;
};

void fastboot_host_init(struct fastboot_host *host);

/* A command is about to be sent. `data_bytes`: what a `download` announces, else 0. ILLEGAL: one is
 * under way, or the link is broken. */
must_check enum status fastboot_host_command(struct fastboot_host *host, uint32_t data_bytes,
                                             bool is_upload);

/* A packet of the device that is no data. OK with the response; OKAY and FAIL end the command. A
 * packet of length 0 is to be left out by the caller. MALFORMED: not allowed now; the link is
 * broken then. */
must_check enum status fastboot_host_response(struct fastboot_host *host, struct bytes packet,
                                              struct fastboot_response *response);

/* `bytes` of data went out or came in. MALFORMED: more than was announced; the link is broken. */
must_check enum status fastboot_host_transferred(struct fastboot_host *host, uint32_t bytes);

/* Whether the table allows the event; what fastboot_host_* decide by. */
must_check enum status fastboot_apply(uint8_t *state, enum fastboot_event event);
const char *fastboot_state_name(enum fastboot_state state);
const char *fastboot_event_name(enum fastboot_event event);

/* ---- TCP ---- */

void fastboot_put_length(uint8_t target[FASTBOOT_TCP_LENGTH_BYTES], uint64_t bytes);
/* TOO_LARGE: above 4 GiB - 1, which no message of the protocol can be. */
must_check enum status fastboot_get_length(const uint8_t source[FASTBOOT_TCP_LENGTH_BYTES],
                                           uint32_t *bytes);

#endif
