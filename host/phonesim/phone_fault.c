#include "host/phonesim/phone_fault.h"

#include <stdlib.h>
#include <string.h>

enum { WHOLE = 1000000 };

static const struct {
    const char *name;
    enum phone_fault_kind kind;
} kinds[] = {
    {"hang", PHONE_FAULT_HANG}, {"drop", PHONE_FAULT_DROP},       {"fail", PHONE_FAULT_FAIL},
    {"slow", PHONE_FAULT_SLOW}, {"garbage", PHONE_FAULT_GARBAGE}, {"stall", PHONE_FAULT_STALL},
};

uint64_t phone_fault_random(uint64_t *random) {
    *random += 0x9e3779b97f4a7c15u;
    uint64_t mixed = *random;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

static enum status read_rate(const char *text, const char **end, uint32_t *rate) {
    char *after = NULL;
    bool is_digit = (text[0] >= '0' && text[0] <= '9') || text[0] == '.';
    double value = strtod(text, &after);
    if (!is_digit || after == text || !(value >= 0.0 && value <= 1.0)) {
        return STATUS_MALFORMED;
    }
    *rate = (uint32_t)(value * WHOLE + 0.5);
    *end = after;
    return STATUS_OK;
}

enum status phone_fault_add(struct phone_faults *faults, const char *text) {
    struct phone_fault fault = {.rate_millionths = WHOLE};
    size_t size = strcspn(text, ":@");
    for (size_t i = 0; i < array_count(kinds); i++) {
        if (strlen(kinds[i].name) == size && strncmp(kinds[i].name, text, size) == 0) {
            fault.kind = kinds[i].kind;
        }
    }
    const char *rest = text + size;
    if (fault.kind == PHONE_FAULT_NONE ||
        (*rest == ':' && read_rate(rest + 1, &rest, &fault.rate_millionths) != STATUS_OK)) {
        return STATUS_MALFORMED;
    }
    if ((*rest != '\0' && *rest != '@') || strlen(rest) > PHONE_FAULT_PREFIX_SIZE) {
        return STATUS_MALFORMED;
    }
    if (*rest == '@') {
        memcpy(fault.prefix, rest + 1, strlen(rest));
    }
    if (faults->count == PHONE_FAULTS_MAX) {
        return STATUS_FULL;
    }
    faults->list[faults->count++] = fault;
    return STATUS_OK;
}

enum phone_fault_kind phone_fault_draw(const struct phone_faults *faults, uint64_t *random,
                                       struct bytes command) {
    for (size_t i = 0; i < faults->count; i++) {
        const struct phone_fault *fault = &faults->list[i];
        size_t size = strlen(fault->prefix);
        bool is_meant = size <= command.size && memcmp(fault->prefix, command.data, size) == 0;
        if (is_meant && phone_fault_random(random) % WHOLE < fault->rate_millionths) {
            return fault->kind;
        }
    }
    return PHONE_FAULT_NONE;
}
