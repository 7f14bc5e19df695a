#include "host/shared/capability_file.h"

#include "protocol/sha256.h"

#include <stdio.h>
#include <string.h>

enum { RULE_WORD_BYTES = 24 }; /* of a word in a rule */

/* What is being read. */
struct reader {
    struct capability *capability;
    struct action_list *list;
    const char *path;
};

typedef bool take_value(struct reader *reader, const char *value);

static bool take_text(char *target, size_t capacity, const char *value) {
    size_t size = strlen(value);
    if (size == 0 || size >= capacity) {
        return false;
    }
    memcpy(target, value, size + 1);
    return true;
}

/* Names become parts of URLs, JSON and metrics. */
static bool is_name(const char *text) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    return text[0] != '\0' && strspn(text, allowed) == strlen(text);
}

/* ---- [capability] ---- */

static bool take_name(struct reader *reader, const char *value) {
    return is_name(value) &&
           take_text(reader->capability->name, sizeof reader->capability->name, value);
}

static bool take_routing(struct reader *reader, const char *value) {
    static const char *const names[RECORD_ROUTING_COUNT] = {"direct", "queue", "group"};
    char part[16];
    while (config_next_part(&value, part, sizeof part)) {
        size_t i = 0;
        while (i < RECORD_ROUTING_COUNT && strcmp(part, names[i]) != 0) {
            i += 1;
        }
        if (i == RECORD_ROUTING_COUNT) {
            return false;
        }
        reader->capability->routings |= 1u << i;
    }
    return value == NULL && reader->capability->routings != 0;
}

static bool take_unattended(struct reader *reader, const char *value) {
    char part[32];
    while (config_next_part(&value, part, sizeof part)) {
        if (strcmp(part, "permitted") == 0) {
            reader->capability->is_permitted = true;
        } else if (strcmp(part, "live_verified") == 0) {
            reader->capability->is_live_verified = true;
        } else if (strcmp(part, "manual_only") != 0) {
            return false;
        }
    }
    return value == NULL;
}

static bool take_retry_on(struct reader *reader, const char *value) {
    char part[32];
    reader->capability->retryable = 0;
    while (config_next_part(&value, part, sizeof part)) {
        unsigned category = 0;
        while (category < RECORD_CATEGORY_COUNT &&
               strcmp(part, record_category_name(category)) != 0) {
            category += 1;
        }
        if (category == RECORD_CATEGORY_COUNT) {
            return false;
        }
        reader->capability->retryable |= category == 0 ? 0 : 1u << category;
    }
    return value == NULL;
}

static bool take_u64(const char *value, uint64_t min, uint64_t max, uint64_t factor,
                     uint64_t *target) {
    uint64_t number;
    if (config_integer(value, min, max, &number) != STATUS_OK) {
        return false;
    }
    *target = number * factor;
    return true;
}

static bool take_u32(const char *value, uint64_t min, uint64_t max, uint64_t factor,
                     uint32_t *target) {
    uint64_t number;
    if (!take_u64(value, min, max, factor, &number)) {
        return false;
    }
    *target = (uint32_t)number;
    return true;
}

static bool take_attempts(struct reader *reader, const char *value) {
    return take_u32(value, 1, 100, 1, &reader->capability->attempts_max);
}

static bool take_attempt_seconds(struct reader *reader, const char *value) {
    return take_u32(value, 1, 86400, 1000, &reader->capability->attempt_ms);
}

static bool take_backoff_ms(struct reader *reader, const char *value) {
    return take_u64(value, 0, 86400000, 1, &reader->capability->backoff.base_ms);
}

static bool take_backoff_cap(struct reader *reader, const char *value) {
    return take_u64(value, 0, 86400, 1000, &reader->capability->backoff.cap_ms);
}

static bool take_backoff_factor(struct reader *reader, const char *value) {
    return take_u32(value, 1, 10, 1, &reader->capability->backoff.factor);
}

static bool take_priority(struct reader *reader, const char *value) {
    uint32_t priority;
    bool is_good = take_u32(value, 0, 9, 1, &priority);
    reader->capability->priority = (uint8_t)(is_good ? priority : 0);
    return is_good;
}

