/* Any bytes: what is accepted must be walked, decoded, pointed at and read again the same. */
#include "host/shared/json.h"
#include "host/shared/json_write.h"

#include <stdlib.h>
#include <string.h>

enum { TOKENS = 512 };

static jsmntok_t tokens[TOKENS], again[TOKENS];
static char text[8192];

static void look_at(const struct json *json, unsigned token) {
    char pointer[64];
    uint64_t number = 0;
    int64_t signed_number = 0;
    struct bytes raw = json_raw(json, token);
    check(raw.size > 0 && raw.data >= json->text.data);
    check(raw.data + raw.size <= json->text.data + json->text.size);
    json_pointer(json, token, pointer, sizeof pointer);
    check(strlen(pointer) < sizeof pointer && (token == 0) == (pointer[0] == '\0' && token == 0));
    if (json_get_string(json, token, text, sizeof text) == STATUS_OK) {
        check(json_type(json, token) == JSON_STRING && json_equals(json, token, text));
    }
    if (json_get_uint(json, token, UINT64_MAX, &number) == STATUS_OK && number <= INT64_MAX) {
        check(json_get_int(json, token, INT64_MIN, INT64_MAX, &signed_number) == STATUS_OK);
        check((uint64_t)signed_number == number);
    }
}

/* Writes a container's members again, raw, and reads that. */
static void write_again(const struct json *json) {
    struct json_writer writer;
    struct json_error error;
    struct json copy;
    struct json_cursor at = {0, 0};
    struct bytes written;
    unsigned count = 0;
    json_write_init(&writer, text, sizeof text);
    json_write_begin_array(&writer, NULL);
    while (json_each(json, 0, &at)) {
        json_write_raw(&writer, NULL, json_raw(json, at.value));
        count++;
    }
    json_write_end_array(&writer);
    check(count == json_size(json, 0));
    if (json_write_finish(&writer, &written) == STATUS_OK) {
        check(json_parse(&copy, written, again, TOKENS, &error) == STATUS_OK);
        check(json_size(&copy, 0) == count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct json json;
    struct json_error error;
    enum status status = json_parse(&json, (struct bytes){data, size}, tokens, TOKENS, &error);
    if (status != STATUS_OK) {
        check(error.offset <= size && error.reason != NULL);
        check(strcmp(error.reason, "not understood") != 0);
        check(memchr(error.pointer, '\0', sizeof error.pointer) != NULL);
        return 0;
    }
    for (unsigned token = 0; token < json.count; token++) {
        look_at(&json, token);
    }
    write_again(&json);
    struct json_writer writer;
    struct bytes written;
    json_write_init(&writer, text, sizeof text);
    json_write_begin_array(&writer, NULL);
    json_write_bytes(&writer, NULL, (struct bytes){data, size});
    json_write_end_array(&writer);
    if (json_write_finish(&writer, &written) == STATUS_OK) {
        check(json_parse(&json, written, again, TOKENS, &error) == STATUS_OK);
    }
    return 0;
}
