/* Random events from a seed: every rule of hub_rig_check.c after each, and the same tables after a
 * load of what was written. */
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PHONES = 5, SEEDS = 10, STEPS = 20000, COMPARED_EVERY = 500 };

static struct rig rig;
static struct rig copy;
static struct jitter dice;
/* What happened in all walks, so that a walk that does nothing is noticed. */
static struct { unsigned accepted, duplicates, refused, starts, deaths; } seen;

static struct hub_start starts[PHONES]; /* what the executor believes to run; token 0: nothing */
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
    struct rig_order order = {
        .capability = roll(RIG_CAPABILITIES),
        .key = roll(3) == 0 ? key : NULL,
        .body = body,
        .items = 1 + (roll(3) == 0 ? roll(4) : 0),
        .priority = (uint8_t)roll(3),
        .input_bytes = roll(600),
        .deadline_ms = roll(4) == 0 ? rig.clock.wall_ms + roll(200000) : 0,
        .not_before_ms = roll(4) == 0 ? rig.clock.wall_ms + roll(50000) : 0,
    };
    for (uint32_t i = 0; i < 4; i++) {
        phones[i] = roll(rig.hub.phone_count);
    }
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

static void tell(uint32_t phone, enum phone_event event) {
    enum status status = hub_phone_event(&rig.hub, phone, event, "because");
    assert_true(status == STATUS_OK || status == STATUS_ILLEGAL || status == STATUS_AGAIN);
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
        assert_true(start.token > starts[start.phone].token);
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
    if (roll(2) == 0 && done < 3) {
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

/* Images are compared in the form they have on flash: structs have padding. */
static void begin_pair(struct cbor_writer writers[2]) {
    static uint8_t bytes[2][512];
    cbor_writer_init(&writers[0], bytes[0], sizeof bytes[0]);
    cbor_writer_init(&writers[1], bytes[1], sizeof bytes[1]);
}

static void assert_pair(const struct cbor_writer writers[2]) {
    assert_false(writers[0].overflow || writers[1].overflow);
    assert_int_equal(writers[0].size, writers[1].size);
    assert_memory_equal(writers[0].data, writers[1].data, writers[0].size);
}

static void assert_same_item(const struct hub_item *a, const struct hub_item *b) {
    struct record_item left = a->image;
    struct record_item right = b->image;
    /* Told only with the next record: exact first contact, and how long it still waits. */
    left.first_device = right.first_device;
    left.wait_ms = right.wait_ms;
    struct cbor_writer writers[2];
    begin_pair(writers);
    record_put_item(&writers[0], &left);
    record_put_item(&writers[1], &right);
    assert_pair(writers);
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->next_of_process, b->next_of_process);
    assert_int_equal(a->is_queued, b->is_queued);
    assert_int_equal(a->strand == HUB_NONE, b->strand == HUB_NONE);
}

static void assert_same_process(const struct hub_process *a, const struct hub_process *b) {
    struct cbor_writer writers[2];
    begin_pair(writers);
    record_put_process(&writers[0], &a->image);
    record_put_process(&writers[1], &b->image);
    record_put_time(&writers[0], &a->updated);
    record_put_time(&writers[1], &b->updated);
    assert_pair(writers);
    assert_memory_equal(&a->counts, &b->counts, sizeof a->counts);
    assert_int_equal(a->tail.kind, b->tail.kind);
    assert_int_equal(a->tail.index, b->tail.index);
    assert_memory_equal(a->key, b->key, sizeof a->key);
    if (a->has_key) { /* without a key nobody compares it */
        assert_memory_equal(a->body_digest, b->body_digest, sizeof a->body_digest);
    }
    assert_true(a->number == b->number && a->revision == b->revision);
    assert_true(a->end_seq == b->end_seq && a->deadline_ms == b->deadline_ms);
    assert_true(a->not_before_ms == b->not_before_ms && a->has_key == b->has_key);
    assert_int_equal(a->first_item, b->first_item);
    assert_int_equal(a->capability, b->capability);
    assert_int_equal(a->older, b->older);
    assert_int_equal(a->newer, b->newer);
    assert_int_equal(a->priority, b->priority);
    assert_int_equal(a->status, b->status);
}

static void assert_same_tables(const struct hub *a, const struct hub *b) {
    const struct board *board = a->board;
    for (uint32_t p = 0; p < board->processes; p++) {
        assert_int_equal(pool_is_used(&a->process_pool, p), pool_is_used(&b->process_pool, p));
        if (pool_is_used(&a->process_pool, p)) {
            assert_same_process(&a->processes[p], &b->processes[p]);
        }
    }
    for (uint32_t i = 0; i < board->items; i++) {
        assert_int_equal(pool_is_used(&a->item_pool, i), pool_is_used(&b->item_pool, i));
        if (pool_is_used(&a->item_pool, i)) {
            assert_same_item(&a->items[i], &b->items[i]);
        }
    }
    for (uint32_t p = 0; p < a->phone_count; p++) {
        assert_string_equal(a->phones[p].id, b->phones[p].id);
        assert_true(a->phones[p].number == b->phones[p].number);
        assert_int_equal(a->phones[p].item, b->phones[p].item);
    }
    for (uint32_t k = 0; k < board->keys; k++) {
        assert_memory_equal(&a->keys[k].key, &b->keys[k].key, RECORD_DIGEST_BYTES);
        assert_true(a->keys[k].number == b->keys[k].number);
        assert_true(a->keys[k].process == b->keys[k].process);
    }
    assert_int_equal(a->phone_count, b->phone_count);
    assert_int_equal(a->key_next, b->key_next);
    assert_true(a->image.token_counter == b->image.token_counter);
    assert_true(a->image.process_number == b->image.process_number);
    assert_true(a->image.key_number == b->image.key_number);
    assert_true(a->reserved_bytes == b->reserved_bytes);
    assert_true(b->counters.suspect_objects == 0);
}

static void compare_with_a_load(void) {
    rig_commit(&rig);
    rig_load_copy(&copy, &rig);
    assert_same_tables(&rig.hub, &copy.hub);
    rig_check(&copy);
}

/* ---- the walk ---- */

static void start_over(unsigned seed) {
    dice = (struct jitter){seed * 7919 + 1};
    memset(starts, 0, sizeof starts);
    memset(last_owner, 0, sizeof last_owner);
    rig_start(&rig);
    for (uint32_t p = 0; p < PHONES; p++) {
        const char id[2] = {(char)('A' + p), '\0'};
        rig.hub.phones[rig_phone(&rig, id)].hub_group = 1 + p / 3;
    }
}

static void take_step(void) {
    switch (roll(16)) {
    case 0:
    case 1:
        submit();
        break;
    case 2:
        cancel();
        break;
    case 3:
    case 11:
        change_phone();
        break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        work();
        break;
    case 9:
    case 10:
        pass_time();
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
static void die(void) {
    seen.deaths += 1;
    rig_restart(&rig, roll(2) == 0);
    for (uint32_t p = 0; p < rig.hub.phone_count; p++) {
        rig.hub.phones[p].hub_group = 1 + p / 3;
    }
    memset(last_owner, 0, sizeof last_owner);
}

static void walk(unsigned seed) {
    start_over(seed);
    for (unsigned step = 1; step <= STEPS; step++) {
        take_step();
        rig_check(&rig);
        assert_terminal_is_for_ever();
        if (step % COMPARED_EVERY == 0) {
            compare_with_a_load();
        }
        if (roll(1000) == 0) {
            die();
        }
    }
}

static void random_events_keep_every_rule_and_survive_a_load(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        printf("seed %u\n", seed);
        walk(seed);
    }
    assert_true(seen.accepted > 10000 && seen.starts > 5000 && seen.deaths > 50);
    assert_true(seen.duplicates > 1000 && seen.refused > 100);
}

int firmware_hub_random_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_events_keep_every_rule_and_survive_a_load),
    };
    return cmocka_run_group_tests_name("firmware/hub_random", tests, NULL, NULL);
}
