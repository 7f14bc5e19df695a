/* Random events from a seed: every rule of hub_rig_check.c after each, and the same tables after a
 * load of what was written. */
#include "firmware/hub_internal.h"
#include "tests/firmware/hub_rig.h"
#include "tests/firmware/hub_same.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* HUB_SEEDS walks of STEPS: `make check-walk` takes ten million steps. Every rule is checked in
 * full after every CHECKED_EVERY steps. Sanitizers and emulators walk less far. */
#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__) || defined(__mips__)
enum { SEEDS = 10, STEPS = 10000 };
#else
enum { SEEDS = 10, STEPS = 100000 };
#endif
enum { PHONES = 5, WORKERS = 3, HELD = 8, CHECKED_EVERY = 5, COMPARED_EVERY = 500 };

static struct rig rig;
static struct rig copy;
static struct jitter dice;
/* What happened in all walks, so that a walk that does nothing is noticed. */
static struct {
    unsigned accepted, duplicates, refused, starts, deaths;
    unsigned claims, repeats, ends, retries, settled, resumed, reviews, spent;
} seen;

static struct hub_start starts[PHONES]; /* what the executor believes to run; token 0: nothing */
static uint64_t newest_token[PHONES];   /* told, so durable */
static struct hub_worker held[HELD];    /* what external workers believe to hold */
static uint8_t last_state[64];          /* of the items, by index; with whose it was: */
static uint64_t last_owner[64];

static uint32_t roll(uint32_t sides) {
    return (uint32_t)(jitter_next(&dice) >> 33) % sides;
}

/* ---- events ---- */

static void submit(void) {
    uint32_t phones[4];
    char key[2] = {(char)('a' + roll(20)), '\0'};
    char body[2] = {(char)('a' + roll(2)), '\0'};
    static const char *const names[] = {"anna", "ben", "cleo"};
    static const char *const labels[] = {NULL, NULL, NULL, "[\"lab\"]", "[\"rare\",\"lab\"]"};
    const char *accounts[4];
    struct rig_order order = {
        .capability = roll(RIG_CAPABILITIES),
        .key = roll(3) == 0 ? key : NULL,
        .body = body,
        .items = 1 + (roll(3) == 0 ? roll(4) : 0),
        .priority = (uint8_t)roll(3),
        .input_bytes = roll(600),
        .deadline_ms = roll(4) == 0 ? rig.clock.wall_ms + roll(200000) : 0,
        .not_before_ms = roll(4) == 0 ? rig.clock.wall_ms + roll(50000) : 0,
        .labels = labels[roll(array_count(labels))],
        .concurrency_key = roll(6) == 0 ? "shared" : NULL,
    };
    for (uint32_t i = 0; i < 4; i++) {
        phones[i] = roll(rig.hub.phone_count);
        accounts[i] = names[roll(array_count(names))];
    }
    order.accounts = roll(4) == 0 ? accounts : NULL;
    order.phones = roll(2) == 0 ? phones : NULL;
    struct hub_accepted accepted;
    uint64_t head = hub_head_seq(&rig.hub);
    enum status status = rig_accept(&rig, &order, &accepted);
    assert_true(status == STATUS_OK || status == STATUS_FULL);
    seen.accepted += status == STATUS_OK && !accepted.is_duplicate;
    seen.duplicates += status == STATUS_OK && accepted.is_duplicate;
    seen.refused += status == STATUS_FULL;
    if (status == STATUS_FULL || accepted.is_duplicate) {
        assert_true(hub_head_seq(&rig.hub) == head);
    }
}

static void cancel(void) {
    uint32_t process = roll(rig.hub.board->processes);
    if (!pool_is_used(&rig.hub.process_pool, process)) {
        return;
    }
    bool has_ended = rig.hub.processes[process].end_seq != 0;
    enum status status = hub_cancel(&rig.hub, process);
    assert_true(status == (has_ended ? STATUS_TERMINAL : STATUS_OK) || status == STATUS_AGAIN);
}

/* A control call that is refused or answered with AGAIN leaves nothing behind. */
static bool ask(enum status (*call)(struct hub *, uint32_t), uint32_t process, enum status ended) {
    uint64_t head = hub_head_seq(&rig.hub);
    bool has_ended = rig.hub.processes[process].end_seq != 0;
    enum status status = call(&rig.hub, process);
    bool is_refused = status != STATUS_OK && status != STATUS_AGAIN;
    assert_true(!is_refused || status == ended || status == STATUS_FULL);
    assert_true(status != STATUS_OK || ended != STATUS_TERMINAL || !has_ended);
    assert_true(status == STATUS_OK || status == STATUS_AGAIN || hub_head_seq(&rig.hub) == head);
    return status == STATUS_OK && hub_head_seq(&rig.hub) > head;
}