static bool take_steps(struct reader *reader, const char *value) {
    return config_boolean(value, &reader->list->has_steps) == STATUS_OK;
}

static bool take_runner(struct reader *reader, const char *value) {
    reader->capability->is_external = strcmp(value, "external") == 0;
    return reader->capability->is_external || strcmp(value, "hub") == 0;
}

static bool take_lease(struct reader *reader, const char *value) {
    return take_u32(value, 1, 86400, 1000, &reader->capability->lease_ms);
}

static bool take_grant(struct reader *reader, const char *value) {
    return take_u32(value, 1, 86400, 1000, &reader->capability->grant_ms);
}

static bool take_stop(struct reader *reader, const char *value) {
    return take_u32(value, 1, 3600, 1000, &reader->capability->stop_ms);
}

static bool take_concurrency_key(struct reader *reader, const char *value) {
    return take_text(reader->capability->concurrency_key,
                     sizeof reader->capability->concurrency_key, value);
}

static bool take_concurrency(struct reader *reader, const char *value) {
    return take_u32(value, 1, 100000, 1, &reader->capability->concurrency_max);
}

static bool take_labels(struct reader *reader, const char *value) {
    return config_words(value, reader->capability->labels, CAPABILITY_LABELS_BYTES);
}

static bool take_budget(struct reader *reader, const char *value, enum budget_kind kind) {
    return take_u32(value, 1, 1000000, 1, &reader->capability->budget.per_hour[kind]);
}

static bool take_budget_attempts(struct reader *reader, const char *value) {
    return take_budget(reader, value, BUDGET_ATTEMPTS);
}

static bool take_budget_seconds(struct reader *reader, const char *value) {
    return take_budget(reader, value, BUDGET_SECONDS);
}

static bool take_budget_power_cycles(struct reader *reader, const char *value) {
    return take_budget(reader, value, BUDGET_POWER_CYCLES);
}

/* ---- [action.NAME] ---- */

static struct action *current(struct reader *reader) {
    check(reader->list->count > 0);
    return &reader->list->actions[reader->list->count - 1];
}

static bool take_type(struct reader *reader, const char *value) {
    static const char *const names[] = {"shell",  "push", "pull",  "verdict",
                                        "review", "exec", "flash", "power_cycle"};
    const uint32_t bit = 1u << (reader->list->count - 1);
    for (size_t i = 0; i < array_count(names); i++) {
        if (strcmp(value, names[i]) == 0) {
            current(reader)->kind = (enum action_kind)i;
            reader->capability->review_actions |= i == ACTION_REVIEW ? bit : 0;
            return true;
        }
    }
    return false;
}

static bool take_command(struct reader *reader, const char *value) {
    return take_text(current(reader)->command, sizeof current(reader)->command, value);
}

static bool take_source(struct reader *reader, const char *value) {
    return take_text(current(reader)->source, sizeof current(reader)->source, value);
}

static bool take_target(struct reader *reader, const char *value) {
    return take_text(current(reader)->target, sizeof current(reader)->target, value);
}

static bool take_max_bytes(struct reader *reader, const char *value) {
    return config_size(value, 1, (uint64_t)1 << 40, &current(reader)->max_bytes) == STATUS_OK;
}

static bool take_timeout(struct reader *reader, const char *value) {
    return take_u64(value, 1, 86400, 1000, &current(reader)->timeout_ms);
}

static bool take_always(struct reader *reader, const char *value) {
    return config_boolean(value, &current(reader)->is_always) == STATUS_OK;
}

static bool take_once(struct reader *reader, const char *value) {
    bool is_once = false;
    bool is_good = config_boolean(value, &is_once) == STATUS_OK;
    reader->capability->once_actions |= is_once ? 1u << (reader->list->count - 1) : 0;
    return is_good;
}

static bool take_fails_on(struct reader *reader, const char *value) {
    struct action *action = current(reader);
    char part[ACTION_TEXT_BYTES];
    while (config_next_part(&value, part, sizeof part)) {
        if (action->fails_on_count == ACTION_FAILS_MAX) {
            return false;
        }
        memcpy(action->fails_on[action->fails_on_count++], part, sizeof part);
    }
    return value == NULL;
}

