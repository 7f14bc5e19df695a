#include "host/hubctl/processes.h"

#include "host/hubctl/event_line.h"
#include "host/hubctl/follow.h"
#include "host/hubctl/text.h"

#include <inttypes.h>
#include <stdio.h>

enum { SAFE_BYTES = 4096 };

static struct { bool follow; } options;

/* ---- show ---- */

static void print_value(const char *label, struct bytes value) {
    if (value.size > 0) {
        char safe[SAFE_BYTES];
        (void)text_escape(value, safe, sizeof safe);
        printf("%-20s%s\n", label, safe);
    }
}

static void print_member(const struct json *json, unsigned object, const char *name) {
    char text[COMMAND_TEXT_BYTES];
    print_value(name, command_member(json, object, name, text));
}

/* A member whose value is a whole object, as it is written. */
static void print_raw(const struct json *json, const char *name) {
    unsigned value = 0;
    if (json_member(json, 0, name, &value) == STATUS_OK && !json_is_null(json, value) &&
        (json_type(json, value) != JSON_OBJECT || json_size(json, value) > 0)) {
        print_value(name, json_raw(json, value));
    }
}

static void print_timestamps(const struct json *json) {
    unsigned times = 0;
    struct json_cursor at = {0};
    char name[64];
    if (json_member(json, 0, "timestamps", &times) != STATUS_OK) {
        return;
    }
    while (json_each(json, times, &at)) {
        if (json_get_string(json, at.key, name, sizeof name) == STATUS_OK) {
            print_member(json, times, name);
        }
    }
}

static void print_items(const struct json *json) {
    static const char *const heads[] = {"ITEM", "STATE", "PHONE", "ATTEMPT", "COUNTED"};
    static const char *const members[] = {"id", "state", "phone_id", "attempt", "attempts_counted"};
    unsigned items = 0;
    struct json_cursor at = {0};
    if (!command_array(json, "items", &items) || json_size(json, items) == 0) {
        return;
    }
    putchar('\n');
    table_begin(command_table(), heads, array_count(heads));
    while (json_each(json, items, &at)) {
        command_add_row(command_table(), json, at.value, members);
    }
    table_end(command_table());
}

static void print_errors(const struct json *json) {
    static const char *const heads[] = {"FAILED AT", "ITEM", "ATTEMPT", "PHONE",
                                        "ACTION",    "CODE", "MESSAGE"};
    static const char *const members[] = {"at",     "item_id", "attempt", "phone",
                                          "action", "code",    "message"};
    unsigned errors = 0;
    struct json_cursor at = {0};
    if (!command_array(json, "errors", &errors) || json_size(json, errors) == 0) {
        return;
    }
    putchar('\n');
    table_begin(command_table(), heads, array_count(heads));
    while (json_each(json, errors, &at)) {
        command_add_row(command_table(), json, at.value, members);
    }
    table_end(command_table());
}

void processes_print(const struct command_line *line, const struct json *json) {
    static const char *const members[] = {
        "process_id", "process_type", "request_id",       "status",       "state",
        "mode",       "priority",     "progress_percent", "current_step", "attempts",
        "generation", "deadline",     "not_before",       "stale",        "status_as_of"};
    if (line->is_json) {
        command_print_answer(json);
        return;
    }
    for (size_t i = 0; i < array_count(members); i++) {
        print_member(json, 0, members[i]);
    }
    print_member(json, 0, "status_detail");
    print_raw(json, "target");
    print_raw(json, "inputs");
    print_raw(json, "requested_by");
    print_timestamps(json);
    print_raw(json, "partial_progress");
    print_raw(json, "result");
    print_raw(json, "error");
    print_items(json);
    print_errors(json);
}

static int ask_about(struct command_line *line, const char *path, struct json *json) {
    char target[COMMAND_TARGET_BYTES];
    if (!command_path(target, path, line->operands[0])) {
        return command_fail(line, COMMAND_USAGE, "%.100s...: not an id", line->operands[0]);
    }
    return command_ask(line, target, NULL, json);
}

static int run_show(struct command_line *line) {
    struct json json;
    int code = ask_about(line, "/processes/*", &json);
    if (code == COMMAND_DONE) {
        processes_print(line, &json);
    }
    return code;
}

/* ---- events and logs ---- */

static bool has_gap(const struct json *json) {
    unsigned token = 0;
    bool has = false;
    return json_member(json, 0, "gap", &token) == STATUS_OK &&
           json_get_bool(json, token, &has) == STATUS_OK && has;
}

/* One page. `*after` becomes the last event's id; false in `*has_more`: that was all. */
static int print_page(struct command_line *line, bool shows_output, uint64_t *after,
                      bool *has_more) {
    char path[64];
    struct json json;
    unsigned events = 0;
    struct json_cursor at = {0};
    snprintf(path, sizeof path, "/processes/*/events?limit=200&after=%" PRIu64, *after);
    int code = ask_about(line, path, &json);
    if (code != COMMAND_DONE) {
        return code;
    }
    if (!command_array(&json, "events", &events)) {
        return command_fail(line, COMMAND_FAILED, "the answer has no `events`");
    }
    if (line->is_json) {
        command_print_answer(&json);
    } else if (has_gap(&json)) {
        printf("(older events are gone)\n");
    }
    while (!line->is_json && json_each(&json, events, &at)) {
        event_line_print(&json, at.value, shows_output);
    }
    unsigned more = 0;
    uint64_t last = command_number(&json, 0, "last_id");
    *has_more = last > *after && json_member(&json, 0, "more", &more) == STATUS_OK &&
                json_get_bool(&json, more, has_more) == STATUS_OK && *has_more;
    *after = last;
    return COMMAND_DONE;
}

static int print_pages(struct command_line *line, bool shows_output) {
    uint64_t after = 0;
    bool has_more = false;
    int code = COMMAND_DONE;
    do {
        code = print_page(line, shows_output, &after, &has_more);
    } while (code == COMMAND_DONE && has_more);
    return code;
}

static int run_events(struct command_line *line) {
    return print_pages(line, false);
}

static int run_logs(struct command_line *line) {
    const struct follow follow = {
        .line = line,
        .id = line->operands[0],
        .form = line->is_json ? FOLLOW_JSON : FOLLOW_LINES,
        .shows_output = true,
    };
    return options.follow ? follow_process(&follow) : print_pages(line, true);
}

/* ---- the commands ---- */

static const struct cli_option logs_options[] = {
    {"follow", NULL, "Go on until the process has ended (also -f)", .flag = &options.follow},
};

static const struct command commands[] = {
    {.name = "show",
     .usage = "PROCESS",
     .about = "Show a process: status, times, items, result, errors",
     .operands_min = 1,
     .operands_max = 1,
     .run = run_show},
    {.name = "events",
     .usage = "PROCESS",
     .about = "Show a process's history",
     .operands_min = 1,
     .operands_max = 1,
     .run = run_events},
    {.name = "logs",
     .usage = "[-f] PROCESS",
     .about = "Show a process's history with its attempts' output",
     .more = "With -f its exit status is that of `run`.\n",
     .options = logs_options,
     .option_count = array_count(logs_options),
     .operands_min = 1,
     .operands_max = 1,
     .run = run_logs},
};
const struct command_group processes_group = {commands, array_count(commands)};
