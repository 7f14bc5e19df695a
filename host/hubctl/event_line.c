#include "host/hubctl/event_line.h"

#include "host/hubctl/text.h"

#include <stdio.h>
#include <string.h>

enum { LINE_BYTES = 2048, OUTPUT_BYTES = 64 * 1024, TIME_START = 11, TIME_BYTES = 12 };

struct line {
    char text[LINE_BYTES];
    size_t used;
};

static void put(struct line *line, const char *before, struct bytes value) {
    if (value.size == 0) {
        return;
    }
    int size = snprintf(line->text + line->used, LINE_BYTES - line->used, "%s", before);
    check(size >= 0 && (size_t)size < LINE_BYTES - line->used);
    line->used += (size_t)size;
    line->used += text_escape(value, line->text + line->used, LINE_BYTES - line->used);
}

static void put_padded(struct line *line, struct bytes value, size_t columns) {
    put(line, "", value);
    while (line->used < columns && line->used < LINE_BYTES - 1) {
        line->text[line->used++] = ' ';
    }
    line->text[line->used] = '\0';
}

/* "2026-11-24T00:21:12.345Z" without day and zone. */
static struct bytes clock_of(struct bytes time) {
    if (time.size < TIME_START + TIME_BYTES) {
        return bytes_of("--:--:--.---");
    }
    return (struct bytes){time.data + TIME_START, TIME_BYTES};
}

static void put_details(struct line *line, const struct json *json, unsigned payload) {
    static const struct {
        const char *member, *before;
    } details[] = {
        {"attempt", ", attempt "}, {"phone", " on "}, {"outcome", ": "}, {"category", ", "}};
    char text[COMMAND_TEXT_BYTES];
    for (size_t i = 0; i < array_count(details); i++) {
        struct bytes value = command_member(json, payload, details[i].member, text);
        bool is_none = (value.size == 1 && value.data[0] == '0') ||
                       (value.size == 10 && memcmp(value.data, "unfinished", 10) == 0);
        put(line, details[i].before, is_none ? bytes_of("") : value);
    }
}

static void print_output(const struct json *json, unsigned payload) {
    static char output[OUTPUT_BYTES];
    unsigned value = 0;
    if (json_member(json, payload, "output_tail", &value) != STATUS_OK ||
        json_is_null(json, value)) {
        return;
    }
    if (json_get_string(json, value, output, sizeof output) == STATUS_OK) {
        text_print_lines((struct bytes){(const uint8_t *)output, strlen(output)}, "    | ");
    } else {
        text_print_lines(json_raw(json, value), "    | ");
    }
}

void event_line_print(const struct json *json, unsigned event, bool shows_output) {
    char text[COMMAND_TEXT_BYTES];
    struct line line = {.used = 0};
    unsigned payload = 0;
    bool has_payload = json_member(json, event, "payload", &payload) == STATUS_OK;
    put_padded(&line, clock_of(command_member(json, event, "created_at", text)), 14);
    put_padded(&line, command_member(json, event, "status", text), 31);
    put_padded(&line, command_member(json, event, "type", text), 49);
    put(&line, "", command_member(json, event, "message", text));
    if (has_payload) {
        put_details(&line, json, payload);
    }
    printf("%s\n", line.text);
    if (has_payload && shows_output) {
        print_output(json, payload);
    }
}
