#include "host/shared/process_member.h"

#include "host/shared/json.h"
#include "protocol/text.h"

void process_member_raw(struct json_writer *writer, const char *name, struct bytes json,
                        const char *otherwise) {
    if (json.size > 0) {
        json_write_raw(writer, name, json);
        return;
    }
    size_t size = 0;
    while (otherwise[size] != '\0') {
        size += 1;
    }
    json_write_raw(writer, name, (struct bytes){(const uint8_t *)otherwise, size});
}

void process_member_json(struct json_writer *writer, const char *name, struct bytes json,
                         const char *otherwise) {
    process_member_raw(writer, name, json_is_whole(json) ? json : (struct bytes){0}, otherwise);
}

void process_member_text(struct json_writer *writer, const char *name, struct bytes text) {
    if (text.size == 0) {
        json_write_null(writer, name);
    } else {
        json_write_bytes(writer, name, text);
    }
}

void process_member_big(struct json_writer *writer, const char *name, uint64_t value) {
    uint8_t digits[20];
    struct text_writer text = {.data = digits, .capacity = sizeof digits};
    text_put_number(&text, value);
    json_write_bytes(writer, name, (struct bytes){digits, text.size});
}

void process_member_id(struct json_writer *writer, const char *name, const struct process_id *id) {
    char text[PROCESS_ID_SIZE];
    process_id_format(id, text);
    json_write_string(writer, name, text);
}

void process_member_optional(struct json_writer *writer, const char *name, const char *text) {
    if (text == NULL) {
        json_write_null(writer, name);
    } else {
        json_write_string(writer, name, text);
    }
}
