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
    /* What is not over may be tried once more; what is over was never tried too often. */
    assert_true(capability == NULL ||
                of->image.attempts_counted + (is_live(of) ? 1u : 0u) <= capability->attempts_max);
    assert_true(of->image.deliveries <= ITEM_DELIVERIES_MAX);
    assert_true(of->image.faults <= ITEM_FAULTS_MAX);
    assert_int_equal(has_lease(of), of->image.phone != 0);
    assert_true(of->image.stop == RECORD_STOP_NONE || state == RECORD_RUNNING);
    assert_int_equal(of->image.suspension != 0,
                     state == RECORD_SUSPENDED || of->image.stop == RECORD_STOP_SUSPEND);
    if (state == RECORD_RETRY_WAIT || (has_lease(of) && !of->needs_recovery)) {
        assert_true(due != TIMER_NEVER);
    } else if (state == RECORD_SUSPENDED && of->image.suspension == RECORD_SUSPEND_BUDGET) {
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
            bool in_review = item->image.state == RECORD_SUSPENDED &&
                             item->image.suspension == RECORD_SUSPEND_REVIEW;
            counts.in_review = (uint16_t)(counts.in_review + in_review);
        }
        check_item(hub, i);
    }
    /* A fork may have told of items that upstream alone knows. */
    assert_true(count == of->image.item_count ||
                (hub->image.life.epoch != 0 && last <= of->image.item_count));
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

/* A node of a heap comes behind its parent, up to the heap's root. */
static void check_node(const struct heap_node *nodes, uint32_t root, uint32_t index) {
    for (unsigned depth = 0; index != root; depth++) {
        assert_true(depth < 64 && nodes[index].previous != HEAP_NONE);
        uint32_t before = nodes[index].previous;
        uint32_t child = index;
        while (nodes[before].child != child) {
            assert_int_equal(nodes[before].next, child);
            child = before;
            before = nodes[before].previous;
        }
        assert_true(nodes[before].order <= nodes[index].order);
        index = before;
    }
    assert_int_equal(nodes[root].previous, HEAP_NONE);
}

static void check_item_queue(const struct hub *hub, uint32_t item) {
    const struct hub_item *of = &hub->items[item];
    const struct hub_process *process = &hub->processes[of->process];
    bool is_held = (process->image.flags & RECORD_HOLD) != 0;
    bool waits = of->image.state == RECORD_READY && !is_held && of->strand != HUB_NONE;
    /* Who has lost its grant leaves the queue when its turn comes. */
    bool is_granted = hub_grant_until_ms(hub, item) > hub->clock.mono_ms;
    assert_true(of->is_queued == waits || (waits && !is_granted));
    assert_int_equal(of->strand != HUB_NONE, is_live(of) && process->capability != HUB_NONE);
    if (of->is_queued) {
        assert_true(hub->item_nodes[item].order == queue_order(hub, item));
        check_node(hub->item_nodes, hub->strands[of->strand].items, item);
    }
}

static void check_strand(const struct hub *hub, uint32_t strand) {
    const struct hub_strand *of = &hub->strands[strand];
    uint32_t references = 0;
    for (uint32_t i = 0; i < hub->item_pool.touched; i++) {
        references += pool_is_used(&hub->item_pool, i) && hub->items[i].strand == strand;
    }
    assert_int_equal(of->references, references);
    assert_true(references > 0);
    if (of->parked_at != HUB_NONE) {
        assert_true(of->items != HEAP_NONE);
        assert_true(queue_shut_gate(hub, strand) != HUB_NONE);
    } else if (of->items != HEAP_NONE) {
        assert_true(hub->strand_nodes[strand].order == hub->item_nodes[of->items].order);
        check_node(hub->strand_nodes, hub->lanes[of->lane].strands, strand);
    }
}

static void check_gate(const struct hub *hub, uint32_t gate) {
    uint32_t in_use = 0;
    for (uint32_t i = 0; i < hub->item_pool.touched; i++) {
        const struct hub_item *of = &hub->items[i];
        if (pool_is_used(&hub->item_pool, i) && of->strand != HUB_NONE && has_lease(of)) {
            const struct hub_strand *strand = &hub->strands[of->strand];
            bool is_account = strand->account_gate == gate;
            bool is_key = strand->key_gate == gate;
            in_use += is_account || is_key;
            uint32_t max = hub->capabilities[hub->lanes[strand->lane].capability].concurrency_max;
            assert_true(!is_account || hub->gates[gate].in_use <= 1);
            assert_true(!is_key || hub->gates[gate].in_use <= max);
        }
    }
    assert_int_equal(hub->gates[gate].in_use, in_use);
}

static void check_queues(const struct hub *hub) {
    for (uint32_t i = 0; i < hub->item_pool.touched; i++) {
        if (pool_is_used(&hub->item_pool, i)) {
            check_item_queue(hub, i);
        }
    }
    for (uint32_t s = 0; s < hub->strand_pool.touched; s++) {
        if (pool_is_used(&hub->strand_pool, s)) {
            check_strand(hub, s);
        }
    }
    for (uint32_t g = 0; g < hub->gate_pool.touched; g++) {
        if (pool_is_used(&hub->gate_pool, g)) {
            check_gate(hub, g);
        }
    }
}

/* Within the hour before `now_ms`: older slices stay in the table until a newer one is used. */
static void check_budget(const struct budget *budget, const struct budget_limit *limit,
                         uint64_t now_ms) {
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        uint64_t used = 0;
        for (uint64_t age = 0; age < BUDGET_SLICES && age <= budget->slice; age++) {
            uint64_t slice = budget->slice - age;
            bool counts = slice + BUDGET_SLICES > now_ms / BUDGET_SLICE_MS;
            used += counts ? budget->used[slice % BUDGET_SLICES][kind] : 0;
        }
        assert_true(limit->per_hour[kind] == 0 || used <= limit->per_hour[kind]);
    }
}

static void check_budgets(const struct hub *hub) {
    for (uint32_t c = 0; c < hub->capability_count; c++) {
        check_budget(&hub->budgets[c], &hub->capabilities[c].budget, hub->clock.mono_ms);
    }
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        check_budget(&hub->phones[p].budget, &hub->phone_limit, hub->clock.mono_ms);
    }
}

static void check_phones(const struct hub *hub) {
    uint32_t waiting = 0;
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        const struct hub_phone *of = &hub->phones[p];
        bool is_free = of->state == RECORD_PHONE_READY && of->item == HUB_NONE;
        assert_int_equal(hub->free_phones[p / 32] >> p % 32 & 1u, is_free);
        waiting += of->item != HUB_NONE && !of->is_started;
        assert_true(of->state != RECORD_PHONE_LEASED || of->item != HUB_NONE);
        assert_true(of->state != RECORD_PHONE_READY || of->item == HUB_NONE ||
                    hub->items[of->item].needs_recovery);
        if (of->item != HUB_NONE) {
            assert_true(pool_is_used(&hub->item_pool, of->item));
            assert_true(has_lease(&hub->items[of->item]));
            assert_int_equal(hub->items[of->item].image.phone, of->number);
        }
    }
    assert_int_equal(hub->starts_waiting, waiting);
}

void rig_check(struct rig *rig) {
    struct hub *hub = &rig->hub;
    check_processes(hub);
    check_queues(hub);
    check_phones(hub);
    check_budgets(hub);
    uint64_t reserved = hub->reserved_bytes;
    hub_reserve_recount(hub);
    assert_true(hub->reserved_bytes == reserved);
}
