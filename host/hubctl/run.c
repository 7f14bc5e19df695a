#include "host/hubctl/run.h"

#include "hal/linux/random.h"
#include "host/hubctl/follow.h"
#include "host/hubctl/processes.h"
#include "host/shared/config.h"
#include "host/shared/json_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_BYTES = 65536, INPUTS_MAX = 64, PART_BYTES = 128, REQUEST_ID_BYTES = 40 };

static struct {
    const char *phone, *group, *labels, *inputs, *request_id, *mode, *system;
    bool queue, no_wait;
    const char *pairs[INPUTS_MAX];
    const char *steps[INPUTS_MAX];
    size_t pair_count, step_count;
} options;

static char body_text[BODY_BYTES];

/* ---- options ---- */

static bool take_pair(void *owner, const char *value) {
    (void)owner;
    const char *equals = strchr(value, '=');
    if (equals == NULL || equals == value || equals - value >= PART_BYTES ||
        options.pair_count == INPUTS_MAX) {
        return false;
    }
    options.pairs[options.pair_count++] = value;
    return true;
}

static bool take_step(void *owner, const char *value) {
    (void)owner;
    if (value[0] == '\0' || options.step_count == INPUTS_MAX) {
        return false;
    }
    options.steps[options.step_count++] = value;
    return true;
}

/* What is wrong with the options together, or NULL. */
static const char *judge_options(void) {
    int targets = (options.phone != NULL) + (options.group != NULL) + options.queue;
    if (targets > 1) {
        return "expected one of --phone, --queue and --group";
    }
    if (options.inputs != NULL && options.pair_count + options.step_count > 0) {
        return "expected --inputs, or --input and --step, not both";
    }
    if (options.mode != NULL && strcmp(options.mode, "manual") != 0 &&
        strcmp(options.mode, "unattended") != 0) {
        return "--mode: expected manual or unattended";
    }
    return NULL;
}

/* ---- the body ---- */

static void write_list(struct json_writer *writer, const char *name, const char *list) {
    char part[PART_BYTES];
    json_write_begin_array(writer, name);
    while (config_next_part(&list, part, sizeof part)) {
        json_write_string(writer, NULL, part);
    }
    json_write_end_array(writer);
}

static void write_target(struct json_writer *writer) {
    json_write_begin_object(writer, "target");
    json_write_string(writer, "routing",
                      options.group != NULL   ? "group"
                      : options.phone != NULL ? "direct"
                                              : "queue");
    if (options.phone != NULL) {
        json_write_string(writer, "phone_id", options.phone);
    }
    if (options.group != NULL) {
        write_list(writer, "phone_ids", options.group);
    }
    json_write_end_object(writer);
    if (options.labels != NULL) {
        write_list(writer, "labels", options.labels);
    }
}

/* A value that reads as JSON is sent as it is (7, true, {"a":1}), any other as a text. */
static void write_pair(struct json_writer *writer, const char *pair) {
    jsmntok_t tokens[INPUTS_MAX];
    char name[PART_BYTES];
    char wrapped[1024];
    struct json json;
    struct json_error error;
    const char *value = strchr(pair, '=') + 1;
    snprintf(name, sizeof name, "%.*s", (int)(value - 1 - pair), pair);
    int size = snprintf(wrapped, sizeof wrapped, "[%s]", value);
    struct bytes text = {(const uint8_t *)wrapped, (size_t)size};
    bool is_json = (size_t)size < sizeof wrapped &&
                   json_parse(&json, text, tokens, INPUTS_MAX, &error) == STATUS_OK &&
                   json_size(&json, 0) == 1;
    if (is_json) {
        json_write_raw(writer, name, (struct bytes){(const uint8_t *)value, strlen(value)});
    } else {
        json_write_string(writer, name, value);
    }
}

