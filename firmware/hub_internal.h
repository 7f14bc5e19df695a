/* hub_internal.h - what the files of the hub share: tables, queues, records and transitions. */
#ifndef FIRMWARE_HUB_INTERNAL_H
#define FIRMWARE_HUB_INTERNAL_H

#include "firmware/hub.h"

enum {
    HUB_RECORD_BYTES = 256, /* an image without texts, as CBOR with its head: upper bound */
    HUB_ERROR_BYTES = 2048, /* reserved in the store for the error of an attempt */
    HUB_TRANSITION_BYTES = 5 * HUB_RECORD_BYTES, /* one item's transition without an attempt */
};

/* Timer owners. */
uint32_t hub_item_timer(const struct hub *hub, uint32_t item);
uint32_t hub_process_timer(const struct hub *hub, uint32_t process);
uint32_t hub_phone_timer(const struct hub *hub, uint32_t phone);

/* True when the open group takes `bytes` more. */
bool hub_has_room(const struct hub *hub, uint32_t bytes);
/* The largest record, its head included, that fits an empty group beside a transition. */
uint32_t hub_record_max(const struct hub *hub);

struct record_time hub_now(const struct hub *hub);

/* Records (hub_log.c). Each appends the object's after-image to the open group. */
void hub_log_self(struct hub *hub, enum record_event event);
void hub_log_phone(struct hub *hub, uint32_t phone, enum record_event event);
void hub_log_request(struct hub *hub, uint32_t process, const struct record_request *request);
void hub_log_process(struct hub *hub, uint32_t process, enum record_event event);
uint64_t hub_log_item(struct hub *hub, uint32_t item, enum record_event event);
void hub_log_attempt(struct hub *hub, uint32_t item, uint32_t attempt, enum record_event event,
                     const struct record_attempt *image);
void hub_log_key(struct hub *hub, uint32_t key);

/* Items (hub_item.c). */
const struct capability *hub_capability_of(const struct hub *hub, uint32_t item);
/* Applies an event that the table allows and logs the item's new image. */
void hub_item_change(struct hub *hub, uint32_t item, enum item_event event,
                     enum record_event record);
/* Puts an item whose image is new or loaded into counts, queue and reserve; takes it out again. */
void hub_item_enter(struct hub *hub, uint32_t item);
void hub_item_leave(struct hub *hub, uint32_t item);
/* Gives a capability that is new the processes that waited for it. */
void hub_capability_bind(struct hub *hub, uint32_t capability);
/* Counts the reserve anew: a capability's limits have changed. */
void hub_reserve_recount(struct hub *hub);
/* The process's status may have changed: ends it when it is terminal. */
void hub_process_settle(struct hub *hub, uint32_t process);
/* Sets the timers of a process and of its scheduled items that count in wall clock time. */
void hub_process_arm(struct hub *hub, uint32_t process);
void hub_item_ask_stop(struct hub *hub, uint32_t item, enum record_stop reason);
void hub_item_timer_due(struct hub *hub, uint32_t item);
void hub_process_timer_due(struct hub *hub, uint32_t process);
/* Room for all records that end a process's items. */
uint32_t hub_process_end_room(const struct hub *hub, uint32_t process);
/* Cancels or fails whatever is not running, and asks the rest to stop. */
void hub_process_end_items(struct hub *hub, uint32_t process, enum record_stop reason);

/* Attempts (hub_attempt.c). */
/* Room for the records that end an item's attempt by a timer, with what it found so far. */
uint32_t hub_attempt_end_room(const struct hub *hub, uint32_t item);
/* The lease of a running or leased item ends without a word of its executor. */
void hub_item_interrupt(struct hub *hub, uint32_t item, enum record_category category,
                        bool is_counted);
/* A running item counts as stopped without a word of its executor. */
void hub_attempt_force_stop(struct hub *hub, uint32_t item, struct bytes code,
                            struct bytes message);
/* Frees kept attempts beyond the limits: a mount also finds some that were freed before. */
void hub_attempt_trim(struct hub *hub);
/* Takes a slot for the item's next attempt record; drops an older one if there is none. */
uint32_t hub_attempt_take(struct hub *hub, uint32_t item);
uint32_t hub_attempt_newest(const struct hub *hub, uint32_t item);

/* Queues and leases (schedule.c). */
void schedule_enqueue(struct hub *hub, uint32_t item);
void schedule_dequeue(struct hub *hub, uint32_t item);
void schedule_run(struct hub *hub);

/* Finished processes (hub_request.c). */
void hub_finished_add(struct hub *hub, uint32_t process);
void hub_process_forget(struct hub *hub, uint32_t process);
uint32_t hub_digest_hash(const uint8_t digest[RECORD_DIGEST_BYTES]);

/* After a load (hub_restore.c). */
void hub_restore(struct hub *hub);

/* Phones (hub_phone.c). */
void hub_phone_lease_ended(struct hub *hub, uint32_t phone);
void hub_phone_judge(struct hub *hub, uint32_t phone);

#endif