static bool take_any_status(struct reader *reader, const char *value) {
    return config_boolean(value, &current(reader)->ignores_status) == STATUS_OK;
}

/* ---- rules: number.KEY, text.KEY, attention.ACTION.KEY, critical.ACTION.KEY ---- */

/* Takes a word off the front; false: none is left, or it is too long. */
static bool take_word(const char **text, char word[RULE_WORD_BYTES]) {
    *text += strspn(*text, " ");
    size_t size = strcspn(*text, " ");
    if (size == 0 || size >= RULE_WORD_BYTES) {
        return false;
    }
    memcpy(word, *text, size);
    word[size] = '\0';
    *text += size;
    return true;
}

/* Takes `NAME N` off the front, N from 1. */
static bool take_place(const char **text, const char *name, uint32_t *place) {
    char word[RULE_WORD_BYTES];
    const char *rest = *text;
    uint64_t number;
    if (!take_word(&rest, word) || strcmp(word, name) != 0 || !take_word(&rest, word) ||
        config_integer(word, 1, 10000, &number) != STATUS_OK) {
        return false;
    }
    *place = (uint32_t)number;
    *text = rest;
    return true;
}

/* `line N column M`, or the text that the value follows. */
static bool take_rule(struct reader *reader, const char *key, const char *value, bool is_number) {
    struct action *action = current(reader);
    if (action->rule_count == ACTION_RULES_MAX || !is_name(key)) {
        return false;
    }
    struct action_rule *rule = &action->rules[action->rule_count];
    const char *rest = value;
    rule->kind = is_number ? ACTION_NUMBER_AFTER : ACTION_TEXT_AFTER;
    if (is_number && strncmp(value, "line ", 5) == 0) {
        rule->kind = ACTION_NUMBER_AT;
        if (!take_place(&rest, "line", &rule->line) ||
            !take_place(&rest, "column", &rule->column) || *rest != '\0') {
            return false;
        }
    }
    action->rule_count += 1;
    return take_text(rule->key, sizeof rule->key, key) &&
           take_text(rule->after, sizeof rule->after, value);
}

/* A decimal number with an optional minus sign. */
static bool read_bound(const char *text, int64_t *bound) {
    bool is_negative = text[0] == '-';
    uint64_t number;
    if (config_integer(text + (is_negative ? 1 : 0), 0, INT64_MAX, &number) != STATUS_OK) {
        return false;
    }
    *bound = is_negative ? -(int64_t)number : (int64_t)number;
    return true;
}

/* `below N` or `above N`, about ACTION.KEY. */
static bool take_limit(struct reader *reader, const char *about, const char *value,
                       bool is_critical) {
    struct action *action = current(reader);
    const char *dot = strchr(about, '.');
    if (action->limit_count == ACTION_RULES_MAX || dot == NULL ||
        (size_t)(dot - about) >= ACTION_KEY_BYTES) {
        return false;
    }
    struct action_limit *limit = &action->limits[action->limit_count];
    *limit = (struct action_limit){.is_critical = is_critical};
    char word[RULE_WORD_BYTES];
    char bound[RULE_WORD_BYTES];
    if (!take_word(&value, word) || !take_word(&value, bound) || *value != '\0' ||
        !read_bound(bound, &limit->bound)) {
        return false;
    }
    limit->is_below = strcmp(word, "below") == 0;
    memcpy(limit->action, about, (size_t)(dot - about));
    action->limit_count += 1;
    return (limit->is_below || strcmp(word, "above") == 0) &&
           take_text(limit->key, sizeof limit->key, dot + 1);
}

static bool starts_with(const char *text, const char *front, const char **rest) {
    size_t size = strlen(front);
    *rest = text + size;
    return strncmp(text, front, size) == 0;
}

/* ---- lines ---- */

struct key {
    const char *name;
    take_value *take;
    const char *expected;
};

