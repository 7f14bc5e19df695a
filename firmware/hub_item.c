/* The transitions of items: which event it is, what follows from it, and the records of both. */
#include "firmware/hub_internal.h"

#include <string.h>

/* ---- tables around an item ---- */

uint32_t hub_phone_by_number(const struct hub *hub, uint64_t number) {
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        if (hub->phones[p].number == number) {
            return p;
        }
    }
    return HUB_NONE;
}

static const struct capability *capability_of(const struct hub *hub, uint32_t item) {
    uint32_t capability = hub->processes[hub->items[item].process].capability;
    return capability == HUB_NONE ? NULL : &hub->capabilities[capability];
}

/* What this item may still write: DESIGN.md's reserve, which admission keeps free. */
static uint64_t reserve_of(const struct hub *hub, uint32_t item) {
    const struct record_item *image = &hub->items[item].image;
    if (image->superseded || item_is_terminal(image->state)) {
        return 0;
    }
    const struct capability *capability = capability_of(hub, item);
    uint32_t max = capability == NULL ? 1 : capability->attempts_max;
    uint32_t left = max > image->attempts_counted ? max - image->attempts_counted : 1;
    return (uint64_t)left * 4 * HUB_RECORD_BYTES + HUB_ERROR_BYTES + HUB_RECORD_BYTES;
}

void hub_reserve_recount(struct hub *hub) {
    hub->reserved_bytes = 0;
    for (uint32_t item = 0; item < hub->item_pool.touched; item++) {
        if (pool_is_used(&hub->item_pool, item)) {
            hub->reserved_bytes += reserve_of(hub, item);
        }
    }
}

static bool is_counted(const struct hub_item *item) {
    return !item->image.superseded;
}

static void count_item(struct hub *hub, uint32_t item, bool enters) {
    const struct hub_item *of = &hub->items[item];
    struct process_counts *counts = &hub->processes[of->process].counts;
    uint32_t one = enters ? 1 : UINT32_MAX;
    if (is_counted(of)) {
        counts->by_state[of->image.state] += one;
        bool in_review =
            of->image.state == RECORD_SUSPENDED && of->image.suspension == RECORD_SUSPEND_REVIEW;
        counts->in_review += in_review ? one : 0;
    }
}

void hub_item_enter(struct hub *hub, uint32_t item) {
    count_item(hub, item, true);
    hub->reserved_bytes += reserve_of(hub, item);
    if (hub->items[item].image.state == RECORD_READY && is_counted(&hub->items[item])) {
        schedule_enqueue(hub, item);
    }
}

void hub_item_leave(struct hub *hub, uint32_t item) {
    schedule_dequeue(hub, item);
    hub->reserved_bytes -= reserve_of(hub, item);
    count_item(hub, item, false);
}

static uint64_t timer_for(struct hub *hub, uint32_t item) {
    const struct hub_item *of = &hub->items[item];
    const struct capability *capability = capability_of(hub, item);
    uint64_t now = hub->clock.mono_ms;
    if (of->image.state == RECORD_LEASED) {
        return now + HUB_LEASE_MS;
    }
    if (of->image.state == RECORD_RUNNING) {
        bool is_stopping = of->image.stop != RECORD_STOP_NONE;
        uint64_t limit = capability == NULL ? HUB_LEASE_MS : capability->attempt_ms;
        return now + (is_stopping ? hub->stop_grace_ms : limit);
    }
    if (of->image.state == RECORD_RETRY_WAIT) {
        check(capability != NULL);
        return now + backoff_ms(&capability->backoff, of->image.attempts_counted, &hub->jitter);
    }
    return TIMER_NEVER;
}

static void apply(struct hub *hub, uint32_t item, enum item_event event, enum record_event record) {
    struct hub_item *of = &hub->items[item];
    enum record_item_state from = of->image.state;
    hub_item_leave(hub, item);
    check(item_apply(&of->image, event) == STATUS_OK);
    hub_item_enter(hub, item);
    timer_set(&hub->timers, hub_item_timer(hub, item), timer_for(hub, item));
    hub->counters.transitions[from][of->image.state] += 1;
    (void)hub_log_item(hub, item, record);
}

