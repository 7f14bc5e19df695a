/* order.h - what callers and operators ask of the fleet: new processes, and control of them
 * (SPEC.md sections 3 to 5). Inside a transaction; what a hub must hear becomes a command to it. */
#ifndef HOST_UPSTREAMD_ORDER_H
#define HOST_UPSTREAMD_ORDER_H

#include "host/upstreamd/fleet/assignment.h"
#include "host/upstreamd/fleet/registry.h"

enum { ORDER_ITEMS_MAX = 128, ORDER_ITEMS_EVER_MAX = 60000 }; /* of a request; with all retries */

struct orders {
    struct db *db;
    const struct db_upstream *upstream;
    const struct registry *registry;
    uint64_t now_ms; /* wall clock */
};

/* ---- new processes ---- */

struct order {
    const struct record_request *request; /* its key and digest are set, or empty */
    uint32_t capability;                  /* index in the registry */
    const uint64_t *phones;       /* of each item the fleet's number of its phone; or NULL */
    const struct bytes *accounts; /* of each item; or NULL */
    uint32_t item_count;          /* 1 to ORDER_ITEMS_MAX */
    bool has_callback;            /* that is to be called */
};

struct order_accepted {
    uint64_t number;
    bool is_duplicate;
    bool differs;               /* from the body of the first */
    enum process_status status; /* of a duplicate */
};

/* MALFORMED: a text is longer than a record may hold; TOO_LARGE: all of it is. */
must_check enum status order_accept(const struct orders *orders, const struct order *order,
                                    struct order_accepted *accepted);

/* The process of POST /ingest's key, or of any. NOT_FOUND. */
must_check enum status order_find(const struct orders *orders,
                                  const uint8_t key[RECORD_DIGEST_BYTES], uint64_t *number);

/* ---- control ---- */

/* What a process is after an order; also filled in when that was refused. */
struct order_state {
    enum process_status status;
    struct process_counts counts;
    uint32_t flags;
    uint32_t generation;
};

/* TERMINAL: it has ended. */
must_check enum status order_cancel(const struct orders *orders, uint64_t number,
                                    struct order_state *state);
must_check enum status order_suspend(const struct orders *orders, uint64_t number,
                                     struct order_state *state);
must_check enum status order_resume(const struct orders *orders, uint64_t number,
                                    struct order_state *state);
/* ILLEGAL: it has not ended, or not without success. FULL: it was retried too often. */
must_check enum status order_retry(const struct orders *orders, uint64_t number,
                                   struct order_state *state);
/* Of order_retry(): nothing of it was ever planned, so it is planned now (order_accept.c). ILLEGAL:
 * there is no capability of its type any more. */
must_check enum status order_plan_again(const struct orders *orders, struct work *work);
/* What a silent hub has of it goes to another one as soon as its grants are over for sure, also
 * what is suspended or may have run once. ILLEGAL: no hub has any of it. */
must_check enum status order_force(const struct orders *orders, uint64_t number,
                                   struct order_state *state);
/* `item` 0: all that wait for it. NOT_FOUND: no such item; ILLEGAL: none waits for it. */
must_check enum status order_settle(const struct orders *orders, uint64_t number, uint32_t item,
                                    bool is_done, struct order_state *state);

/* The same of a hub's own process: a command to it. */
must_check enum status order_forward(const struct orders *orders, const char *hub,
                                     enum sync_command_kind kind,
                                     const struct sync_control *control);

#endif