static void write_inputs(struct json_writer *writer) {
    if (options.inputs != NULL) {
        json_write_raw(writer, "inputs",
                       (struct bytes){(const uint8_t *)options.inputs, strlen(options.inputs)});
        return;
    }
    json_write_begin_object(writer, "inputs");
    for (size_t i = 0; i < options.pair_count; i++) {
        write_pair(writer, options.pairs[i]);
    }
    if (options.step_count > 0) {
        json_write_begin_array(writer, "steps");
        for (size_t i = 0; i < options.step_count; i++) {
            json_write_begin_object(writer, NULL);
            json_write_string(writer, "action", options.steps[i]);
            json_write_end_object(writer);
        }
        json_write_end_array(writer);
    }
    json_write_end_object(writer);
}

static void write_requester(struct json_writer *writer) {
    const char *user = getenv("USER");
    json_write_begin_object(writer, "requested_by");
    json_write_string(writer, "system", options.system != NULL ? options.system : "hubctl");
    if (user == NULL || user[0] == '\0') {
        json_write_null(writer, "user");
    } else {
        json_write_string(writer, "user", user);
    }
    json_write_end_object(writer);
}

static void make_request_id(char text[REQUEST_ID_BYTES]) {
    uint8_t bytes[12];
    random_fill(bytes, sizeof bytes);
    size_t used = (size_t)snprintf(text, REQUEST_ID_BYTES, "hubctl-");
    for (size_t i = 0; i < sizeof bytes; i++) {
        used += (size_t)snprintf(text + used, REQUEST_ID_BYTES - used, "%02x", bytes[i]);
    }
}

/* Steps on one phone, or on any, are what the documented maintenance endpoint takes. */
static bool is_maintenance(const struct command_line *line) {
    return strcmp(line->operands[0], "maintenance") == 0 && options.step_count > 0 &&
           options.group == NULL && options.labels == NULL && options.mode == NULL;
}

static int make_body(const struct command_line *line, struct bytes *body) {
    static char request_id[REQUEST_ID_BYTES];
    struct json_writer writer;
    if (options.request_id == NULL) {
        make_request_id(request_id);
        options.request_id = request_id;
    }
    json_write_init(&writer, body_text, sizeof body_text);
    json_write_begin_object(&writer, NULL);
    json_write_string(&writer, "request_id", options.request_id);
    if (!is_maintenance(line)) {
        json_write_string(&writer, "capability", line->operands[0]);
        json_write_string(&writer, "mode", options.mode != NULL ? options.mode : "manual");
    }
    write_target(&writer);
    write_inputs(&writer);
    write_requester(&writer);
    json_write_end_object(&writer);
    if (json_write_finish(&writer, body) != STATUS_OK) {
        return command_fail(line, COMMAND_USAGE, "the inputs have more than %d bytes", BODY_BYTES);
    }
    return COMMAND_DONE;
}

static int judge_inputs(const struct command_line *line) {
    static jsmntok_t tokens[4096];
    struct json json;
    struct json_error error;
    if (options.inputs == NULL) {
        return COMMAND_DONE;
    }
    struct bytes text = {(const uint8_t *)options.inputs, strlen(options.inputs)};
    if (json_parse(&json, text, tokens, array_count(tokens), &error) != STATUS_OK) {
        return command_fail(line, COMMAND_USAGE,
                            "--inputs: expected a JSON object: %s, at byte %zu", error.reason,
                            error.offset);
    }
    if (json_type(&json, 0) != JSON_OBJECT) {
        return command_fail(line, COMMAND_USAGE, "--inputs: expected a JSON object, got a list");
    }
    return COMMAND_DONE;
}

/* ---- submission, then following ---- */

static int submit(struct command_line *line, char id[COMMAND_TEXT_BYTES]) {
    struct bytes body;
    struct json json;
    int code = make_body(line, &body);
    if (code != COMMAND_DONE) {
        return code;
    }
    code = command_ask(
        line, is_maintenance(line) ? "/maintenance/requests" : "/capability-requests/enqueue",
        &body, &json);
    if (code == COMMAND_UNREACHABLE) {
        (void)command_fail(line, code, "if it was accepted, `--request-id %s` finds it again",
                           options.request_id);
    }
    if (code != COMMAND_DONE) {
        return code;
    }
    char text[COMMAND_TEXT_BYTES];
    unsigned duplicate = 0;
    struct bytes found = command_member(&json, 0, "process_id", text);
    snprintf(id, COMMAND_TEXT_BYTES, "%.*s", (int)found.size, (const char *)found.data);
    if (line->is_json && options.no_wait) {
        command_print_answer(&json);
    } else if (!line->is_json) {
        bool is_old = json_member(&json, 0, "duplicate", &duplicate) == STATUS_OK;
        printf("%s%s\n", id, is_old ? " (it was asked for before)" : "");
        fflush(stdout);
    }
    return id[0] != '\0' ? COMMAND_DONE
                         : command_fail(line, COMMAND_FAILED, "the answer has no `process_id`");
}