/* While its process is being ended, an item that waits again ends at once, in the same group. */
static void end_if_unwanted(struct hub *hub, uint32_t item) {
    uint32_t flags = hub->processes[hub->items[item].process].image.flags;
    enum record_item_state state = hub->items[item].image.state;
    bool waits = !item_is_terminal(state) && state != RECORD_LEASED && state != RECORD_RUNNING;
    if (!waits) {
        return;
    }
    if ((flags & RECORD_CANCEL_REQUESTED) != 0) {
        apply(hub, item, ITEM_ON_CANCEL, RECORD_CANCELED_EVENT);
    } else if ((flags & RECORD_PAST_DEADLINE) != 0) {
        hub->items[item].image.category = RECORD_CATEGORY_DEADLINE;
        apply(hub, item, ITEM_ON_DEADLINE, RECORD_FAILED_EVENT);
    }
}

void hub_item_change(struct hub *hub, uint32_t item, enum item_event event,
                     enum record_event record) {
    uint64_t phone = hub->items[item].image.phone;
    apply(hub, item, event, record);
    end_if_unwanted(hub, item);
    if (phone != 0 && hub->items[item].image.phone == 0) {
        uint32_t index = hub_phone_by_number(hub, phone);
        if (index != HUB_NONE && hub->phones[index].item == item) {
            hub_phone_lease_ended(hub, index);
        }
    }
    hub_process_settle(hub, hub->items[item].process);
}

/* ---- the process around it ---- */

void hub_process_settle(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    of->status = (uint8_t)process_derive(&of->counts, of->image.flags);
    if (!process_is_terminal(of->status) || of->end_seq != 0) {
        return;
    }
    of->image.finished = hub_now(hub);
    hub_log_process(hub, process, RECORD_FINISHED_EVENT);
    of->end_seq = hub->store.head_seq;
    timer_set(&hub->timers, hub_process_timer(hub, process), TIMER_NEVER);
    hub_finished_add(hub, process);
}

/* Wall clock to the monotonic one; TIMER_NEVER while there is no wall clock. */
static uint64_t mono_of(const struct hub *hub, uint64_t wall_ms) {
    if (wall_ms == 0 || hub->clock.wall_ms == 0) {
        return TIMER_NEVER;
    }
    uint64_t offset = hub->clock.wall_ms - hub->clock.mono_ms;
    return wall_ms > offset ? wall_ms - offset : 0;
}

void hub_process_arm(struct hub *hub, uint32_t process) {
    const struct hub_process *of = &hub->processes[process];
    if (of->deadline_ms != 0) {
        timer_set(&hub->timers, hub_process_timer(hub, process), mono_of(hub, of->deadline_ms));
    }
    for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
        if (hub->items[i].image.state == RECORD_SCHEDULED) {
            timer_set(&hub->timers, hub_item_timer(hub, i), mono_of(hub, of->not_before_ms));
        }
    }
}

/* ---- stops ---- */

void hub_item_ask_stop(struct hub *hub, uint32_t item, enum record_stop reason) {
    struct hub_item *of = &hub->items[item];
    check(of->image.state == RECORD_RUNNING);
    if (reason <= of->image.stop) {
        return;
    }
    of->image.stop = (uint8_t)reason;
    hub_item_change(hub, item, ITEM_ON_STOP, RECORD_STOP_REQUESTED_EVENT);
}

void hub_process_end_items(struct hub *hub, uint32_t process, enum record_stop reason) {
    for (uint32_t i = hub->processes[process].first_item; i != HUB_NONE;
         i = hub->items[i].next_of_process) {
        struct hub_item *of = &hub->items[i];
        if (of->image.superseded || item_is_terminal(of->image.state)) {
            continue;
        }
        if (of->image.state == RECORD_RUNNING) {
            hub_item_ask_stop(hub, i, reason);
        } else if (reason == RECORD_STOP_CANCEL) {
            hub_item_change(hub, i, ITEM_ON_CANCEL, RECORD_CANCELED_EVENT);
        } else {
            of->image.category = RECORD_CATEGORY_DEADLINE;
            hub_item_change(hub, i, ITEM_ON_DEADLINE, RECORD_FAILED_EVENT);
        }
    }
}

