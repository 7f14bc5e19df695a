#include "host/hubctl/lists.h"

#include "host/shared/config.h"
#include "host/shared/json_write.h"

#include <stdio.h>
#include <string.h>

enum { PAGE_MAX = 200, LIMIT_MAX = 1000000 };

/* A list: an array of the answer, and which of its members make the columns. */
struct list {
    const char *target;
    const char *array;
    unsigned columns;
    const char *heads[TABLE_COLUMNS];
    const char *members[TABLE_COLUMNS];
};

static void add_rows(const struct list *list, const struct json *json, unsigned array) {
    struct json_cursor at = {0};
    while (json_each(json, array, &at)) {
        command_add_row(command_table(), json, at.value, list->members);
    }
}

static int wrong_answer(const struct command_line *line, const struct list *list) {
    return command_fail(line, COMMAND_FAILED, "%s%s answered without `%s`", line->client.url,
                        list->target, list->array);
}

/* Shows the page at `target`. `cursor` becomes that of the next one, empty behind the last. */
static int show_page(struct command_line *line, const struct list *list, const char *target,
                     char cursor[COMMAND_TEXT_BYTES], uint64_t *rows) {
    char text[COMMAND_TEXT_BYTES];
    struct json json;
    unsigned array = 0;
    int code = command_ask(line, target, NULL, &json);
    if (code != COMMAND_DONE) {
        return code;
    }
    if (!command_array(&json, list->array, &array)) {
        return wrong_answer(line, list);
    }
    if (line->is_json) {
        command_print_answer(&json);
    } else {
        add_rows(list, &json, array);
    }
    *rows = json_size(&json, array);
    struct bytes next = command_member(&json, 0, "next_cursor", text);
    snprintf(cursor, COMMAND_TEXT_BYTES, "%.*s", (int)next.size, (const char *)next.data);
    return COMMAND_DONE;
}

static int show_list(struct command_line *line, const struct list *list) {
    char cursor[COMMAND_TEXT_BYTES] = "";
    uint64_t rows;
    table_begin(command_table(), list->heads, list->columns);
    do {
        char target[COMMAND_TARGET_BYTES];
        snprintf(target, sizeof target, "%s", list->target);
        bool fits = command_query(target, "cursor", cursor[0] == '\0' ? NULL : cursor);
        int code = fits ? show_page(line, list, target, cursor, &rows) : wrong_answer(line, list);
        if (code != COMMAND_DONE) {
            return code;
        }
    } while (cursor[0] != '\0');
    if (!line->is_json) {
        table_end(command_table());
    }
    return COMMAND_DONE;
}

static int run_phones(struct command_line *line) {
    static const struct list list = {
        .target = "/phones",
        .array = "phones",
        .columns = 7,
        .heads = {"PHONE", "STATE", "SLOT", "HUB", "MODEL", "ITEM", "REASON"},
        .members = {"phone_id", "state", "slot", "hub_id", "model", "item_id", "reason"},
    };
    return show_list(line, &list);
}

static int run_slots(struct command_line *line) {
    static const struct list list = {
        .target = "/slots",
        .array = "slots",
        .columns = 4,
        .heads = {"SLOT", "CONNECTION", "PHONE", "REASON"},
        .members = {"slot", "connection", "phone_id", "reason"},
    };
    return show_list(line, &list);
}

static int run_capabilities(struct command_line *line) {
    static const struct list list = {
        .target = "/capabilities",
        .array = "capabilities",
        .columns = 6,
        .heads = {"NAME", "ROUTING", "UNATTENDED", "ATTEMPTS", "SECONDS", "ACTIONS"},
        .members = {"name", "routing", "unattended", "attempts_max", "attempt_seconds", "actions"},
    };
    return show_list(line, &list);
}

static const struct list hub_list = {
    .target = "/hubs",
    .array = "hubs",
    .columns = 9,
    .heads = {"HUB", "STALE", "LAST SEEN", "EPOCH", "CURSOR", "LAG MS", "PHONES", "FORKS", "GAPS"},
    .members = {"hub_id", "stale", "hub_last_seen", "store_epoch", "cursor", "sync_lag_ms",
                "phones", "forks", "gap_count"},
};

