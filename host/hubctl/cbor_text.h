/* cbor_text.h - prints CBOR: in diagnostic notation (RFC 8949, section 8), or as JSON, where bytes
 * become a string of hexadecimal digits. The part of CBOR that records use: no floats, no tags, no
 * maps, definite lengths. */
#ifndef HOST_HUBCTL_CBOR_TEXT_H
#define HOST_HUBCTL_CBOR_TEXT_H

#include "hal/base.h"

enum cbor_text_form { CBOR_TEXT_DIAGNOSTIC, CBOR_TEXT_JSON };

/* Prints the first item and takes it off the front. False: it is none of ours, or not whole; what
 * was printed then ends in `!`. */
bool cbor_text_print(struct bytes *rest, enum cbor_text_form form);

/* Takes an array's head off the front. False: there is none. */
bool cbor_text_array(struct bytes *rest, uint64_t *count);

#endif
