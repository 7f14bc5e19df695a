#include "host/shared/action.h"

#include "host/shared/json.h"

#include <stdio.h>
#include <string.h>

uint32_t action_find(const struct action_list *list, struct bytes name) {
    for (uint32_t i = 0; i < list->count; i++) {
        size_t size = strlen(list->actions[i].name);
        if (size == name.size && memcmp(list->actions[i].name, name.data, size) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

/* ---- findings ---- */

static struct finding *add(struct findings *findings, uint32_t action, const char *key) {
    if (findings->count == FINDINGS_MAX) {
        findings->dropped += 1;
        return NULL;
    }
    struct finding *finding = &findings->list[findings->count];
    findings->count += 1;
    *finding = (struct finding){.action = (uint8_t)action};
    snprintf(finding->key, sizeof finding->key, "%s", key);
    return finding;
}

void action_add_number(struct findings *findings, uint32_t action, const char *key,
                       int64_t number) {
    struct finding *finding = add(findings, action, key);
    if (finding != NULL) {
        finding->is_number = true;
        finding->number = number;
    }
}

/* Text from a phone is data: what is not printable ASCII becomes a question mark. */
static void add_text(struct findings *findings, uint32_t action, const char *key,
                     struct bytes text) {
    struct finding *finding = add(findings, action, key);
    if (finding == NULL) {
        return;
    }
    size_t size = text.size < sizeof finding->text - 1 ? text.size : sizeof finding->text - 1;
    for (size_t i = 0; i < size; i++) {
        bool is_plain = text.data[i] >= ' ' && text.data[i] < 0x7f;
        finding->text[i] = is_plain ? (char)text.data[i] : '?';
    }
}

/* Takes one line off the front. */
static bool next_line(struct bytes *rest, struct bytes *line) {
    if (rest->size == 0) {
        return false;
    }
    const uint8_t *end = memchr(rest->data, '\n', rest->size);
    size_t size = end == NULL ? rest->size : (size_t)(end - rest->data);
    *line = (struct bytes){rest->data, size};
    size_t taken = end == NULL ? size : size + 1;
    rest->data += taken;
    rest->size -= taken;
    return true;
}

static struct bytes trimmed(struct bytes text) {
    while (text.size > 0 && strchr(" \t\r", text.data[0]) != NULL) {
        text.data += 1;
        text.size -= 1;
    }
    while (text.size > 0 && strchr(" \t\r", text.data[text.size - 1]) != NULL) {
        text.size -= 1;
    }
    return text;
}

/* Reads the decimal number at the front; a fraction is cut off, a unit behind it left alone. */
static bool read_number(struct bytes text, int64_t *number) {
    text = trimmed(text);
    bool is_negative = text.size > 0 && text.data[0] == '-';
    size_t at = is_negative ? 1 : 0;
    size_t first = at;
    int64_t value = 0;
    for (; at < text.size && at - first < 18; at++) {
        if (text.data[at] < '0' || text.data[at] > '9') {
            break;
        }
        value = value * 10 + (text.data[at] - '0');
    }
    *number = is_negative ? -value : value;
    return at > first;
}

static bool value_after(struct bytes output, const char *after, struct bytes *value) {
    size_t size = strlen(after);
    struct bytes line;
    while (next_line(&output, &line)) {
        line = trimmed(line);
        if (line.size >= size && memcmp(line.data, after, size) == 0) {
            *value = trimmed((struct bytes){line.data + size, line.size - size});
            return true;
        }
    }
    return false;
}

static bool value_at(struct bytes output, uint32_t row, uint32_t column, struct bytes *value) {
    struct bytes line = {0};
    for (uint32_t i = 0; i < row; i++) {
        if (!next_line(&output, &line)) {
            return false;
        }
    }
    for (uint32_t i = 1;; i++) {
        line = trimmed(line);
        size_t size = 0;
        while (size < line.size && line.data[size] != ' ' && line.data[size] != '\t') {
            size += 1;
        }
        *value = (struct bytes){line.data, size};
        if (size == 0 || i == column) {
            return size > 0;
        }
        line.data += size;
        line.size -= size;
    }
}

void action_find_values(const struct action_list *list, uint32_t action, struct bytes output,
                        struct findings *findings) {
    const struct action *of = &list->actions[action];
    for (uint32_t i = 0; i < of->rule_count; i++) {
        const struct action_rule *rule = &of->rules[i];
        struct bytes value;
        int64_t number;
        bool is_there = rule->kind == ACTION_NUMBER_AT
                            ? value_at(output, rule->line, rule->column, &value)
                            : value_after(output, rule->after, &value);
        if (is_there && rule->kind == ACTION_TEXT_AFTER) {
            add_text(findings, action, rule->key, value);
        } else if (is_there && read_number(value, &number)) {
            action_add_number(findings, action, rule->key, number);
        }
    }
}

static const struct finding *find_number(const struct action_list *list,
                                         const struct findings *findings,
                                         const struct action_limit *limit) {
    for (uint32_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];
        if (finding->is_number && strcmp(finding->key, limit->key) == 0 &&
            strcmp(list->actions[finding->action].name, limit->action) == 0) {
            return finding;
        }
    }
    return NULL;
}

void action_judge(const struct action_list *list, uint32_t action, struct findings *findings) {
    const struct action *of = &list->actions[action];
    const char *health = "ok";
    for (uint32_t i = 0; i < of->limit_count; i++) {
        const struct action_limit *limit = &of->limits[i];
        const struct finding *found = find_number(list, findings, limit);
        bool is_broken = found != NULL && (limit->is_below ? found->number < limit->bound
                                                           : found->number > limit->bound);
        if (!is_broken) {
            continue;
        }
        bool is_worse = limit->is_critical || strcmp(health, "ok") == 0;
        health = is_worse ? (limit->is_critical ? "critical" : "attention") : health;
        char reason[ACTION_TEXT_BYTES * 3];
        char key[ACTION_KEY_BYTES];
        snprintf(reason, sizeof reason, "%s.%s is %lld, %s %lld", limit->action, limit->key,
                 (long long)found->number, limit->is_below ? "below" : "above",
                 (long long)limit->bound);
        snprintf(key, sizeof key, "reason_%u", i + 1);
        add_text(findings, action, key, (struct bytes){(uint8_t *)reason, strlen(reason)});
    }
    add_text(findings, action, "health", (struct bytes){(const uint8_t *)health, strlen(health)});
}

static void write_one(struct json_writer *writer, const struct finding *finding) {
    if (finding->is_number) {
        json_write_int(writer, finding->key, finding->number);
    } else {
        json_write_string(writer, finding->key, finding->text);
    }
}

enum status action_write_findings(const struct action_list *list, const struct findings *findings,
                                  char *text, size_t capacity, struct bytes *json) {
    struct json_writer writer;
    json_write_init(&writer, text, capacity);
    json_write_begin_object(&writer, NULL);
    for (uint32_t a = 0; a < list->count; a++) {
        bool is_open = false;
        for (uint32_t i = 0; i < findings->count; i++) {
            if (findings->list[i].action != a) {
                continue;
            }
            if (!is_open) {
                json_write_begin_object(&writer, list->actions[a].name);
                is_open = true;
            }
            write_one(&writer, &findings->list[i]);
        }
        if (is_open) {
            json_write_end_object(&writer);
        }
    }
    json_write_end_object(&writer);
    return json_write_finish(&writer, json);
}

static void read_members(const struct json *json, unsigned object, uint32_t action,
                         struct findings *findings) {
    struct json_cursor at = {0};
    while (json_each(json, object, &at)) {
        char key[ACTION_KEY_BYTES];
        char text[ACTION_TEXT_BYTES];
        int64_t number;
        if (json_get_string(json, at.key, key, sizeof key) != STATUS_OK) {
            continue;
        }
        if (json_get_int(json, at.value, INT64_MIN, INT64_MAX, &number) == STATUS_OK) {
            action_add_number(findings, action, key, number);
        } else if (json_get_string(json, at.value, text, sizeof text) == STATUS_OK) {
            add_text(findings, action, key, (struct bytes){(uint8_t *)text, strlen(text)});
        }
    }
}

void action_read_findings(const struct action_list *list, struct bytes text,
                          struct findings *findings) {
    jsmntok_t tokens[4 * FINDINGS_MAX];
    struct json json;
    struct json_error error;
    if (text.size == 0 ||
        json_parse(&json, text, tokens, array_count(tokens), &error) != STATUS_OK) {
        return;
    }
    struct json_cursor at = {0};
    while (json_each(&json, 0, &at)) {
        char name[ACTION_KEY_BYTES];
        if (json_get_string(&json, at.key, name, sizeof name) != STATUS_OK) {
            continue;
        }
        uint32_t action = action_find(list, (struct bytes){(uint8_t *)name, strlen(name)});
        if (action != UINT32_MAX) {
            read_members(&json, at.value, action, findings);
        }
    }
}

/* ---- inputs ---- */

static enum status select_step(const struct action_list *list, const struct json *json,
                               unsigned step, uint32_t *selected, char wrong[ACTION_TEXT_BYTES]) {
    unsigned value;
    char name[ACTION_KEY_BYTES];
    snprintf(wrong, ACTION_TEXT_BYTES, "a step without an action");
    if (json_member(json, step, "action", &value) != STATUS_OK ||
        json_get_string(json, value, name, sizeof name) != STATUS_OK) {
        return STATUS_MALFORMED;
    }
    uint32_t action = action_find(list, (struct bytes){(uint8_t *)name, strlen(name)});
    snprintf(wrong, ACTION_TEXT_BYTES, "%s", name);
    if (action == UINT32_MAX) {
        return STATUS_MALFORMED;
    }
    *selected |= (uint32_t)1 << action;
    return STATUS_OK;
}

enum status action_select(const struct action_list *list, struct bytes inputs, uint32_t *selected,
                          char wrong[ACTION_TEXT_BYTES]) {
    static jsmntok_t tokens[ACTION_INPUT_TOKENS];
    struct json json;
    struct json_error error;
    unsigned steps;
    *selected = UINT32_MAX;
    if (!list->has_steps || inputs.size == 0 ||
        json_parse(&json, inputs, tokens, array_count(tokens), &error) != STATUS_OK ||
        json_member(&json, 0, "steps", &steps) != STATUS_OK || json_size(&json, steps) == 0) {
        return STATUS_OK;
    }
    *selected = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        *selected |= list->actions[i].is_always ? (uint32_t)1 << i : 0;
    }
    struct json_cursor at = {0};
    while (json_each(&json, steps, &at)) {
        enum status status = select_step(list, &json, at.value, selected, wrong);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* One input as text for a shell: a string's own characters, a number or boolean as written. */
static enum status input_text(struct bytes inputs, const char *key, char *text, size_t capacity) {
    static jsmntok_t tokens[ACTION_INPUT_TOKENS];
    struct json json;
    struct json_error error;
    unsigned value;
    if (inputs.size == 0 ||
        json_parse(&json, inputs, tokens, array_count(tokens), &error) != STATUS_OK ||
        json_member(&json, 0, key, &value) != STATUS_OK) {
        return STATUS_NOT_FOUND;
    }
    enum json_type type = json_type(&json, value);
    if (type == JSON_STRING) {
        return json_get_string(&json, value, text, capacity);
    }
    struct bytes raw = json_raw(&json, value);
    if ((type != JSON_NUMBER && type != JSON_BOOL) || raw.size >= capacity) {
        return STATUS_NOT_FOUND;
    }
    memcpy(text, raw.data, raw.size);
    text[raw.size] = '\0';
    return STATUS_OK;
}

struct filler {
    char *target;
    size_t size, capacity;
    bool is_full;
};

static void put(struct filler *filler, char c) {
    if (filler->size + 1 >= filler->capacity) {
        filler->is_full = true;
        return;
    }
    filler->target[filler->size] = c;
    filler->size += 1;
}

/* In single quotes; a quote inside ends them, stands escaped, and begins them again. */
static void put_quoted(struct filler *filler, const char *text) {
    put(filler, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            put(filler, '\'');
            put(filler, '\\');
            put(filler, '\'');
        }
        put(filler, *text);
    }
    put(filler, '\'');
}

/* Takes `${key}` off the front of the command; NULL: there is none. */
static const char *take_key(const char *command, char key[ACTION_TEXT_BYTES]) {
    const char *end = strncmp(command, "${", 2) == 0 ? strchr(command, '}') : NULL;
    if (end != NULL) {
        snprintf(key, ACTION_TEXT_BYTES, "%.*s", (int)(end - command - 2), command + 2);
    }
    return end == NULL ? NULL : end + 1;
}

enum status action_fill(const char *command, struct bytes inputs, char *target, size_t capacity,
                        char wrong[ACTION_TEXT_BYTES]) {
    struct filler filler = {.target = target, .capacity = capacity};
    while (*command != '\0') {
        const char *rest = take_key(command, wrong);
        if (rest == NULL) {
            put(&filler, *command);
            command += 1;
            continue;
        }
        char text[ACTION_COMMAND_BYTES];
        enum status status = input_text(inputs, wrong, text, sizeof text);
        if (status != STATUS_OK) {
            return status;
        }
        put_quoted(&filler, text);
        command = rest;
    }
    target[filler.size] = '\0';
    return filler.is_full ? STATUS_TOO_LARGE : STATUS_OK;
}

/* ---- programs ---- */

const char *action_failure_in(const struct action *action, struct bytes output) {
    for (uint32_t i = 0; i < action->fails_on_count; i++) {
        if (memmem(output.data, output.size, action->fails_on[i], strlen(action->fails_on[i])) !=
            NULL) {
            return action->fails_on[i];
        }
    }
    return NULL;
}

bool action_needs_container(const struct action_list *list) {
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->actions[i].kind == ACTION_EXEC) {
            return true;
        }
    }
    return false;
}

