/* The executor of one hub: runs the actions of each attempt on its phone. It goes on for a while
 * when it has lost its lease without having heard of it: the core must then refuse every word of
 * it. */
#include "tests/sim/sim.h"

#include <string.h>

enum { RUN_INDEX_OLD = 1, AWAY_MS = 100000 };

void sim_runs_forget(struct sim_host *host) {
    for (uint32_t row = 0; row < SIM_ROWS; row++) {
        for (uint32_t old = 0; old < 2; old++) {
            host->runs[row][old].is_active = false;
            host->runs[row][old].stamp += 1;
        }
    }
}

static void plan_run(struct sim_host *host, const struct sim_run *run, uint32_t after_ms) {
    uint32_t row = run->start.phone;
    uint32_t old = run == &host->runs[row][RUN_INDEX_OLD];
    const struct sim_event event = {.kind = SIM_EV_RUN,
                                    .hub = (uint16_t)host->index,
                                    .index = row * 2 + old,
                                    .stamp = run->stamp};
    sim_plan_event(host->world, &event, after_ms);
}

static const struct capability *capability_of(const struct sim_host *host,
                                              const struct sim_run *run) {
    return &host->hub.capabilities[run->start.capability];
}

/* ---- effects: judged at the phone ---- */

static struct shadow_item *shadow_item_of(struct sim_host *host, const struct sim_run *run) {
    struct shadow_process *process = shadow_process_find(&host->shadow, run->start.process);
    return process == NULL || run->start.item_number > process->item_count
               ? NULL
               : &process->items[run->start.item_number - 1];
}

/* The core said that this token may act: so says what is durable, and so says the phone. */
static void judge_effect(struct sim_host *host, const struct sim_run *run, uint32_t phone) {
    struct sim_world *world = host->world;
    const struct shadow_item *item = shadow_item_of(host, run);
    sim_require(world, item != NULL && item->image.token == run->start.token,
                "I16 an effect under token %llx, which is not durable",
                (unsigned long long)run->start.token);
    sim_require(world, item->image.state == RECORD_RUNNING, "I15 an effect of an item that is %s",
                record_item_state_name(item->image.state));
    sim_require(world, run->start.token >= host->touched_token[phone],
                "I15 phone %u is touched under token %llx after %llx", phone,
                (unsigned long long)run->start.token,
                (unsigned long long)host->touched_token[phone]);
    host->touched_token[phone] = run->start.token;
    world->counts.effects += 1;
    fleet_judge_effect(host, run->start.process, run->start.token);
}

static void do_once(struct sim_host *host, const struct sim_run *run) {
    struct shadow_item *item = shadow_item_of(host, run);
    if (run->start.capability == SIM_ONCE && run->actions_done == SIM_ACTION_ONCE) {
        shadow_judge_once(host, run->start.process, run->start.item_number, item);
    }
    sim_require(host->world,
                run->start.capability != SIM_REVIEWED || run->actions_done <= SIM_ACTION_REVIEW ||
                    item->is_reviewed,
                "E8 item %llu.%u goes on, and nobody has looked at it",
                (unsigned long long)run->start.process, run->start.item_number);
}

/* ---- one action ---- */

static void finish(struct sim_run *run, enum record_outcome outcome,
                   enum record_category category) {
    run->has_ended = true;
    run->is_step = false;
    run->outcome = (uint8_t)outcome;
    run->category = (uint8_t)category;
}

/* ---- what it says ---- */

static const uint8_t nonsense[2600] = {0xff, 0xfe, 'n', 'o', 0xc0};

static void fill(struct sim_host *host, const struct sim_run *run, struct record_attempt *image) {
    *image = (struct record_attempt){
        .outcome = run->outcome,
        .category = run->category,
        .actions_done = run->actions_done,
        .code = bytes_of("code"),
        .message = bytes_of("how it ended"),
        .result = bytes_of("{\"battery\":50}"),
    };
    if (host->phones[run->phone].mood == SIM_PHONE_LYING) {
        image->message = (struct bytes){nonsense, 5};
        image->output = (struct bytes){nonsense, sizeof nonsense};
        image->has_exit_code = true;
        image->exit_code = INT32_MIN;
    }
}

/* The next action is a person's: the core stops the attempt, and goes on behind it some day. */
static bool is_review(const struct sim_host *host, const struct sim_run *run) {
    return (capability_of(host, run)->review_actions >> run->actions_done & 1u) != 0;
}

static void say_review(struct sim_host *host, struct sim_run *run) {
    struct record_attempt image;
    fill(host, run, &image);
    image.actions_done += 1;
    enum status status =
        sim_seen(host, SIM_ANSWER_REVIEW,
                 hub_attempt_review(&host->hub, run->start.phone, run->start.token, &image));
    sim_require(host->world,
                status == STATUS_OK || status == STATUS_AGAIN || status == STATUS_STALE_LEASE,
                "I15 a review: status %d", status);
    run->wants_review = status == STATUS_AGAIN;
    run->is_active = status != STATUS_STALE_LEASE;
}

