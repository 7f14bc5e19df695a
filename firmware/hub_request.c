/* Requests: admission and planning. */
#include "firmware/hub_internal.h"

#include <string.h>

static uint64_t request_bytes(const struct record_request *request) {
    size_t texts = request->process_type.size + request->request_id.size + request->system.size +
                   request->user.size + request->target.size + request->inputs.size +
                   request->callback.size + request->metadata.size + request->labels.size +
                   request->extra.size + request->concurrency_key.size + request->phones.size +
                   request->accounts.size;
    return HUB_PLAIN_RECORD_BYTES + texts;
}

static void make_process(struct hub *hub, uint32_t process, const struct hub_order *order) {
    const struct record_request *request = order->request;
    struct hub_process *of = &hub->processes[process];
    hub->image.process_number += 1;
    struct record_time now = hub_now(hub);
    /* A deadline before planning plans nothing (SPEC.md section 3); upstream has planned a part. */
    bool is_late = order->part == NULL && request->deadline_ms != 0 &&
                   request->deadline_ms <= hub->clock.wall_ms;
    *of = (struct hub_process){
        .image = {.generation = 1,
                  .flags = RECORD_PLANNED | (is_late ? RECORD_PAST_DEADLINE : 0),
                  .created = now,
                  .queued = now},
        .number = hub->image.process_number,
        .first_item = HUB_NONE,
        .last_item = HUB_NONE,
        .capability = order->capability,
        .older = HUB_NONE,
        .newer = HUB_NONE,
        .label_set = HUB_NONE,
        .key_gate = HUB_NONE,
        .has_accounts = request->accounts.size > 0,
        .deadline_ms = request->deadline_ms,
        .not_before_ms = request->not_before_ms,
        .has_key = request->key.size > 0,
        .priority = request->priority,
        .origin = request->origin,
    };
    if (of->has_key) {
        memcpy(of->key, request->key.data, RECORD_DIGEST_BYTES);
        hash_index_add(&hub->by_key, hub_digest_hash(of->key), process);
    }
    if (request->body_digest.size > 0) {
        memcpy(of->body_digest, request->body_digest.data, RECORD_DIGEST_BYTES);
    }
    hash_index_add(&hub->by_number, hash_number(of->number), process);
    hub_part_index(hub, process);
}

static bool starts_later(const struct hub *hub, uint64_t not_before_ms) {
    return not_before_ms != 0 && (hub->clock.wall_ms == 0 || not_before_ms > hub->clock.wall_ms);
}

/* Where upstream's item stands, and what its offer grants. */
static void take_over(struct hub *hub, struct record_item *image, const struct hub_part *part) {
    check(part->attempts_counted <= part->attempt);
    image->attempt = part->attempt;
    image->attempts_counted = part->attempts_counted;
    image->actions_done = part->actions_done;
    image->actions_digest = part->actions_digest;
    image->assignment = part->assignment;
    image->grant_ms = part->ttl_ms;
    image->grant_from =
        record_time_of(hub->image.boot, part->sent_ms, hub->clock.wall_ms, hub->clock.quality);
}

uint32_t hub_item_make(struct hub *hub, uint32_t process, const struct hub_target *target) {
    struct hub_process *of = &hub->processes[process];
    uint32_t item = pool_take(&hub->item_pool);
    check(item != POOL_NONE);
    of->image.item_count += 1; /* numbers are not given again */
    bool is_later = starts_later(hub, of->not_before_ms);
    hub->items[item] = (struct hub_item){
        .image = {.state = is_later ? RECORD_SCHEDULED : RECORD_READY,
                  .generation = of->image.generation,
                  .target_index = target->index,
                  .target_phone = target->phone},
        .process = process,
        .number = of->image.item_count,
        .next_of_process = HUB_NONE,
        .strand = HUB_NONE,
        .first_attempt = HUB_NONE,
        .entered_ms = hub->clock.mono_ms,
    };
    if (target->part != NULL) {
        take_over(hub, &hub->items[item].image, target->part);
    }
    *(of->last_item == HUB_NONE ? &of->first_item : &hub->items[of->last_item].next_of_process) =
        item;
    of->last_item = item;
    queue_assign(hub, item, target->account);
    hub_item_enter(hub, item);
    return item;
}

static void log_acceptance(struct hub *hub, uint32_t process,
                           const struct record_request *request) {
    hub_log_request(hub, process, request);
    hub_log_process(hub, process, RECORD_PLANNED_EVENT);
    for (uint32_t i = hub->processes[process].first_item; i != HUB_NONE;
         i = hub->items[i].next_of_process) {
        (void)hub_log_item(hub, i, RECORD_PLANNED_EVENT);
    }
}

/* Writes the targets of an order as its record holds them, into the read buffer: a board with room
 * for fewer than it allows a request does not compile. */
static enum status put_targets(struct hub *hub, const struct hub_order *order,
                               struct record_request *request) {
    uint8_t *to = hub->read_buffer;
    request->item_count = order->item_count;
    request->phones = (struct bytes){to, 0};
    for (uint32_t i = 0; order->phones != NULL && i < order->item_count; i++) {
        for (int shift = 56; shift >= 0; shift -= 8) {
            to[request->phones.size] = (uint8_t)(order->phones[i] >> shift);
            request->phones.size += 1;
        }
    }
    to += request->phones.size;
    request->accounts = (struct bytes){to, 0};
    for (uint32_t i = 0; order->accounts != NULL && i < order->item_count; i++) {
        struct bytes account = order->accounts[i];
        if (account.size == 0 || account.size > RECORD_ID_MAX) {
            return STATUS_MALFORMED;
        }
        for (size_t at = 0; at < account.size; at++) {
            if (account.data[at] < ' ' || account.data[at] == 0x7f) {
                return STATUS_MALFORMED;
            }
        }
        memcpy(to + request->accounts.size, account.data, account.size);
        to[request->accounts.size + account.size] = '\n';
        request->accounts.size += account.size + 1;
    }
    return STATUS_OK;
}

