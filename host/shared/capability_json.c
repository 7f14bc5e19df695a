#include "host/shared/capability_json.h"

static void write_one(struct json_writer *writer, const struct capability *of,
                      const struct action_list *list) {
    static const char *const routings[RECORD_ROUTING_COUNT] = {"direct", "queue", "group"};
    json_write_begin_object(writer, NULL);
    json_write_string(writer, "name", of->name);
    json_write_begin_array(writer, "routing");
    for (unsigned i = 0; i < RECORD_ROUTING_COUNT; i++) {
        if ((of->routings >> i & 1u) != 0) {
            json_write_string(writer, NULL, routings[i]);
        }
    }
    json_write_end_array(writer);
    json_write_string(writer, "runner", of->is_external ? "external" : "hub");
    json_write_bool(writer, "unattended", of->is_permitted && of->is_live_verified);
    json_write_uint(writer, "priority", of->priority);
    json_write_uint(writer, "attempts_max", of->attempts_max);
    json_write_uint(writer, "attempt_seconds", of->attempt_ms / 1000);
    json_write_begin_array(writer, "retry_on");
    for (unsigned c = 1; c < RECORD_CATEGORY_COUNT; c++) {
        if ((of->retryable >> c & 1u) != 0) {
            json_write_string(writer, NULL, record_category_name(c));
        }
    }
    json_write_end_array(writer);
    json_write_begin_array(writer, "actions");
    for (uint32_t a = 0; a < list->count; a++) {
        json_write_string(writer, NULL, list->actions[a].name);
    }
    json_write_end_array(writer);
    json_write_bool(writer, "retired", of->is_retired);
    json_write_end_object(writer);
}

void capabilities_write(const struct http_api_call *call, const struct capability *capabilities,
                        const struct action_list *lists, uint32_t count) {
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "capabilities");
    for (uint32_t i = 0; i < count; i++) {
        write_one(&writer, &capabilities[i], &lists[i]);
    }
    json_write_end_array(&writer);
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}
