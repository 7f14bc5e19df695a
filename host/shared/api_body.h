/* api_body.h - the JSON body of a request: parsed once, its members taken with errors that point.
 *
 * Every function that returns bool answers the request with a refusal when it returns false. One
 * body is read at a time: the next parse takes the tokens of the one before. */
#ifndef HOST_SHARED_API_BODY_H
#define HOST_SHARED_API_BODY_H

#include "host/shared/http_api.h"
#include "host/shared/json.h"

enum { API_BODY_TOKENS = 4096 };

struct api_body {
    const struct http_api_call *call;
    struct json json;
};

/* Where a text member goes: a copy in `buffer`, and a view of it (NULL: not wanted). */
struct api_text {
    const char *name;
    bool is_required;
    struct bytes *view;
    char *buffer;
    size_t capacity;
};

/* Refuses and returns false, so that it reads `return api_body_refuse(...)`. */
__attribute__((format(printf, 5, 6))) bool api_body_refuse(const struct api_body *body,
                                                           unsigned token, unsigned status,
                                                           const char *code, const char *format,
                                                           ...);

/* The body must be a JSON object; with `may_be_empty`, no body stands for {}. */
bool api_body_parse(struct api_body *body, const struct http_api_call *call, bool may_be_empty);

/* A member that is there and not null; never refuses. */
bool api_body_find(const struct api_body *body, unsigned object, const char *name, unsigned *value);

/* Absent or null leaves the view and the buffer empty, unless the member is required. */
bool api_body_text(const struct api_body *body, unsigned object, struct api_text text);

/* An integer of 0 to max; absent or null: `value` stays. */
bool api_body_number(const struct api_body *body, unsigned object, const char *name, uint64_t max,
                     uint64_t *value);
bool api_body_bool(const struct api_body *body, unsigned object, const char *name, bool *value);

/* The required `outcome`: done or failed. */
bool api_body_outcome(const struct api_body *body, bool *is_done);

/* A fencing token: a decimal string (a number is taken, too). Required. */
bool api_body_token(const struct api_body *body, unsigned object, const char *name,
                    uint64_t *value);

/* A member kept as the caller wrote it, of at most call->member_bytes; empty when absent. */
bool api_body_raw(const struct api_body *body, unsigned object, const char *name,
                  enum json_type type, struct bytes *raw);

/* An RFC 3339 time in milliseconds since 1970; absent: `wall_ms` stays. */
bool api_body_time(const struct api_body *body, unsigned object, const char *name,
                   uint64_t *wall_ms);

#endif
