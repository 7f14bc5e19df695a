/* Labels: what a phone has, what a capability and a request want, and which phones match. */
#include "firmware/hub_internal.h"

#include <string.h>

static bool is_label_byte(uint8_t byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == '.' || byte == ':' || byte == '-';
}

enum status hub_labels_copy(char target[HUB_LABELS_BYTES], struct bytes text) {
    bool in_word = false;
    if (text.size >= HUB_LABELS_BYTES) {
        return STATUS_MALFORMED;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (!is_label_byte(text.data[i]) && !(text.data[i] == ' ' && in_word)) {
            return STATUS_MALFORMED;
        }
        in_word = text.data[i] != ' ';
    }
    if (text.size > 0 && !in_word) {
        return STATUS_MALFORMED;
    }
    memset(target, 0, HUB_LABELS_BYTES);
    if (text.size > 0) {
        memcpy(target, text.data, text.size);
    }
    return STATUS_OK;
}

static void skip_space(struct bytes *rest) {
    while (rest->size > 0 && (rest->data[0] == ' ' || rest->data[0] == '\t' ||
                              rest->data[0] == '\n' || rest->data[0] == '\r')) {
        rest->data += 1;
        rest->size -= 1;
    }
}

static bool take_byte(struct bytes *rest, uint8_t byte) {
    skip_space(rest);
    if (rest->size == 0 || rest->data[0] != byte) {
        return false;
    }
    rest->data += 1;
    rest->size -= 1;
    return true;
}

/* A string of the array goes behind the words before it. */
static bool take_string(struct bytes *rest, char text[HUB_LABELS_BYTES], size_t *size) {
    if (!take_byte(rest, '"')) {
        return false;
    }
    if (*size > 0) {
        text[*size] = ' ';
        *size += 1;
    }
    size_t from = *size;
    while (rest->size > 0 && is_label_byte(rest->data[0]) && *size < HUB_LABELS_BYTES - 2) {
        text[*size] = (char)rest->data[0];
        *size += 1;
        rest->data += 1;
        rest->size -= 1;
    }
    return *size > from && take_byte(rest, '"');
}

enum status hub_labels_parse(char text[HUB_LABELS_BYTES], struct bytes json) {
    size_t size = 0;
    memset(text, 0, HUB_LABELS_BYTES);
    if (json.size == 0) {
        return STATUS_OK;
    }
    bool is_good = take_byte(&json, '[');
    if (is_good && !take_byte(&json, ']')) {
        do {
            is_good = take_string(&json, text, &size);
        } while (is_good && take_byte(&json, ','));
        is_good = is_good && take_byte(&json, ']');
    }
    skip_space(&json);
    return is_good && json.size == 0 ? STATUS_OK : STATUS_MALFORMED;
}

/* ---- matching ---- */

/* Whether `word`, up to its end or a space, is one of the words of `text`; none is empty. */
static bool has_word(const char *text, const char *word) {
    while (*text != '\0') {
        size_t i = 0;
        while (word[i] != '\0' && word[i] != ' ' && text[i] == word[i]) {
            i += 1;
        }
        bool is_end = (word[i] == '\0' || word[i] == ' ') && (text[i] == '\0' || text[i] == ' ');
        if (is_end) {
            return true;
        }
        while (*text != '\0' && *text != ' ') {
            text += 1;
        }
        text += *text == ' ' ? 1 : 0;
    }
    return false;
}

static bool has_all(const struct hub_phone *phone, const char *wanted) {
    while (*wanted != '\0') {
        if (!has_word(phone->labels, wanted) && !has_word(phone->slot_labels, wanted)) {
            return false;
        }
        while (*wanted != '\0' && *wanted != ' ') {
            wanted += 1;
        }
        wanted += *wanted == ' ' ? 1 : 0;
    }
    return true;
}

static uint32_t *row_of(const struct hub *hub, uint32_t row) {
    return &hub->matches[(size_t)row * hub_phone_words(hub->board)];
}

static void set_bit(uint32_t *row, uint32_t phone, bool value) {
    uint32_t bit = UINT32_C(1) << phone % 32;
    row[phone / 32] = value ? row[phone / 32] | bit : row[phone / 32] & ~bit;
}

