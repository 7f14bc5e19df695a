#include "host/shared/request_json.h"

#include "host/shared/json.h"
#include "host/shared/process_member.h"
#include "host/shared/process_time.h"

enum { TOKENS = 2048 }; /* of one JSON value that a caller gave */

/* Takes an object that a caller gave apart; false: there is none that can be. */
static bool open_object(struct json *json, struct bytes text) {
    static jsmntok_t tokens[TOKENS];
    struct json_error error;
    return text.size > 0 && json_parse(json, text, tokens, TOKENS, &error) == STATUS_OK &&
           json_type(json, 0) == JSON_OBJECT;
}

static void write_member(struct json_writer *writer, const struct json *json, unsigned key,
                         unsigned value) {
    char name[128];
    if (json_get_string(json, key, name, sizeof name) == STATUS_OK) {
        json_write_raw(writer, name, json_raw(json, value));
    }
}

static void write_null_unless(struct json_writer *writer, const struct json *json,
                              const char *name) {
    unsigned value = 0;
    if (json_member(json, 0, name, &value) != STATUS_OK) {
        json_write_null(writer, name);
    }
}

/* As it was given; account_id and phone_id are always there. */
static void write_target(struct json_writer *writer, struct bytes target) {
    struct json json;
    struct json_cursor at = {0};
    json_write_begin_object(writer, "target");
    if (open_object(&json, target)) {
        while (json_each(&json, 0, &at)) {
            write_member(writer, &json, at.key, at.value);
        }
        write_null_unless(writer, &json, "account_id");
        write_null_unless(writer, &json, "phone_id");
    } else {
        json_write_null(writer, "account_id");
        json_write_null(writer, "phone_id");
    }
    json_write_end_object(writer);
}

/* Only what is told to every reader: whatever else a caller put there may be a secret. */
static void write_callback(struct json_writer *writer, struct bytes callback) {
    static const char *const shown[] = {"url", "metadata"};
    struct json json;
    if (!open_object(&json, callback)) {
        json_write_null(writer, "callback");
        return;
    }
    json_write_begin_object(writer, "callback");
    for (size_t i = 0; i < array_count(shown); i++) {
        unsigned value = 0;
        if (json_member(&json, 0, shown[i], &value) == STATUS_OK) {
            json_write_raw(writer, shown[i], json_raw(&json, value));
        }
    }
    json_write_end_object(writer);
}

static void write_extra(struct json_writer *writer, struct bytes extra) {
    static const char *const names[] = {"related", "workspace_id", "queue"};
    struct json json;
    bool is_there = open_object(&json, extra);
    for (size_t i = 0; i < array_count(names); i++) {
        unsigned value = 0;
        if (is_there && json_member(&json, 0, names[i], &value) == STATUS_OK) {
            json_write_raw(writer, names[i], json_raw(&json, value));
        } else {
            json_write_null(writer, names[i]);
        }
    }
}

void request_json_members(struct json_writer *writer, const struct record_request *request) {
    static const char *const modes[] = {"manual", "unattended"};
    static const struct record_request unknown = {0};
    _Static_assert(array_count(modes) == RECORD_MODE_COUNT, "every mode has a name");
    const struct record_request *of = request != NULL ? request : &unknown;
    check(of->mode < RECORD_MODE_COUNT);
    process_member_text(writer, "process_type", of->process_type);
    process_member_text(writer, "request_id", of->request_id);
    write_target(writer, of->target);
    json_write_begin_object(writer, "requested_by");
    process_member_text(writer, "system", of->system);
    process_member_text(writer, "user", of->user);
    process_member_json(writer, "metadata", of->metadata, "{}");
    json_write_end_object(writer);
    write_callback(writer, of->callback);
    process_member_json(writer, "inputs", of->inputs, "{}");
    process_member_optional(writer, "mode", request != NULL ? modes[of->mode] : NULL);
    json_write_uint(writer, "priority", of->priority);
    process_time_write_ms(writer, "not_before", of->not_before_ms);
    process_time_write_ms(writer, "deadline", of->deadline_ms);
    process_member_text(writer, "concurrency_key", of->concurrency_key);
    process_member_json(writer, "labels", of->labels, "[]");
    write_extra(writer, of->extra);
}
