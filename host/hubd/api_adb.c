/* The adb endpoint of a lease: whoever has the lease's token learns where its phone is served. */
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
    if (!read_token(call, &token)) {
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
