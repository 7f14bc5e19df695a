/* link_usb.h - lets a host reach an emulated phone over the two bulk endpoints of its ADB
 * interface, as adbd drives them, or those of its bootloader: whatever carries the transfers
 * (tests/usb) asks here.
 *
 * As a real adbd, the phone reads into buffers of 16 KiB: what the host sends is seen when such a
 * buffer is full or a packet is short, so a host that leaves out the empty packet behind a payload
 * of whole packets waits without end. What it sends are a header and a payload, one transfer each,
 * never with an empty packet behind (AOSP docs/dev/zero_length_packet.md). */
#ifndef HOST_PHONESIM_LINK_USB_H
#define HOST_PHONESIM_LINK_USB_H

#include "host/phonesim/phone.h"

enum { LINK_USB_READ = 16 * 1024, LINK_USB_DESCRIPTORS = 18 + 9 + 9 + 7 + 7 };

enum link_usb_fault {
    LINK_USB_GOOD,
    LINK_USB_SHORT_HEADER, /* a header ends after 10 bytes */
    LINK_USB_NOISE,        /* a header without its magic number */
    LINK_USB_LYING_HEADER, /* a payload is longer than its header says */
    LINK_USB_EMPTY_BEHIND, /* an empty packet behind each payload: harmless, but some phones do */
    LINK_USB_EMPTY_FLOOD,  /* nothing but empty packets */
    LINK_USB_SILENT,       /* nothing is sent or taken any more */
    LINK_USB_FAULT_COUNT
};

enum { LINK_USB_RAWS = 4, LINK_USB_RAW_BYTES = 64 };

/* A transfer that no adbd would send. */
struct link_usb_raw {
    uint32_t size;
    uint32_t count; /* how often */
    uint8_t data[LINK_USB_RAW_BYTES];
};

struct link_usb {
    struct phone *phone;
    uint16_t packet_bytes;
    enum link_usb_fault fault;
    uint32_t rx_size;
    struct bytes backlog;  /* of rx, that the phone has no room to answer to */
    uint32_t tx_left;      /* bytes of the transfer that is being sent */
    uint32_t tx_size;      /* its whole size */
    uint32_t payload_size; /* of the header before */
    bool owes_empty;
    uint32_t raw_count;
    struct link_usb_raw raws[LINK_USB_RAWS]; /* to be sent between messages, first first */
    uint8_t rx[LINK_USB_READ];
};

/* A host has claimed the interface, or given it back. */
void link_usb_connect(struct link_usb *link, struct phone *phone, uint16_t packet_bytes);
void link_usb_disconnect(struct link_usb *link);

/* Takes bytes of an OUT transfer; returns how many, 0 when the phone is busy. */
size_t link_usb_take(struct link_usb *link, struct bytes data, uint64_t now_ms);
/* The transfer ended with a short or an empty packet. */
void link_usb_take_end(struct link_usb *link, uint64_t now_ms);

/* Puts what the phone sends into an IN transfer that has `moved` of `size` bytes; true: the
 * transfer is complete. */
bool link_usb_give(struct link_usb *link, uint8_t *target, uint32_t size, uint32_t *moved,
                   uint64_t now_ms);

/* Has it send these bytes as they are, so many times, before what it would say. FULL. TOO_LARGE. */
must_check enum status link_usb_say(struct link_usb *link, struct bytes data, uint32_t count);

/* Whether its endpoints are halted until the port is reset. */
bool link_usb_is_stalled(const struct link_usb *link);

/* Descriptors of a phone with one interface, that of Android or that of its bootloader, which
 * other ids name; `packet_bytes` is 512 at high speed, 64 at full speed. */
void link_usb_describe(const struct phone *phone, uint16_t packet_bytes,
                       uint8_t target[LINK_USB_DESCRIPTORS]);
/* What the bus shows as its serial number; "": it has none. */
const char *link_usb_serial(const struct phone *phone);

/* Answers a standard request for a descriptor (USB 2.0, 9.4.3): the device, its configuration, its
 * strings. Returns the size; negative: stalled. */
int link_usb_answer(const uint8_t setup[8], const struct phone *phone, uint16_t packet_bytes,
                    uint8_t *target, size_t capacity);

const char *link_usb_fault_name(enum link_usb_fault fault);

#endif
