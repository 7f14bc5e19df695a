/* Callers and operators at the API of one hub. A caller that loses its answer asks again with the
 * same key; what it was told once must be true for ever. */
#include "tests/sim/sim.h"

#include <string.h>

enum sim_trick { TRICK_NONE, TRICK_NOT_UTF8, TRICK_TOO_LARGE };

/* ---- orders ---- */

static void digest_of(uint32_t number, uint8_t digest[RECORD_DIGEST_BYTES]) {
    memset(digest, 0, RECORD_DIGEST_BYTES);
    for (size_t i = 0; i < 4; i++) {
        digest[i] = (uint8_t)(number >> 8 * i);
    }
    digest[15] = 1;
}

static void draw_order(struct sim_host *host, struct sim_call *call) {
    struct sim_dice *dice = &host->world->dice;
    uint64_t wall_ms = sim_clock_wall(&host->clock, host->world->now_ms);
    uint32_t capability = sim_dice_roll(dice, SIM_CAPABILITIES + SIM_EXTERNAL);
    call->capability = (uint8_t)(capability % SIM_CAPABILITIES); /* the hub's own twice as often */
    call->items = sim_dice_roll(dice, 4) == 0 ? (uint8_t)sim_dice_between(dice, 1, 4) : 1;
    call->priority = (uint8_t)sim_dice_roll(dice, 3);
    call->has_phones = host->hub.phone_count > 0 && sim_dice_roll(dice, 3) == 0;
    for (uint32_t i = 0; i < call->items && call->has_phones; i++) {
        call->phones[i] = sim_dice_roll(dice, host->hub.phone_count);
    }
    bool has_accounts = sim_dice_roll(dice, 6) == 0;
    for (uint32_t i = 0; i < call->items && has_accounts; i++) {
        call->accounts[i] = (uint8_t)sim_dice_between(dice, 1, SIM_LOCKS);
    }
    call->items = call->has_phones || has_accounts ? call->items : 1;
    call->lock = sim_dice_roll(dice, 6) == 0 ? (uint8_t)sim_dice_between(dice, 1, SIM_LOCKS) : 0;
    if (sim_dice_roll(dice, 3) == 0) {
        bool is_old = host->key_next > 0 && sim_dice_roll(dice, 2) == 0;
        uint32_t back = sim_dice_roll(dice, 12);
        host->key_next += is_old ? 0 : 1;
        call->key = is_old && back < host->key_next ? host->key_next - back : host->key_next;
    }
    call->body = call->key * 2 + (sim_dice_roll(dice, 5) == 0 ? 1 : 0);
    call->input_bytes = sim_dice_roll(dice, 8) == 0 ? sim_dice_roll(dice, 700) : 2;
    uint32_t later = sim_dice_roll(dice, 30);
    if (later == 29 && wall_ms != 0) {
        call->deadline_ms = wall_ms - 1; /* it is over: nothing is planned */
    }
    if (later <= 3 && wall_ms != 0) {
        call->not_before_ms = wall_ms + sim_dice_roll(dice, 600000);
    }
    if (later >= 3 && later <= 6 && wall_ms != 0) {
        call->deadline_ms = wall_ms + sim_dice_roll(dice, 900000);
    }
    uint32_t trick = sim_dice_roll(dice, 100);
    call->trick = trick == 0 ? TRICK_NOT_UTF8 : trick == 1 ? TRICK_TOO_LARGE : TRICK_NONE;
}

