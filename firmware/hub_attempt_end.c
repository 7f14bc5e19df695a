/* The end of an attempt: which event of the table it is, and what becomes of its item. */
#include "firmware/hub_internal.h"

/* ---- which event it is ---- */

/* The action that was running may have had its effect, must not be run twice, and nobody knows. */
static bool is_uncertain(const struct hub *hub, uint32_t item, const struct record_attempt *end) {
    const struct record_item *image = &hub->items[item].image;
    uint32_t phone = hub_item_phone(hub, item);
    struct hub_lease unknown = {0}; /* of a phone whose row could not be read */
    hub_lease_set_actions(&unknown, hub_capability_of(hub, item));
    const struct hub_lease *lease = phone == HUB_NONE ? &unknown : &hub->phones[phone].lease;
    bool is_started = phone == HUB_NONE || hub->phones[phone].is_started;
    if (!is_started || image->suspension == RECORD_SUSPEND_REVIEW) {
        return false; /* nobody was told to begin, or the action behind the review was not begun */
    }
    if (image->actions_done >= lease->action_count ||
        (lease->once_actions >> image->actions_done & 1u) == 0) {
        return false;
    }
    return end->outcome != RECORD_FAILURE || end->category != RECORD_CATEGORY_EXIT_CODE;
}

/* What SPEC.md section 2 itself calls retryable; for the rest the capability decides. */
static bool is_always_retryable(const struct record_item *image, enum record_category category) {
    return image->stop == RECORD_STOP_EXPIRE || image->stop == RECORD_STOP_TIMEOUT ||
           category == RECORD_CATEGORY_PHONE_LOST || category == RECORD_CATEGORY_HOST_RESTARTED;
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

static enum item_event choose_failure(const struct hub *hub, uint32_t item,
                                      enum record_category category) {
    const struct capability *capability = hub_capability_of(hub, item);
    if (capability == NULL || ((capability->retryable >> category & 1u) == 0 &&
                               !is_always_retryable(&hub->items[item].image, category))) {
        return ITEM_ON_FAIL_PERMANENT;
    }
    return hub_attempt_failure(hub, item, true);
}

/* Which event of the table an attempt's end is. `is_known`: its reporter knows how it ended. */
static enum item_event choose_end(const struct hub *hub, uint32_t item,
                                  const struct record_attempt *end, bool is_known) {
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
    if (!is_known && is_uncertain(hub, item, end)) {
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
static void name_stop(const struct record_item *image, bool has_no_grant,
                      struct record_attempt *end) {
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
    bool is_by_grant = image->stop == RECORD_STOP_EXPIRE && has_no_grant;
    const char *code = is_by_grant ? "grant_expired" : stops[image->stop].code;
    const char *message =
        is_by_grant ? "upstream did not renew its grant" : stops[image->stop].message;
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

static bool is_stop_pending(const struct record_item *image) {
    return image->stop != RECORD_STOP_NONE;
}

/* `known`: the event that this end is, unless a stop is pending; ITEM_EVENT_COUNT: policy decides.
 * The attempt's last record, then the item's: one group. */
static void end_attempt(struct hub *hub, uint32_t item, struct record_attempt end,
                        enum item_event known) {
    struct hub_item *of = &hub->items[item];
    uint32_t phone = hub_item_phone(hub, item); /* HUB_NONE: its row could not be read */
    name_stop(&of->image, !hub_item_is_external(hub, item) || !hub_grant_is_live(hub, item), &end);
    if (phone != HUB_NONE) {
        hub_attempt_fill(&hub->phones[phone], &end);
    }
    end.started = of->attempt_started;
    end.ended = hub_now(hub);
    end.actions_done = of->image.actions_done;
    end.progress_percent = end.outcome == RECORD_SUCCESS ? 100 : of->progress_percent;
    bool is_known = known != ITEM_EVENT_COUNT;
    enum item_event event =
        is_known && !is_stop_pending(&of->image) ? known : choose_end(hub, item, &end, is_known);
    if (phone != HUB_NONE) {
        hub_budget_settle(hub, phone);
    }
    hub->resume_ms = hub_budget_resume_ms(hub, item, phone);
    hub_log_attempt(hub, item, hub_attempt_take(hub, item), RECORD_ATTEMPT_ENDED_EVENT, &end);
    if (of->image.stop == RECORD_STOP_WITHDRAW && end.outcome != RECORD_SUCCESS) {
        if (event == ITEM_ON_UNCERTAIN) { /* no other hub is to begin it unknowingly */
            of->image.suspension = RECORD_SUSPEND_UNCERTAIN;
        }
        hub_part_leave(hub, of->process);
        return;
    }
    if (end.outcome == RECORD_FAILURE) {
        hub->counters.errors[end.category] += 1;
        remember_failure(&of->image);
    }
    set_image_reason(&of->image, event, &end);
    hub_item_change(hub, item, event, record_for(event));
}

/* ---- what its reporter says ---- */

enum status hub_attempt_end(struct hub *hub, uint32_t phone, uint64_t token,
                            const struct record_attempt *end) {
    uint32_t item;
    enum status status = hub_attempt_find(hub, phone, token, &item);
    struct record_attempt image = *end;
    hub_attempt_fit(hub, &image);
    if (status == STATUS_OK && !hub_has_room(hub, hub_attempt_room(&image))) {
        status = STATUS_AGAIN;
    }
    if (status == STATUS_OK) {
        end_attempt(hub, item, image, ITEM_EVENT_COUNT);
    }
    return status;
}

enum status hub_attempt_end_known(struct hub *hub, uint32_t item, const struct record_attempt *end,
                                  enum item_event known) {
    struct record_attempt image = *end;
    hub_attempt_fit(hub, &image);
    if (!hub_has_room(hub, hub_attempt_room(&image))) {
        return STATUS_AGAIN;
    }
    end_attempt(hub, item, image, known);
    return STATUS_OK;
}

/* ---- without a word of its executor ---- */

uint32_t hub_attempt_end_room(const struct hub *hub, uint32_t item) {
    uint32_t newest = hub_attempt_newest(hub, item);
    struct store_key key = {RECORD_ATTEMPT, newest};
    return HUB_TRANSITION_BYTES + HUB_RECORD_BYTES +
           (newest == HUB_NONE ? 0 : store_slot(&hub->store, key)->bytes);
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
