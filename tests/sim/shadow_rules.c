/* SPEC.md sections 2 and 7, written down a second time: what the product's tables are judged by. */
#include "tests/sim/shadow.h"

#include <string.h>

/* ---- items ---- */

/* What a row changes besides the state. */
enum effect {
    KEEPS = 0,
    TAKES = 1,     /* a lease, with a token above all before */
    ENDS = 2,      /* the lease */
    BEGINS = 4,    /* an attempt */
    COUNTS = 8,    /* an attempt against the cap */
    DELIVERS = 16, /* a delivery */
    FAULTS = 32,   /* a fault */
    STOPS = 64,    /* only the reason to stop grows */
};

struct rule {
    uint8_t from, event, to, effect;
};

/* clang-format off */
#define RULE(from, on, to, effect) {RECORD_##from, ITEM_ON_##on, RECORD_##to, effect}
static const struct rule rules[] = {
    RULE(SCHEDULED,  DUE,              READY,      KEEPS),
    RULE(SCHEDULED,  CANCEL,           CANCELED,   KEEPS),
    RULE(SCHEDULED,  DEADLINE,         FAILED,     KEEPS),
    RULE(READY,      GRANT,            LEASED,     TAKES),
    RULE(READY,      CANCEL,           CANCELED,   KEEPS),
    RULE(READY,      DEADLINE,         FAILED,     KEEPS),
    RULE(LEASED,     START,            RUNNING,    BEGINS),
    RULE(LEASED,     RETURN,           READY,      ENDS | DELIVERS),
    RULE(LEASED,     POISON,           FAILED,     ENDS | DELIVERS),
    RULE(LEASED,     GIVE_BACK,        READY,      ENDS),
    RULE(LEASED,     CANCEL,           CANCELED,   ENDS),
    RULE(LEASED,     DEADLINE,         FAILED,     ENDS),
    RULE(RUNNING,    SUCCEED,          COMPLETED,  ENDS),
    RULE(RUNNING,    FAIL_RETRY,       RETRY_WAIT, ENDS | COUNTS),
    RULE(RUNNING,    FAIL_LAST,        FAILED,     ENDS | COUNTS),
    RULE(RUNNING,    FAIL_PERMANENT,   FAILED,     ENDS | COUNTS),
    RULE(RUNNING,    STOP,             RUNNING,    STOPS),
    RULE(RUNNING,    STOPPED_CANCEL,   CANCELED,   ENDS),
    RULE(RUNNING,    STOPPED_DEADLINE, FAILED,     ENDS),
    RULE(RUNNING,    STOPPED_SUSPEND,  SUSPENDED,  ENDS),
    RULE(RUNNING,    STOPPED_SHUTDOWN, READY,      ENDS),
    RULE(RUNNING,    INTERRUPT,        READY,      ENDS | FAULTS),
    RULE(RUNNING,    POISON,           FAILED,     ENDS | FAULTS),
    RULE(RUNNING,    UNCERTAIN,        SUSPENDED,  ENDS),
    RULE(SUSPENDED,  RESUME,           READY,      KEEPS),
    RULE(SUSPENDED,  SETTLE_DONE,      COMPLETED,  KEEPS),
    RULE(SUSPENDED,  SETTLE_FAILED,    FAILED,     KEEPS),
    RULE(SUSPENDED,  CANCEL,           CANCELED,   KEEPS),
    RULE(SUSPENDED,  DEADLINE,         FAILED,     KEEPS),
    RULE(RETRY_WAIT, DUE,              READY,      KEEPS),
    RULE(RETRY_WAIT, GIVE_UP,          FAILED,     KEEPS),
    RULE(RETRY_WAIT, CANCEL,           CANCELED,   KEEPS),
    RULE(RETRY_WAIT, DEADLINE,         FAILED,     KEEPS),
};
#undef RULE
/* clang-format on */

static bool grew(uint32_t before, uint32_t after, bool does) {
    return after == before + (does ? 1u : 0u);
}

