/* phones_usb.h - the phones that are on USB: what comes and goes on the bus, and how a line is
 * connected to it. The inner half of phones.c; nothing else includes it. */
#ifndef HOST_HUBD_PHONES_USB_H
#define HOST_HUBD_PHONES_USB_H

#include "host/hubd/phones/phones.h"

/* Of phones.c: one more line; NULL: there is no more. */
struct phone_line *phones_new_line(struct phones *phones);

/* Opens the device anew and begins the handshake. AGAIN: not yet; `line->retry_ms` says when.
 * DENIED: it cannot be used now; `line->refusal` says why. */
must_check enum status phones_usb_connect(struct phone_line *line);

/* Whether the phone of the line is still on the bus, as far as we know. */
bool phones_usb_is_attached(const struct phone_line *line);

/* Of phones.c: gives the line's phone its row in the core. */
void phones_identify(struct phone_line *line);
/* Of phones.c: tells the core; when it cannot now, the next step does. */
void phones_tell(struct phone_line *line, enum phone_event event, const char *reason);

/* Tries again what found no memory for transfers. */
void phones_usb_step(struct phones *phones);

#endif