/* ---- the end of an attempt ---- */

/* The action that was running may have had its effect, must not be run twice, and nobody knows. */
static bool is_uncertain(const struct hub *hub, uint32_t item, const struct record_attempt *end) {
    const struct capability *capability = capability_of(hub, item);
    uint32_t action = hub->items[item].image.actions_done;
    if (capability == NULL || action >= capability->action_count ||
        (capability->once_actions >> action & 1u) == 0) {
        return false;
    }
    return end->outcome != RECORD_FAILURE || end->category != RECORD_CATEGORY_EXIT_CODE;
}

static enum item_event choose_failure(const struct hub *hub, uint32_t item,
                                      enum record_category category) {
    const struct capability *capability = capability_of(hub, item);
    if (capability == NULL || (capability->retryable >> category & 1u) == 0) {
        return ITEM_ON_FAIL_PERMANENT;
    }
    uint32_t counted = hub->items[item].image.attempts_counted + 1;
    return counted < capability->attempts_max ? ITEM_ON_FAIL_RETRY : ITEM_ON_FAIL_LAST;
}

/* Which event of the table an attempt's end is. */
static enum item_event choose_end(const struct hub *hub, uint32_t item,
                                  const struct record_attempt *end) {
    const struct record_item *image = &hub->items[item].image;
    if (end->outcome == RECORD_SUCCESS) {
        return ITEM_ON_SUCCEED;
    }
    if (image->stop == RECORD_STOP_CANCEL) {
        return ITEM_ON_STOPPED_CANCEL;
    }
    if (image->stop == RECORD_STOP_DEADLINE) {
        return ITEM_ON_STOPPED_DEADLINE;
    }
    if (is_uncertain(hub, item, end)) {
        return ITEM_ON_UNCERTAIN;
    }
    if (image->stop == RECORD_STOP_SUSPEND) {
        return ITEM_ON_STOPPED_SUSPEND;
    }
    if (image->stop == RECORD_STOP_SHUTDOWN) {
        return ITEM_ON_STOPPED_SHUTDOWN;
    }
    if (end->outcome == RECORD_INTERRUPTED) {
        return image->faults + 1 >= ITEM_FAULTS_MAX ? ITEM_ON_POISON : ITEM_ON_INTERRUPT;
    }
    return choose_failure(hub, item, end->category);
}

static enum record_event record_for(enum item_event event) {
    switch ((int)event) {
    case ITEM_ON_SUCCEED:
        return RECORD_SUCCEEDED_EVENT;
    case ITEM_ON_FAIL_RETRY:
        return RECORD_RETRY_SCHEDULED_EVENT;
    case ITEM_ON_STOPPED_CANCEL:
        return RECORD_CANCELED_EVENT;
    case ITEM_ON_STOPPED_SUSPEND:
    case ITEM_ON_UNCERTAIN:
        return RECORD_SUSPENDED_EVENT;
    case ITEM_ON_STOPPED_SHUTDOWN:
    case ITEM_ON_INTERRUPT:
        return RECORD_RETURNED_EVENT;
    default:
        return RECORD_FAILED_EVENT;
    }
}

