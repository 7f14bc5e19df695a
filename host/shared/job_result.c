#include "host/shared/job_result.h"

#include "host/shared/json.h"
#include "host/shared/process_member.h"

bool job_result_is_there(const struct record_attempt *attempt) {
    bool is_worker_s = attempt->worker.size > 0 && attempt->outcome != RECORD_UNFINISHED;
    return is_worker_s || attempt->result.size > 0;
}

/* `metrics` and `summary`, as the worker gave them. */
static void write_given(struct json_writer *writer, struct bytes result) {
    static const struct {
        const char *name;
        const char *absent;
    } members[] = {{"metrics", "{}"}, {"summary", "null"}};
    jsmntok_t tokens[1024];
    struct json json;
    struct json_error error;
    bool is_json = result.size > 0 &&
                   json_parse(&json, result, tokens, array_count(tokens), &error) == STATUS_OK;
    for (size_t i = 0; i < array_count(members); i++) {
        unsigned value;
        bool is_there = is_json && json_member(&json, 0, members[i].name, &value) == STATUS_OK;
        process_member_raw(writer, members[i].name,
                           is_there ? json_raw(&json, value) : (struct bytes){0},
                           members[i].absent);
    }
}

void job_result_write(struct json_writer *writer, const char *name,
                      const struct record_attempt *attempt) {
    if (attempt->worker.size == 0) {
        process_member_json(writer, name, attempt->result, "null");
        return;
    }
    json_write_begin_object(writer, name);
    if (attempt->has_exit_code) {
        json_write_int(writer, "exitCode", attempt->exit_code);
    } else {
        json_write_null(writer, "exitCode");
    }
    process_member_text(writer, "output", attempt->output);
    process_member_text(writer, "error", attempt->message);
    write_given(writer, attempt->result);
    json_write_end_object(writer);
}
