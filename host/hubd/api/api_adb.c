/* The adb endpoint of a lease: its worker, by name and fencing token, learns where its phone is
 * served. The token of a lease of hubd's own work opens it for operators. */
#include "host/hubd/api/api_internal.h"
#include "protocol/text.h"

#include <stdio.h>
#include <string.h>

struct wanted {
    struct json json;
    jsmntok_t tokens[32];
    struct adb_order order;
    char worker[RECORD_ID_MAX + 1];
};

/* `{"lease_token": "...", ...}`, a decimal string. False: refused. */
static bool read_token(const struct http_api_call *call, struct wanted *wanted) {
    unsigned value = 0;
    char text[32];
    if (json_member(&wanted->json, 0, "lease_token", &value) != STATUS_OK ||
        json_get_string(&wanted->json, value, text, sizeof text) != STATUS_OK) {
        http_api_refuse_at(call, 400, "malformed", "expected the lease's token as a string",
                           "/lease_token");
        return false;
    }
    struct bytes digits = text_view(text);
    if (!text_take_number(&digits, &wanted->order.token) || digits.size > 0) {
        http_api_refuse_at(call, 400, "malformed", "expected decimal digits", "/lease_token");
        return false;
    }
    return true;
}

/* `user`: who may use the endpoint; `tcp`: whether a port is wanted. False: refused. */
static bool read_wishes(const struct http_api_call *call, struct wanted *wanted) {
    unsigned value = 0;
    uint64_t user = ADB_ANY_USER;
    if (json_member(&wanted->json, 0, "user", &value) == STATUS_OK &&
        json_get_uint(&wanted->json, value, ADB_ANY_USER - 1, &user) != STATUS_OK) {
        http_api_refuse_at(call, 400, "malformed", "expected a user id, a number", "/user");
        return false;
    }
    if (json_member(&wanted->json, 0, "tcp", &value) == STATUS_OK &&
        json_get_bool(&wanted->json, value, &wanted->order.wants_port) != STATUS_OK) {
        http_api_refuse_at(call, 400, "malformed", "expected true or false", "/tcp");
        return false;
    }
    wanted->order.user = (uint32_t)user;
    return true;
}

static bool read_wanted(const struct http_api_call *call, struct wanted *wanted) {
    struct json_error error;
    unsigned value = 0;
    if (json_parse(&wanted->json, call->request->body, wanted->tokens, array_count(wanted->tokens),
                   &error) != STATUS_OK) {
        http_api_refuse(call, 400, "malformed", error.reason);
        return false;
    }
    if (json_member(&wanted->json, 0, "worker", &value) == STATUS_OK &&
        json_get_string(&wanted->json, value, wanted->worker, sizeof wanted->worker) != STATUS_OK) {
        wanted->worker[0] = '\0';
    }
    return read_token(call, wanted) && read_wishes(call, wanted);
}

/* Whether the caller is who holds the lease. False: refused. */
static bool is_holder(const struct http_api_call *call, const struct wanted *wanted) {
    const char *holder = api_of(call)->hub->phones[wanted->order.phone].lease.worker;
    bool is_own = holder[0] == '\0';
    if (strcmp(holder, wanted->worker) == 0 &&
        (!is_own || (call->token->scopes & TOKEN_OPERATE) != 0)) {
        return true;
    }
    http_api_refuse(call, 409, "stale_lease", "the worker is not the one that holds this lease");
    return false;
}

static void answer(const struct http_api_call *call, const struct adb_endpoint *endpoint) {
    const struct hub *hub = api_of(call)->hub;
    struct json_writer writer = http_api_begin_json(call);
    char text[ADB_PATH_SIZE + 32];
    json_write_begin_object(&writer, NULL);
    snprintf(text, sizeof text, "localfilesystem:%s", endpoint->path);
    json_write_string(&writer, "adb_server_socket", text);
    json_write_string(&writer, "android_serial", hub->phones[endpoint->phone].id);
    snprintf(text, sizeof text, "%llu", (unsigned long long)endpoint->token);
    json_write_string(&writer, "lease_token", text);
    if (endpoint->wish.port != 0) {
        snprintf(text, sizeof text, "tcp:127.0.0.1:%u", endpoint->wish.port);
        json_write_string(&writer, "adb_server_tcp", text);
    }
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}

void api_open_adb(const struct http_api_call *call) {
    static const struct {
        enum status status;
        unsigned code;
        const char *name, *reason;
    } refusals[] = {
        {STATUS_STALE_LEASE, 409, "stale_lease", "this token is not the phone's running lease"},
        {STATUS_ILLEGAL, 503, "adb_off", "this hub serves no adb endpoints ([adb] dir)"},
        {STATUS_DENIED, 403, "forbidden", "this user may not use adb on this hub ([adb] users)"},
        {STATUS_FOREIGN, 403, "forbidden", "this hub serves no adb over TCP ([adb] tcp)"},
    };
    struct api *api = api_of(call);
    struct adb_endpoint *endpoint = NULL;
    struct wanted wanted = {.order = {.phone = hub_phone_find(api->hub, call->id)}};
    if (wanted.order.phone == HUB_NONE) {
        http_api_refuse(call, 404, "not_found", "no such phone");
        return;
    }
    if (!read_wanted(call, &wanted) || !is_holder(call, &wanted)) {
        return;
    }
    enum status status = adb_endpoint_open(api->adb, &wanted.order, &endpoint);
    if (status == STATUS_OK) {
        answer(call, endpoint);
        return;
    }
    for (size_t i = 0; i < array_count(refusals); i++) {
        if (refusals[i].status == status) {
            http_api_refuse(call, refusals[i].code, refusals[i].name, refusals[i].reason);
            return;
        }
    }
    http_api_refuse(call, 503, "adb_failed", "the endpoint's socket could not be made");
}