static const struct key capability_keys[] = {
    {"name", take_name, "a name of a-z, 0-9, _ and -"},
    {"routing", take_routing, "some of direct, queue, group"},
    {"unattended", take_unattended, "some of permitted, live_verified; or manual_only"},
    {"attempts", take_attempts, "1 to 100"},
    {"attempt_seconds", take_attempt_seconds, "1 to 86400"},
    {"backoff_ms", take_backoff_ms, "0 to 86400000"},
    {"backoff_factor", take_backoff_factor, "1 to 10"},
    {"backoff_cap_seconds", take_backoff_cap, "0 to 86400"},
    {"retry_on", take_retry_on, "error categories, such as exit_code, timeout, phone_lost, adb"},
    {"priority", take_priority, "0 (last) to 9 (first)"},
    {"steps", take_steps, "on or off"},
    {"runner", take_runner, "hub or external"},
    {"lease_seconds", take_lease, "1 to 86400"},
    {"stop_seconds", take_stop, "1 to 3600"},
    {"grant_seconds", take_grant, "1 to 86400"},
    {"concurrency_key", take_concurrency_key, "a text of 1 to 64 bytes"},
    {"concurrency", take_concurrency, "1 to 100000"},
    {"labels", take_labels, "words of letters, digits and _ . : - that a phone must have"},
    {"budget_attempts_per_hour", take_budget_attempts, "1 to 1000000"},
    {"budget_seconds_per_hour", take_budget_seconds, "1 to 1000000"},
    {"budget_power_cycles_per_hour", take_budget_power_cycles, "1 to 1000000"},
};

static const struct key action_keys[] = {
    {"type", take_type, "shell, push, pull, verdict, review, exec, flash or power_cycle"},
    {"command", take_command, "a command for the phone's shell, or a program and its words"},
    {"source", take_source, "a path"},
    {"target", take_target, "a path"},
    {"max_bytes", take_max_bytes, "a size, such as 16MiB"},
    {"timeout_seconds", take_timeout, "1 to 86400"},
    {"always", take_always, "on or off"},
    {"once", take_once, "on or off"},
    {"any_status", take_any_status, "on or off"},
    {"fails_on", take_fails_on, "texts with commas between them, at most 4"},
};

static bool take_key(struct reader *reader, const struct key *keys, size_t count,
                     const struct config_item *item, struct config_error *error) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(item->key, keys[i].name) == 0) {
            return keys[i].take(reader, item->value) ||
                   config_refuse(error, item, keys[i].expected);
        }
    }
    return config_refuse(error, item, "a key of this section");
}

static bool take_action_key(struct reader *reader, const struct config_item *item,
                            struct config_error *error) {
    const char *rest;
    bool is_number = starts_with(item->key, "number.", &rest);
    if (is_number || starts_with(item->key, "text.", &rest)) {
        return take_rule(reader, rest, item->value, is_number) ||
               config_refuse(error, item, "the text before the value, or `line N column M`");
    }
    bool is_critical = starts_with(item->key, "critical.", &rest);
    if (is_critical || starts_with(item->key, "attention.", &rest)) {
        return take_limit(reader, rest, item->value, is_critical) ||
               config_refuse(error, item, "`below N` or `above N`");
    }
    return take_key(reader, action_keys, array_count(action_keys), item, error);
}

static bool begin_action(struct reader *reader, const struct config_item *item,
                         struct config_error *error) {
    struct bytes name = {(const uint8_t *)item->suffix, strlen(item->suffix)};
    if (!is_name(item->suffix) || name.size >= ACTION_KEY_BYTES ||
        action_find(reader->list, name) != UINT32_MAX ||
        reader->list->count == CAPABILITY_ACTIONS_MAX) {
        return config_refuse(error, item,
                             "[action.NAME] with a new short name, at most 32 actions");
    }
    reader->list->count += 1;
    *current(reader) = (struct action){.timeout_ms = 30000, .max_bytes = 16 << 20};
    return take_text(current(reader)->name, sizeof current(reader)->name, item->suffix);
}

static bool visit(void *owner, const struct config_item *item, struct config_error *error) {
    struct reader *reader = owner;
    const char *rest;
    bool is_action = starts_with(item->section, "action.", &rest);
    if (!is_action && strcmp(item->section, "capability") != 0) {
        return config_refuse(error, item, "[capability] or [action.NAME]");
    }
    if (item->key == NULL) {
        return !is_action || begin_action(reader, item, error);
    }
    if (is_action) {
        return take_action_key(reader, item, error);
    }
    return take_key(reader, capability_keys, array_count(capability_keys), item, error);
}

