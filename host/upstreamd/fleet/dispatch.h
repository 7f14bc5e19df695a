/* dispatch.h - gives the fleet's work to hubs (SPEC.md section 8): pull based. When a hub's poll is
 * answered, what it can run is claimed for it in the same transaction: free capacity, idle phones,
 * labels, the phone that an item must have. Commands go to their hub again with every answer until
 * its polls say that they were applied; grants are renewed when a third of them is over.
 *
 * Nothing here is known to this process alone but what it has seen of time (ledger.h): any number
 * of upstreamd on one database agree. */
#ifndef HOST_UPSTREAMD_DISPATCH_H
#define HOST_UPSTREAMD_DISPATCH_H

#include "host/upstreamd/fleet/fleet.h"
#include "host/upstreamd/fleet/ledger.h"
#include "host/upstreamd/fleet/parts.h"
#include "host/upstreamd/fleet/registry.h"

enum {
    DISPATCH_CLAIMS_MAX = 32,     /* items in one answer */
    DISPATCH_CANDIDATES = 64,     /* that are looked at for it */
    DISPATCH_LOOK_MS = 500,       /* between two looks at what waits and at silent hubs */
    DISPATCH_MOVE_MS = 10000,     /* an item that has not begun: another hub may have it */
    DISPATCH_HEAD_BYTES = 512,    /* of a reply around them */
    DISPATCH_REPLY_BYTES = 98304, /* commands and grants of one answer, or less, as the hub says */
    DISPATCH_WORDS_BYTES = 1 << 20, /* of all answers of one turn */
    DISPATCH_SWEEP_MAX = 64,        /* items that are taken from silent hubs in one look */
};

struct dispatch_counters {
    uint64_t offers;
    uint64_t renewals;  /* answers with any */
    uint64_t moved;     /* items that were asked back for another hub */
    uint64_t lost;      /* items taken from hubs that were silent, */
    uint64_t forgotten; /* or had forgotten them */
    uint64_t late;      /* processes whose deadline came before a hub had them */
};

struct dispatch {
    struct db *db;
    struct fleet *fleet; /* for its clock */
    const struct registry *registry;
    struct db_upstream upstream;
    void (*wake)(void *owner, struct bytes hub_id); /* there may be a word for it */
    void *owner;
    bool is_dirty;             /* something may have to be told: look at once */
    bool has_waiting;          /* by the last look: items that no hub has, */
    bool has_movable;          /* and those that one has and has not begun for long */
    uint32_t share;            /* how many of them one hub may take at once */
    uint64_t look_ms;          /* monotonic: when to look again */
    uint64_t holding_since_ms; /* 0: it grants */
    struct ledger ledger;
    struct ledger lives; /* of hubs that have lost items: reconcile_life() in place of answers */
    struct dispatch_counters counters;
    size_t words_size;
    uint8_t words[DISPATCH_WORDS_BYTES]; /* commands and grants of the answers of this turn */
};

/* Reads upstream's epoch, or begins with the first. `is_restored`: the database may be older than
 * what hubs were told; a new epoch begins. */
must_check enum status dispatch_open(struct dispatch *dispatch, bool is_restored);

/* Before the first dispatch_answer() of a turn: what the answers before hold is not looked at any
 * more. */
void dispatch_begin_turn(struct dispatch *dispatch);

/* Inside the transaction of an answer: claims for the hub, and puts commands and grants into the
 * reply. `held_ms`: how long ago the poll came. IO: roll back. */
must_check enum status dispatch_answer(struct dispatch *dispatch, struct bytes hub_id,
                                       const struct sync_push *push, uint64_t held_ms,
                                       struct sync_reply *reply);

/* What a transaction may change here, as it is before the first of its tries (db_transact()). */
struct dispatch_stand {
    struct dispatch_counters counters;
    struct db_upstream upstream;
    uint64_t holding_since_ms;
};
struct dispatch_stand dispatch_stand(const struct dispatch *dispatch);
void dispatch_restore(struct dispatch *dispatch, const struct dispatch_stand *stand);

/* Something of the fleet's was stored: by a request, by a hub, or by another upstreamd. */
void dispatch_note(struct dispatch *dispatch);

/* Once in every turn, outside of transactions: wakes hubs for which there is a word, and takes
 * items from those that were silent for long enough. True: something of the fleet's was changed. */
bool dispatch_step(struct dispatch *dispatch);
uint64_t dispatch_deadline_ms(const struct dispatch *dispatch);

/* ---- of dispatch*.c ---- */

/* Claims for a hub, as commands (dispatch_claim.c). `ledger` is locked and put by the caller. */
struct dispatch_room {
    const char *hub;
    uint64_t seen; /* highest command that the hub has applied */
    uint32_t capacity;
    uint32_t idle;
    size_t limit; /* bytes of commands in one answer: what is larger never reaches it */
};
must_check enum status dispatch_claim(struct dispatch *dispatch, const struct dispatch_room *room);
/* Offers an item under its assignment. TOO_LARGE: it is not one answer's; nothing was done. */
must_check enum status dispatch_offer(struct dispatch *dispatch, const struct db_item *item,
                                      size_t limit);
/* Whether every word of `wanted` is among those of `labels`. */
bool dispatch_has_labels(const char *labels, const char *wanted);
/* What is due by itself: scheduled items, deadlines, silent hubs (dispatch_sweep.c). `changed`:
 * whether anything was. Inside a transaction. */
must_check enum status dispatch_sweep(struct dispatch *dispatch, bool *changed);

#endif