/* A stop for a time limit is the attempt's error, whatever the executor saw of it. */
static void name_stop(const struct record_item *image, struct record_attempt *end) {
    static const struct {
        uint8_t category;
        const char *code;
        const char *message;
    } stops[RECORD_STOP_COUNT] = {
        [RECORD_STOP_EXPIRE] = {RECORD_CATEGORY_LEASE_EXPIRED, "lease_expired",
                                "the worker did not renew its lease"},
        [RECORD_STOP_TIMEOUT] = {RECORD_CATEGORY_TIMEOUT, "attempt_timeout",
                                 "the attempt took longer than its limit"},
        [RECORD_STOP_DEADLINE] = {RECORD_CATEGORY_DEADLINE, "deadline",
                                  "the process reached its deadline"},
    };
    if (end->outcome == RECORD_SUCCESS || stops[image->stop].message == NULL) {
        return;
    }
    const char *code = stops[image->stop].code;
    const char *message = stops[image->stop].message;
    end->outcome = RECORD_FAILURE;
    end->category = stops[image->stop].category;
    end->code = (struct bytes){(const uint8_t *)code, 0};
    end->message = (struct bytes){(const uint8_t *)message, 0};
    while (code[end->code.size] != '\0') {
        end->code.size += 1;
    }
    while (message[end->message.size] != '\0') {
        end->message.size += 1;
    }
}

static void remember_failure(struct hub_item *item, uint32_t phone) {
    item->failed_phone_count = item->failed_phone == phone ? item->failed_phone_count + 1 : 1;
    item->failed_phone = phone;
}

static struct bytes phone_id(const struct hub *hub, uint64_t number) {
    uint32_t phone = hub_phone_by_number(hub, number);
    struct bytes id = {0};
    if (phone != HUB_NONE) {
        id.data = (const uint8_t *)hub->phones[phone].id;
        while (hub->phones[phone].id[id.size] != '\0') {
            id.size += 1;
        }
    }
    return id;
}

static void set_image_reason(struct record_item *image, enum item_event event,
                             const struct record_attempt *end) {
    if (event == ITEM_ON_UNCERTAIN) {
        image->suspension = RECORD_SUSPEND_UNCERTAIN;
    } else if (event == ITEM_ON_STOPPED_SUSPEND) {
        image->suspension = RECORD_SUSPEND_OPERATOR;
    } else if (event == ITEM_ON_POISON) {
        image->category = RECORD_CATEGORY_POISON;
    } else if (end->outcome == RECORD_FAILURE) {
        image->category = end->category;
    }
}

/* The attempt's last record, then the item's: one group. */
static void end_attempt(struct hub *hub, uint32_t item, struct record_attempt end) {
    struct hub_item *of = &hub->items[item];
    name_stop(&of->image, &end);
    end.phone_id = phone_id(hub, of->image.phone);
    end.started = of->attempt_started;
    end.ended = hub_now(hub);
    end.actions_done = of->image.actions_done;
    enum item_event event = choose_end(hub, item, &end);
    hub_log_attempt(hub, item, hub_attempt_take(hub, item), RECORD_ATTEMPT_ENDED_EVENT, &end);
    if (end.outcome == RECORD_FAILURE) {
        hub->counters.errors[end.category] += 1;
        remember_failure(of, hub_phone_by_number(hub, of->image.phone));
    }
    set_image_reason(&of->image, event, &end);
    hub_item_change(hub, item, event, record_for(event));
}

static uint32_t room_for(const struct record_attempt *image) {
    size_t texts = image->message.size + image->output.size + image->result.size +
                   image->code.size + image->action.size;
    return HUB_TRANSITION_BYTES + (uint32_t)texts;
}

static enum status find_attempt(const struct hub *hub, uint32_t phone, uint64_t token,
                                uint32_t *item) {
    check(phone < hub->phone_count);
    *item = hub->phones[phone].item;
    if (*item == HUB_NONE || hub->items[*item].image.token != token) {
        return STATUS_STALE_LEASE;
    }
    return hub->items[*item].image.state == RECORD_RUNNING ? STATUS_OK : STATUS_ILLEGAL;
}

enum status hub_attempt_end(struct hub *hub, uint32_t phone, uint64_t token,
                            const struct record_attempt *end) {
    uint32_t item;
    enum status status = find_attempt(hub, phone, token, &item);
    if (status == STATUS_OK && !hub_has_room(hub, room_for(end))) {
        status = STATUS_AGAIN;
    }
    if (status == STATUS_OK) {
        end_attempt(hub, item, *end);
    }
    return status;
}

