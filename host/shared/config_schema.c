/* The schema side of config.h: which key stands where, and what its value may be. */
#include "host/shared/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct filling {
    const struct config_schema *schema;
    const char *file;
    char section[64];   /* the present one */
    uint64_t seen;      /* a bit for each key that ever came */
    uint64_t seen_here; /* in the present section */
};

static bool is_dynamic(const char *pattern) {
    size_t size = strlen(pattern);
    return size > 2 && strcmp(pattern + size - 2, ".*") == 0;
}

static bool is_in(const char *pattern, const char *section) {
    if (!is_dynamic(pattern)) {
        return strcmp(pattern, section) == 0;
    }
    size_t size = strlen(pattern) - 1; /* with the dot */
    return strncmp(pattern, section, size) == 0 && section[size] != '\0';
}

enum status config_integer(const char *text, uint64_t min, uint64_t max, uint64_t *value) {
    uint64_t sum = 0;
    size_t size = strlen(text);
    if (size == 0 || strspn(text, "0123456789") != size) {
        return STATUS_MALFORMED;
    }
    for (; *text != '\0'; text++) {
        unsigned digit = (unsigned)(*text - '0');
        if (sum > (UINT64_MAX - digit) / 10) {
            return STATUS_TOO_LARGE;
        }
        sum = sum * 10 + digit;
    }
    if (sum < min || sum > max) {
        return STATUS_TOO_LARGE;
    }
    *value = sum;
    return STATUS_OK;
}

enum status config_size(const char *text, uint64_t min, uint64_t max, uint64_t *value) {
    static const char units[][4] = {"KiB", "MiB", "GiB"};
    char digits[24];
    size_t size = strspn(text, "0123456789");
    const char *unit = text + size + strspn(text + size, " ");
    unsigned shift = 0;
    for (unsigned i = 0; i < array_count(units); i++) {
        shift = strcmp(unit, units[i]) == 0 ? 10 * (i + 1) : shift;
    }
    if (size == 0 || size >= sizeof digits || (shift == 0 && *unit != '\0')) {
        return STATUS_MALFORMED;
    }
    memcpy(digits, text, size);
    digits[size] = '\0';
    uint64_t count = 0;
    enum status status = config_integer(digits, 0, UINT64_MAX >> shift, &count);
    if (status != STATUS_OK) {
        return status;
    }
    if (count << shift < min || count << shift > max) {
        return STATUS_TOO_LARGE;
    }
    *value = count << shift;
    return STATUS_OK;
}

enum status config_boolean(const char *text, bool *value) {
    bool is_on = strcmp(text, "on") == 0;
    if (!is_on && strcmp(text, "off") != 0) {
        return STATUS_MALFORMED;
    }
    *value = is_on;
    return STATUS_OK;
}

bool config_next_part(const char **list, char *part, size_t capacity) {
    if (*list == NULL) {
        return false;
    }
    const char *begin = *list + strspn(*list, " \t");
    size_t size = strcspn(begin, ",");
    const char *next = begin[size] == ',' ? begin + size + 1 : NULL;
    while (size > 0 && (begin[size - 1] == ' ' || begin[size - 1] == '\t')) {
        size--;
    }
    if (size >= capacity) {
        return false;
    }
    memcpy(part, begin, size);
    part[size] = '\0';
    *list = next;
    return size > 0 || next != NULL;
}

bool config_words(const char *list, char *text, size_t capacity) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-";
    char word[CONFIG_LINE_BYTES];
    size_t used = 0;
    text[0] = '\0';
    while (config_next_part(&list, word, sizeof word)) {
        size_t size = strlen(word);
        if (size == 0 || strspn(word, allowed) != size || used + size + 2 > capacity) {
            return false;
        }
        used += (size_t)snprintf(text + used, capacity - used, "%s%s", used > 0 ? " " : "", word);
    }
    return list == NULL;
}

static void describe(const struct config_key *key, char *text, size_t capacity) {
    switch (key->kind) {
    case CONFIG_STRING:
        snprintf(text, capacity, "a text of 1 to %zu bytes", key->capacity - 1);
        break;
    case CONFIG_PATH:
        snprintf(text, capacity, "a path of 1 to %zu bytes", key->capacity - 1);
        break;
    case CONFIG_INTEGER:
        snprintf(text, capacity, "a whole number from %" PRIu64 " to %" PRIu64, key->min, key->max);
        break;
    case CONFIG_SIZE:
        snprintf(text, capacity,
                 "a size from %" PRIu64 " to %" PRIu64 " bytes, as 512, 64 KiB, 8 MiB or 1 GiB",
                 key->min, key->max);
        break;
    case CONFIG_BOOLEAN:
        snprintf(text, capacity, "on or off");
        break;
    case CONFIG_EACH:
    default:
        snprintf(text, capacity, "%s", key->expected);
        break;
    }
}

