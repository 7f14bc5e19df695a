/* rfc3339.h - reads the time format of JSON APIs (RFC 3339, section 5.6). */
#ifndef HOST_SHARED_RFC3339_H
#define HOST_SHARED_RFC3339_H

#include "hal/base.h"

/* Milliseconds since 1970 of a text such as 2026-11-22T10:20:30.123Z or ...+02:00; digits behind
 * the third of a fraction are cut off, a leap second counts as the one before. MALFORMED. */
must_check enum status rfc3339_parse(const char *text, uint64_t *unix_ms);

#endif