static void control(void) {
    uint32_t process = roll(rig.hub.board->processes);
    if (!pool_is_used(&rig.hub.process_pool, process)) {
        return;
    }
    uint32_t what = roll(6);
    if (what == 0) {
        (void)ask(hub_suspend, process, STATUS_TERMINAL);
    } else if (what < 4) {
        seen.resumed += ask(hub_resume, process, STATUS_TERMINAL);
    } else if (what == 4) {
        seen.retries += ask(hub_retry, process, STATUS_ILLEGAL);
    } else {
        enum status status = hub_settle(&rig.hub, process, roll(3), roll(2) == 0);
        seen.settled += status == STATUS_OK;
    }
}

/* ---- external workers ---- */

static const char *const workers[WORKERS] = {"w0", "w1", "w2"};

static void claim(void) {
    const char id[2] = {(char)('a' + roll(3)), '\0'};
    uint32_t name = roll(WORKERS);
    struct hub_claim wanted = {
        .worker = {(const uint8_t *)workers[name], 2},
        .claim_id = {(const uint8_t *)id, roll(2)},
        .batch = 1 + roll(3),
    };
    struct hub_claimed claimed;
    enum status status = hub_claim(&rig.hub, &wanted, &claimed);
    assert_true(status == STATUS_OK || status == STATUS_AGAIN);
    if (status != STATUS_OK) {
        return;
    }
    rig_commit(&rig);
    seen.claims += claimed.count > 0 && !claimed.is_repeated;
    seen.repeats += claimed.is_repeated;
    for (uint32_t i = 0; i < claimed.count; i++) {
        const struct record_item *image = &rig.hub.items[claimed.items[i]].image;
        uint32_t phone = hub_phone_by_number(&rig.hub, image->phone);
        assert_true(claimed.is_repeated ? image->token <= newest_token[phone]
                                        : image->token > newest_token[phone]);
        newest_token[phone] = image->token;
        held[roll(HELD)] = (struct hub_worker){
            .item = claimed.items[i], .name = wanted.worker, .token = image->token};
    }
}

static bool is_held(const struct hub_worker *worker) {
    uint32_t phone = HUB_NONE;
    for (uint32_t p = 0; p < rig.hub.phone_count; p++) {
        uint32_t item = rig.hub.phones[p].item;
        if (item != HUB_NONE && rig.hub.items[item].image.token == worker->token &&
            !rig.hub.items[item].needs_recovery) {
            phone = p;
        }
    }
    return phone != HUB_NONE;
}

static enum status end_claimed(const struct hub_worker *worker) {
    bool is_good = roll(2) == 0;
    const struct record_attempt end = {
        .outcome = is_good ? RECORD_SUCCESS : RECORD_FAILURE,
        .category = is_good ? RECORD_CATEGORY_NONE : RECORD_CATEGORY_EXIT_CODE,
        .message = bytes_of("said the worker"),
        .result = bytes_of("{}"),
    };
    enum status status = hub_worker_end(&rig.hub, worker, &end, (enum hub_retryable)roll(3));
    seen.ends += status == STATUS_OK;
    return status;
}

static void work_outside(void) {
    const struct hub_worker *worker = &held[roll(HELD)];
    if (worker->token == 0) {
        return;
    }
    bool was_held = is_held(worker);
    struct hub_heartbeat answer;
    enum status status = STATUS_OK;
    switch (roll(6)) {
    case 0:
        status = hub_worker_acknowledge(&rig.hub, worker);
        break;
    case 1:
        status = hub_worker_start(&rig.hub, worker);
        break;
    case 2:
        status = hub_worker_heartbeat(&rig.hub, worker, roll(101), &answer);
        break;
    case 3:
        status = roll(4) == 0 ? hub_worker_release(&rig.hub, worker) : STATUS_OK;
        was_held = was_held || status == STATUS_OK;
        break;
    default:
        status = end_claimed(worker);
        break;
    }
    assert_int_equal(status == STATUS_STALE_LEASE, !was_held);
    assert_true(status == STATUS_OK || status == STATUS_STALE_LEASE || status == STATUS_AGAIN ||
                status == STATUS_ILLEGAL);
}

static void tell(uint32_t phone, enum phone_event event) {
    enum status status = hub_phone_event(&rig.hub, phone, event, "because");
    assert_true(status == STATUS_OK || status == STATUS_ILLEGAL || status == STATUS_AGAIN);
}

static void change_labels(void) {
    static const struct {
        const char *text;
        size_t size;
    } labels[] = {{"", 0}, {"lab", 3}, {"rare lab", 8}};
    uint32_t phone = roll(rig.hub.phone_count);
    uint32_t which = roll(array_count(labels));
    struct bytes text = {(const uint8_t *)labels[which].text, labels[which].size};
    enum status status = roll(2) == 0 ? hub_phone_label(&rig.hub, phone, text)
                                      : hub_phone_slot_label(&rig.hub, phone, text);
    assert_true(status == STATUS_OK || status == STATUS_AGAIN);
}