/* Records of a request, its process and its items when they are accepted. */
static uint64_t acceptance_bytes(const struct record_request *request) {
    return request_bytes(request) + HUB_PLAIN_RECORD_BYTES +
           (uint64_t)request->item_count * HUB_NEW_ITEM_BYTES +
           (request->origin.process == 0 ? 0 : HUB_PLAIN_RECORD_BYTES);
}

/* Whether the request could ever be taken. */
static enum status judge(struct hub *hub, const struct record_request *request) {
    char labels[HUB_LABELS_BYTES];
    if (acceptance_bytes(request) > hub->board->frame_bytes - 64 - hub->held_bytes ||
        request_bytes(request) > hub->record_bytes) {
        return STATUS_TOO_LARGE;
    }
    if (!record_is_request_valid(request)) {
        return STATUS_MALFORMED;
    }
    return hub_labels_parse(labels, request->labels);
}

/* Room in the tables and the store, made by evicting finished processes if need be. */
static enum status admit(struct hub *hub, const struct record_request *request,
                         uint32_t capability) {
    uint64_t bytes = acceptance_bytes(request);
    uint64_t later = hub_reserve_bytes(hub, capability, request->item_count);
    enum status status = hub_evict_for(hub, request->item_count, bytes + later, HUB_NONE);
    if (status == STATUS_OK && !hub_has_room(hub, (uint32_t)bytes)) {
        status = STATUS_AGAIN;
    }
    return status;
}

/* ---- planning ---- */

struct bytes hub_account_next(struct bytes *accounts) {
    struct bytes line = {accounts->data, 0};
    while (line.size < accounts->size && line.data[line.size] != '\n') {
        line.size += 1;
    }
    size_t taken = line.size < accounts->size ? line.size + 1 : line.size;
    if (taken > 0) {
        accounts->data += taken;
        accounts->size -= taken;
    }
    return line;
}

/* The request's concurrency key, or else its capability's. */
uint32_t hub_key_gate_take(struct hub *hub, uint32_t process,
                           const struct record_request *request) {
    uint32_t capability = hub->processes[process].capability;
    struct bytes key = request->concurrency_key;
    if (key.size == 0 && capability != HUB_NONE) {
        const char *own = hub->capabilities[capability].concurrency_key;
        key = (struct bytes){(const uint8_t *)own, 0};
        while (own[key.size] != '\0') {
            key.size += 1;
        }
    }
    return queue_gate_take(hub, QUEUE_GATE_KEY, key);
}

void hub_process_plan(struct hub *hub, uint32_t process, const struct record_request *request,
                      const struct hub_part *part) {
    struct bytes accounts = request->accounts;
    for (uint32_t i = 0; i < request->item_count; i++) {
        struct hub_target target = {
            .index = i, .account = hub_account_next(&accounts), .part = part};
        for (size_t at = 0; at < 8 && request->phones.size >= 8 * (size_t)(i + 1); at++) {
            target.phone = target.phone << 8 | request->phones.data[8 * (size_t)i + at];
        }
        (void)hub_item_make(hub, process, &target);
    }
}

static uint32_t accept(struct hub *hub, const struct hub_order *order, uint32_t label_set) {
    uint32_t process = pool_take(&hub->process_pool);
    check(process != POOL_NONE);
    make_process(hub, process, order);
    hub->processes[process].label_set = label_set;
    hub->processes[process].key_gate = hub_key_gate_take(hub, process, order->request);
    if ((hub->processes[process].image.flags & RECORD_PAST_DEADLINE) == 0) {
        hub_process_plan(hub, process, order->request, order->part);
    }
    log_acceptance(hub, process, order->request);
    hub_process_arm(hub, process);
    hub_process_settle(hub, process);
    hub->counters.accepted += 1;
    return process;
}

enum status hub_accept(struct hub *hub, const struct hub_order *order,
                       struct hub_accepted *accepted) {
    check(order->item_count >= 1 && order->item_count <= hub->board->items_per_request);
    check(order->capability < hub->capability_count);
    struct record_request request = *order->request;
    if (hub_answer_duplicate(hub, order->request, accepted)) {
        return STATUS_OK;
    }
    if (order->part != NULL) {
        check(request.key.size == 0);
        request.origin = order->part->origin;
    }
    uint32_t label_set;
    enum status status = put_targets(hub, order, &request);
    status = status == STATUS_OK ? judge(hub, &request) : status;
    status = status == STATUS_OK ? hub_labels_take(hub, request.labels, &label_set) : status;
    if (status != STATUS_OK) {
        hub->counters.refused_full += status == STATUS_FULL;
        return status;
    }
    status = admit(hub, &request, order->capability);
    if (status != STATUS_OK) {
        hub_labels_give(hub, label_set);
        return status;
    }
    const struct hub_order whole = {.request = &request,
                                    .capability = order->capability,
                                    .item_count = order->item_count,
                                    .part = order->part};
    uint32_t process = accept(hub, &whole, label_set);
    *accepted = (struct hub_accepted){
        .number = hub->processes[process].number,
        .process = process,
        .status = hub->processes[process].status,
    };
    return STATUS_OK;
}
