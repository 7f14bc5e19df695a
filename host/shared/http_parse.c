#include "host/shared/http_parse.h"
#include "host/shared/http_target.h"

#include <string.h>
#include <strings.h>

/* Chunk framing may cost a few bytes for each byte of body, not more. */
enum { FRAMING_FACTOR = 8 };

static const struct {
    const char *name;
    uint32_t size;
    enum http_header header;
} known_headers[] = {
    {"host", 4, HTTP_HEADER_HOST},
    {"authorization", 13, HTTP_HEADER_AUTHORIZATION},
    {"last-event-id", 13, HTTP_HEADER_LAST_EVENT_ID},
    {"content-type", 12, HTTP_HEADER_CONTENT_TYPE},
    {"expect", 6, HTTP_HEADER_EXPECT},
    {"transfer-encoding", 17, HTTP_HEADER_TRANSFER_ENCODING},
    {"if-none-match", 13, HTTP_HEADER_IF_NONE_MATCH},
    {"accept-encoding", 15, HTTP_HEADER_ACCEPT_ENCODING},
};

static bool is_text(const uint8_t *data, size_t size, const char *text) {
    return size == strlen(text) && strncasecmp((const char *)data, text, size) == 0;
}

static int refuse(struct http_parse *parse, unsigned status, const char *code,
                  const char *message) {
    parse->refusal = (struct http_refusal){status, code, message};
    return HPE_USER;
}

static struct http_parse *parse_of(llhttp_t *parser) {
    return parser->data;
}

static uint32_t offset_of(const struct http_parse *parse, const char *at) {
    return (uint32_t)((const uint8_t *)at - parse->base);
}

/* Pieces of one value lie side by side, unless a line was folded. */
static bool extend(struct http_parse *parse, struct http_span *span, const char *at, size_t size) {
    uint32_t begin = offset_of(parse, at);
    if (span->size == 0) {
        span->begin = begin;
    } else if (span->begin + span->size != begin) {
        return false;
    }
    span->size += (uint32_t)size;
    parse->head_end = begin + (uint32_t)size;
    return true;
}

static int on_target(llhttp_t *parser, const char *at, size_t size) {
    struct http_parse *parse = parse_of(parser);
    check(extend(parse, &parse->target, at, size));
    return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t size) {
    struct http_parse *parse = parse_of(parser);
    if (parse->has_head) {
        return 0; /* a trailer: ignored */
    }
    check(extend(parse, &parse->field, at, size));
    return 0;
}

static int on_field_complete(llhttp_t *parser) {
    struct http_parse *parse = parse_of(parser);
    if (parse->has_head) {
        return 0;
    }
    const uint8_t *name = parse->base + parse->field.begin;
    parse->value_of = HTTP_HEADER_OTHER;
    parse->headers[HTTP_HEADER_OTHER] = (struct http_span){0, 0};
    for (size_t i = 0; i < array_count(known_headers); i++) {
        if (parse->field.size == known_headers[i].size &&
            is_text(name, parse->field.size, known_headers[i].name)) {
            parse->value_of = (uint8_t)known_headers[i].header;
        }
    }
    if (parse->value_of >= HTTP_HEADER_LISTS && parse->headers[parse->value_of].begin != 0) {
        parse->value_of = HTTP_HEADER_OTHER; /* a list may go on in another line (RFC 9110 §5.3) */
    } else if (parse->headers[parse->value_of].begin != 0) {
        return refuse(parse, 400, "malformed_request", "A header that may come once came twice");
    }
    return 0;
}

/* Between a name and its value only one colon and blanks are allowed. */
static bool is_separator(const uint8_t *data, uint32_t size) {
    for (uint32_t i = 0; i < size; i++) {
        if (i == 0 ? data[i] != ':' : data[i] != ' ' && data[i] != '\t') {
            return false;
        }
    }
    return size > 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t size) {
    struct http_parse *parse = parse_of(parser);
    if (parse->has_head) {
        return 0;
    }
    struct http_span *value = &parse->headers[parse->value_of];
    if (value->begin == 0) {
        uint32_t field_end = parse->field.begin + parse->field.size;
        if (!is_separator(parse->base + field_end, offset_of(parse, at) - field_end)) {
            return refuse(parse, 400, "malformed_request", "A header name must end with a colon");
        }
        value->begin = offset_of(parse, at);
    }
    if (!extend(parse, value, at, size)) {
        return refuse(parse, 400, "malformed_request", "Folded header lines are not accepted");
    }
    return 0;
}