enum status hub_attempt_step(struct hub *hub, uint32_t phone, uint64_t token,
                             const struct record_attempt *so_far) {
    uint32_t item;
    enum status status = find_attempt(hub, phone, token, &item);
    if (status != STATUS_OK) {
        return status;
    }
    if (!hub_has_room(hub, room_for(so_far))) {
        return STATUS_AGAIN;
    }
    struct hub_item *of = &hub->items[item];
    check(so_far->actions_done > of->image.actions_done);
    of->image.actions_done = so_far->actions_done;
    of->step = (uint8_t)of->image.actions_done;
    struct record_attempt image = *so_far;
    image.outcome = RECORD_UNFINISHED;
    image.phone_id = phone_id(hub, of->image.phone);
    image.started = of->attempt_started;
    hub_log_attempt(hub, item, hub_attempt_take(hub, item), RECORD_STEP_EVENT, &image);
    return STATUS_OK;
}

enum status hub_attempt_touched(struct hub *hub, uint32_t phone, uint64_t token) {
    uint32_t item;
    enum status status = find_attempt(hub, phone, token, &item);
    if (status == STATUS_OK && hub->items[item].image.first_device.boot == 0) {
        hub->items[item].image.first_device = hub_now(hub);
    }
    return status;
}

enum status hub_attempt_progress(struct hub *hub, uint32_t phone, uint64_t token, uint32_t step,
                                 uint32_t percent) {
    uint32_t item;
    enum status status = find_attempt(hub, phone, token, &item);
    if (status != STATUS_OK) {
        return status;
    }
    struct hub_item *of = &hub->items[item];
    of->step = (uint8_t)step;
    if (percent <= 100 && percent > of->progress_percent) {
        of->progress_percent = (uint8_t)percent;
    }
    return STATUS_OK;
}

enum status hub_attempt_findings(struct hub *hub, uint32_t item, struct bytes *result) {
    uint32_t newest = hub_attempt_newest(hub, item);
    struct record_header header;
    struct cbor_reader reader;
    struct record_attempt found;
    if (newest == HUB_NONE ||
        hub_read(hub, (struct store_key){RECORD_ATTEMPT, newest}, &header, &reader) != STATUS_OK) {
        return STATUS_NOT_FOUND;
    }
    record_get_attempt(&reader, &found);
    if (!cbor_reader_done(&reader) || found.result.size == 0) {
        return STATUS_NOT_FOUND;
    }
    *result = found.result;
    return STATUS_OK;
}

/* What the attempt found before it was cut off stands in its last record: it is kept. */
static void keep_findings(struct hub *hub, uint32_t item, struct record_attempt *end) {
    uint32_t newest = hub_attempt_newest(hub, item);
    if (newest != HUB_NONE && hub->attempts[newest].number == hub->items[item].image.attempt) {
        (void)!hub_attempt_findings(hub, item, &end->result);
    }
}

void hub_item_interrupt(struct hub *hub, uint32_t item, enum record_category category,
                        bool is_counted_attempt) {
    struct record_item *image = &hub->items[item].image;
    if (image->state == RECORD_LEASED) {
        bool is_delivery = is_counted_attempt && category == RECORD_CATEGORY_PHONE_LOST;
        bool is_poison = is_delivery && image->deliveries + 1 >= ITEM_DELIVERIES_MAX;
        image->category = is_poison ? RECORD_CATEGORY_POISON : image->category;
        enum item_event event = is_poison     ? ITEM_ON_POISON
                                : is_delivery ? ITEM_ON_RETURN
                                              : ITEM_ON_GIVE_BACK;
        hub_item_change(hub, item, event, is_poison ? RECORD_FAILED_EVENT : RECORD_RETURNED_EVENT);
        return;
    }
    check(image->state == RECORD_RUNNING);
    static const char lost[] = "the phone left while its attempt ran";
    static const char restarted[] = "the hub restarted while the attempt ran";
    bool is_phone = category == RECORD_CATEGORY_PHONE_LOST;
    struct record_attempt end = {
        .outcome = is_counted_attempt ? RECORD_FAILURE : RECORD_INTERRUPTED,
        .category = (uint8_t)category,
        .code = is_phone ? bytes_of("phone_lost") : bytes_of("host_restarted"),
        .message = is_phone ? (struct bytes){(const uint8_t *)lost, sizeof lost - 1}
                            : (struct bytes){(const uint8_t *)restarted, sizeof restarted - 1},
    };
    keep_findings(hub, item, &end);
    end_attempt(hub, item, end);
}