/* ---- the whole ---- */

static const char *what_is_missing(const struct action *action) {
    bool is_transfer = action->kind == ACTION_PUSH || action->kind == ACTION_PULL;
    bool is_command = action->kind == ACTION_SHELL || action->kind == ACTION_EXEC;
    if (is_command && action->command[0] == '\0') {
        return "command";
    }
    if (action->kind == ACTION_EXEC && action->command[0] != '/') {
        return "a command that begins with the path of a program";
    }
    if (action->kind == ACTION_FLASH && action->source[0] != '/') {
        return "a source that is the whole path of a folder";
    }
    if (is_transfer && (action->source[0] == '\0' || action->target[0] == '\0')) {
        return "source and target";
    }
    return NULL;
}

static enum status check_whole(const struct reader *reader, struct config_error *error) {
    const struct capability *capability = reader->capability;
    const char *wrong = NULL;
    if (capability->name[0] == '\0' || (reader->list->count == 0 && !capability->is_external)) {
        wrong = "[capability] name and actions";
    } else if (capability->is_external && reader->list->count > 0) {
        wrong = "no actions: external workers know themselves what to do";
    }
    if (wrong != NULL) {
        snprintf(error->text, sizeof error->text, "%.300s: expected %s", reader->path, wrong);
        return STATUS_MALFORMED;
    }
    for (uint32_t i = 0; i < reader->list->count; i++) {
        const char *missing = what_is_missing(&reader->list->actions[i]);
        if (missing != NULL) {
            snprintf(error->text, sizeof error->text, "%.300s: [action.%s] expected %s",
                     reader->path, reader->list->actions[i].name, missing);
            return STATUS_MALFORMED;
        }
    }
    return STATUS_OK;
}

/* Over all that an action does, so that an item never goes on in the middle of other actions. */
static uint64_t digest_actions(const struct action_list *list) {
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    uint64_t value = 0;
    sha256_init(&hash);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct action *action = &list->actions[i];
        const char *const texts[] = {action->name, action->command, action->source, action->target};
        const uint8_t kind = (uint8_t)action->kind;
        sha256_add(&hash, (struct bytes){&kind, 1});
        for (size_t t = 0; t < array_count(texts); t++) {
            sha256_add(&hash, (struct bytes){(const uint8_t *)texts[t], strlen(texts[t]) + 1});
        }
    }
    sha256_end(&hash, digest);
    for (size_t i = 0; i < sizeof value; i++) {
        value = value << 8 | digest[i];
    }
    return value == 0 ? 1 : value; /* 0 stands for none */
}

enum status capability_file_read(const char *path, struct capability *capability,
                                 struct action_list *list, struct config_error *error) {
    const uint32_t usual = 1u << RECORD_CATEGORY_TIMEOUT | 1u << RECORD_CATEGORY_PHONE_LOST |
                           1u << RECORD_CATEGORY_ADB | 1u << RECORD_CATEGORY_USB |
                           1u << RECORD_CATEGORY_HOST_RESTARTED |
                           1u << RECORD_CATEGORY_LEASE_EXPIRED;
    struct reader reader = {.capability = capability, .list = list, .path = path};
    memset(list, 0, sizeof *list);
    *capability = (struct capability){
        .priority = 5,
        .attempts_max = 3,
        .backoff = {.base_ms = 2000, .cap_ms = 60000, .factor = 2},
        .retryable = usual,
        .attempt_ms = 300000,
    };
    enum status status = config_read_each(path, visit, &reader, error);
    if (status != STATUS_OK) {
        return status;
    }
    capability->action_count = capability->is_external ? 1 : list->count;
    capability->actions_digest = digest_actions(list);
    if (capability->routings == 0) {
        capability->routings = 1u << RECORD_DIRECT | 1u << RECORD_QUEUE | 1u << RECORD_GROUP;
    }
    return check_whole(&reader, error);
}
