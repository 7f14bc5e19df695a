/* What must hold of a hub between any two calls, counted anew from its tables. */
#include "firmware/hub_internal.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static bool is_live(const struct hub_item *item) {
    return !item->image.superseded && !item_is_terminal(item->image.state);
}

static bool has_lease(const struct hub_item *item) {
    return item->image.state == RECORD_LEASED || item->image.state == RECORD_RUNNING;
}

static uint32_t check_attempts(const struct hub *hub, uint32_t item) {
    const struct hub_item *of = &hub->items[item];
    uint32_t count = 0;
    uint32_t last = 0;
    for (uint32_t a = of->first_attempt; a != HUB_NONE; a = hub->attempts[a].next) {
        assert_true(pool_is_used(&hub->attempt_pool, a));
        assert_int_equal(hub->attempts[a].item, item);
        assert_true(hub->attempts[a].number > last);
        last = hub->attempts[a].number;
        count += 1;
    }
    assert_int_equal(count, of->attempt_count);
    assert_true(count <= 8);
    assert_true(last <= of->image.attempt);
    return count;
}

static void check_item(const struct hub *hub, uint32_t item) {
    const struct hub_item *of = &hub->items[item];
    const struct hub_process *process = &hub->processes[of->process];
    const struct capability *capability =
        process->capability == HUB_NONE ? NULL : &hub->capabilities[process->capability];
    uint64_t due = timer_due(&hub->timers, hub_item_timer(hub, item));
    uint8_t state = of->image.state;
    assert_true(of->image.attempts_counted <= of->image.attempt);
    assert_true(capability == NULL || of->image.attempts_counted <= capability->attempts_max);
    assert_true(of->image.deliveries <= ITEM_DELIVERIES_MAX);
    assert_true(of->image.faults <= ITEM_FAULTS_MAX);
    assert_int_equal(has_lease(of), of->image.phone != 0);
    assert_true(of->image.stop == RECORD_STOP_NONE || state == RECORD_RUNNING);
    assert_int_equal(of->image.suspension != 0, state == RECORD_SUSPENDED);
    if (state == RECORD_RETRY_WAIT || (has_lease(of) && !of->needs_recovery)) {
        assert_true(due != TIMER_NEVER);
    } else if (state != RECORD_SCHEDULED && !of->needs_recovery) {
        assert_true(due == TIMER_NEVER);
    }
    uint32_t flags = process->image.flags & (RECORD_CANCEL_REQUESTED | RECORD_PAST_DEADLINE);
    assert_true(flags == 0 || !is_live(of) || state == RECORD_RUNNING || of->needs_recovery);
    if (has_lease(of)) {
        uint32_t phone = hub_phone_by_number(hub, of->image.phone);
        assert_true(phone != HUB_NONE);
        assert_int_equal(hub->phones[phone].item, item);
    }
}

static uint32_t check_process(const struct hub *hub, uint32_t process) {
    const struct hub_process *of = &hub->processes[process];
    struct process_counts counts = {0};
    uint32_t count = 0;
    uint32_t last = 0;
    for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
        const struct hub_item *item = &hub->items[i];
        assert_true(pool_is_used(&hub->item_pool, i));
        assert_int_equal(item->process, process);
        assert_true(item->number > last);
        last = item->number;
        count += 1;
        if (!item->image.superseded) {
            counts.by_state[item->image.state] += 1;
            counts.in_review += item->image.state == RECORD_SUSPENDED &&
                                item->image.suspension == RECORD_SUSPEND_REVIEW;
        }
        check_item(hub, i);
    }
    assert_int_equal(count, of->image.item_count);
    assert_memory_equal(&counts, &of->counts, sizeof counts);
    enum process_status status = process_derive(&counts, of->image.flags);
    assert_int_equal(of->status, status);
    assert_int_equal(process_is_terminal(status), of->end_seq != 0);
    assert_int_equal(of->end_seq != 0, of->image.finished.boot != 0);
    assert_int_equal(hub_process_find(hub, of->number), process);
    return count;
}

static void check_processes(const struct hub *hub) {
    uint32_t items = 0;
    uint32_t attempts = 0;
    uint32_t ended = 0;
    for (uint32_t p = 0; p < hub->process_pool.touched; p++) {
        if (pool_is_used(&hub->process_pool, p)) {
            items += check_process(hub, p);
            ended += hub->processes[p].end_seq != 0;
        }
    }
    assert_int_equal(items, hub->item_pool.used);
    for (uint32_t i = 0; i < hub->item_pool.touched; i++) {
        attempts += pool_is_used(&hub->item_pool, i) ? check_attempts(hub, i) : 0;
    }
    assert_int_equal(attempts, hub->attempt_pool.used);
    uint64_t seq = 0;
    uint32_t older = HUB_NONE;
    for (uint32_t p = hub->oldest_finished; p != HUB_NONE; p = hub->processes[p].newer) {
        assert_true(hub->processes[p].end_seq > seq);
        assert_int_equal(hub->processes[p].older, older);
        seq = hub->processes[p].end_seq;
        older = p;
        ended -= 1;
    }
    assert_int_equal(hub->newest_finished, older);
    assert_int_equal(ended, 0);
}

static bool goes_before(const struct hub *hub, uint32_t a, uint32_t b) {
    const struct hub_process *first = &hub->processes[hub->items[a].process];
    const struct hub_process *second = &hub->processes[hub->items[b].process];
    if (first->priority != second->priority) {
        return first->priority > second->priority;
    }
    return first->number != second->number ? first->number < second->number
                                           : hub->items[a].number < hub->items[b].number;
}

static void check_queues(const struct hub *hub) {
    uint32_t queued = 0;
    for (uint32_t q = 0; q < hub->board->phones + hub->board->capabilities; q++) {
        uint32_t previous = HUB_NONE;
        for (uint32_t i = hub->queues[q].first; i != HUB_NONE; i = hub->items[i].queue_next) {
            assert_int_equal(hub->items[i].queue, q);
            assert_int_equal(hub->items[i].image.state, RECORD_READY);
            assert_int_equal(hub->items[i].queue_previous, previous);
            assert_true(previous == HUB_NONE || goes_before(hub, previous, i));
            previous = i;
            queued += 1;
        }
        assert_int_equal(hub->queues[q].last, previous);
    }
    for (uint32_t i = 0; i < hub->item_pool.touched; i++) {
        if (pool_is_used(&hub->item_pool, i) && hub->items[i].image.state == RECORD_READY) {
            queued -= hub->items[i].queue != HUB_NONE;
            uint32_t capability = hub->processes[hub->items[i].process].capability;
            assert_true(hub->items[i].queue != HUB_NONE || capability == HUB_NONE);
        }
    }
    assert_int_equal(queued, 0);
}

static void check_phones(const struct hub *hub) {
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        const struct hub_phone *of = &hub->phones[p];
        assert_true(of->state != RECORD_PHONE_LEASED || of->item != HUB_NONE);
        assert_true(of->state != RECORD_PHONE_READY || of->item == HUB_NONE ||
                    hub->items[of->item].needs_recovery);
        if (of->item != HUB_NONE) {
            assert_true(pool_is_used(&hub->item_pool, of->item));
            assert_true(has_lease(&hub->items[of->item]));
            assert_int_equal(hub->items[of->item].image.phone, of->number);
        }
    }
}

void rig_check(struct rig *rig) {
    struct hub *hub = &rig->hub;
    check_processes(hub);
    check_queues(hub);
    check_phones(hub);
    uint64_t reserved = hub->reserved_bytes;
    hub_reserve_recount(hub);
    assert_true(hub->reserved_bytes == reserved);
}