static int on_value_complete(llhttp_t *parser) {
    struct http_parse *parse = parse_of(parser);
    struct http_span *value = &parse->headers[parse->value_of];
    while (!parse->has_head && value->size > 0 &&
           (parse->base[value->begin + value->size - 1] == ' ' ||
            parse->base[value->begin + value->size - 1] == '\t')) {
        value->size--;
    }
    parse->field = (struct http_span){0, 0};
    return 0;
}

static int check_expectation(struct http_parse *parse) {
    const struct http_span *expect = &parse->headers[HTTP_HEADER_EXPECT];
    if (expect->size == 0) {
        return 0;
    }
    if (!is_text(parse->base + expect->begin, expect->size, "100-continue")) {
        return refuse(parse, 417, "expectation_failed", "Only Expect: 100-continue is known");
    }
    parse->wants_continue =
        parse->parser.http_minor > 0 && (parse->is_chunked || parse->parser.content_length > 0);
    return 0;
}

static int check_framing(struct http_parse *parse) {
    const struct http_span *coding = &parse->headers[HTTP_HEADER_TRANSFER_ENCODING];
    const llhttp_t *parser = &parse->parser;
    if (coding->begin != 0) {
        if (!is_text(parse->base + coding->begin, coding->size, "chunked")) {
            return refuse(parse, 501, "not_implemented", "The only transfer coding is chunked");
        }
        if (parser->http_minor == 0) {
            return refuse(parse, 400, "malformed_request", "HTTP/1.0 has no transfer codings");
        }
        parse->is_chunked = true;
    }
    if (!parse->is_chunked && parser->content_length > parse->body_limit) {
        return refuse(parse, 413, "body_too_large", "The body is larger than this server takes");
    }
    return 0;
}

static int on_head(llhttp_t *parser) {
    struct http_parse *parse = parse_of(parser);
    if (parse->has_head) {
        return 0;
    }
    if (parser->http_major != 1 || parser->http_minor > 1) {
        return refuse(parse, 505, "version_not_supported", "This server speaks HTTP/1.1");
    }
    if (parser->http_minor == 1 && parse->headers[HTTP_HEADER_HOST].begin == 0) {
        return refuse(parse, 400, "malformed_request", "The Host header is missing");
    }
    int error = check_framing(parse);
    if (error == 0) {
        error = check_expectation(parse);
    }
    parser->upgrade = 0; /* an Upgrade may be ignored (RFC 9110 §7.8) */
    parse->keeps_alive = llhttp_should_keep_alive(parser) != 0;
    parse->is_head_method = parser->method == HTTP_HEAD;
    parse->has_head = true;
    return error;
}

static int on_chunk(llhttp_t *parser) {
    struct http_parse *parse = parse_of(parser);
    if (parser->content_length > parse->body_limit - parse->body_size) {
        return refuse(parse, 413, "body_too_large", "The body is larger than this server takes");
    }
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t size) {
    struct http_parse *parse = parse_of(parser);
    check(size <= parse->body_limit - parse->body_size);
    if (parse->body_size == 0) {
        parse->body_begin = parse->is_chunked ? parse->head_end : offset_of(parse, at);
    }
    if (parse->is_chunked) { /* over the framing that was already read */
        memmove(parse->base + parse->body_begin + parse->body_size, at, size);
    }
    parse->body_size += (uint32_t)size;
    return 0;
}

static int on_whole(llhttp_t *parser) {
    parse_of(parser)->is_whole = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_target,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_whole,
    .on_header_field_complete = on_field_complete,
    .on_header_value_complete = on_value_complete,
    .on_chunk_header = on_chunk,
};

void http_parse_begin(struct http_parse *parse, uint32_t body_limit) {
    memset(parse, 0, sizeof *parse);
    llhttp_init(&parse->parser, HTTP_REQUEST, &settings);
    parse->parser.data = parse;
    parse->body_limit = body_limit;
}

