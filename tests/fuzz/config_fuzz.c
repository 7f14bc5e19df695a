/* Any bytes as a configuration file: OK, or an error that names the file. */
#include "host/shared/config.h"

#include <stdlib.h>
#include <string.h>

static char name[16], path[64];
static uint64_t number, size_bytes;
static bool is_on;

static bool take_any(void *target, const struct config_item *item) {
    const char *list = item->value;
    char part[16];
    (void)target;
    while (config_next_part(&list, part, sizeof part)) {
        check(strlen(part) < sizeof part);
    }
    return item->line > 0 && strlen(item->suffix) < strlen(item->section);
}

static const struct config_key keys[] = {
    {"a", "n", CONFIG_STRING, .is_required = true, .target = name, .capacity = sizeof name},
    {"a", "p", CONFIG_PATH, .target = path, .capacity = sizeof path},
    {"a", "i", CONFIG_INTEGER, .target = &number, .min = 1, .max = 100},
    {"a", "s", CONFIG_SIZE, .target = &size_bytes, .max = UINT64_MAX},
    {"b", "o", CONFIG_BOOLEAN, .target = &is_on},
    {"c.*", "l", CONFIG_EACH, .is_required = true, .take = take_any, .expected = "a list"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct config_schema schema = {keys, array_count(keys)};
    struct config_error error = {""};
    enum status status = config_parse("f.ini", (struct bytes){data, size}, &schema, &error);
    check(status == STATUS_OK || status == STATUS_MALFORMED);
    check((status == STATUS_OK) == (strncmp(error.text, "f.ini:", 6) != 0));
    check(memchr(error.text, '\0', sizeof error.text) != NULL);
    check(number <= 100 && memchr(name, '\0', sizeof name) != NULL);
    return 0;
}