/* ---- timers ---- */

void hub_item_timer_due(struct hub *hub, uint32_t item) {
    struct record_item *image = &hub->items[item].image;
    if (image->state == RECORD_SCHEDULED || image->state == RECORD_RETRY_WAIT) {
        hub_item_change(hub, item, ITEM_ON_DUE, RECORD_DUE_EVENT);
    } else if (image->state == RECORD_LEASED) {
        hub_item_interrupt(hub, item, RECORD_CATEGORY_PHONE_LOST, true);
    } else if (image->state == RECORD_RUNNING && image->stop == RECORD_STOP_NONE) {
        hub_item_ask_stop(hub, item, RECORD_STOP_TIMEOUT);
    } else if (image->state == RECORD_RUNNING) {
        /* The grace time is over: it counts as stopped. A later word of its executor is stale. */
        struct record_attempt end = {
            .outcome = RECORD_STOPPED,
            .code = bytes_of("forced"),
            .message = bytes_of("it did not stop in the grace time"),
        };
        keep_findings(hub, item, &end);
        end_attempt(hub, item, end);
    }
}

void hub_process_timer_due(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    if (of->end_seq != 0) {
        return;
    }
    of->image.flags |= RECORD_PAST_DEADLINE;
    hub_log_process(hub, process, RECORD_STOP_REQUESTED_EVENT);
    hub_process_end_items(hub, process, RECORD_STOP_DEADLINE);
    hub_process_settle(hub, process);
}

/* ---- kept attempts ---- */

enum { ATTEMPTS_KEPT_FIRST = 4, ATTEMPTS_KEPT = 8 };

uint32_t hub_attempt_newest(const struct hub *hub, uint32_t item) {
    uint32_t newest = HUB_NONE;
    for (uint32_t a = hub->items[item].first_attempt; a != HUB_NONE; a = hub->attempts[a].next) {
        newest = a;
    }
    return newest;
}

/* Frees the oldest attempt behind the first ones; the chain of kept ones stays in order. */
static void drop_attempt(struct hub *hub, uint32_t item, uint32_t skip) {
    struct hub_item *of = &hub->items[item];
    uint32_t *link = &of->first_attempt;
    for (uint32_t i = 0; i < skip; i++) {
        link = &hub->attempts[*link].next;
    }
    uint32_t dropped = *link;
    *link = hub->attempts[dropped].next;
    store_release(&hub->store, (struct store_key){RECORD_ATTEMPT, dropped});
    pool_give(&hub->attempt_pool, dropped);
    of->attempt_count -= 1;
}

uint32_t hub_attempt_take(struct hub *hub, uint32_t item) {
    struct hub_item *of = &hub->items[item];
    uint32_t newest = hub_attempt_newest(hub, item);
    if (newest != HUB_NONE && hub->attempts[newest].number == of->image.attempt) {
        return newest;
    }
    bool is_scarce = pool_free_count(&hub->attempt_pool) <= hub->board->items;
    if (of->attempt_count == ATTEMPTS_KEPT) {
        drop_attempt(hub, item, ATTEMPTS_KEPT_FIRST);
    } else if (is_scarce && of->attempt_count > 0) {
        drop_attempt(hub, item, of->attempt_count - 1);
    }
    uint32_t taken = pool_take(&hub->attempt_pool);
    check(taken != POOL_NONE); /* attempts >= 2 * items, and the rest only while items are free */
    hub->attempts[taken] =
        (struct hub_attempt){.number = of->image.attempt, .item = item, .next = HUB_NONE};
    newest = hub_attempt_newest(hub, item);
    *(newest == HUB_NONE ? &of->first_attempt : &hub->attempts[newest].next) = taken;
    of->attempt_count += 1;
    return taken;
}