static int run_hubs(struct command_line *line) {
    return show_list(line, &hub_list);
}

/* ---- ps ---- */

static struct {
    const char *status, *type, *phone, *limit;
    bool failed;
} ps;

static const struct list process_list = {
    .target = "/processes",
    .array = "processes",
    .columns = 7,
    .heads = {"PROCESS", "TYPE", "STATUS", "PHONE", "ATTEMPTS", "CREATED", "FINISHED"},
    .members = {"process_id", "process_type", "status", "phone_id", "attempts", "created_at",
                "finished_at"},
};

static bool make_page_target(char target[COMMAND_TARGET_BYTES], uint64_t rows, const char *cursor) {
    char limit[24];
    snprintf(limit, sizeof limit, "%u", (unsigned)(rows < PAGE_MAX ? rows : PAGE_MAX));
    return command_path(target, process_list.target, NULL) &&
           command_query(target, "status", ps.status) && command_query(target, "type", ps.type) &&
           command_query(target, "phone", ps.phone) &&
           command_query(target, "failed", ps.failed ? "true" : NULL) &&
           command_query(target, "limit", limit) && command_query(target, "cursor", cursor);
}

static int run_ps(struct command_line *line) {
    char cursor[COMMAND_TEXT_BYTES] = "";
    uint64_t rows = 50;
    if (ps.limit != NULL && config_integer(ps.limit, 1, LIMIT_MAX, &rows) != STATUS_OK) {
        return command_fail(line, COMMAND_USAGE,
                            "--limit: expected a number from 1 to %d, got \"%s\"", LIMIT_MAX,
                            ps.limit);
    }
    table_begin(command_table(), process_list.heads, process_list.columns);
    int code = COMMAND_DONE;
    do {
        char target[COMMAND_TARGET_BYTES];
        uint64_t count = 0;
        if (!make_page_target(target, rows, cursor[0] == '\0' ? NULL : cursor)) {
            return command_fail(line, COMMAND_USAGE, "the filters are too long");
        }
        code = show_page(line, &process_list, target, cursor, &count);
        rows = count == 0 || count > rows ? 0 : rows - count;
    } while (code == COMMAND_DONE && rows > 0 && cursor[0] != '\0');
    if (code == COMMAND_DONE && !line->is_json) {
        table_end(command_table());
    }
    return code;
}

/* ---- sync ---- */

/* `name{labels} value` of the Prometheus text format; false: a comment or a blank line. */
static bool take_metric(struct bytes *text, struct bytes *name, struct bytes *value) {
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t size = end == NULL ? text->size : (size_t)(end - text->data);
    struct bytes line = {text->data, size};
    const uint8_t *blank = memrchr(line.data, ' ', line.size);
    size += end != NULL;
    *text = (struct bytes){text->data + size, text->size - size};
    if (blank == NULL || line.data[0] == '#') {
        return false;
    }
    *name = (struct bytes){line.data, (size_t)(blank - line.data)};
    *value = (struct bytes){blank + 1, line.size - name->size - 1};
    return true;
}

static bool is_of_sync(struct bytes name) {
    return memmem(name.data, name.size, "sync", 4) != NULL ||
           memmem(name.data, name.size, "upstream", 8) != NULL;
}

static void write_metrics_json(struct bytes text) {
    static char json[1 << 16];
    struct json_writer writer;
    struct bytes name;
    struct bytes value;
    struct bytes whole;
    json_write_init(&writer, json, sizeof json);
    json_write_begin_object(&writer, NULL);
    while (text.size > 0) {
        if (take_metric(&text, &name, &value) && is_of_sync(name)) {
            char member[256];
            snprintf(member, sizeof member, "%.*s", (int)name.size, (const char *)name.data);
            json_write_bytes(&writer, member, value);
        }
    }
    json_write_end_object(&writer);
    if (json_write_finish(&writer, &whole) == STATUS_OK) {
        printf("%.*s\n", (int)whole.size, (const char *)whole.data);
    }
}