/* A running attempt keeps the list it began with; an item never goes on in another one. */
static void change_actions(void) {
    struct capability capability = rig.hub.capabilities[RIG_WORK];
    capability.actions_digest = 77 + roll(2);
    assert_int_equal(hub_capability_set(&rig.hub, &capability), STATUS_OK);
}

static void change_phone(void) {
    static const enum phone_event events[] = {
        PHONE_ON_DETACHED,    PHONE_ON_SILENT,     PHONE_ON_SPENT_GONE,
        PHONE_ON_AWAY,        PHONE_ON_BACK,       PHONE_ON_KEY_REFUSED,
        PHONE_ON_WINDOW_OVER, PHONE_ON_QUARANTINE, PHONE_ON_SPENT_ATTACHED,
    };
    uint32_t phone = roll(rig.hub.phone_count);
    if (roll(3) == 0) {
        tell(phone, events[roll(array_count(events))]);
    } else {
        tell(phone, PHONE_ON_RELEASE_ATTACHED);
        tell(phone, PHONE_ON_ATTACHED);
        tell(phone, PHONE_ON_HEALTHY);
        tell(phone, PHONE_ON_HANDSHAKE);
    }
}

static void begin(void) {
    struct hub_start start;
    while (hub_next_start(&rig.hub, &start)) {
        assert_true(start.token > newest_token[start.phone]);
        assert_true(start.actions_digest == rig.hub.items[start.item].image.actions_digest);
        newest_token[start.phone] = start.token;
        starts[start.phone] = start;
        seen.starts += 1;
    }
}

static bool is_current(const struct hub_start *start) {
    const struct hub_phone *phone = &rig.hub.phones[start->phone];
    return start->token != 0 && phone->item != HUB_NONE &&
           rig.hub.items[phone->item].image.token == start->token &&
           !rig.hub.items[phone->item].needs_recovery;
}

static void work(void) {
    static const enum record_category categories[] = {
        RECORD_CATEGORY_EXIT_CODE, RECORD_CATEGORY_ADB, RECORD_CATEGORY_CAPABILITY};
    const struct hub_start *start = &starts[roll(PHONES)];
    if (start->token == 0) {
        return;
    }
    uint32_t what = roll(8);
    uint32_t done = is_current(start) ? rig.hub.items[start->item].image.actions_done : 0;
    struct record_attempt attempt = {
        .outcome = what < 4   ? RECORD_SUCCESS
                   : what < 6 ? RECORD_FAILURE
                              : RECORD_STOPPED,
        .category = what < 6 && what >= 4 ? (uint8_t)categories[roll(3)] : RECORD_CATEGORY_NONE,
        .actions_done = done + 1,
        .message = bytes_of("so it was"),
        .result = bytes_of("{}"),
    };
    bool is_stop_asked = is_current(start) && rig.hub.items[start->item].image.stop != 0;
    if (attempt.outcome == RECORD_STOPPED && !is_stop_asked) {
        attempt.outcome = RECORD_INTERRUPTED;
    }
    enum status status = STATUS_OK;
    bool was_current = is_current(start);
    if (roll(8) == 0) {
        status = hub_attempt_touched(&rig.hub, start->phone, start->token);
    } else if (roll(16) == 0) {
        status = hub_attempt_power_cycle(&rig.hub, start->phone, start->token);
        seen.spent += status == STATUS_FULL;
        status = status == STATUS_FULL ? STATUS_OK : status;
    } else if (start->capability == RIG_REVIEW && done == 1 && was_current) {
        status = hub_attempt_review(&rig.hub, start->phone, start->token, &attempt);
        seen.reviews += status == STATUS_OK;
    } else if (roll(2) == 0 && done < 3) {
        status = hub_attempt_step(&rig.hub, start->phone, start->token, &attempt);
    } else {
        status = hub_attempt_end(&rig.hub, start->phone, start->token, &attempt);
    }
    assert_true(status == STATUS_AGAIN || status == (was_current ? STATUS_OK : STATUS_STALE_LEASE));
}

static void pass_time(void) {
    uint64_t ms = roll(4) == 0 ? roll(70000) : roll(1500);
    rig.clock.mono_ms += ms;
    rig.clock.wall_ms += ms;
    hub_set_clock(&rig.hub, &rig.clock);
}

/* ---- rules over time ---- */