/* What its phone's port may be cut for: FULL means that the attempt is being stopped. */
static bool asks_for_power(struct sim_host *host, struct sim_run *run) {
    if (run->start.capability != SIM_BUDGETED || sim_dice_roll(&host->world->dice, 3) != 0) {
        return true;
    }
    enum status status =
        sim_seen(host, SIM_ANSWER_POWER_CYCLE,
                 hub_attempt_power_cycle(&host->hub, run->start.phone, run->start.token));
    if (status == STATUS_OK) {
        shadow_judge_cycle(host, run->start.phone);
    }
    return status != STATUS_FULL;
}

static void begin_action(struct sim_host *host, struct sim_run *run) {
    struct sim_world *world = host->world;
    run->is_begun = false;
    run->wait_seq = 0;
    if (run->actions_done >= capability_of(host, run)->action_count) {
        finish(run, RECORD_SUCCESS, RECORD_CATEGORY_NONE);
        return;
    }
    if (is_review(host, run)) {
        say_review(host, run);
        return;
    }
    if (!asks_for_power(host, run)) {
        return;
    }
    enum status status =
        sim_seen(host, SIM_ANSWER_TOUCHED,
                 hub_attempt_touched(&host->hub, run->start.phone, run->start.token));
    uint32_t phone = sim_line_of(host, run->start.phone);
    if (status != STATUS_OK) {
        sim_require(world, status == STATUS_STALE_LEASE, "I15 touched: status %d", status);
        world->counts.stale += 1;
        run->is_active = false;
        return;
    }
    if (phone == SIM_NONE || !host->phones[phone].takes_key) {
        run->action = (struct sim_phone_action){SIM_PHONE_NEVER, 0};
        return; /* it left; the core will judge it */
    }
    status = sim_seen(host, SIM_ANSWER_PROGRESS,
                      hub_attempt_progress(&host->hub, run->start.phone, run->start.token,
                                           run->actions_done, 10 * run->actions_done));
    sim_require(world, status == STATUS_OK, "I15 progress: status %d", status);
    judge_effect(host, run, phone);
    do_once(host, run);
    run->is_begun = true;
    run->phone = (uint8_t)phone;
    run->action = sim_phone_begin(&host->phones[phone], &world->dice);
    if (run->action.end != SIM_PHONE_NEVER) {
        plan_run(host, run, run->action.lasts_ms);
    }
}

/* ---- reports ---- */

static enum status say_step(struct sim_host *host, struct sim_run *run) {
    struct record_attempt image;
    uint32_t count = capability_of(host, run)->action_count;
    fill(host, run, &image);
    image.actions_done += 1;
    image.progress_percent = (uint8_t)(100 * image.actions_done / count);
    enum status status =
        sim_seen(host, SIM_ANSWER_STEP,
                 hub_attempt_step(&host->hub, run->start.phone, run->start.token, &image));
    if (status == STATUS_OK) {
        run->actions_done += 1;
        run->has_ended = false;
        run->wait_seq = hub_head_seq(&host->hub);
    }
    return status;
}

static enum status say_end(struct sim_host *host, struct sim_run *run) {
    struct record_attempt image;
    fill(host, run, &image);
    enum status status =
        sim_seen(host, SIM_ANSWER_END,
                 hub_attempt_end(&host->hub, run->start.phone, run->start.token, &image));
    if (status == STATUS_OK) {
        run->is_active = false;
        sim_lines_watch(host);
    }
    return status;
}

static void say(struct sim_host *host, struct sim_run *run) {
    enum status status = run->is_step ? say_step(host, run) : say_end(host, run);
    const struct shadow_item *item = shadow_item_of(host, run);
    if (status == STATUS_STALE_LEASE) {
        host->world->counts.stale += 1;
        run->is_active = false;
        return;
    }
    sim_require(host->world, status == STATUS_OK || status == STATUS_AGAIN,
                "I15 a word of an executor: status %d", status);
    sim_require(host->world, item != NULL && item->image.token == run->start.token,
                "I15 a word under token %llx was taken", (unsigned long long)run->start.token);
}

/* ---- the end of an action ---- */

/* The phone reboots, as the action asked: its lease is kept while it is away. */
static void reboot(struct sim_host *host, struct sim_run *run) {
    struct sim_world *world = host->world;
    uint32_t back_ms = sim_dice_between(&world->dice, 5000, 120000);
    run->action.end = SIM_PHONE_DONE;
    plan_run(host, run, AWAY_MS);
    if (sim_line_of(host, run->start.phone) == run->phone &&
        host->hub.phones[run->start.phone].state == RECORD_PHONE_LEASED &&
        sim_line_tell(host, run->phone, PHONE_ON_AWAY)) {
        sim_phone_unplug(host, run->phone, back_ms);
    }
}

