#include "firmware/item.h"

/* What a transition does besides changing the state. */
enum action {
    reject, /* 0: a cell the table does not name is not allowed */
    keep,
    take_lease, /* token and phone are set by whoever grants */
    begin,      /* a new attempt number */
    end_lease,
    count_delivery, /* and the lease ends */
    count_failure,  /* and the lease ends */
    count_fault,    /* and the lease ends */
    suspend,        /* the lease ends; the reason is set by whoever asks */
    resume,
};

struct row {
    enum action action;
    enum record_item_state next;
};

/* clang-format off */
#define ROW(from, on, to, action) [RECORD_##from][ITEM_ON_##on] = {action, RECORD_##to}

static const struct row table[RECORD_ITEM_STATE_COUNT][ITEM_EVENT_COUNT] = {
    /*   from        on                to          and             */
    ROW( SCHEDULED,  DUE,              READY,      keep            ),
    ROW( SCHEDULED,  CANCEL,           CANCELED,   keep            ),
    ROW( SCHEDULED,  DEADLINE,         FAILED,     keep            ),

    ROW( READY,      GRANT,            LEASED,     take_lease      ),
    ROW( READY,      CANCEL,           CANCELED,   keep            ),
    ROW( READY,      DEADLINE,         FAILED,     keep            ),

    ROW( LEASED,     START,            RUNNING,    begin           ),
    ROW( LEASED,     RENEW,            LEASED,     keep            ),
    ROW( LEASED,     RETURN,           READY,      count_delivery  ),
    ROW( LEASED,     POISON,           FAILED,     count_delivery  ),
    ROW( LEASED,     GIVE_BACK,        READY,      end_lease       ),
    ROW( LEASED,     CANCEL,           CANCELED,   end_lease       ),
    ROW( LEASED,     DEADLINE,         FAILED,     end_lease       ),

    ROW( RUNNING,    RENEW,            RUNNING,    keep            ),
    ROW( RUNNING,    SUCCEED,          COMPLETED,  end_lease       ),
    ROW( RUNNING,    FAIL_RETRY,       RETRY_WAIT, count_failure   ),
    ROW( RUNNING,    FAIL_LAST,        FAILED,     count_failure   ),
    ROW( RUNNING,    FAIL_PERMANENT,   FAILED,     count_failure   ),
    ROW( RUNNING,    STOP,             RUNNING,    keep            ),
    ROW( RUNNING,    STOPPED_CANCEL,   CANCELED,   end_lease       ),
    ROW( RUNNING,    STOPPED_DEADLINE, FAILED,     end_lease       ),
    ROW( RUNNING,    STOPPED_SUSPEND,  SUSPENDED,  suspend         ),
    ROW( RUNNING,    STOPPED_SHUTDOWN, READY,      end_lease       ),
    ROW( RUNNING,    INTERRUPT,        READY,      count_fault     ),
    ROW( RUNNING,    POISON,           FAILED,     count_fault     ),
    ROW( RUNNING,    UNCERTAIN,        SUSPENDED,  suspend         ),

    ROW( SUSPENDED,  RESUME,           READY,      resume          ),
    ROW( SUSPENDED,  SETTLE_DONE,      COMPLETED,  resume          ),
    ROW( SUSPENDED,  SETTLE_FAILED,    FAILED,     resume          ),
    ROW( SUSPENDED,  CANCEL,           CANCELED,   resume          ),
    ROW( SUSPENDED,  DEADLINE,         FAILED,     resume          ),

    ROW( RETRY_WAIT, DUE,              READY,      keep            ),
    ROW( RETRY_WAIT, GIVE_UP,          FAILED,     keep            ),
    ROW( RETRY_WAIT, CANCEL,           CANCELED,   keep            ),
    ROW( RETRY_WAIT, DEADLINE,         FAILED,     keep            ),
};
#undef ROW
/* clang-format on */

/* `withdrawn by upstream` is no row: the item leaves the tables instead of changing its state. */

static void check_item(const struct record_item *item) {
    check(item->state < RECORD_ITEM_STATE_COUNT);
    bool has_lease = item->state == RECORD_LEASED || item->state == RECORD_RUNNING;
    check(has_lease == (item->phone != 0));
    check(!has_lease || item->token != 0);
    check(item->state == RECORD_RUNNING || item->stop == RECORD_STOP_NONE);
    check(item->state == RECORD_SUSPENDED || item->stop == RECORD_STOP_SUSPEND ||
          item->suspension == RECORD_SUSPEND_NONE);
    check(item->attempts_counted <= item->attempt);
}

static void leave_lease(struct record_item *item) {
    item->phone = 0;
    item->stop = RECORD_STOP_NONE;
    item->suspension = RECORD_SUSPEND_NONE;
}

static void act(struct record_item *item, enum action action) {
    switch (action) {
    case reject:
    case keep:
        break;
    case take_lease:
        check(item->phone != 0);
        break;
    case begin:
        item->attempt += 1;
        break;
    case count_delivery:
        item->deliveries += 1;
        leave_lease(item);
        break;
    case count_failure:
        item->attempts_counted += 1;
        leave_lease(item);
        break;
    case count_fault:
        item->faults += 1;
        leave_lease(item);
        break;
    case end_lease:
        leave_lease(item);
        break;
    case suspend:
        check(item->suspension != RECORD_SUSPEND_NONE);
        item->phone = 0;
        item->stop = RECORD_STOP_NONE;
        break;
    case resume:
    default:
        item->suspension = RECORD_SUSPEND_NONE;
        break;
    }
}

bool item_allows(enum record_item_state state, enum item_event event) {
    check(state < RECORD_ITEM_STATE_COUNT);
    check(event < ITEM_EVENT_COUNT);
    return table[state][event].action != reject;
}

enum status item_apply(struct record_item *item, enum item_event event) {
    if (!item_allows(item->state, event)) {
        return STATUS_ILLEGAL;
    }
    const struct row *row = &table[item->state][event];
    act(item, row->action);
    item->state = (uint8_t)row->next;
    check_item(item);
    return STATUS_OK;
}

bool item_is_terminal(enum record_item_state state) {
    return state >= RECORD_COMPLETED;
}

const char *item_event_name(enum item_event event) {
    static const char *const names[] = {
        "due",
        "grant",
        "start",
        "return",
        "give_back",
        "poison",
        "renew",
        "succeed",
        "fail_retry",
        "fail_last",
        "fail_permanent",
        "stop",
        "stopped_cancel",
        "stopped_deadline",
        "stopped_suspend",
        "stopped_shutdown",
        "interrupt",
        "uncertain",
        "resume",
        "settle_done",
        "settle_failed",
        "give_up",
        "cancel",
        "deadline",
    };
    _Static_assert(array_count(names) == ITEM_EVENT_COUNT, "every event has a name");
    check(event < ITEM_EVENT_COUNT);
    return names[event];
}