static enum status malformed(struct http_parse *parse, llhttp_errno_t error) {
    if (parse->refusal.status != 0) {
        return STATUS_MALFORMED;
    }
    if (error == HPE_INVALID_METHOD) {
        refuse(parse, 501, "not_implemented", "The method is not known");
    } else if (error == HPE_INVALID_VERSION) {
        refuse(parse, 505, "version_not_supported", "This server speaks HTTP/1.1");
    } else {
        const char *reason = llhttp_get_error_reason(&parse->parser);
        refuse(parse, 400, "malformed_request", reason != NULL ? reason : "Not an HTTP request");
    }
    return STATUS_MALFORMED;
}

/* How many of the waiting bytes may be parsed: the head must end within HTTP_HEAD_BYTES. */
static uint32_t feed_size(const struct http_parse *parse, uint32_t from, uint32_t to) {
    uint32_t size = to - from;
    return parse->has_head || size < HTTP_HEAD_BYTES - from ? size : HTTP_HEAD_BYTES - from;
}

static bool is_over_limits(struct http_parse *parse, uint32_t from) {
    if (!parse->has_head && from >= HTTP_HEAD_BYTES) {
        refuse(parse, 431, "head_too_large", "The request line and headers are too large");
        return true;
    }
    if (parse->framed_bytes > (uint64_t)parse->body_limit * FRAMING_FACTOR + HTTP_HEAD_BYTES) {
        refuse(parse, 413, "body_too_large", "The chunks' framing is too large");
        return true;
    }
    return false;
}

enum status http_parse_feed(struct http_parse *parse, uint8_t *base, uint32_t from, uint32_t *to) {
    check(!parse->is_whole && from <= *to);
    parse->base = base;
    while (from < *to) {
        uint32_t size = feed_size(parse, from, *to);
        bool is_framed = parse->has_head && parse->is_chunked;
        llhttp_errno_t error =
            llhttp_execute(&parse->parser, (const char *)base + from, (size_t)size);
        if (error == HPE_PAUSED && parse->is_whole) {
            *to = offset_of(parse, llhttp_get_error_pos(&parse->parser));
            return STATUS_OK;
        }
        if (error != HPE_OK) {
            return malformed(parse, error);
        }
        parse->framed_bytes += is_framed ? size : 0;
        from += size;
        if (is_over_limits(parse, from)) {
            return STATUS_MALFORMED;
        }
    }
    if (parse->has_head && parse->is_chunked) {
        *to = parse->head_end + parse->body_size;
    }
    return STATUS_MORE;
}

static struct bytes view(const uint8_t *base, struct http_span span) {
    return (struct bytes){base + span.begin, span.size};
}

static struct bytes bearer_token(struct bytes authorization) {
    size_t skip = 7;
    if (authorization.size <= skip || !is_text(authorization.data, skip, "bearer ")) {
        return (struct bytes){authorization.data, 0};
    }
    while (skip < authorization.size && authorization.data[skip] == ' ') {
        skip++;
    }
    return (struct bytes){authorization.data + skip, authorization.size - skip};
}

static enum http_method method_of(uint8_t method) {
    switch (method) {
    case HTTP_GET:
    case HTTP_HEAD:
        return HTTP_METHOD_GET;
    case HTTP_POST:
        return HTTP_METHOD_POST;
    case HTTP_PUT:
        return HTTP_METHOD_PUT;
    default:
        return HTTP_METHOD_OTHER;
    }
}

enum status http_parse_request(struct http_parse *parse, uint8_t *base,
                               struct http_request *request) {
    check(parse->is_whole);
    struct http_target target;
    if (http_target_read(base + parse->target.begin, parse->target.size, &target) != STATUS_OK) {
        refuse(parse, 400, "malformed_path", "The path must begin with / and be percent-encoded");
        return STATUS_MALFORMED;
    }
    *request = (struct http_request){
        .method = method_of(parse->parser.method),
        .path = target.path,
        .query = target.query,
        .host = view(base, parse->headers[HTTP_HEADER_HOST]),
        .token = bearer_token(view(base, parse->headers[HTTP_HEADER_AUTHORIZATION])),
        .last_event_id = view(base, parse->headers[HTTP_HEADER_LAST_EVENT_ID]),
        .content_type = view(base, parse->headers[HTTP_HEADER_CONTENT_TYPE]),
        .if_none_match = view(base, parse->headers[HTTP_HEADER_IF_NONE_MATCH]),
        .accept_encoding = view(base, parse->headers[HTTP_HEADER_ACCEPT_ENCODING]),
        .body = {base + parse->body_begin, parse->body_size},
    };
    return STATUS_OK;
}
