#include "host/hubctl/control.h"

#include "host/hubctl/text.h"
#include "host/shared/json_write.h"

#include <stdio.h>
#include <string.h>

enum { BODY_BYTES = 4096, SAFE_BYTES = 1024, LABELS_MAX = 32 };

static struct {
    bool done, failed, hub;
    const char *item;
    const char *reason;
} options;

static bool is_set(const struct json *json, const char *name) {
    unsigned value = 0;
    bool is_true = false;
    return json_member(json, 0, name, &value) == STATUS_OK &&
           json_get_bool(json, value, &is_true) == STATUS_OK && is_true;
}

/* POST to the path of the operand; the answer's members are told, in this order. */
static int change_with(struct command_line *line, const char *path, const struct bytes *body,
                       const char *const *members) {
    char target[COMMAND_TARGET_BYTES];
    struct json json;
    if (!command_path(target, path, line->operands[0])) {
        return command_fail(line, COMMAND_USAGE, "%.100s...: not an id", line->operands[0]);
    }
    int code = command_ask(line, target, body, &json);
    if (code != COMMAND_DONE) {
        return code;
    }
    if (line->is_json) {
        command_print_answer(&json);
        return COMMAND_DONE;
    }
    for (size_t i = 0; members[i] != NULL; i++) {
        char text[COMMAND_TEXT_BYTES];
        char safe[SAFE_BYTES];
        struct bytes value = command_member(&json, 0, members[i], text);
        (void)text_escape(value, safe, sizeof safe);
        printf("%s%s", i > 0 ? " " : "", safe);
    }
    bool is_over = command_is(&json, 0, "status", "cancelled");
    printf("%s\n", is_set(&json, "cancel_requested") && !is_over ? " (cancel requested)" : "");
    return COMMAND_DONE;
}

static const char *const process_members[] = {"process_id", "status", NULL};
static const char *const phone_members[] = {"phone_id", "state", "reason", NULL};

static int change(struct command_line *line, const char *path, const char *const *members) {
    const struct bytes nothing = bytes_of("{}");
    return change_with(line, path, &nothing, members);
}

static int run_cancel(struct command_line *line) {
    return change(line, "/processes/*/cancel", process_members);
}

static int run_retry(struct command_line *line) {
    return change(line, "/processes/*/retry", process_members);
}

static int run_suspend(struct command_line *line) {
    return change(line, "/processes/*/suspend", process_members);
}

static int run_resume(struct command_line *line) {
    return change(line, "/processes/*/resume", process_members);
}

static int run_settle(struct command_line *line) {
    static char text[BODY_BYTES];
    struct json_writer writer;
    struct bytes body;
    if (options.done == options.failed) {
        return command_fail(line, COMMAND_USAGE, "expected --done or --failed");
    }
    json_write_init(&writer, text, sizeof text);
    json_write_begin_object(&writer, NULL);
    json_write_string(&writer, "outcome", options.done ? "done" : "failed");
    if (options.item != NULL) {
        json_write_string(&writer, "item_id", options.item);
    }
    json_write_end_object(&writer);
    if (json_write_finish(&writer, &body) != STATUS_OK) {
        return command_fail(line, COMMAND_USAGE, "--item: not an id");
    }
    return change_with(line, "/processes/*/settle", &body, process_members);
}

static int run_quarantine(struct command_line *line) {
    static char text[BODY_BYTES];
    struct json_writer writer;
    struct bytes body;
    json_write_init(&writer, text, sizeof text);
    json_write_begin_object(&writer, NULL);
    if (options.reason != NULL) {
        json_write_string(&writer, "reason", options.reason);
    }
    json_write_end_object(&writer);
    if (json_write_finish(&writer, &body) != STATUS_OK) {
        return command_fail(line, COMMAND_USAGE, "--reason: too long");
    }
    return change_with(line, "/phones/*/quarantine", &body, phone_members);
}

static int run_release(struct command_line *line) {
    static const char *const hub_members[] = {"hub_id", NULL};
    return options.hub ? change(line, "/hubs/*/release", hub_members)
                       : change(line, "/phones/*/release", phone_members);
}

static int run_power(struct command_line *line) {
    return change(line, "/phones/*/power", phone_members);
}

static int run_label(struct command_line *line) {
    static const char *const members[] = {"phone_id", "labels", NULL};
    static char text[BODY_BYTES];
    struct json_writer writer;
    struct bytes body;
    json_write_init(&writer, text, sizeof text);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "labels");
    for (int i = 1; i < line->operand_count; i++) {
        json_write_string(&writer, NULL, line->operands[i]);
    }
    json_write_end_array(&writer);
    json_write_end_object(&writer);
    if (json_write_finish(&writer, &body) != STATUS_OK) {
        return command_fail(line, COMMAND_USAGE, "too many labels");
    }
    return change_with(line, "/phones/*/label", &body, members);
}

static const struct cli_option settle_options[] = {
    {"done", NULL, "It did what it should", .flag = &options.done},
    {"failed", NULL, "It did not", .flag = &options.failed},
    {"item", "ID", "Only this item (else all that wait for it)", .text = &options.item},
};
static const struct cli_option quarantine_options[] = {
    {"reason", "TEXT", "Why, for whoever looks at it next", .text = &options.reason},
};

static const struct cli_option release_options[] = {
    {"hub", NULL, "It is a hub's id, and the URL an upstream's", .flag = &options.hub},
};

static const struct command commands[] = {
    {.name = "cancel",
     .usage = "PROCESS",
     .about = "Ask a process to stop",
     .operands_min = 1,
     .operands_max = 1,
     .run = run_cancel},
    {.name = "retry",
     .usage = "PROCESS",
     .about = "Try again what failed of a process that has ended",
     .operands_min = 1,
     .operands_max = 1,
     .run = run_retry},
    {.name = "suspend",
     .usage = "PROCESS",
     .about = "Hold a process; what runs is stopped and not counted",
     .operands_min = 1,
     .operands_max = 1,
     .run = run_suspend},
    {.name = "resume",
     .usage = "PROCESS",
     .about = "Let a suspended process go on, also behind a review",
     .operands_min = 1,
     .operands_max = 1,
     .run = run_resume},
    {.name = "settle",
     .usage = "PROCESS --done|--failed [--item ID]",
     .about = "Say how something ended that the hub cannot know",
     .options = settle_options,
     .option_count = array_count(settle_options),
     .operands_min = 1,
     .operands_max = 1,
     .run = run_settle},
    {.name = "quarantine",
     .usage = "PHONE [--reason TEXT]",
     .about = "Take a phone out of service",
     .options = quarantine_options,
     .option_count = array_count(quarantine_options),
     .operands_min = 1,
     .operands_max = 1,
     .run = run_quarantine},
    {.name = "release",
     .usage = "PHONE | --hub HUB",
     .about = "Put a phone, or a hub that upstream quarantined, back into service",
     .options = release_options,
     .option_count = array_count(release_options),
     .operands_min = 1,
     .operands_max = 1,
     .run = run_release},
    {.name = "power",
     .usage = "PHONE",
     .about = "Switch the power of a phone's port off and on; the answer does not wait for it",
     .operands_min = 1,
     .operands_max = 1,
     .run = run_power},
    {.name = "label",
     .usage = "PHONE [LABEL]...",
     .about = "Give a phone these labels instead of those it has",
     .operands_min = 1,
     .operands_max = 1 + LABELS_MAX,
     .run = run_label},
};
const struct command_group control_group = {commands, array_count(commands)};