static bool fits_lease(const struct rule *rule, const struct record_item *before,
                       const struct record_item *after) {
    if ((rule->effect & TAKES) != 0) {
        return before->phone == 0 && after->phone != 0 && after->token > before->token;
    }
    bool holds = (rule->effect & ENDS) == 0;
    return after->token == before->token && after->phone == (holds ? before->phone : 0);
}

static bool fits(const struct rule *rule, const struct record_item *before,
                 const struct record_item *after) {
    if (rule->from != before->state || rule->to != after->state) {
        return false;
    }
    bool stop_fits = (rule->effect & STOPS) != 0      ? after->stop > before->stop
                     : after->state != RECORD_RUNNING ? after->stop == RECORD_STOP_NONE
                                                      : after->stop == before->stop;
    return stop_fits && fits_lease(rule, before, after) &&
           grew(before->attempt, after->attempt, (rule->effect & BEGINS) != 0) &&
           grew(before->attempts_counted, after->attempts_counted, (rule->effect & COUNTS) != 0) &&
           grew(before->deliveries, after->deliveries, (rule->effect & DELIVERS) != 0) &&
           grew(before->faults, after->faults, (rule->effect & FAULTS) != 0) &&
           (after->stop == RECORD_STOP_SUSPEND ||
            (after->suspension != RECORD_SUSPEND_NONE) == (after->state == RECORD_SUSPENDED));
}

/* Rows that lead to the same image differ in why. */
static bool has_cause(const struct rule *rule, const struct shadow_item *before,
                      const struct record_item *after) {
    uint8_t stop = before->image.stop;
    bool is_late = after->category == RECORD_CATEGORY_DEADLINE;
    bool waits_for_a_person = before->image.suspension == RECORD_SUSPEND_UNCERTAIN ||
                              before->image.suspension == RECORD_SUSPEND_REVIEW;
    /* While another stop is pending, any failure counts as stopped. */
    bool is_failure =
        stop == RECORD_STOP_NONE || stop == RECORD_STOP_EXPIRE || stop == RECORD_STOP_TIMEOUT;
    switch ((int)rule->event) {
    case ITEM_ON_STOPPED_CANCEL:
        return stop == RECORD_STOP_CANCEL;
    case ITEM_ON_STOPPED_DEADLINE:
        return stop == RECORD_STOP_DEADLINE;
    case ITEM_ON_STOPPED_SHUTDOWN:
        return stop == RECORD_STOP_SHUTDOWN;
    case ITEM_ON_STOPPED_SUSPEND:
        return stop == RECORD_STOP_SUSPEND && after->suspension != RECORD_SUSPEND_UNCERTAIN;
    case ITEM_ON_UNCERTAIN:
        return after->suspension == RECORD_SUSPEND_UNCERTAIN;
    case ITEM_ON_FAIL_PERMANENT:
        return is_failure && before->ended_category == RECORD_CATEGORY_CAPABILITY;
    case ITEM_ON_FAIL_LAST:
        return is_failure && before->ended_category != RECORD_CATEGORY_CAPABILITY;
    case ITEM_ON_FAIL_RETRY:
        return is_failure;
    case ITEM_ON_DEADLINE:
        return is_late;
    case ITEM_ON_SETTLE_DONE:
        return waits_for_a_person;
    case ITEM_ON_SETTLE_FAILED:
        return !is_late && waits_for_a_person;
    case ITEM_ON_GIVE_UP:
        return !is_late;
    default:
        return true;
    }
}

uint32_t shadow_explain(const struct shadow_item *before, const struct record_item *after) {
    for (size_t i = 0; i < array_count(rules); i++) {
        if (fits(&rules[i], &before->image, after) && has_cause(&rules[i], before, after)) {
            return rules[i].event;
        }
    }
    return ITEM_EVENT_COUNT;
}

bool shadow_item_has(uint32_t state, uint32_t event) {
    for (size_t i = 0; i < array_count(rules); i++) {
        if (rules[i].from == state && rules[i].event == event) {
            return true;
        }
    }
    /* Renewals of a lease are no records. */
    return event == ITEM_ON_RENEW && (state == RECORD_LEASED || state == RECORD_RUNNING);
}

/* ---- phones ---- */

