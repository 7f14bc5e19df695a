/* notifier.h - tells callers of their processes: which change is told next, and when again.
 *
 * Every process with a callback on an allowed host is watched from its acceptance to its end. For
 * each the notifier keeps the last event that was told; the next one is found in the process's own
 * durable history, so nothing is queued, nothing is told before it is durable, and a process's
 * changes are told in their order, one at a time. A change that cannot be delivered is tried
 * CALLBACK_TRIES times with backoff, then the next one follows. It never holds up the process.
 *
 * After a restart it does not know what was told: for each process that has not ended, or ended
 * within NOTIFIER_RESTART_MS, it tells the newest state again (`event_id` lets a receiver see that
 * it knows it already). Times need a wall clock: before it is known nothing is sent. */
#ifndef HOST_HUBD_NOTIFIER_H
#define HOST_HUBD_NOTIFIER_H

#include "firmware/hub.h"
#include "host/shared/callback.h"
#include "host/shared/json_write.h"

enum {
    NOTIFIER_PROCESSES = 131072, /* of the largest board */
    NOTIFIER_SCAN = 256,         /* watches looked at in one turn */
    NOTIFIER_LOAD = 64,          /* processes read in one turn after a restart */
    NOTIFIER_RESTART_MS = 3600000,
};

struct notifier_watch {
    uint64_t number;  /* of the process; 0: not in the list */
    uint64_t told;    /* event id; all up to it were told, or are no change */
    uint64_t pending; /* event id under way, or to be tried again; 0: none */
    uint64_t due_ms;
    uint32_t next, previous; /* in the list */
    uint32_t host;
    uint8_t status; /* enum process_status that was told last; 0: none */
    uint8_t pending_status;
    uint8_t failures;
    bool is_under_way;
};

struct notifier_counters {
    uint64_t delivered;
    uint64_t failed;   /* tries */
    uint64_t given_up; /* changes */
};

/* Writes the object of a process; the reader's view of it. */
typedef void notifier_write(void *owner, struct json_writer *writer, uint32_t process);

struct notifier {
    struct hub *hub;
    struct callbacks *callbacks;
    notifier_write *write;
    void *owner;
    uint32_t first; /* of the list; HUB_NONE */
    uint32_t scan_at;
    uint32_t watched;
    uint32_t load_at;     /* next process to look at after a restart */
    uint64_t next_due_ms; /* of the watches that wait, as far as this pass has seen */
    bool is_dirty;        /* something became durable, or a slot free: a pass is due */
    struct jitter jitter;
    struct notifier_counters counters;
    struct notifier_watch watches[NOTIFIER_PROCESSES];
};

/* `notifier` is zeroed memory. */
void notifier_init(struct notifier *notifier, struct hub *hub, struct callbacks *callbacks,
                   notifier_write *write, void *owner);

/* Watches a process whose callback has this URL. NOT_FOUND, DENIED, MALFORMED: it is not called
 * (callback_host_of()). */
must_check enum status notifier_watch(struct notifier *notifier, uint32_t process,
                                      struct bytes callback);
/* A process that had ended goes on (retry): its changes behind its last event are told again. */
void notifier_wake(struct notifier *notifier, uint32_t process);

/* Something became durable. */
void notifier_release(struct notifier *notifier);
void notifier_step(struct notifier *notifier, uint64_t now_ms);
uint64_t notifier_deadline_ms(const struct notifier *notifier);

#endif