static int show_end(struct command_line *line, const char *id, int ended) {
    char target[COMMAND_TARGET_BYTES];
    char text[COMMAND_TEXT_BYTES];
    struct json json;
    unsigned error = 0;
    int code = command_path(target, "/processes/*", id) ? command_ask(line, target, NULL, &json)
                                                        : COMMAND_FAILED;
    if (code != COMMAND_DONE) {
        return ended;
    }
    if (line->is_json) {
        command_print_answer(&json);
        return ended;
    }
    struct bytes status = command_member(&json, 0, "status", text);
    printf("%s %.*s\n", id, (int)status.size, (const char *)status.data);
    if (json_member(&json, 0, "error", &error) == STATUS_OK && !json_is_null(&json, error)) {
        char code_text[COMMAND_TEXT_BYTES];
        struct bytes name = command_member(&json, error, "code", code_text);
        struct bytes message = command_member(&json, error, "message", text);
        (void)command_fail(line, 0, "%.*s: %.*s (`hubctl logs %s` shows more)", (int)name.size,
                           (const char *)name.data, (int)message.size, (const char *)message.data,
                           id);
    }
    return ended;
}

static int run(struct command_line *line) {
    char id[COMMAND_TEXT_BYTES];
    const char *wrong = judge_options();
    if (wrong != NULL) {
        return command_fail(line, COMMAND_USAGE, "%s", wrong);
    }
    int code = judge_inputs(line);
    code = code == COMMAND_DONE ? submit(line, id) : code;
    if (code != COMMAND_DONE || options.no_wait) {
        return code;
    }
    const struct follow follow = {
        .line = line,
        .id = id,
        .form = line->is_json ? FOLLOW_QUIET : FOLLOW_LINES,
        .shows_bar = true,
    };
    code = follow_process(&follow);
    return code == COMMAND_USAGE || code == COMMAND_UNREACHABLE ? code : show_end(line, id, code);
}

static const struct cli_option run_options[] = {
    {"phone", "ID", "On this phone", .text = &options.phone},
    {"queue", NULL, "On any eligible phone (so without --phone and --group)",
     .flag = &options.queue},
    {"group", "A,B,...", "On each of these phones", .text = &options.group},
    {"label", "A,B,...", "Only on a phone with all of these labels", .text = &options.labels},
    {"input", "KEY=VALUE", "A member of the inputs: JSON, or else a text; repeatable",
     .take = take_pair},
    {"inputs", "JSON", "All inputs, as an object", .text = &options.inputs},
    {"step", "NAME", "Only this action of the capability; repeatable", .take = take_step},
    {"request-id", "TEXT", "The same one again finds the same process",
     .text = &options.request_id},
    {"mode", "M", "manual (the default) or unattended", .text = &options.mode},
    {"system", "NAME", "Who asks: requested_by.system (hubctl)", .text = &options.system},
    {"no-wait", NULL, "Do not follow it", .flag = &options.no_wait},
};

static const struct command commands[] = {
    {.name = "run",
     .usage = "CAPABILITY [--phone ID | --queue | --group A,B] [OPTION]...",
     .about = "Ask for work and follow it to its end",
     .more = "exit status: 0 completed, 1 failed, 3 cancelled, 4 no answer; interrupting hubctl "
             "does not cancel.\n",
     .options = run_options,
     .option_count = array_count(run_options),
     .operands_min = 1,
     .operands_max = 1,
     .run = run},
};
const struct command_group run_group = {commands, array_count(commands)};
