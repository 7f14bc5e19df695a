#include "host/hubctl/command.h"

#include "host/hubctl/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t buffer[CLIENT_ANSWER_BYTES];
static jsmntok_t tokens[COMMAND_TOKENS];
static struct table table;

struct table *command_table(void) {
    return &table;
}

uint8_t *command_buffer(void) {
    return buffer;
}

/* ---- refusals ---- */

int command_fail(const struct command_line *line, int code, const char *format, ...) {
    char text[1024];
    char safe[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)text_escape((struct bytes){(const uint8_t *)text, strlen(text)}, safe, sizeof safe);
    fflush(stdout);
    fprintf(stderr, "hubctl %s: %s\n", line->command->name, safe);
    return code;
}

static const char *advice(unsigned status) {
    switch (status) {
    case 401:
        return " (--token-file FILE or HUBCTL_TOKEN_FILE says who you are)";
    case 403:
        return " (another token may)";
    case 503:
        return " (try again later)";
    default:
        return "";
    }
}

int command_refused(const struct command_line *line, const struct client_answer *answer) {
    struct json json;
    struct json_error wrong;
    unsigned error = 0;
    char code[COMMAND_TEXT_BYTES];
    char message[COMMAND_TEXT_BYTES];
    char pointer[COMMAND_TEXT_BYTES];
    int exit_code =
        answer->status == 401 || answer->status == 403 ? COMMAND_UNREACHABLE : COMMAND_FAILED;
    bool is_ours = json_parse(&json, answer->body, tokens, COMMAND_TOKENS, &wrong) == STATUS_OK &&
                   json_member(&json, 0, "error", &error) == STATUS_OK &&
                   json_type(&json, error) == JSON_OBJECT;
    if (!is_ours) {
        return command_fail(line, exit_code, "%s answered with status %u%s", line->client.url,
                            answer->status, advice(answer->status));
    }
    if (line->is_json) {
        command_print_answer(&json);
    }
    struct bytes first = command_member(&json, error, "code", code);
    struct bytes second = command_member(&json, error, "message", message);
    struct bytes third = command_member(&json, error, "pointer", pointer);
    return command_fail(line, exit_code, "%u %.*s: %.*s%s%.*s%s", answer->status, (int)first.size,
                        (const char *)first.data, (int)second.size, (const char *)second.data,
                        third.size > 0 ? ", at " : "", (int)third.size, (const char *)third.data,
                        advice(answer->status));
}

/* ---- questions ---- */

static int ask(struct command_line *line, const char *target, const struct bytes *body,
               struct client_answer *answer) {
    enum status status = client_ask(&line->client, target, body, buffer, answer);
    if (status == STATUS_TOO_LARGE) {
        return command_fail(line, COMMAND_FAILED, "%s: the answer has more than %d bytes", target,
                            CLIENT_ANSWER_BYTES);
    }
    if (status != STATUS_OK) {
        return command_fail(line, COMMAND_UNREACHABLE, "%s", line->client.reason);
    }
    return COMMAND_DONE;
}

int command_ask_text(struct command_line *line, const char *target, struct client_answer *answer) {
    return ask(line, target, NULL, answer);
}

int command_ask(struct command_line *line, const char *target, const struct bytes *body,
                struct json *json) {
    struct client_answer answer;
    struct json_error error;
    int code = ask(line, target, body, &answer);
    if (code != COMMAND_DONE) {
        return code;
    }
    if (answer.status >= 400) {
        return command_refused(line, &answer);
    }
    if (json_parse(json, answer.body, tokens, COMMAND_TOKENS, &error) != STATUS_OK) {
        return command_fail(line, COMMAND_FAILED, "%s%s did not answer with JSON: %s, at byte %zu",
                            line->client.url, target, error.reason, error.offset);
    }
    return COMMAND_DONE;
}

void command_print_answer(const struct json *json) {
    printf("%.*s\n", (int)json->text.size, (const char *)json->text.data);
}

/* ---- targets ---- */

static bool append_encoded(char target[COMMAND_TARGET_BYTES], const char *value) {
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    size_t used = strlen(target);
    for (; *value != '\0'; value++) {
        bool is_plain = strchr(plain, *value) != NULL;
        int size = snprintf(target + used, COMMAND_TARGET_BYTES - used, is_plain ? "%c" : "%%%02X",
                            (unsigned char)*value);
        used += (size_t)size;
        if (used >= COMMAND_TARGET_BYTES) {
            return false;
        }
    }
    return true;
}

bool command_path(char target[COMMAND_TARGET_BYTES], const char *path, const char *id) {
    const char *star = strchr(path, '*');
    int size = (int)(star == NULL ? strlen(path) : (size_t)(star - path));
    snprintf(target, COMMAND_TARGET_BYTES, "%.*s", size, path);
    if (star == NULL || id == NULL) {
        return star == NULL;
    }
    bool fits = append_encoded(target, id);
    size_t used = strlen(target);
    return fits && used + strlen(star) < COMMAND_TARGET_BYTES &&
           snprintf(target + used, COMMAND_TARGET_BYTES - used, "%s", star + 1) >= 0;
}

bool command_query(char target[COMMAND_TARGET_BYTES], const char *name, const char *value) {
    size_t used = strlen(target);
    if (value == NULL) {
        return true;
    }
    snprintf(target + used, COMMAND_TARGET_BYTES - used,
             "%c%s=", strchr(target, '?') == NULL ? '?' : '&', name);
    return append_encoded(target, value);
}

/* ---- values ---- */

struct bytes command_member(const struct json *json, unsigned object, const char *name,
                            char text[COMMAND_TEXT_BYTES]) {
    unsigned value = 0;
    if (json_member(json, object, name, &value) != STATUS_OK || json_is_null(json, value)) {
        return bytes_of("");
    }
    if (json_type(json, value) == JSON_STRING &&
        json_get_string(json, value, text, COMMAND_TEXT_BYTES) == STATUS_OK) {
        return (struct bytes){(const uint8_t *)text, strlen(text)};
    }
    struct bytes raw = json_raw(json, value);
    raw.size = raw.size < COMMAND_TEXT_BYTES ? raw.size : COMMAND_TEXT_BYTES;
    return raw;
}

uint64_t command_number(const struct json *json, unsigned object, const char *name) {
    unsigned value = 0;
    uint64_t number = 0;
    if (json_member(json, object, name, &value) == STATUS_OK &&
        json_get_uint(json, value, UINT64_MAX, &number) != STATUS_OK) {
        return 0;
    }
    return number;
}

bool command_is(const struct json *json, unsigned object, const char *name, const char *value) {
    unsigned token = 0;
    return json_member(json, object, name, &token) == STATUS_OK && json_equals(json, token, value);
}

bool command_array(const struct json *json, const char *name, unsigned *array) {
    return json_member(json, 0, name, array) == STATUS_OK && json_type(json, *array) == JSON_ARRAY;
}

void command_add_row(struct table *into, const struct json *json, unsigned object,
                     const char *const *members) {
    char text[COMMAND_TEXT_BYTES];
    for (unsigned column = 0; column < into->columns; column++) {
        table_add(into, command_member(json, object, members[column], text));
    }
}
