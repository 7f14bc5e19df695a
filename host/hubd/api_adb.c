/* The adb endpoint of a lease: its worker, by name and fencing token, learns where its phone is
 * served. The token of a lease of hubd's own work opens it for operators. */
#include "host/hubd/api_internal.h"
#include "protocol/text.h"

#include <stdio.h>
#include <string.h>

/* `{"lease_token": "..."}`, a decimal string. False: refused. */
static bool read_token(const struct http_api_call *call, uint64_t *token) {
    jsmntok_t tokens[16];
    struct json json;
    struct json_error error;
    unsigned value = 0;
    char text[32];
    *token = 0;
    if (json_parse(&json, call->request->body, tokens, array_count(tokens), &error) != STATUS_OK) {
        http_api_refuse(call, 400, "malformed", error.reason);
        return false;
    }
    if (json_member(&json, 0, "lease_token", &value) != STATUS_OK ||
        json_get_string(&json, value, text, sizeof text) != STATUS_OK) {
        http_api_refuse_at(call, 400, "malformed", "expected the lease's token as a string",
                           "/lease_token");
        return false;
    }
    struct bytes digits = text_view(text);
    if (!text_take_number(&digits, token) || digits.size > 0) {
        http_api_refuse_at(call, 400, "malformed", "expected decimal digits", "/lease_token");
        return false;
    }
    return true;
}

/* Whether the caller is who holds the lease. False: refused. */
static bool is_holder(const struct http_api_call *call, uint32_t phone) {
    const char *holder = api_of(call)->hub->phones[phone].lease.worker;
    jsmntok_t tokens[16];
    struct json json;
    struct json_error error;
    unsigned value = 0;
    char worker[RECORD_ID_MAX + 1] = "";
    check(json_parse(&json, call->request->body, tokens, array_count(tokens), &error) ==
          STATUS_OK); /* as it did for the token */
    if (json_member(&json, 0, "worker", &value) == STATUS_OK &&
        json_get_string(&json, value, worker, sizeof worker) != STATUS_OK) {
        worker[0] = '\0';
    }
    bool is_own = holder[0] == '\0';
    if (strcmp(holder, worker) == 0 && (!is_own || (call->token->scopes & TOKEN_OPERATE) != 0)) {
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
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}

void api_open_adb(const struct http_api_call *call) {
    struct api *api = api_of(call);
    struct adb_endpoint *endpoint = NULL;
    uint64_t token = 0;
    uint32_t phone = hub_phone_find(api->hub, call->id);
    if (phone == HUB_NONE) {
        http_api_refuse(call, 404, "not_found", "no such phone");
        return;
    }
    if (!read_token(call, &token) || !is_holder(call, phone)) {
        return;
    }
    enum status status = adb_endpoint_open(api->adb, phone, token, NULL, &endpoint);
    if (status == STATUS_OK) {
        answer(call, endpoint);
    } else if (status == STATUS_STALE_LEASE) {
        http_api_refuse(call, 409, "stale_lease", "this token is not the phone's running lease");
    } else if (status == STATUS_ILLEGAL) {
        http_api_refuse(call, 503, "adb_off", "this hub serves no adb endpoints ([adb] dir)");
    } else {
        http_api_refuse(call, 503, "adb_failed", "the endpoint's socket could not be made");
    }
}
