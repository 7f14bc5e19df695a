/* One record after the other as it becomes durable: what it says, judged against what was said
 * before. */
#include "tests/sim/shadow_take.h"

#include <string.h>

static struct process_counts count_items(const struct shadow_process *process) {
    struct process_counts counts = {0};
    for (uint32_t i = 0; i < process->item_count; i++) {
        const struct record_item *image = &process->items[i].image;
        if (!image->superseded) {
            counts.by_state[image->state] += 1;
            bool is_review =
                image->state == RECORD_SUSPENDED && image->suspension == RECORD_SUSPEND_REVIEW;
            counts.in_review = (uint16_t)(counts.in_review + is_review);
        }
    }
    return counts;
}

void shadow_take_request(struct shadow_taking *taking) {
    struct sim_world *world = taking->world;
    struct shadow *shadow = taking->shadow;
    struct record_request image;
    uint64_t number = taking->header.path[0];
    record_get_request(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 a request's record is malformed");
    sim_require(world, number == shadow->process_number + 1,
                "I6 process number %llu follows on %llu", (unsigned long long)number,
                (unsigned long long)shadow->process_number);
    struct shadow_process *process = shadow_process_find(shadow, 0);
    sim_require(world, process != NULL, "I9 more processes are retained than the board holds");
    bool has_key = image.key.size > 0;
    sim_require(world, !has_key || shadow_key_find(taking->host, image.key.data) == 0,
                "I34 process %llu has the key of an earlier one", (unsigned long long)number);
    shadow->process_number = number;
    process->number = number;
    process->revision = 0;
    process->item_count = 0;
    process->is_told = false;
    process->request_seq = taking->seq;
    process->is_carried = false;
    process->is_retry_asked = false;
    process->retry_seq = 0;
    process->has_key = has_key;
    process->origin = image.origin;
    process->deadline_ms = image.deadline_ms;
    process->not_before_ms = image.not_before_ms;
    process->capability = image.process_type.data[0] - 'a';
    process->priority = image.priority;
    process->lock = image.concurrency_key.size == 0 ? 0 : image.concurrency_key.data[0] - '0';
    memset(process->accounts, 0, sizeof process->accounts);
    for (size_t i = 0; 2 * i < image.accounts.size && i < 4; i++) {
        process->accounts[i] = image.accounts.data[2 * i] - '0';
    }
    memset(&process->image, 0, sizeof process->image);
    if (has_key) {
        memcpy(process->key, image.key.data, RECORD_DIGEST_BYTES);
    }
    taking->process = process;
}

static bool is_set(const struct record_time *time) {
    return time->boot != 0;
}

static bool is_same_time(const struct record_time *a, const struct record_time *b) {
    return a->boot == b->boot && a->mono_ms == b->mono_ms;
}

/* A milestone is written once in a generation. */
static bool is_kept(const struct record_time *before, const struct record_time *after) {
    return !is_set(before) || is_same_time(before, after);
}

void shadow_evict(struct shadow_taking *taking) {
    struct sim_world *world = taking->world;
    struct shadow_process *process = taking->process;
    sim_require(world, is_set(&process->image.finished),
                "I37 process %llu was evicted before its end", (unsigned long long)process->number);
    if (taking->host->hub.has_upstream) {
        sim_require(world, process->last_seq <= taking->shadow->acked,
                    "I32 process %llu was evicted at %llu, upstream has %llu",
                    (unsigned long long)process->number, (unsigned long long)process->last_seq,
                    (unsigned long long)taking->shadow->acked);
    }
    for (uint32_t i = 0; i < SHADOW_PROCESSES; i++) {
        const struct shadow_process *other = &taking->shadow->processes[i];
        bool is_older = other->number != 0 && !other->is_carried &&
                        is_set(&other->image.finished) && other->end_seq < process->end_seq;
        sim_require(world, !is_older || other->is_retry_asked,
                    "I9 process %llu was evicted before %llu, which ended earlier",
                    (unsigned long long)process->number, (unsigned long long)other->number);
    }
    process->number = 0;
}

/* A next generation begins: only of what ended without success, and everything is as new. */
static void judge_retry(struct shadow_taking *taking, const struct record_process *after) {
    struct sim_world *world = taking->world;
    const struct shadow_process *process = taking->process;
    uint8_t row = process->ended_status;
    sim_require(world, is_set(&process->image.finished) && !is_set(&after->finished),
                "I21 process %llu is tried again before its end",
                (unsigned long long)process->number);
    sim_require(
        world, row == PROCESS_PARTIAL || row == PROCESS_DEAD_LETTER || row == PROCESS_NO_TARGET,
        "I21 process %llu is tried again after row %u", (unsigned long long)process->number, row);
    sim_require(world,
                after->generation == process->image.generation + 1 &&
                    (after->flags & ~(uint32_t)RECORD_PLANNED) == 0,
                "I21 process %llu begins generation %u with flags %u",
                (unsigned long long)process->number, after->generation, after->flags);
    sim_require(
        world, (process->image.flags & RECORD_PAST_DEADLINE) == 0 || after->is_deadline_over,
        "I21 process %llu is tried again, past its deadline", (unsigned long long)process->number);
    world->counts.retries += 1;
}

void shadow_take_process(struct shadow_taking *taking) {
    struct sim_world *world = taking->world;
    struct shadow_process *process = taking->process;
    struct record_process image;
    record_get_process(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 a process's record is malformed");
    const struct record_process *before = &process->image;
    if (before->generation == image.generation) {
        sim_require(world,
                    is_kept(&before->created, &image.created) &&
                        is_kept(&before->queued, &image.queued) &&
                        is_kept(&before->retrying, &image.retrying) &&
                        is_kept(&before->cancel_requested, &image.cancel_requested) &&
                        is_kept(&before->finished, &image.finished),
                    "I17 a milestone of process %llu was written twice",
                    (unsigned long long)process->number);
        sim_require(world,
                    (before->flags & ~image.flags & ~(uint32_t)RECORD_HOLD) == 0 ||
                        before->generation == 0,
                    "I21 process %llu lost a flag", (unsigned long long)process->number);
    }
    sim_require(world, image.generation >= before->generation,
                "I21 the generation of process %llu went back",
                (unsigned long long)process->number);
    if (!is_set(&before->finished) && is_set(&image.finished)) {
        process->end_seq = taking->seq;
        process->is_retry_asked = process->retry_seq >= taking->seq; /* it had ended, not durably */
    }
    if (before->generation != 0 && image.generation != before->generation) {
        judge_retry(taking, &image);
    }
    process->is_resumed = taking->header.event == RECORD_RESUMED_EVENT;
    process->image = image;
    process->image_revision = taking->header.revision;
    process->image_seq = taking->seq;
}

static void take_lease(struct shadow_taking *taking, uint64_t before_phone,
                       const struct record_item *after) {
    struct sim_world *world = taking->world;
    struct shadow *shadow = taking->shadow;
    uint64_t process = taking->header.path[0];
    uint64_t item = taking->header.path[1];
    if (before_phone != 0) {
        shadow->phones[before_phone].process = 0;
    }
    if (after->phone == 0) {
        return;
    }
    sim_require(world, after->phone <= SHADOW_PHONES, "I13 a lease of a phone that is not there");
    struct shadow_phone *phone = &shadow->phones[after->phone];
    sim_require(world, phone->process == 0, "I13 phone %llu has two leases: of %llu and of %llu",
                (unsigned long long)after->phone, (unsigned long long)phone->process,
                (unsigned long long)process);
    phone->process = process;
    phone->item = item;
    if (after->state == RECORD_LEASED) {
        sim_require(world, after->token > shadow->token, "I14 token %llx follows on %llx",
                    (unsigned long long)after->token, (unsigned long long)shadow->token);
        shadow->token = after->token;
    }
}

/* Nothing but the end of its grant takes a lease from the hub's own executor so. */
static void judge_shut(struct shadow_taking *taking, const struct shadow_item *item,
                       bool is_attempt) {
    if (is_attempt || !shadow_was_lost(taking->host, item->image.phone, &taking->header.time)) {
        fleet_judge_expiry(taking->host, taking->process, &taking->header.time, is_attempt);
    }
}

static void judge_item(struct shadow_taking *taking, struct shadow_item *item,
                       const struct record_item *after) {
    struct sim_world *world = taking->world;
    const struct record_item *before = &item->image;
    uint64_t number = taking->header.path[0];
    uint32_t event = shadow_explain(item, after);
    sim_require(world, before->state < RECORD_COMPLETED,
                "I17 an item of process %llu changed after its end: %s to %s",
                (unsigned long long)number, record_item_state_name(before->state),
                record_item_state_name(after->state));
    sim_require(world, event != ITEM_EVENT_COUNT,
                "I21 no row of the table leads an item of process %llu from %s to %s (stop %u)",
                (unsigned long long)number, record_item_state_name(before->state),
                record_item_state_name(after->state), before->stop);
    world->counts.item_edges[before->state][event] += 1;
    world->counts.transitions += 1;
    const struct capability *capability =
        &taking->host->hub.capabilities[taking->process->capability];
    uint32_t max = sim_attempts_max(taking->process->capability);
    sim_require(world, after->attempts_counted <= max, "I19 %u attempts of at most %u",
                after->attempts_counted, max);
    shadow_judge_bounds(taking->host, capability, after, event);
    shadow_judge_worker(taking->host, taking->process, item, after, event, &taking->header.time);
    shadow_judge_kept(taking->host, taking->process, item, event, &taking->header.time);
    item->is_released = item->is_released && event != ITEM_ON_GRANT;
    if (before->state == RECORD_RETRY_WAIT && event == ITEM_ON_DUE) {
        shadow_judge_retry(taking->host, item, &taking->header.time);
    }
    if (event == ITEM_ON_GRANT) {
        shadow_judge_grant(taking->host, taking->process, after);
        fleet_judge_lease(taking->host, taking->process, after, &taking->header.time);
    }
    bool is_cut_short = event == ITEM_ON_STOP && after->stop == RECORD_STOP_EXPIRE;
    bool is_internal = !shadow_is_external(taking->process);
    if (is_internal && (is_cut_short || event == ITEM_ON_RETURN)) {
        judge_shut(taking, item, is_cut_short);
    }
    if (item->ended_category == RECORD_CATEGORY_PHONE_LOST && before->state == RECORD_RUNNING) {
        shadow_judge_loss(taking->host, before, event, &taking->header.time);
    }
    sim_require(world, after->actions_done >= before->actions_done,
                "I16 actions that were done are to be done again");
    bool is_ordered = event == ITEM_ON_RESUME && taking->process->is_resumed;
    sim_require(world,
                event != ITEM_ON_RESUME || is_ordered ||
                    before->suspension == RECORD_SUSPEND_BUDGET ||
                    before->suspension == RECORD_SUSPEND_OPERATOR,
                "E8 an item of process %llu goes on, and nobody has ordered it",
                (unsigned long long)number);
    item->orders = (uint8_t)(item->orders + is_ordered);
    item->is_reviewed = item->is_reviewed ||
                        (event == ITEM_ON_RESUME && before->suspension == RECORD_SUSPEND_REVIEW);
    if (event == ITEM_ON_START && taking->process->capability == SIM_BUDGETED) {
        shadow_judge_start(taking->host, &taking->header.time);
    }
    if (after->state != before->state) {
        item->entered = taking->header.time;
        item->ended_category = RECORD_CATEGORY_NONE;
    }
    if (before->stop == RECORD_STOP_NONE && after->stop != RECORD_STOP_NONE) {
        item->stop_asked = taking->header.time;
    }
}

/* It leaves this hub: no row of the table, and no terminal state. What runs was asked to stop. */
static void judge_withdrawn(struct shadow_taking *taking, const struct shadow_item *item,
                            const struct record_item *after) {
    struct sim_world *world = taking->world;
    const struct record_item *before = &item->image;
    sim_require(world, taking->process->origin.process != 0,
                "I21 the hub's own process %llu was withdrawn",
                (unsigned long long)taking->process->number);
    sim_require(world, before->state < RECORD_COMPLETED && after->state < RECORD_COMPLETED,
                "I17 an item that is %s was withdrawn as %s", record_item_state_name(before->state),
                record_item_state_name(after->state));
    sim_require(world, before->state != RECORD_RUNNING || before->stop == RECORD_STOP_WITHDRAW,
                "I21 an item was withdrawn that runs (stop %u)", before->stop);
    sim_require(world, after->phone == 0, "I13 an item was withdrawn with its phone");
    take_lease(taking, before->phone, after);
    world->counts.transitions += 1;
}

void shadow_take_item(struct shadow_taking *taking) {
    struct sim_world *world = taking->world;
    struct shadow_process *process = taking->process;
    struct record_item image;
    uint64_t number = taking->header.path[1];
    record_get_item(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 an item's record is malformed");
    sim_require(world, number <= process->item_count + 1u && number <= SHADOW_ITEMS,
                "I18 item %llu.%llu appears out of order", (unsigned long long)process->number,
                (unsigned long long)number);
    struct shadow_item *item = &process->items[number - 1];
    if (number == process->item_count + 1u) {
        sim_require(world, image.state == RECORD_SCHEDULED || image.state == RECORD_READY,
                    "I21 a new item is %s", record_item_state_name(image.state));
        process->item_count += 1;
        memset(item, 0, sizeof *item);
        item->entered = taking->header.time;
        fleet_bring(taking->host, process, item);
        world->counts.fleet[FLEET_PART] += process->origin.process != 0;
        world->counts.transitions += 1;
    } else if (taking->header.event == RECORD_FIRST_DEVICE_EVENT) {
        sim_require(world, image.state == item->image.state && image.token == item->image.token,
                    "I21 the first touch of a phone changed its item");
    } else if (taking->header.event == RECORD_GRANTED_EVENT && process->origin.process != 0) {
        sim_require(world,
                    image.state == item->image.state && image.token == item->image.token &&
                        image.stop == item->image.stop,
                    "I21 a new grant changed its item");
        item->entered = image.phone == 0 ? taking->header.time : item->entered; /* as wait_ms */
    } else if (taking->header.event == RECORD_WITHDRAWN_EVENT) {
        judge_withdrawn(taking, item, &image);
    } else if (image.superseded) {
        sim_require(world,
                    (image.state == RECORD_FAILED || image.state == RECORD_CANCELED) &&
                        image.state == item->image.state && image.token == item->image.token,
                    "I17 an item that is %s was superseded as %s",
                    record_item_state_name(item->image.state), record_item_state_name(image.state));
    } else {
        judge_item(taking, item, &image);
        take_lease(taking, item->image.phone, &image);
        fleet_keep(taking->host, process->number, item);
    }
    item->image = image;
    item->revision = taking->header.revision;
    item->seq = taking->seq;
}

void shadow_take_attempt(struct shadow_taking *taking) {
    struct sim_world *world = taking->world;
    struct record_attempt image;
    uint64_t number = taking->header.path[1];
    record_get_attempt(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 an attempt's record is malformed");
    sim_require(world, number >= 1 && number <= taking->process->item_count,
                "I18 an attempt of no item");
    struct shadow_item *item = &taking->process->items[number - 1];
    sim_require(world, item->image.state == RECORD_RUNNING,
                "I16 an attempt of an item that does not run");
    sim_require(world, taking->header.path[2] == item->image.attempt,
                "I16 attempt %llu, but %u runs", (unsigned long long)taking->header.path[2],
                item->image.attempt);
    if (image.outcome == RECORD_FAILURE && image.category == RECORD_CATEGORY_EXIT_CODE) {
        item->effects = 0; /* how it ended is known: it may be tried again */
        fleet_keep(taking->host, taking->process->number, item);
    }
    item->ended_category = image.category;
    item->ended_outcome = image.outcome;
}

void shadow_take_phone(struct shadow_taking *taking) {
    struct sim_world *world = taking->world;
    struct record_phone image;
    uint64_t number = taking->header.path[0];
    record_get_phone(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 a phone's record is malformed");
    sim_require(world, number >= 1 && number <= SHADOW_PHONES, "I28 phone number %llu",
                (unsigned long long)number);
    struct shadow_phone *phone = &taking->shadow->phones[number];
    size_t size = image.id.size;
    bool is_same = strlen(phone->id) == size && memcmp(phone->id, image.id.data, size) == 0;
    sim_require(world, phone->id[0] == '\0' || is_same, "I28 phone %llu changed its id from %s",
                (unsigned long long)number, phone->id);
    memcpy(phone->id, image.id.data, size);
    phone->id[size] = '\0';
    phone->state = image.state;
}

void shadow_take_key(struct shadow_taking *taking) {
    struct sim_world *world = taking->world;
    struct record_key image;
    record_get_key(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 a key's record is malformed");
    struct shadow_key *oldest = &taking->shadow->keys[0];
    for (uint32_t i = 1; i < SHADOW_KEYS; i++) {
        if (taking->shadow->keys[i].number < oldest->number) {
            oldest = &taking->shadow->keys[i];
        }
    }
    *oldest = (struct shadow_key){
        .number = taking->header.path[0],
        .process = image.process,
        .evicted = image.evicted,
    };
    memcpy(oldest->key, image.key.data, RECORD_DIGEST_BYTES);
}

/* A record that upstream has already, or that stands behind what is given up. */
static bool is_outside(const struct record_gap *gap, uint64_t seq) {
    return seq < gap->first || seq > gap->last;
}

/* Before a prefix of the log is given up, the newest images of what goes on stand behind it. */
static void judge_gap(struct shadow_taking *taking, const struct record_gap *gap) {
    struct sim_world *world = taking->world;
    for (uint32_t p = 0; p < SHADOW_PROCESSES && gap->first != 0; p++) {
        const struct shadow_process *process = &taking->shadow->processes[p];
        bool is_kept = process->number == 0 || (is_outside(gap, process->request_seq) &&
                                                is_outside(gap, process->image_seq));
        for (uint32_t i = 0; process->number != 0 && i < process->item_count; i++) {
            is_kept = is_kept && is_outside(gap, process->items[i].seq);
        }
        sim_require(world, is_kept, "I33 a gap from %llu to %llu takes a part of process %llu",
                    (unsigned long long)gap->first, (unsigned long long)gap->last,
                    (unsigned long long)process->number);
    }
}

void shadow_take_hub(struct shadow_taking *taking) {
    struct sim_world *world = taking->world;
    struct shadow *shadow = taking->shadow;
    struct record_hub image;
    record_get_hub(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 the hub's record is malformed");
    sim_require(world, image.boot >= shadow->boot, "I6 boot %u follows on %u", image.boot,
                shadow->boot);
    sim_require(world, image.process_number >= shadow->process_number,
                "I6 the hub forgot process numbers");
    uint64_t token = (uint64_t)taking->host->hub.store.epoch << 40 | image.token_counter;
    sim_require(world, token >= shadow->token, "I14 the hub's record forgets token %llx",
                (unsigned long long)shadow->token);
    judge_gap(taking, &image.gap);
    bool is_new = image.upstream_epoch > shadow->upstream_epoch;
    sim_require(world, image.upstream_epoch >= shadow->upstream_epoch,
                "I34 the hub goes back to upstream's epoch %u", image.upstream_epoch);
    sim_require(world, is_new || image.command >= shadow->command,
                "I34 the hub forgets command %llu", (unsigned long long)shadow->command);
    shadow->answered = is_new ? 0 : shadow->answered;
    shadow->upstream_epoch = image.upstream_epoch;
    shadow->command = image.command;
    shadow->boot = image.boot;
    shadow->hub_revision = taking->header.revision;
}

static bool is_known(const struct shadow *shadow, const struct record_answer *image,
                     uint64_t number) {
    return image->upstream_epoch < shadow->upstream_epoch ||
           (image->upstream_epoch == shadow->upstream_epoch && number <= shadow->answered);
}

bool shadow_answer_is_known(const struct shadow_taking *taking) {
    struct cbor_reader reader = taking->reader;
    struct record_answer image;
    record_get_answer(&reader, &image);
    return is_known(taking->shadow, &image, taking->header.path[0]);
}

/* Each command is taken once, in order, whatever becomes of it. */
void shadow_take_answer(struct shadow_taking *taking) {
    struct sim_world *world = taking->world;
    struct shadow *shadow = taking->shadow;
    struct record_answer image;
    record_get_answer(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 an answer's record is malformed");
    bool is_new = image.upstream_epoch > shadow->upstream_epoch;
    uint64_t before = is_new ? 0 : shadow->answered;
    sim_require(world, taking->header.path[0] == before + 1,
                "I34 command %llu is answered behind %llu",
                (unsigned long long)taking->header.path[0], (unsigned long long)before);
    shadow->upstream_epoch = image.upstream_epoch;
    shadow->answered = taking->header.path[0];
    shadow->command = is_new ? 0 : shadow->command;
}

/* Counts that a listing of a process would show must be what its items say. */
void shadow_judge_process(struct shadow_taking *taking) {
    struct sim_world *world = taking->world;
    struct shadow_process *process = taking->process;
    bool is_new = taking->header.event == RECORD_ACCEPTED_EVENT ||
                  taking->header.event == RECORD_PLANNED_EVENT ||
                  taking->header.event == RECORD_RETRIED_EVENT;
    sim_require(world, taking->header.revision == process->revision + 1,
                "I6 revision %llu of process %llu follows on %llu",
                (unsigned long long)taking->header.revision, (unsigned long long)process->number,
                (unsigned long long)process->revision);
    process->revision = taking->header.revision;
    process->is_touched = true;
    process->status = taking->header.status;
    if (is_set(&process->image.finished)) {
        process->ended_status = process->status;
    }
    if (is_new || process->item_count < process->image.item_count) {
        return;
    }
    struct process_counts counts = count_items(process);
    enum process_status status = process_derive(&counts, process->image.flags);
    bool is_flagged_later =
        taking->header.kind == RECORD_ITEM || taking->header.kind == RECORD_PROCESS;
    sim_require(world, !is_flagged_later || status == taking->header.status,
                "I18 process %llu is in row %u, its items say %u",
                (unsigned long long)process->number, taking->header.status, status);
}
