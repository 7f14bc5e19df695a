/* http_api.h - what the APIs of hub and upstream share: routes, tokens, error bodies, queries. */
#ifndef HOST_SHARED_HTTP_API_H
#define HOST_SHARED_HTTP_API_H

#include "host/shared/http_server.h"
#include "host/shared/json_write.h"
#include "host/shared/token.h"

/* A request on its way through an API. */
struct http_api_call {
    void *owner; /* the API's own state */
    struct http_connection *connection;
    const struct http_request *request;
    const struct token *token; /* NULL: the endpoint needs none */
    struct bytes id;           /* the path's {id}, when it has one */
    uint32_t member_bytes;     /* of a JSON member that is kept as it came: at most */
};

struct http_api_endpoint {
    enum http_method method;
    unsigned scopes;  /* TOKEN_*, any of them; 0: no token needed */
    const char *path; /* `*` stands for one part, the call's id */
    void (*handle)(const struct http_api_call *call);
};

struct http_api_routes {
    const struct http_api_endpoint *endpoints;
    size_t count;
};

/* Finds the endpoint and judges the token; then calls it, or answers 401, 403, 404 or 405. */
void http_api_dispatch(const struct http_api_routes *routes, const struct token_table *tokens,
                       struct http_api_call *call);

/* Answers {"error":{"code":...,"message":...}}, in the second form with the JSON pointer of what
 * is wrong (NULL: none). */
void http_api_refuse(const struct http_api_call *call, unsigned status, const char *code,
                     const char *message);
void http_api_refuse_at(const struct http_api_call *call, unsigned status, const char *code,
                        const char *message, const char *pointer);

/* Answers with JSON that is written into the connection's output buffer. */
struct json_writer http_api_begin_json(const struct http_api_call *call);
void http_api_end_json(const struct http_api_call *call, unsigned status,
                       const struct json_writer *writer);

/* GET /whoami: what the token may do, and which program answers; `hub_id` NULL: none. */
void http_api_whoami(const struct http_api_call *call, const char *program, const char *hub_id);

/* A text of the query, empty when it is absent; a number, `value` stays when it is absent. False:
 * refused with 400. */
bool http_api_query_text(const struct http_api_call *call, const char *name, char *text,
                         size_t capacity);
bool http_api_query_number(const struct http_api_call *call, const char *name, uint64_t max,
                           uint64_t *value);

/* The number of Last-Event-ID, 0 when it is absent. False: refused with 400. */
bool http_api_last_event_id(const struct http_api_call *call, uint64_t *id);

/* Writes `id`, `data` and the blank line of one server-sent event as a whole; `room` is the
 * caller's. AGAIN: the client does not take it now. */
must_check enum status http_api_send_event(struct http_connection *connection, uint64_t id,
                                           struct bytes json, char *room, size_t room_size);
/* The same for `event: gap`: the events first to last are gone. */
must_check enum status http_api_send_gap(struct http_connection *connection, uint64_t first,
                                         uint64_t last);

struct bytes http_api_text(const char *text);

#endif
