/* Attempts: what their executor says, how they end, and which of their records are kept. */
#include "firmware/hub_internal.h"

#include <string.h>

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
    if (of->attempt_count >= ATTEMPTS_KEPT) {
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

void hub_attempt_trim(struct hub *hub) {
    uint32_t without = hub->board->items;
    for (uint32_t i = 0; i < hub->item_pool.touched; i++) {
        while (hub->items[i].attempt_count > ATTEMPTS_KEPT) {
            drop_attempt(hub, i, ATTEMPTS_KEPT_FIRST);
        }
        without -= hub->items[i].attempt_count > 0;
    }
    /* Every item that has none is sure of one. */
    for (uint32_t i = 0; i < hub->item_pool.touched; i++) {
        while (hub->items[i].attempt_count > 1 && pool_free_count(&hub->attempt_pool) < without) {
            drop_attempt(hub, i, hub->items[i].attempt_count - 2);
        }
    }
}

/* ---- the end of an attempt ---- */

/* The action that was running may have had its effect, must not be run twice, and nobody knows. */
static bool is_uncertain(const struct hub *hub, uint32_t item, const struct record_attempt *end) {
    const struct record_item *image = &hub->items[item].image;
    uint32_t phone = hub_item_phone(hub, item);
    check(phone != HUB_NONE);
    const struct hub_phone *on = &hub->phones[phone];
    if (!on->is_started || image->suspension == RECORD_SUSPEND_REVIEW) {
        return false; /* nobody was told to begin, or the action behind the review was not begun */
    }
    if (image->actions_done >= on->lease.action_count ||
        (on->lease.once_actions >> image->actions_done & 1u) == 0) {
        return false;
    }
    return end->outcome != RECORD_FAILURE || end->category != RECORD_CATEGORY_EXIT_CODE;
}

/* What SPEC.md section 2 itself calls retryable; for the rest the capability decides. */
static bool is_always_retryable(const struct record_item *image, enum record_category category) {
    return image->stop == RECORD_STOP_EXPIRE || image->stop == RECORD_STOP_TIMEOUT ||
           category == RECORD_CATEGORY_PHONE_LOST || category == RECORD_CATEGORY_HOST_RESTARTED;
}

static enum item_event choose_failure(const struct hub *hub, uint32_t item,
                                      enum record_category category) {
    const struct capability *capability = hub_capability_of(hub, item);
    if (capability == NULL || ((capability->retryable >> category & 1u) == 0 &&
                               !is_always_retryable(&hub->items[item].image, category))) {
        return ITEM_ON_FAIL_PERMANENT;
    }
    return hub_attempt_failure(hub, item, true);
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
    enum item_event failure = choose_failure(hub, item, end->category);
    bool is_asked = image->stop == RECORD_STOP_SUSPEND || image->stop == RECORD_STOP_SHUTDOWN;
    if (end->outcome == RECORD_FAILURE && !is_asked && failure == ITEM_ON_FAIL_PERMANENT) {
        return failure;
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
    return failure;
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

static void remember_failure(struct record_item *image) {
    bool is_again = image->failed_phone == image->phone;
    image->failed_count = is_again && image->failed_count < RECORD_FAILED_MAX
                              ? image->failed_count + 1
                          : is_again ? RECORD_FAILED_MAX
                                     : 1;
    image->failed_phone = image->phone;
}

static struct bytes text_of(const char *text) {
    struct bytes bytes = {(const uint8_t *)text, 0};
    while (text[bytes.size] != '\0') {
        bytes.size += 1;
    }
    return bytes;
}

static void set_image_reason(struct record_item *image, enum item_event event,
                             const struct record_attempt *end) {
    if (event == ITEM_ON_UNCERTAIN) {
        image->suspension = RECORD_SUSPEND_UNCERTAIN;
    } else if (event == ITEM_ON_POISON) {
        image->category = RECORD_CATEGORY_POISON;
    } else if (end->category == RECORD_CATEGORY_DEADLINE) {
        image->category = RECORD_CATEGORY_DEADLINE;
    }
}

/* Whose lease it was, and what it did with the phone. */
static void fill_lease(const struct hub_phone *phone, struct record_attempt *image) {
    image->phone_id = text_of(phone->id);
    image->worker = text_of(phone->lease.worker);
    image->power_cycles = phone->lease.power_cycles;
}

static bool is_stop_pending(const struct record_item *image) {
    return image->stop != RECORD_STOP_NONE;
}

/* `known`: the event that this end is, unless a stop is pending; ITEM_EVENT_COUNT: policy decides.
 * The attempt's last record, then the item's: one group. */
static void end_attempt(struct hub *hub, uint32_t item, struct record_attempt end,
                        enum item_event known) {
    struct hub_item *of = &hub->items[item];
    uint32_t phone = hub_item_phone(hub, item);
    check(phone != HUB_NONE);
    name_stop(&of->image, &end);
    fill_lease(&hub->phones[phone], &end);
    end.started = of->attempt_started;
    end.ended = hub_now(hub);
    end.actions_done = of->image.actions_done;
    end.progress_percent = end.outcome == RECORD_SUCCESS ? 100 : of->progress_percent;
    enum item_event event = known == ITEM_EVENT_COUNT || is_stop_pending(&of->image)
                                ? choose_end(hub, item, &end)
                                : known;
    hub_budget_settle(hub, phone);
    hub->resume_ms = hub_budget_resume_ms(hub, item, phone);
    hub_log_attempt(hub, item, hub_attempt_take(hub, item), RECORD_ATTEMPT_ENDED_EVENT, &end);
    if (end.outcome == RECORD_FAILURE) {
        hub->counters.errors[end.category] += 1;
        remember_failure(&of->image);
    }
    set_image_reason(&of->image, event, &end);
    hub_item_change(hub, item, event, record_for(event));
}

static void keep_text(struct bytes *text, size_t max) {
    if (text->size > max || !cbor_is_utf8(*text)) {
        *text = (struct bytes){0};
    }
}

/* A text that no record may hold is left out, so that an attempt's end is never refused for it:
 * first what is malformed, then output and result, if they are too long for one record. */
static void fit(const struct hub *hub, struct record_attempt *image) {
    uint32_t max = hub_record_max(hub) - HUB_RECORD_BYTES;
    keep_text(&image->code, RECORD_ID_MAX);
    keep_text(&image->action, RECORD_ID_MAX);
    keep_text(&image->message, RECORD_TEXT_MAX);
    keep_text(&image->output, RECORD_PAYLOAD_MAX);
    keep_text(&image->result, RECORD_PAYLOAD_MAX);
    size_t fixed = image->code.size + image->action.size + image->message.size;
    if (fixed + image->result.size + image->output.size > max) {
        image->output = (struct bytes){0};
    }
    if (fixed + image->result.size > max) {
        image->result = (struct bytes){0};
    }
}

static uint32_t room_for(const struct record_attempt *image) {
    size_t texts = image->message.size + image->output.size + image->result.size +
                   image->code.size + image->action.size;
    return HUB_TRANSITION_BYTES + (uint32_t)texts;
}

uint32_t hub_attempt_end_room(const struct hub *hub, uint32_t item) {
    uint32_t newest = hub_attempt_newest(hub, item);
    struct store_key key = {RECORD_ATTEMPT, newest};
    return HUB_TRANSITION_BYTES + HUB_RECORD_BYTES +
           (newest == HUB_NONE ? 0 : store_slot(&hub->store, key)->bytes);
}

static enum status find_attempt(const struct hub *hub, uint32_t phone, uint64_t token,
                                uint32_t *item) {
    check(phone < hub->phone_count);
    *item = hub->phones[phone].item;
    /* What ran before a restart is not taken up again, whoever still knows its token. */
    if (*item == HUB_NONE || hub->items[*item].image.token != token ||
        hub->items[*item].needs_recovery) {
        return STATUS_STALE_LEASE;
    }
    return hub->items[*item].image.state == RECORD_RUNNING ? STATUS_OK : STATUS_ILLEGAL;
}

enum status hub_attempt_end(struct hub *hub, uint32_t phone, uint64_t token,
                            const struct record_attempt *end) {
    uint32_t item;
    enum status status = find_attempt(hub, phone, token, &item);
    struct record_attempt image = *end;
    fit(hub, &image);
    if (status == STATUS_OK && !hub_has_room(hub, room_for(&image))) {
        status = STATUS_AGAIN;
    }
    if (status == STATUS_OK) {
        end_attempt(hub, item, image, ITEM_EVENT_COUNT);
    }
    return status;
}

/* Progress never goes back within one attempt. */
static void raise_progress(struct hub_item *item, uint32_t percent) {
    if (percent <= 100 && percent > item->progress_percent) {
        item->progress_percent = (uint8_t)percent;
    }
}

/* Logs what an attempt has found and done so far. */
static void record_step(struct hub *hub, uint32_t item, struct record_attempt image) {
    struct hub_item *of = &hub->items[item];
    uint32_t phone = hub_item_phone(hub, item);
    check(phone != HUB_NONE);
    of->image.actions_done = image.actions_done;
    of->step = (uint8_t)of->image.actions_done;
    raise_progress(of, image.progress_percent);
    image.progress_percent = of->progress_percent;
    image.outcome = RECORD_UNFINISHED;
    image.started = of->attempt_started;
    fill_lease(&hub->phones[phone], &image);
    hub_log_attempt(hub, item, hub_attempt_take(hub, item), RECORD_STEP_EVENT, &image);
}

enum status hub_attempt_step(struct hub *hub, uint32_t phone, uint64_t token,
                             const struct record_attempt *so_far) {
    uint32_t item;
    enum status status = find_attempt(hub, phone, token, &item);
    if (status != STATUS_OK) {
        return status;
    }
    struct record_attempt image = *so_far;
    fit(hub, &image);
    if (!hub_has_room(hub, room_for(&image))) {
        return STATUS_AGAIN;
    }
    check(so_far->actions_done > hub->items[item].image.actions_done);
    record_step(hub, item, image);
    return STATUS_OK;
}

enum status hub_attempt_review(struct hub *hub, uint32_t phone, uint64_t token,
                               const struct record_attempt *so_far) {
    uint32_t item;
    enum status status = find_attempt(hub, phone, token, &item);
    if (status != STATUS_OK) {
        return status;
    }
    struct record_attempt image = *so_far;
    fit(hub, &image);
    if (!hub_has_room(hub, room_for(&image))) {
        return STATUS_AGAIN;
    }
    image.actions_done = hub->items[item].image.actions_done + 1;
    record_step(hub, item, image);
    hub_item_ask_suspend(hub, item, RECORD_SUSPEND_REVIEW);
    return STATUS_OK;
}

/* The time is exact even when the group is full: then its record follows in the next one. */
static void log_touch(struct hub *hub, uint32_t phone) {
    struct hub_lease *lease = &hub->phones[phone].lease;
    lease->is_touched = false;
    hub->touches_waiting -= 1;
    (void)hub_log_item(hub, hub->phones[phone].item, RECORD_FIRST_DEVICE_EVENT);
}

enum status hub_attempt_touched(struct hub *hub, uint32_t phone, uint64_t token) {
    uint32_t item;
    enum status status = find_attempt(hub, phone, token, &item);
    if (status == STATUS_OK && hub->items[item].image.first_device.boot == 0) {
        hub->items[item].image.first_device = hub_now(hub);
        hub->phones[phone].lease.is_touched = true;
        hub->touches_waiting += 1;
        if (hub_has_room(hub, HUB_TRANSITION_BYTES)) {
            log_touch(hub, phone);
        }
    }
    return status;
}

void hub_attempt_log_touches(struct hub *hub) {
    for (uint32_t p = 0; p < hub->phone_count && hub->touches_waiting > 0; p++) {
        if (hub->phones[p].lease.is_touched && hub->phones[p].item != HUB_NONE &&
            hub_has_room(hub, HUB_TRANSITION_BYTES)) {
            log_touch(hub, p);
        }
    }
}

enum status hub_attempt_power_cycle(struct hub *hub, uint32_t phone, uint64_t token) {
    uint32_t item;
    enum status status = find_attempt(hub, phone, token, &item);
    if (status == STATUS_OK && !hub_has_room(hub, HUB_TRANSITION_BYTES)) {
        status = STATUS_AGAIN;
    }
    if (status == STATUS_OK && !hub_budget_power_cycle(hub, phone)) {
        hub_item_ask_suspend(hub, item, RECORD_SUSPEND_BUDGET);
        status = STATUS_FULL;
    }
    return status;
}

enum status hub_attempt_end_known(struct hub *hub, uint32_t item, const struct record_attempt *end,
                                  enum item_event known) {
    struct record_attempt image = *end;
    fit(hub, &image);
    if (!hub_has_room(hub, room_for(&image))) {
        return STATUS_AGAIN;
    }
    end_attempt(hub, item, image, known);
    return STATUS_OK;
}

enum item_event hub_attempt_failure(const struct hub *hub, uint32_t item, bool is_retryable) {
    const struct capability *capability = hub_capability_of(hub, item);
    uint32_t counted = hub->items[item].image.attempts_counted + 1;
    if (!is_retryable) {
        return ITEM_ON_FAIL_PERMANENT;
    }
    return capability != NULL && counted < capability->attempts_max ? ITEM_ON_FAIL_RETRY
                                                                    : ITEM_ON_FAIL_LAST;
}

enum status hub_attempt_progress(struct hub *hub, uint32_t phone, uint64_t token, uint32_t step,
                                 uint32_t percent) {
    uint32_t item;
    enum status status = find_attempt(hub, phone, token, &item);
    if (status != STATUS_OK) {
        return status;
    }
    struct hub_item *of = &hub->items[item];
    of->step = step > of->step ? (uint8_t)step : of->step;
    raise_progress(of, percent);
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

/* What was found before the attempt was cut off, by it or by one before it, stands in the newest
 * record: it is kept, since the next attempt goes on behind it. */
static void end_silently(struct hub *hub, uint32_t item, struct record_attempt end,
                         enum item_event known) {
    (void)!hub_attempt_findings(hub, item, &end.result);
    end_attempt(hub, item, end, known);
}

void hub_attempt_force_stop(struct hub *hub, uint32_t item, struct bytes code,
                            struct bytes message) {
    end_silently(
        hub, item,
        (struct record_attempt){.outcome = RECORD_STOPPED, .code = code, .message = message},
        ITEM_EVENT_COUNT);
}

void hub_attempt_refuse(struct hub *hub, uint32_t item) {
    static const char changed[] = "its capability's actions are others than those it has done";
    struct record_attempt end = {
        .outcome = RECORD_FAILURE,
        .category = RECORD_CATEGORY_CAPABILITY,
        .code = bytes_of("actions_changed"),
        .message = {(const uint8_t *)changed, sizeof changed - 1},
    };
    end_silently(hub, item, end, ITEM_ON_FAIL_PERMANENT);
}

void hub_item_return(struct hub *hub, uint32_t item) {
    struct record_item *image = &hub->items[item].image;
    bool is_poison = image->deliveries + 1 >= ITEM_DELIVERIES_MAX;
    image->category = is_poison ? RECORD_CATEGORY_POISON : image->category;
    hub_item_change(hub, item, is_poison ? ITEM_ON_POISON : ITEM_ON_RETURN,
                    is_poison ? RECORD_FAILED_EVENT : RECORD_RETURNED_EVENT);
}

void hub_item_interrupt(struct hub *hub, uint32_t item, enum record_category category,
                        bool is_counted_attempt) {
    struct record_item *image = &hub->items[item].image;
    if (image->state == RECORD_LEASED && category == RECORD_CATEGORY_PHONE_LOST) {
        hub_item_return(hub, item);
        return;
    }
    if (image->state == RECORD_LEASED) {
        hub_item_change(hub, item, ITEM_ON_GIVE_BACK, RECORD_RETURNED_EVENT);
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
    end_silently(hub, item, end, ITEM_EVENT_COUNT);
}