static void print_metrics(struct bytes text) {
    static const char *const heads[] = {"SYNC", "VALUE"};
    struct bytes name;
    struct bytes value;
    table_begin(command_table(), heads, array_count(heads));
    while (text.size > 0) {
        if (take_metric(&text, &name, &value) && is_of_sync(name)) {
            table_add(command_table(), name);
            table_add(command_table(), value);
        }
    }
    table_end(command_table());
}

/* Upstream knows every hub; a hub tells of its own link in its metrics. */
static int run_sync(struct command_line *line) {
    struct client_answer answer;
    int code = command_ask_text(line, hub_list.target, &answer);
    if (code == COMMAND_DONE && answer.status != 404) {
        return answer.status >= 400 ? command_refused(line, &answer) : run_hubs(line);
    }
    code = code == COMMAND_DONE ? command_ask_text(line, "/metrics", &answer) : code;
    if (code != COMMAND_DONE || answer.status >= 400) {
        return code != COMMAND_DONE ? code : command_refused(line, &answer);
    }
    if (line->is_json) {
        write_metrics_json(answer.body);
    } else {
        print_metrics(answer.body);
    }
    return COMMAND_DONE;
}

/* ---- health ---- */

static int ask_health(struct command_line *line, const char *target, bool *is_good) {
    struct client_answer answer;
    char text[24];
    int code = command_ask_text(line, target, &answer);
    if (code != COMMAND_DONE) {
        return code;
    }
    *is_good = *is_good && answer.status == 200;
    if (line->is_json) {
        printf("%.*s\n", (int)answer.body.size, (const char *)answer.body.data);
        return COMMAND_DONE;
    }
    snprintf(text, sizeof text, "%u", answer.status);
    table_add_text(command_table(), target);
    table_add_text(command_table(), text);
    table_add(command_table(), answer.body);
    return COMMAND_DONE;
}

static int run_health(struct command_line *line) {
    static const char *const heads[] = {"CHECK", "STATUS", "ANSWER"};
    bool is_good = true;
    table_begin(command_table(), heads, array_count(heads));
    int code = ask_health(line, "/healthz", &is_good);
    code = code == COMMAND_DONE ? ask_health(line, "/readyz", &is_good) : code;
    if (code == COMMAND_DONE && !line->is_json) {
        table_end(command_table());
    }
    return code != COMMAND_DONE || is_good ? code : COMMAND_FAILED;
}

/* ---- the commands ---- */

static const struct cli_option ps_options[] = {
    {"status", "S", "Only those of this status (completed, failed_terminal, ...)",
     .text = &ps.status},
    {"type", "T", "Only those of this process type", .text = &ps.type},
    {"phone", "ID", "Only those whose newest lease is of this phone", .text = &ps.phone},
    {"failed", NULL, "Only those that failed, wholly or in part", .flag = &ps.failed},
    {"limit", "N", "How many, newest first (50)", .text = &ps.limit},
};

static const struct command commands[] = {
    {.name = "phones", .usage = "", .about = "List the phones", .run = run_phones},
    {.name = "slots", .usage = "", .about = "List the places to plug phones", .run = run_slots},
    {.name = "ps",
     .usage = "[--status S] [--type T] [--phone ID] [--failed] [--limit N]",
     .about = "List processes, newest first",
     .options = ps_options,
     .option_count = array_count(ps_options),
     .run = run_ps},
    {.name = "capabilities", .usage = "", .about = "List what can be run", .run = run_capabilities},
    {.name = "hubs", .usage = "", .about = "List an upstream's hubs", .run = run_hubs},
    {.name = "sync",
     .usage = "",
     .about = "Show how far the hub, or each hub of an upstream, is synchronised",
     .run = run_sync},
    {.name = "health",
     .usage = "",
     .about = "Ask whether it lives and is ready; exit status 1 when not",
     .run = run_health},
};
const struct command_group lists_group = {commands, array_count(commands)};
