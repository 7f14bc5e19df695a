/* Any bytes as a record that a reader asks for: what is taken becomes one JSON object that reads
 * back, and nothing is written of what is not. */
#include "host/shared/json.h"
#include "host/shared/process_event.h"

#include <stdlib.h>
#include <string.h>

enum { TOKENS = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char text[256 * 1024];
    static jsmntok_t tokens[TOKENS];
    static const struct record_boot boots[] = {{.boot = 1, .offset_ms = 1700000000000}};
    const struct process_clock clock = {boots, array_count(boots)};
    const struct bytes record = {data, size};
    struct process_id id;
    struct json_writer writer;
    struct record_header header;
    struct bytes written;
    check(process_id_parse(bytes_of("hub-1-7"), &id) == STATUS_OK);
    json_write_init(&writer, text, sizeof text);
    if (process_event_write(&writer, NULL, &id, record, &clock) != STATUS_OK) {
        return 0;
    }
    check(process_event_read(record, &header) == STATUS_OK);
    struct json json;
    struct json_error error;
    check(json_write_finish(&writer, &written) == STATUS_OK);
    enum status status = json_parse(&json, written, tokens, TOKENS, &error);
    check(status == STATUS_OK || status == STATUS_TOO_LARGE || status == STATUS_FULL);
    check(status != STATUS_OK || json_type(&json, 0) == JSON_OBJECT);
    return 0;
}