static enum status accept(struct sim_host *host, const struct sim_call *call,
                          struct hub_accepted *accepted) {
    static const uint8_t filler[2] = {'{', '}'};
    static char inputs[6000]; /* more than a record of this board may hold */
    uint8_t key[RECORD_DIGEST_BYTES];
    uint8_t body[RECORD_DIGEST_BYTES];
    uint64_t numbers[4];
    struct bytes accounts[4];
    static const char locks[] = "0123456789";
    char name = (char)('a' + call->capability);
    memset(inputs, ' ', sizeof inputs);
    digest_of(call->key, key);
    digest_of(call->body, body);
    struct record_request request = {
        .process_type = {(const uint8_t *)&name, 1},
        .system = bytes_of("sim"),
        .target = {filler, 2},
        .inputs = {(const uint8_t *)inputs,
                   call->trick == TRICK_TOO_LARGE ? sizeof inputs : call->input_bytes},
        .user = call->trick == TRICK_NOT_UTF8 ? bytes_of("\xc3") : bytes_of("ann"),
        .routing = call->has_phones || call->items > 1 ? RECORD_GROUP : RECORD_QUEUE,
        .priority = call->priority,
        .not_before_ms = call->not_before_ms,
        .deadline_ms = call->deadline_ms,
        .body_digest = {body, RECORD_DIGEST_BYTES},
    };
    if (call->key != 0) {
        request.key = (struct bytes){key, RECORD_DIGEST_BYTES};
    }
    if (call->lock != 0) {
        request.concurrency_key = (struct bytes){(const uint8_t *)locks + call->lock, 1};
    }
    for (uint32_t i = 0; i < 4; i++) {
        accounts[i] = (struct bytes){(const uint8_t *)locks + call->accounts[i], 1};
        numbers[i] = call->has_phones ? host->hub.phones[call->phones[i]].number : 0;
    }
    const struct hub_order order = {
        .request = &request,
        .capability = hub_capability_find(&host->hub, request.process_type),
        .phones = call->has_phones ? numbers : NULL,
        .accounts = call->accounts[0] != 0 ? accounts : NULL,
        .item_count = call->items,
    };
    return hub_accept(&host->hub, &order, accepted);
}

/* ---- answers ---- */

static void judge_refusal(struct sim_host *host, const struct sim_call *call, enum status status,
                          uint64_t head) {
    struct sim_world *world = host->world;
    sim_require(world, head == hub_head_seq(&host->hub), "I21 a refused request left something");
    enum status wanted = call->trick == TRICK_NOT_UTF8    ? STATUS_MALFORMED
                         : call->trick == TRICK_TOO_LARGE ? STATUS_TOO_LARGE
                                                          : STATUS_FULL;
    sim_require(world, status == wanted, "I36 a request is refused with %d, not %d", status,
                wanted);
}

static void try_submit(struct sim_host *host, struct sim_call *call) {
    struct sim_world *world = host->world;
    struct hub_accepted accepted;
    uint64_t head = hub_head_seq(&host->hub);
    enum status status = sim_seen(host, SIM_ANSWER_ACCEPT, accept(host, call, &accepted));
    if (status == STATUS_AGAIN) {
        return;
    }
    if (status != STATUS_OK) {
        judge_refusal(host, call, status, head);
        call->is_open = false;
        return;
    }
    uint8_t key[RECORD_DIGEST_BYTES];
    digest_of(call->key, key);
    uint64_t known = call->key == 0 ? 0 : shadow_key_find(host, key);
    sim_require(world, known == 0 || (accepted.is_duplicate && accepted.number == known),
                "I34 key %u belongs to process %llu; accepted as %llu", call->key,
                (unsigned long long)known, (unsigned long long)accepted.number);
    sim_require(world, !accepted.is_duplicate || call->key != 0, "I34 a duplicate of nothing");
    call->is_done = true;
    call->process = accepted.number;
    call->seq = hub_head_seq(&host->hub);
}

/* It stays while others are evicted to make room for its next generation, whether that comes about
 * or not. */
static void note_retry(struct sim_host *host, uint64_t number) {
    struct shadow_process *process = shadow_process_find(&host->shadow, number);
    if (process != NULL) {
        process->is_retry_asked = true;
        process->retry_seq = hub_head_seq(&host->hub);
    }
}

