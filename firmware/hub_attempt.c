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
    hub->attempts[taken] = (struct hub_attempt){
        .number = of->image.attempt,
        .item = item,
        .next = HUB_NONE,
        .phone = hub_phone_by_number(hub, of->image.phone),
    };
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

/* ---- records of an attempt ---- */

static struct bytes text_of(const char *text) {
    struct bytes bytes = {(const uint8_t *)text, 0};
    while (text[bytes.size] != '\0') {
        bytes.size += 1;
    }
    return bytes;
}

/* Whose lease it was, and what it did with the phone. */
void hub_attempt_fill(const struct hub_phone *phone, struct record_attempt *image) {
    image->phone_id = text_of(phone->id);
    image->worker = text_of(phone->lease.worker);
    image->power_cycles = phone->lease.power_cycles;
}

static void keep_text(struct bytes *text, size_t max) {
    if (text->size > max || !cbor_is_utf8(*text)) {
        *text = (struct bytes){0};
    }
}

/* A text that no record may hold is left out, so that an attempt's end is never refused for it:
 * first what is malformed, then output and result, if they are too long for one record, or do not
 * fit beside what the store has promised to others. The error itself comes out of the reserve. */
void hub_attempt_fit(struct hub *hub, struct record_attempt *image) {
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
    size_t told = image->output.size + image->result.size;
    if (told > 0 && !hub_fits_beside(hub, told) && !hub_fits_beside(hub, image->result.size)) {
        image->result = (struct bytes){0};
    }
    if (told > 0 && !hub_fits_beside(hub, told)) {
        image->output = (struct bytes){0};
        hub->counters.texts_dropped += hub_has_room(hub, hub_attempt_room(image));
    }
}

uint32_t hub_attempt_room(const struct record_attempt *image) {
    size_t texts = image->message.size + image->output.size + image->result.size +
                   image->code.size + image->action.size;
    return HUB_TRANSITION_BYTES + (uint32_t)texts;
}

enum status hub_attempt_find(const struct hub *hub, uint32_t phone, uint64_t token,
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
    hub_attempt_fill(&hub->phones[phone], &image);
    hub_log_attempt(hub, item, hub_attempt_take(hub, item), RECORD_STEP_EVENT, &image);
}

/* Finds the attempt's item, and makes `image` one that a record holds and that has room now. */
static enum status prepare_step(struct hub *hub, uint32_t phone, uint64_t token, uint32_t *item,
                                struct record_attempt *image) {
    enum status status = hub_attempt_find(hub, phone, token, item);
    if (status != STATUS_OK) {
        return status;
    }
    hub_attempt_fit(hub, image);
    return hub_has_room(hub, hub_attempt_room(image)) ? STATUS_OK : STATUS_AGAIN;
}

enum status hub_attempt_step(struct hub *hub, uint32_t phone, uint64_t token,
                             const struct record_attempt *so_far) {
    uint32_t item;
    struct record_attempt image = *so_far;
    enum status status = prepare_step(hub, phone, token, &item, &image);
    if (status == STATUS_OK) {
        check(so_far->actions_done > hub->items[item].image.actions_done);
        record_step(hub, item, image);
    }
    return status;
}

enum status hub_attempt_review(struct hub *hub, uint32_t phone, uint64_t token,
                               const struct record_attempt *so_far) {
    uint32_t item;
    struct record_attempt image = *so_far;
    enum status status = prepare_step(hub, phone, token, &item, &image);
    if (status == STATUS_OK) {
        check(so_far->actions_done > hub->items[item].image.actions_done);
        record_step(hub, item, image);
        hub_item_ask_suspend(hub, item, RECORD_SUSPEND_REVIEW);
    }
    return status;
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
    enum status status = hub_attempt_find(hub, phone, token, &item);
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
        if (hub->phones[p].lease.is_touched && hub_has_room(hub, HUB_TRANSITION_BYTES)) {
            log_touch(hub, p);
        }
    }
}

enum status hub_attempt_power_cycle(struct hub *hub, uint32_t phone, uint64_t token) {
    uint32_t item;
    enum status status = hub_attempt_find(hub, phone, token, &item);
    if (status == STATUS_OK && !hub_has_room(hub, HUB_TRANSITION_BYTES)) {
        status = STATUS_AGAIN;
    }
    if (status == STATUS_OK && !hub_budget_power_cycle(hub, phone)) {
        hub_item_ask_suspend(hub, item, RECORD_SUSPEND_BUDGET);
        status = STATUS_FULL;
    }
    return status;
}

enum status hub_attempt_progress(struct hub *hub, uint32_t phone, uint64_t token, uint32_t step,
                                 uint32_t percent) {
    uint32_t item;
    enum status status = hub_attempt_find(hub, phone, token, &item);
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
