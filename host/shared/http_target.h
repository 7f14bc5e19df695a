/* http_target.h - the path and the query of a request (RFC 9112 §3.2, RFC 3986 §2.1). */
#ifndef HOST_SHARED_HTTP_TARGET_H
#define HOST_SHARED_HTTP_TARGET_H

#include "hal/base.h"

struct http_target {
    struct bytes path;  /* decoded, starts with '/' */
    struct bytes query; /* raw, without '?' */
};

/* Takes a request target apart; `http://host/path` counts as `/path`. The path is decoded in
 * place, so the views are into `text`. MALFORMED: no path, a fragment, a bad escape, a control
 * character, or an encoded slash (it would make one path look like another). */
must_check enum status http_target_read(uint8_t *text, size_t size, struct http_target *target);

/* Finds `name` in a raw query and percent-decodes its value ('+' is a space), with a NUL. An empty
 * value is one. NOT_FOUND; MALFORMED: a bad escape, a control character, or the name comes twice;
 * TOO_LARGE: it needs more room. */
must_check enum status http_target_value(struct bytes query, const char *name, char *value,
                                         size_t capacity);

#endif