static enum status order(struct sim_host *host, const struct sim_call *call, uint32_t process) {
    struct hub *hub = &host->hub;
    switch ((enum sim_call_kind)call->kind) {
    case SIM_CALL_SUSPEND:
        return sim_seen(host, SIM_ANSWER_SUSPEND, hub_suspend(hub, process));
    case SIM_CALL_RESUME:
        return sim_seen(host, SIM_ANSWER_RESUME, hub_resume(hub, process));
    case SIM_CALL_SETTLE_DONE:
    case SIM_CALL_SETTLE_FAILED:
        return sim_seen(host, SIM_ANSWER_SETTLE,
                        hub_settle(hub, process, 0, call->kind == SIM_CALL_SETTLE_DONE));
    case SIM_CALL_RETRY:
        note_retry(host, call->process);
        return sim_seen(host, SIM_ANSWER_RETRY, hub_retry(hub, process));
    case SIM_CALL_SUBMIT:
    case SIM_CALL_CANCEL:
        break;
    }
    return sim_seen(host, SIM_ANSWER_CANCEL, hub_cancel(hub, process));
}

static void try_order(struct sim_host *host, struct sim_call *call) {
    struct sim_world *world = host->world;
    uint32_t process = hub_process_find(&host->hub, call->process);
    if (process == HUB_NONE) {
        call->is_open = false;
        return;
    }
    if (host->hub.processes[process].origin.process != 0) {
        call->is_open = false; /* upstream's: it is asked instead */
        return;
    }
    uint64_t head = hub_head_seq(&host->hub);
    bool has_ended = host->hub.processes[process].end_seq != 0;
    uint8_t row = host->hub.processes[process].status;
    enum status status = order(host, call, process);
    bool is_refused = status == STATUS_ILLEGAL && call->kind >= SIM_CALL_SETTLE_DONE;
    if (call->kind == SIM_CALL_RETRY) {
        bool may = row == PROCESS_PARTIAL || row == PROCESS_DEAD_LETTER || row == PROCESS_NO_TARGET;
        sim_require(world, (status != STATUS_ILLEGAL) == may,
                    "I36 a retry of a process in row %u is answered with %d", row, status);
    } else {
        sim_require(
            world, status == STATUS_AGAIN || is_refused || (status == STATUS_TERMINAL) == has_ended,
            "I36 an order is answered with %d", status);
    }
    bool is_taken = status == STATUS_OK || status == STATUS_AGAIN;
    sim_require(world, is_taken || head == hub_head_seq(&host->hub),
                "I21 a refused order left something");
    if (status == STATUS_AGAIN) {
        return;
    }
    sim_lines_watch(host);
    call->is_open = status == STATUS_OK;
    call->is_done = true;
    call->seq = hub_head_seq(&host->hub);
}

static void try_call(struct sim_host *host, struct sim_call *call) {
    if (call->kind == SIM_CALL_SUBMIT) {
        try_submit(host, call);
    } else {
        try_order(host, call);
    }
}

void sim_calls_retry(struct sim_host *host) {
    for (uint32_t i = 0; i < SIM_CALLS; i++) {
        if (host->calls[i].is_open && !host->calls[i].is_done) {
            try_call(host, &host->calls[i]);
        }
    }
}

/* The answer leaves: from now on it must be true for ever. */
static void tell_caller(struct sim_host *host, struct sim_call *call) {
    struct sim_world *world = host->world;
    struct shadow_process *process = shadow_process_find(&host->shadow, call->process);
    call->is_open = false;
    world->counts.told += 1;
    sim_mix(world, call->process);
    if (call->kind > SIM_CALL_CANCEL) {
        return;
    }
    if (call->kind == SIM_CALL_CANCEL) {
        bool is_asked = process == NULL || process->image.finished.boot != 0 ||
                        (process->image.flags & RECORD_CANCEL_REQUESTED) != 0;
        sim_require(world, is_asked, "I1 an answered cancel is not durable");
        return;
    }
    sim_require(world, call->process <= host->shadow.process_number,
                "I1 process %llu was answered, %llu are durable", (unsigned long long)call->process,
                (unsigned long long)host->shadow.process_number);
    if (process != NULL) {
        process->is_told = true;
    }
    if (call->process > host->shadow.told_process) {
        host->shadow.told_process = call->process;
    }
}