static bool take(const struct config_key *key, const struct config_item *item) {
    size_t size = strlen(item->value);
    switch (key->kind) {
    case CONFIG_STRING:
    case CONFIG_PATH:
        if (size == 0 || size >= key->capacity) {
            return false;
        }
        memcpy(key->target, item->value, size + 1);
        return true;
    case CONFIG_INTEGER:
        return config_integer(item->value, key->min, key->max, key->target) == STATUS_OK;
    case CONFIG_SIZE:
        return config_size(item->value, key->min, key->max, key->target) == STATUS_OK;
    case CONFIG_BOOLEAN:
        return config_boolean(item->value, key->target) == STATUS_OK;
    case CONFIG_EACH:
    default:
        return key->take(key->target, item);
    }
}

/* Names what may stand here: the keys of the section, or the sections. */
static void list_choices(const struct config_schema *schema, const char *section, char *text,
                         size_t capacity) {
    size_t used = (size_t)snprintf(text, capacity, "one of");
    const char *last = "";
    for (size_t i = 0; i < schema->count && used < capacity; i++) {
        const struct config_key *key = &schema->keys[i];
        bool is_new =
            section != NULL ? is_in(key->section, section) : strcmp(key->section, last) != 0;
        last = key->section;
        if (is_new) {
            used +=
                (size_t)snprintf(text + used, capacity - used, section != NULL ? " %s" : " [%s]",
                                 section != NULL ? key->key : key->section);
        }
    }
}

static bool check_missing(const struct filling *filling, bool is_end, struct config_error *error) {
    for (size_t i = 0; i < filling->schema->count; i++) {
        const struct config_key *key = &filling->schema->keys[i];
        bool dynamic = is_dynamic(key->section);
        bool is_due = dynamic ? is_in(key->section, filling->section) : is_end;
        uint64_t seen = dynamic ? filling->seen_here : filling->seen;
        if (!key->is_required || !is_due || (seen >> i & 1) != 0) {
            continue;
        }
        char expected[160];
        describe(key, expected, sizeof expected);
        snprintf(error->text, sizeof error->text, "%s: [%s] %s: missing; expected %s",
                 filling->file, dynamic ? filling->section : key->section, key->key, expected);
        return false;
    }
    return true;
}

static bool enter(struct filling *filling, const struct config_item *item,
                  struct config_error *error) {
    char expected[320];
    if (!check_missing(filling, false, error)) {
        return false;
    }
    snprintf(filling->section, sizeof filling->section, "%s", item->section);
    filling->seen_here = 0;
    for (size_t i = 0; i < filling->schema->count; i++) {
        if (is_in(filling->schema->keys[i].section, item->section)) {
            return true;
        }
    }
    list_choices(filling->schema, NULL, expected, sizeof expected);
    return config_refuse(error, item, expected);
}

static bool on_item(void *owner, const struct config_item *item, struct config_error *error) {
    struct filling *filling = owner;
    char expected[320];
    if (item->key == NULL) {
        return enter(filling, item, error);
    }
    for (size_t i = 0; i < filling->schema->count; i++) {
        const struct config_key *key = &filling->schema->keys[i];
        if (!is_in(key->section, item->section) || strcmp(key->key, item->key) != 0) {
            continue;
        }
        uint64_t seen = is_dynamic(key->section) ? filling->seen_here : filling->seen;
        if (key->kind != CONFIG_EACH && (seen >> i & 1) != 0) {
            return config_refuse(error, item, "this key only once");
        }
        filling->seen |= UINT64_C(1) << i;
        filling->seen_here |= UINT64_C(1) << i;
        describe(key, expected, sizeof expected);
        return take(key, item) || config_refuse(error, item, expected);
    }
    list_choices(filling->schema, item->section, expected, sizeof expected);
    struct config_item unknown = *item;
    unknown.value = item->key;
    return config_refuse(error, &unknown, expected);
}

enum status config_parse(const char *file, struct bytes text, const struct config_schema *schema,
                         struct config_error *error) {
    check(schema->count <= CONFIG_KEYS);
    struct filling filling = {.schema = schema, .file = file};
    enum status status = config_each(file, text, on_item, &filling, error);
    if (status == STATUS_OK && !check_missing(&filling, true, error)) {
        status = STATUS_MALFORMED;
    }
    return status;
}
