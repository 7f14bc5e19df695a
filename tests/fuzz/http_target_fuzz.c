/* Any bytes as a request's target, and as what stands in one: values of a query, ids of processes
 * and items, times. What is taken is written again the same. */
#include "host/shared/http_target.h"
#include "host/shared/process_id.h"
#include "host/shared/rfc3339.h"

#include <stdlib.h>
#include <string.h>

static uint8_t text[4096];

static void look_at_target(const struct http_target *target, size_t size) {
    check(target->path.size > 0 && target->path.data[0] == '/');
    check(target->path.data >= text && target->path.data + target->path.size <= text + size);
    for (size_t i = 0; i < target->path.size; i++) {
        check(target->path.data[i] >= ' ' && target->path.data[i] != 0x7f);
    }
    static const char *const names[] = {"a", "limit", "cursor"};
    for (size_t i = 0; i < array_count(names); i++) {
        char value[16];
        enum status status = http_target_value(target->query, names[i], value, sizeof value);
        check(status != STATUS_OK || strlen(value) < sizeof value);
    }
}

static void look_at_id(struct bytes name) {
    struct process_id id;
    char again[PROCESS_ID_SIZE];
    if (process_id_parse(name, &id) == STATUS_OK || process_id_parse_item(name, &id) == STATUS_OK) {
        process_id_format(&id, again);
        check(strlen(again) == name.size && memcmp(again, name.data, name.size) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size >= sizeof text) {
        return 0;
    }
    struct http_target target;
    uint64_t unix_ms = 0;
    memcpy(text, data, size);
    if (http_target_read(text, size, &target) == STATUS_OK) {
        look_at_target(&target, size);
    }
    look_at_id((struct bytes){data, size});
    memcpy(text, data, size);
    text[size] = '\0';
    (void)!rfc3339_parse((const char *)text, &unix_ms);
    return 0;
}