static void action_ended(struct sim_host *host, struct sim_run *run) {
    switch ((enum sim_phone_end)run->action.end) {
    case SIM_PHONE_DONE:
        run->has_ended = true;
        run->is_step = true;
        break;
    case SIM_PHONE_EXIT_CODE:
        finish(run, RECORD_FAILURE, RECORD_CATEGORY_EXIT_CODE);
        break;
    case SIM_PHONE_BROKEN:
        finish(run, RECORD_FAILURE, RECORD_CATEGORY_CAPABILITY);
        break;
    case SIM_PHONE_REBOOTS:
        reboot(host, run);
        break;
    case SIM_PHONE_NEVER:
        finish(run, RECORD_FAILURE, RECORD_CATEGORY_ADB);
        break;
    }
}

void sim_run_due(struct sim_host *host, uint32_t index, uint32_t stamp) {
    struct sim_run *run = &host->runs[index / 2][index % 2];
    if (!run->is_active || run->stamp != stamp || run->has_ended) {
        return;
    }
    if (host->is_frozen) { /* it hears of it when it goes on */
        plan_run(host, run, 1000);
        return;
    }
    if (run->is_told_to_stop) {
        finish(run, RECORD_STOPPED, RECORD_CATEGORY_NONE);
    } else {
        action_ended(host, run);
    }
    sim_host_turn(host);
}

/* ---- starts and stops ---- */

static void judge_start(struct sim_host *host, const struct hub_start *start) {
    struct sim_world *world = host->world;
    const struct shadow_process *process = shadow_process_find(&host->shadow, start->process);
    sim_require(world, process != NULL && start->item_number <= process->item_count,
                "I16 a start of an item that is not durable");
    const struct record_item *image = &process->items[start->item_number - 1].image;
    sim_require(world,
                image->state == RECORD_RUNNING && image->token == start->token &&
                    image->attempt == start->attempt,
                "I16 a start that is not durable");
    for (uint32_t row = 0; row < SIM_ROWS; row++) {
        sim_require(world, host->runs[row][0].start.token != start->token,
                    "I16 token %llx is started twice", (unsigned long long)start->token);
    }
}

static void take_start(struct sim_host *host, const struct hub_start *start) {
    struct sim_world *world = host->world;
    struct sim_run *runs = host->runs[start->phone];
    judge_start(host, start);
    world->counts.starts += 1;
    if (runs[0].is_active) { /* it has not heard yet that its lease is over */
        uint32_t stamp = runs[RUN_INDEX_OLD].stamp + 1;
        runs[RUN_INDEX_OLD] = runs[0];
        runs[RUN_INDEX_OLD].stamp = stamp;
        plan_run(host, &runs[RUN_INDEX_OLD], sim_dice_between(&world->dice, 1, SIM_LATENESS_MS));
    }
    uint32_t stamp = runs[0].stamp + 1;
    runs[0] = (struct sim_run){
        .start = *start, .is_active = true, .stamp = stamp, .actions_done = start->actions_done};
    sim_trace(world, host, "attempt %u of %llu.%u begins on row %u", start->attempt,
              (unsigned long long)start->process, start->item_number, start->phone);
    fleet_judge_start(host, start->process, start->token);
    begin_action(host, &runs[0]);
}

static void take_stop(struct sim_host *host, uint32_t row) {
    struct sim_world *world = host->world;
    struct sim_run *run = &host->runs[row][0];
    uint32_t after_ms;
    sim_require(world, run->is_active, "I16 a stop of an attempt that does not run");
    run->is_told_to_stop = true;
    run->stamp += 1;
    if (sim_phone_stops(&host->phones[run->phone], &world->dice, &after_ms)) {
        plan_run(host, run, after_ms);
    }
}

static void step_run(struct sim_host *host, struct sim_run *run) {
    if (!run->is_active) {
        return;
    }
    if (run->has_ended) {
        say(host, run);
    } else if (run->wants_review && !run->is_told_to_stop) {
        say_review(host, run);
    }
    /* A step must be durable before a once-only action may follow it: else nobody would know after
     * a power cut that it had begun. */
    bool is_next = run->is_active && !run->has_ended && run->wait_seq != 0 &&
                   !run->is_told_to_stop && run->wait_seq <= hub_durable_seq(&host->hub);
    if (is_next) {
        begin_action(host, run);
        if (run->is_active && run->has_ended) {
            say(host, run);
        }
    }
}

void sim_runs_step(struct sim_host *host) {
    struct hub_start start;
    uint32_t row;
    while (hub_next_start(&host->hub, &start)) {
        take_start(host, &start);
    }
    while (hub_next_stop(&host->hub, &row)) {
        take_stop(host, row);
    }
    for (row = 0; row < SIM_ROWS; row++) {
        step_run(host, &host->runs[row][0]);
        step_run(host, &host->runs[row][RUN_INDEX_OLD]);
    }
}
