/* http_parse.h - one HTTP/1.x request out of bytes that come in pieces. No I/O, no time.
 *
 * The bytes stay in the caller's buffer, one after the other from the request's first byte; the
 * result is views into it. Stricter than llhttp: no folded header lines (RFC 9112 §5.2), no space
 * before a colon, one Host, no transfer coding but chunked, no fragment in the target. */
#ifndef HOST_SHARED_HTTP_PARSE_H
#define HOST_SHARED_HTTP_PARSE_H

#include "host/shared/http_server.h"

#include <llhttp.h>

struct http_span {
    uint32_t begin, size; /* begin counts from the request's first byte */
};

enum http_header {
    HTTP_HEADER_OTHER,
    HTTP_HEADER_HOST,
    HTTP_HEADER_AUTHORIZATION,
    HTTP_HEADER_LAST_EVENT_ID,
    HTTP_HEADER_CONTENT_TYPE,
    HTTP_HEADER_EXPECT,
    HTTP_HEADER_TRANSFER_ENCODING,
    HTTP_HEADER_LISTS, /* from here on: may come more than once; the first line counts */
    HTTP_HEADER_IF_NONE_MATCH = HTTP_HEADER_LISTS,
    HTTP_HEADER_ACCEPT_ENCODING,
    HTTP_HEADER_COUNT
};

struct http_refusal {
    unsigned status;
    const char *code;
    const char *message;
};

struct http_parse {
    llhttp_t parser;
    uint8_t *base; /* only inside http_parse_feed() */
    struct http_span target, field, headers[HTTP_HEADER_COUNT];
    uint32_t head_end; /* the end of the last view; a chunked body is gathered from here */
    uint32_t body_begin, body_size, body_limit;
    uint64_t framed_bytes; /* fed after the head of a chunked request */
    struct http_refusal refusal;
    uint8_t value_of; /* enum http_header */
    bool has_head, is_whole, is_chunked, is_head_method, keeps_alive, wants_continue;
};

void http_parse_begin(struct http_parse *parse, uint32_t body_limit);

/* Takes base[from, *to). OK: the request is whole and ends before base + *to. MORE: *to says up to
 * where the buffer must be kept; the next bytes go there. MALFORMED: `refusal` says what to
 * answer. At most HTTP_HEAD_BYTES + body_limit bytes are ever kept. */
must_check enum status http_parse_feed(struct http_parse *parse, uint8_t *base, uint32_t from,
                                       uint32_t *to);

/* Fills the views of a whole request; decodes the path in place, so only once. MALFORMED: the
 * target is not valid; `refusal` is set. */
must_check enum status http_parse_request(struct http_parse *parse, uint8_t *base,
                                          struct http_request *request);

#endif