void sim_calls_release(struct sim_host *host) {
    for (uint32_t i = 0; i < SIM_CALLS; i++) {
        struct sim_call *call = &host->calls[i];
        if (call->is_open && call->is_done && call->seq <= hub_durable_seq(&host->hub)) {
            tell_caller(host, call);
        }
    }
}

void sim_calls_forget(struct sim_host *host) {
    for (uint32_t i = 0; i < SIM_CALLS; i++) {
        host->calls[i].is_open = false;
    }
}

/* ---- who calls ---- */

static struct sim_call *free_call(struct sim_host *host) {
    for (uint32_t i = 0; i < SIM_CALLS; i++) {
        if (!host->calls[i].is_open) {
            return &host->calls[i];
        }
    }
    return NULL;
}

/* For orders to suspended ones: one of them; else one of the newest. */
static uint64_t draw_process(struct sim_host *host, uint32_t kind) {
    bool is_for_suspended =
        kind == SIM_CALL_RESUME || kind == SIM_CALL_SETTLE_DONE || kind == SIM_CALL_SETTLE_FAILED;
    uint32_t first = is_for_suspended ? sim_dice_roll(&host->world->dice, SHADOW_PROCESSES) : 0;
    for (uint32_t i = 0; i < SHADOW_PROCESSES && is_for_suspended; i++) {
        const struct shadow_process *process =
            &host->shadow.processes[(first + i) % SHADOW_PROCESSES];
        if (process->number != 0 && shadow_is_suspended(process)) {
            return process->number;
        }
    }
    uint32_t back = sim_dice_roll(&host->world->dice, 6);
    return host->shadow.process_number > back ? host->shadow.process_number - back : 0;
}

bool sim_call_make(struct sim_host *host, enum sim_call_kind kind) {
    struct sim_call *call = free_call(host);
    if (call == NULL || !sim_host_runs(host)) {
        return false;
    }
    *call = (struct sim_call){.is_open = true, .kind = (uint8_t)kind};
    if (kind == SIM_CALL_SUBMIT) {
        draw_order(host, call);
    } else {
        call->process = draw_process(host, kind);
    }
    sim_host_clock(host);
    try_call(host, call);
    return true;
}

bool sim_call_for(struct sim_host *host, enum sim_call_kind kind, uint64_t process) {
    struct sim_call *call = free_call(host);
    if (call == NULL || !sim_host_runs(host)) {
        return false;
    }
    *call = (struct sim_call){.is_open = true, .kind = (uint8_t)kind, .process = process};
    sim_host_clock(host);
    try_call(host, call);
    return true;
}

void sim_call_begin(struct sim_host *host) {
    struct sim_world *world = host->world;
    if (world->is_quiet) {
        return;
    }
    if (sim_host_runs(host) && sim_dice_roll(&world->dice, 15) == 0) {
        sim_lines_release(host);
    }
    uint32_t kind = sim_dice_roll(&world->dice, 30);
    kind = kind == SIM_CALL_RETRY + 1 ? SIM_CALL_RESUME : kind;
    (void)sim_call_make(host, kind <= SIM_CALL_RETRY ? (enum sim_call_kind)kind : SIM_CALL_SUBMIT);
    const struct sim_event next = {.kind = SIM_EV_CALL, .hub = (uint16_t)host->index};
    sim_plan_event(world, &next, 1 + sim_dice_wait(&world->dice, world->plan.call_ms));
    sim_host_turn(host);
}
