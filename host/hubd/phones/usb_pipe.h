/* usb_pipe.h - ADB's messages over the two bulk endpoints of a phone, as a byte stream (hal/net.h).
 *
 * USB carries transfers, not bytes (AOSP docs/dev/zero_length_packet.md): a header and its payload
 * are one transfer each; ours to the phone end with an empty packet when they are whole packets
 * long, the phone's never do. So what is read must be asked for to the byte: a header, then exactly
 * as much as it announces. Several transfers are in flight each way, none above HAL_USB_CHUNK.
 *
 * The owner brings the memory, hands over TRANSFERRED events whose transfer's owner is the pipe,
 * and keeps the memory until usb_pipe_is_idle() after the stream was closed. `stream.handle` is an
 * eventfd: readable when a read, or a write that said AGAIN, may go on. */
#ifndef HOST_HUBD_USB_PIPE_H
#define HOST_HUBD_USB_PIPE_H

#include "hal/net.h"
#include "hal/usb.h"
#include "protocol/usb_descriptor.h"

enum {
    USB_PIPE_IN = 4, /* transfers at once */
    USB_PIPE_OUT = 4,
    USB_PIPE_EMPTY_MAX = 1000 /* empty packets in a row in place of a header */
};

struct usb_pipe_transfer {
    struct hal_usb_transfer transfer; /* first */
    uint32_t wanted;                  /* bytes of an IN transfer; 0: a header */
    bool is_ready;                    /* IN: its bytes may be read */
    uint8_t data[HAL_USB_CHUNK];
};

struct usb_pipe {
    struct hal_stream stream; /* first */
    struct hal_usb *usb;
    uint32_t device;
    struct usb_endpoint in, out;
    enum status failed_as; /* OK: it works */
    const char *reason;    /* of the failure; a literal */
    bool is_signalled;
    bool is_starved; /* a transfer found no memory; usb_pipe_go_on() tries again */

    uint32_t in_first, in_count; /* a ring, in the order of submission */
    uint32_t in_taken;           /* bytes of the first that were read */
    uint32_t in_left;            /* payload bytes that were not asked for yet */
    bool is_header_asked;
    uint32_t empties;

    uint32_t out_filled;  /* bytes in the transfer that is being filled */
    uint32_t out_filling; /* its index */
    uint32_t out_left;    /* payload bytes still to come from the writer */
    bool is_out_open;     /* a transfer is being filled */
    bool is_out_waiting;  /* a write said AGAIN */

    struct usb_pipe_transfer in_ring[USB_PIPE_IN];
    struct usb_pipe_transfer out_ring[USB_PIPE_OUT];
};

/* Begins to read from a device that is open. `pipe` is idle, or zeroed. IO: no file descriptor. */
must_check enum status usb_pipe_open(struct usb_pipe *pipe, struct hal_usb *usb, uint32_t device,
                                     const struct usb_interface *interface);

/* A TRANSFERRED event of this pipe. */
void usb_pipe_done(struct usb_pipe *pipe, struct hal_usb_transfer *transfer);

/* Its device has left: the stream ends with UNPLUGGED. Harmless when it is closed. */
void usb_pipe_unplugged(struct usb_pipe *pipe);

/* Submits what found no memory before. */
void usb_pipe_go_on(struct usb_pipe *pipe);

/* Nothing of it is in flight. */
bool usb_pipe_is_idle(const struct usb_pipe *pipe);

/* Why a transfer to a phone has failed, for people; a literal. */
const char *usb_pipe_reason(enum status status);

#endif