static enum status put_word(struct filler *filler, const char **command, struct bytes inputs,
                            char wrong[ACTION_TEXT_BYTES]) {
    static char text[ACTION_PROGRAM_INPUT_BYTES];
    bool is_quoted = false;
    while (**command != '\0' && (is_quoted || **command != ' ')) {
        const char *rest = take_key(*command, wrong);
        if (**command == '"') {
            is_quoted = !is_quoted;
            *command += 1;
            continue;
        }
        if (rest == NULL) {
            put(filler, **command);
            *command += 1;
            continue;
        }
        enum status status = input_text(inputs, wrong, text, sizeof text);
        if (status != STATUS_OK) {
            return status;
        }
        for (const char *at = text; *at != '\0'; at++) {
            put(filler, *at);
        }
        *command = rest;
    }
    put(filler, '\0');
    return filler->is_full ? STATUS_TOO_LARGE : STATUS_OK;
}

enum status action_words_fill(struct action_words *words, const char *command, struct bytes inputs,
                              char wrong[ACTION_TEXT_BYTES]) {
    struct filler filler = {.target = words->memory, .capacity = words->capacity};
    size_t count = 0;
    while (true) {
        command += strspn(command, " ");
        if (*command == '\0') {
            words->list[count] = NULL;
            return STATUS_OK;
        }
        if (count + 1 == ACTION_WORDS_MAX) {
            return STATUS_TOO_LARGE;
        }
        words->list[count++] = words->memory + filler.size;
        enum status status = put_word(&filler, &command, inputs, wrong);
        if (status != STATUS_OK) {
            return status;
        }
    }
}
