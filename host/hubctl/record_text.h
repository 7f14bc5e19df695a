/* record_text.h - prints a record as one line: CBOR's diagnostic notation, or JSON with the names
 * of protocol/records.cddl. */
#ifndef HOST_HUBCTL_RECORD_TEXT_H
#define HOST_HUBCTL_RECORD_TEXT_H

#include "host/hubctl/cbor_text.h"

/* `seq` is its sequence number. False: it is no record; the line then says so. */
bool record_text_print(uint64_t seq, struct bytes record, enum cbor_text_form form);

/* The name of a kind of object, as in `kind`; "?" for one that is unknown. */
const char *record_text_kind(unsigned kind);

/* Whether the record can be read, and is of this kind. */
bool record_text_is_whole(struct bytes record, unsigned kind);

#endif
