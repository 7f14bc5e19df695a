#include "host/shared/api_body.h"

#include "host/shared/rfc3339.h"

#include <stdarg.h>
#include <stdio.h>

bool api_body_refuse(const struct api_body *body, unsigned token, unsigned status, const char *code,
                     const char *format, ...) {
    char message[256];
    char pointer[JSON_POINTER_BYTES] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (body->json.count > 0) {
        json_pointer(&body->json, token, pointer, sizeof pointer);
    }
    http_api_refuse_at(body->call, status, code, message, pointer);
    return false;
}

bool api_body_parse(struct api_body *body, const struct http_api_call *call, bool may_be_empty) {
    static jsmntok_t tokens[API_BODY_TOKENS];
    struct json_error error;
    struct bytes text = call->request->body;
    *body = (struct api_body){.call = call};
    if (text.size == 0 && may_be_empty) {
        text = bytes_of("{}");
    }
    enum status status = json_parse(&body->json, text, tokens, API_BODY_TOKENS, &error);
    if (status != STATUS_OK) {
        char message[160];
        snprintf(message, sizeof message, "%s, at byte %zu", error.reason, error.offset);
        http_api_refuse_at(call, status == STATUS_TOO_LARGE ? 413 : 400,
                           status == STATUS_TOO_LARGE ? "body_too_complex" : "malformed_json",
                           message, error.pointer);
        return false;
    }
    if (json_type(&body->json, 0) != JSON_OBJECT) {
        return api_body_refuse(body, 0, 422, "invalid_body", "expected a JSON object");
    }
    return true;
}

bool api_body_find(const struct api_body *body, unsigned object, const char *name,
                   unsigned *value) {
    return json_member(&body->json, object, name, value) == STATUS_OK &&
           !json_is_null(&body->json, *value);
}

bool api_body_text(const struct api_body *body, unsigned object, struct api_text text) {
    unsigned value;
    struct bytes ignored = {0};
    struct bytes *view = text.view != NULL ? text.view : &ignored;
    *view = (struct bytes){0};
    text.buffer[0] = '\0';
    if (!api_body_find(body, object, text.name, &value)) {
        return !text.is_required ||
               api_body_refuse(body, object, 422, "missing_member", "`%s` is required", text.name);
    }
    if (json_get_string(&body->json, value, text.buffer, text.capacity) != STATUS_OK ||
        text.buffer[0] == '\0') {
        return api_body_refuse(body, value, 422, "invalid_member",
                               "`%s` is a text of 1 to %zu bytes", text.name, text.capacity - 1);
    }
    *view = http_api_text(text.buffer);
    return true;
}

bool api_body_number(const struct api_body *body, unsigned object, const char *name, uint64_t max,
                     uint64_t *value) {
    unsigned token;
    return !api_body_find(body, object, name, &token) ||
           json_get_uint(&body->json, token, max, value) == STATUS_OK ||
           api_body_refuse(body, token, 422, "invalid_member", "`%s` is a whole number up to %llu",
                           name, (unsigned long long)max);
}

bool api_body_bool(const struct api_body *body, unsigned object, const char *name, bool *value) {
    unsigned token;
    return !api_body_find(body, object, name, &token) ||
           json_get_bool(&body->json, token, value) == STATUS_OK ||
           api_body_refuse(body, token, 422, "invalid_member", "`%s` is true or false", name);
}

bool api_body_outcome(const struct api_body *body, bool *is_done) {
    char outcome[16] = "";
    unsigned token = 0;
    if (!api_body_text(body, 0,
                       (struct api_text){"outcome", true, NULL, outcome, sizeof outcome})) {
        return false;
    }
    (void)!json_member(&body->json, 0, "outcome", &token);
    *is_done = json_equals(&body->json, token, "done");
    return *is_done || json_equals(&body->json, token, "failed") ||
           api_body_refuse(body, token, 422, "invalid_member", "`outcome` is done or failed");
}

bool api_body_token(const struct api_body *body, unsigned object, const char *name,
                    uint64_t *value) {
    unsigned token;
    char text[24] = "";
    if (!api_body_find(body, object, name, &token)) {
        return api_body_refuse(body, object, 422, "missing_member", "`%s` is required", name);
    }
    if (json_get_uint(&body->json, token, INT64_MAX, value) == STATUS_OK) {
        return true;
    }
    bool is_good =
        json_get_string(&body->json, token, text, sizeof text) == STATUS_OK && text[0] != '\0';
    uint64_t number = 0;
    for (const char *at = text; is_good && *at != '\0'; at++) {
        is_good = *at >= '0' && *at <= '9' && number <= (INT64_MAX - 9) / 10;
        number = number * 10 + (uint64_t)(*at - '0');
    }
    *value = number;
    return is_good || api_body_refuse(body, token, 422, "invalid_member",
                                      "`%s` is a decimal number as text", name);
}

bool api_body_raw(const struct api_body *body, unsigned object, const char *name,
                  enum json_type type, struct bytes *raw) {
    unsigned value;
    *raw = (struct bytes){0};
    if (!api_body_find(body, object, name, &value)) {
        return true;
    }
    if (json_type(&body->json, value) != type) {
        return api_body_refuse(body, value, 422, "invalid_member", "`%s` is %s", name,
                               type == JSON_OBJECT ? "an object" : "an array");
    }
    *raw = json_raw(&body->json, value);
    uint32_t max = body->call->member_bytes;
    return raw->size <= max ||
           api_body_refuse(body, value, 422, "too_large", "`%s` has more than %u bytes", name, max);
}

bool api_body_time(const struct api_body *body, unsigned object, const char *name,
                   uint64_t *wall_ms) {
    unsigned value;
    char text[40];
    return !api_body_find(body, object, name, &value) ||
           (json_get_string(&body->json, value, text, sizeof text) == STATUS_OK &&
            rfc3339_parse(text, wall_ms) == STATUS_OK) ||
           api_body_refuse(body, value, 422, "invalid_member",
                           "`%s` is a time such as 2026-11-22T10:20:30Z", name);
}