static void match_row(struct hub *hub, uint32_t row, const char *wanted) {
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        set_bit(row_of(hub, row), p, has_all(&hub->phones[p], wanted));
    }
}

void hub_labels_match_capability(struct hub *hub, uint32_t capability) {
    match_row(hub, capability, hub->capabilities[capability].labels);
    hub->is_unscheduled = true;
}

void hub_labels_match_phone(struct hub *hub, uint32_t phone) {
    const struct hub_phone *of = &hub->phones[phone];
    for (uint32_t c = 0; c < hub->capability_count; c++) {
        set_bit(row_of(hub, c), phone, has_all(of, hub->capabilities[c].labels));
    }
    for (uint32_t s = 0; s < hub->board->label_sets; s++) {
        if (hub->label_sets[s].references > 0) {
            set_bit(row_of(hub, hub->board->capabilities + s), phone,
                    has_all(of, hub->label_sets[s].text));
        }
    }
    hub->is_unscheduled = true;
}

uint32_t hub_labels_matching(const struct hub *hub, const struct hub_lane *lane, uint32_t word) {
    uint32_t bits = row_of(hub, lane->capability)[word];
    if (lane->label_set != HUB_NONE) {
        bits &= row_of(hub, hub->board->capabilities + lane->label_set)[word];
    }
    if (lane->phone != HUB_NONE) {
        bits &= lane->phone / 32 == word ? UINT32_C(1) << lane->phone % 32 : 0;
    }
    return bits;
}

/* ---- sets that requests ask for ---- */

enum status hub_labels_take(struct hub *hub, struct bytes json, uint32_t *set) {
    char text[HUB_LABELS_BYTES];
    uint32_t free_set = HUB_NONE;
    *set = HUB_NONE;
    enum status status = hub_labels_parse(text, json);
    if (status != STATUS_OK || text[0] == '\0') {
        return status;
    }
    for (uint32_t s = 0; s < hub->board->label_sets && *set == HUB_NONE; s++) {
        struct hub_label_set *of = &hub->label_sets[s];
        if (of->references == 0) {
            free_set = free_set == HUB_NONE ? s : free_set;
        } else if (memcmp(of->text, text, HUB_LABELS_BYTES) == 0) {
            *set = s;
        }
    }
    if (*set == HUB_NONE && free_set == HUB_NONE) {
        return STATUS_FULL;
    }
    if (*set == HUB_NONE) {
        *set = free_set;
        memcpy(hub->label_sets[free_set].text, text, HUB_LABELS_BYTES);
        match_row(hub, hub->board->capabilities + free_set, text);
    }
    hub->label_sets[*set].references += 1;
    return STATUS_OK;
}

void hub_labels_give(struct hub *hub, uint32_t set) {
    if (set != HUB_NONE) {
        check(hub->label_sets[set].references > 0);
        hub->label_sets[set].references -= 1;
    }
}

/* ---- what is said of a phone ---- */

enum status hub_phone_label(struct hub *hub, uint32_t phone, struct bytes labels) {
    check(phone < hub->phone_count);
    char text[HUB_LABELS_BYTES];
    enum status status = hub_labels_copy(text, labels);
    if (status == STATUS_OK && !hub_has_room(hub, 2 * HUB_RECORD_BYTES)) {
        status = STATUS_AGAIN;
    }
    if (status == STATUS_OK && memcmp(text, hub->phones[phone].labels, sizeof text) != 0) {
        memcpy(hub->phones[phone].labels, text, sizeof text);
        hub_log_phone(hub, phone, RECORD_PHONE_STATE_EVENT);
        hub_labels_match_phone(hub, phone);
    }
    return status;
}

enum status hub_phone_slot_label(struct hub *hub, uint32_t phone, struct bytes labels) {
    check(phone < hub->phone_count);
    enum status status = hub_labels_copy(hub->phones[phone].slot_labels, labels);
    if (status == STATUS_OK) {
        hub_labels_match_phone(hub, phone);
    }
    return status;
}
