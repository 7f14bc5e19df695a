/* phone_sync.h - the file service (`sync:`) of an emulated phone. Part of phone_session. */
#ifndef HOST_PHONESIM_PHONE_SYNC_H
#define HOST_PHONESIM_PHONE_SYNC_H

#include "host/phonesim/phone_session.h"

/* Takes requests and content. MALFORMED: not the protocol, or more requests at once than their
 * answers find room. */
must_check enum status phone_sync_read(struct phone_session *session, struct bytes input);

/* Fills one payload of answers; 0: nothing to say now. `capacity` is at least 1024. */
size_t phone_sync_fill(struct phone_session *session, uint8_t *target, size_t capacity);

#endif