/* clang-format off */
#define RULE(from, on, to) {RECORD_PHONE_##from, PHONE_ON_##on, RECORD_PHONE_##to, 0}
static const struct rule phone_rules[] = {
    RULE(ABSENT,       ATTACHED,            CONNECTING),
    RULE(ABSENT,       ATTACHED_NO_ROOM,    REFUSED),
    RULE(ABSENT,       ATTACHED_BOOTLOADER, RECOVERING),
    RULE(ABSENT,       QUARANTINE,          QUARANTINED),
    RULE(REFUSED,      ROOM,                CONNECTING),
    RULE(REFUSED,      DETACHED,            ABSENT),
    RULE(REFUSED,      QUARANTINE,          QUARANTINED),
    RULE(CONNECTING,   HANDSHAKE,           READY),
    RULE(CONNECTING,   KEY_REFUSED,         UNAUTHORIZED),
    RULE(CONNECTING,   SILENT,              RECOVERING),
    RULE(CONNECTING,   DETACHED,            ABSENT),
    RULE(CONNECTING,   QUARANTINE,          QUARANTINED),
    RULE(UNAUTHORIZED, HANDSHAKE,           READY),
    RULE(UNAUTHORIZED, DETACHED,            ABSENT),
    RULE(UNAUTHORIZED, QUARANTINE,          QUARANTINED),
    RULE(READY,        LEASE,               LEASED),
    RULE(READY,        KEY_REFUSED,         UNAUTHORIZED),
    RULE(READY,        SILENT,              RECOVERING),
    RULE(READY,        DETACHED,            ABSENT),
    RULE(READY,        QUARANTINE,          QUARANTINED),
    RULE(LEASED,       LEASE_ENDED,         READY),
    RULE(LEASED,       AWAY,                AWAY),
    RULE(LEASED,       KEY_REFUSED,         UNAUTHORIZED),
    RULE(LEASED,       SILENT,              RECOVERING),
    RULE(LEASED,       DETACHED,            ABSENT),
    RULE(LEASED,       QUARANTINE,          QUARANTINED),
    RULE(AWAY,         ATTACHED,            AWAY),
    RULE(AWAY,         ATTACHED_BOOTLOADER, AWAY),
    RULE(AWAY,         ATTACHED_NO_ROOM,    REFUSED),
    RULE(AWAY,         DETACHED,            AWAY),
    RULE(AWAY,         BACK,                LEASED),
    RULE(AWAY,         WINDOW_OVER,         RECOVERING),
    RULE(AWAY,         LEASE_ENDED,         RECOVERING),
    RULE(AWAY,         QUARANTINE,          QUARANTINED),
    RULE(RECOVERING,   ATTACHED,            RECOVERING),
    RULE(RECOVERING,   ATTACHED_BOOTLOADER, RECOVERING),
    RULE(RECOVERING,   ATTACHED_NO_ROOM,    REFUSED),
    RULE(RECOVERING,   DETACHED,            RECOVERING),
    RULE(RECOVERING,   KEY_REFUSED,         UNAUTHORIZED),
    RULE(RECOVERING,   HEALTHY,             READY),
    RULE(RECOVERING,   SPENT_ATTACHED,      QUARANTINED),
    RULE(RECOVERING,   SPENT_GONE,          ABSENT),
    RULE(RECOVERING,   QUARANTINE,          QUARANTINED),
    RULE(QUARANTINED,  ATTACHED,            QUARANTINED),
    RULE(QUARANTINED,  ATTACHED_NO_ROOM,    QUARANTINED),
    RULE(QUARANTINED,  ATTACHED_BOOTLOADER, QUARANTINED),
    RULE(QUARANTINED,  DETACHED,            QUARANTINED),
    RULE(QUARANTINED,  RELEASE_ATTACHED,    CONNECTING),
    RULE(QUARANTINED,  RELEASE_GONE,        ABSENT),
};
#undef RULE
/* clang-format on */

int shadow_phone_leads(uint8_t state, uint32_t event) {
    for (size_t i = 0; i < array_count(phone_rules); i++) {
        if (phone_rules[i].from == state && phone_rules[i].event == event) {
            return phone_rules[i].to;
        }
    }
    return -1;
}
