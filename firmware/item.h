/* item.h - the life of an item as one table (SPEC.md section 2): where each event leads from each
 * state, and what it counts. Decisions are made before the table, by choosing the event. */
#ifndef FIRMWARE_ITEM_H
#define FIRMWARE_ITEM_H

#include "protocol/record.h"

enum {
    ITEM_DELIVERIES_MAX = 20, /* leases without an attempt before an item is poison */
    ITEM_FAULTS_MAX = 5,      /* attempts ended by power loss or hub fault before it is */
};

enum item_event {
    ITEM_ON_DUE,       /* its start time, or the end of its backoff, has come */
    ITEM_ON_GRANT,     /* it holds the lease of a phone */
    ITEM_ON_START,     /* the attempt may begin */
    ITEM_ON_RETURN,    /* lease expired, released or phone lost before the attempt */
    ITEM_ON_GIVE_BACK, /* the same by suspension, daemon death or power loss: not counted */
    ITEM_ON_POISON,    /* returned or interrupted too often */
    ITEM_ON_RENEW,     /* an external worker is alive */
    ITEM_ON_SUCCEED,
    ITEM_ON_FAIL_RETRY, /* retryable, attempts left */
    ITEM_ON_FAIL_LAST,  /* retryable, none left */
    ITEM_ON_FAIL_PERMANENT,
    ITEM_ON_STOP,           /* somebody asks the attempt to stop */
    ITEM_ON_STOPPED_CANCEL, /* it has stopped, and this is why it was asked to */
    ITEM_ON_STOPPED_DEADLINE,
    ITEM_ON_STOPPED_SUSPEND,
    ITEM_ON_STOPPED_SHUTDOWN,
    ITEM_ON_INTERRUPT, /* hub fault or power loss: not the attempt's fault */
    ITEM_ON_UNCERTAIN, /* a once-only action may have begun, its result is not known */
    ITEM_ON_RESUME,
    ITEM_ON_SETTLE_DONE, /* an operator says how it ended */
    ITEM_ON_SETTLE_FAILED,
    ITEM_ON_GIVE_UP, /* the retry policy changed */
    ITEM_ON_CANCEL,
    ITEM_ON_DEADLINE,
    ITEM_EVENT_COUNT
};

/* Applies one event to the image's state and counters. ILLEGAL: not in the table; unchanged. */
must_check enum status item_apply(struct record_item *item, enum item_event event);

/* Whether the table has this pair. */
bool item_allows(enum record_item_state state, enum item_event event);

bool item_is_terminal(enum record_item_state state);

const char *item_event_name(enum item_event event);

#endif