static void assert_terminal_is_for_ever(void) {
    for (uint32_t i = 0; i < rig.hub.board->items; i++) {
        const struct hub_item *item = &rig.hub.items[i];
        bool is_used = pool_is_used(&rig.hub.item_pool, i);
        uint64_t owner = is_used ? rig.hub.processes[item->process].number * 64 + item->number : 0;
        if (is_used && owner == last_owner[i] && item_is_terminal(last_state[i])) {
            assert_int_equal(item->image.state, last_state[i]);
        }
        last_owner[i] = owner;
        last_state[i] = item->image.state;
    }
}

/* ---- the same after a load ---- */

static void compare_with_a_load(void) {
    rig_commit(&rig);
    hub_attempt_log_touches(&rig.hub);
    rig_commit(&rig);
    rig_load_copy(&copy, &rig);
    hub_same_tables(&rig.hub, &copy.hub);
    rig_check(&copy);
}

/* ---- the walk ---- */

/* Some walks go with budgets of phones. */
static void set_up_hub(unsigned seed) {
    const struct budget_limit limit = {{60, 3000, 2}};
    for (uint32_t p = 0; p < rig.hub.phone_count; p++) {
        rig.hub.phones[p].hub_group = 1 + p / 3;
    }
    if (seed % 2 == 0) {
        hub_phone_budget(&rig.hub, &limit);
    }
}

static void start_over(unsigned seed) {
    dice = (struct jitter){seed * 7919 + 1};
    memset(starts, 0, sizeof starts);
    memset(newest_token, 0, sizeof newest_token);
    memset(held, 0, sizeof held);
    memset(last_owner, 0, sizeof last_owner);
    rig_start(&rig);
    for (uint32_t p = 0; p < PHONES; p++) {
        const char id[2] = {(char)('A' + p), '\0'};
        (void)rig_phone(&rig, id);
    }
    set_up_hub(seed);
}

static void act(void) {
    switch (roll(4)) {
    case 0:
        cancel();
        break;
    case 1:
        change_labels();
        break;
    case 2:
        if (roll(8) == 0) {
            change_actions();
        }
        break;
    default:
        claim();
        break;
    }
}

static void take_step(void) {
    switch (roll(20)) {
    case 0:
    case 1:
        submit();
        break;
    case 2:
    case 3:
        act();
        break;
    case 4:
    case 5:
        change_phone();
        break;
    case 6:
    case 7:
    case 8:
    case 9:
    case 10:
        work();
        break;
    case 11:
    case 12:
        pass_time();
        break;
    case 13:
    case 14:
        control();
        break;
    case 15:
    case 16:
        work_outside();
        break;
    default:
        hub_step(&rig.hub);
        begin();
        break;
    }
    if (roll(6) == 0) {
        rig_commit(&rig);
    }
}

/* The program dies between two calls: what was not committed never was. */
static void die(unsigned seed) {
    seen.deaths += 1;
    rig_restart(&rig, roll(2) == 0);
    set_up_hub(seed);
    memset(last_owner, 0, sizeof last_owner);
}

static void walk(unsigned seed) {
    start_over(seed);
    for (unsigned step = 1; step <= STEPS; step++) {
        take_step();
        if (step % CHECKED_EVERY == 0) {
            rig_check(&rig);
        }
        assert_terminal_is_for_ever();
        if (step % COMPARED_EVERY == 0) {
            compare_with_a_load();
        }
        if (roll(1000) == 0) {
            die(seed);
        }
    }
}

static void random_events_keep_every_rule_and_survive_a_load(void **state) {
    (void)state;
    const char *asked = getenv("HUB_SEEDS");
    unsigned seeds = asked == NULL ? SEEDS : (unsigned)strtoul(asked, NULL, 10);
    for (unsigned seed = 1; seed <= seeds; seed++) {
        printf("seed %u\n", seed);
        walk(seed);
    }
    printf("accepted %u, duplicates %u, refused %u, starts %u, deaths %u, claims %u, repeats %u, "
           "ends %u, retries %u, settled %u, resumed %u, reviews %u, spent %u\n",
           seen.accepted, seen.duplicates, seen.refused, seen.starts, seen.deaths, seen.claims,
           seen.repeats, seen.ends, seen.retries, seen.settled, seen.resumed, seen.reviews,
           seen.spent);
    assert_true(seen.accepted > 3000 && seen.starts > 3000 && seen.deaths > 50);
    assert_true(seen.duplicates > 1000 && seen.refused > 100 && seen.claims > 500);
    assert_true(seen.repeats > 10 && seen.ends > 10 && seen.retries > 10 && seen.settled > 10);
    assert_true(seen.resumed > 500 && seen.reviews > 100 && seen.spent > 20);
}

int firmware_hub_random_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_events_keep_every_rule_and_survive_a_load),
    };
    return cmocka_run_group_tests_name("firmware/hub_random", tests, NULL, NULL);
}
