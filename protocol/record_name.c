/* The texts of records' numbers. */
#include "protocol/record.h"

const char *record_kind_name(enum record_kind kind) {
    static const char *const names[] = {"hub",  "phone",   "request", "process",
                                        "item", "attempt", "key",     "answer"};
    _Static_assert(array_count(names) == RECORD_KIND_COUNT, "every kind has a name");
    check(kind < RECORD_KIND_COUNT);
    return names[kind];
}

const char *record_event_name(enum record_event event) {
    static const char *const names[] = {
#define EVENT(name, text) text,
        RECORD_EVENTS(EVENT)
#undef EVENT
    };
    check(event < RECORD_EVENT_COUNT);
    return names[event];
}

const char *record_category_name(enum record_category category) {
    static const char *const names[] = {
#define CATEGORY(name, text) text,
        RECORD_CATEGORIES(CATEGORY)
#undef CATEGORY
    };
    check(category < RECORD_CATEGORY_COUNT);
    return names[category];
}

const char *record_answer_name(enum record_answer_code code) {
    static const char *const names[] = {
#define ANSWER(name, text) text,
        RECORD_ANSWERS(ANSWER)
#undef ANSWER
    };
    check(code < RECORD_ANSWER_CODE_COUNT);
    return names[code];
}

const char *record_item_state_name(enum record_item_state state) {
    static const char *const names[] = {
        "scheduled", "ready",     "leased", "running",  "retry_wait",
        "suspended", "completed", "failed", "canceled",
    };
    _Static_assert(array_count(names) == RECORD_ITEM_STATE_COUNT, "every state has a name");
    check(state < RECORD_ITEM_STATE_COUNT);
    return names[state];
}

const char *record_phone_state_name(enum record_phone_state state) {
    static const char *const names[] = {
        "absent", "connecting", "refused", "recovering",  "unauthorized",
        "ready",  "leased",     "away",    "quarantined",
    };
    _Static_assert(array_count(names) == RECORD_PHONE_STATE_COUNT, "every state has a name");
    check(state < RECORD_PHONE_STATE_COUNT);
    return names[state];
}
