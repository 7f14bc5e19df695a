#include "tests/firmware/hub_same.h"

#include "firmware/hub_internal.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SAME(field) assert_true(a->field == b->field)

static void same_time(const struct record_time *a, const struct record_time *b) {
    SAME(boot);
    SAME(mono_ms);
    SAME(wall_ms);
    SAME(quality);
}

/* How long it still waits (`wait_ms`) is told only with its next record. */
static void same_item_image(const struct record_item *a, const struct record_item *b) {
    SAME(state);
    SAME(stop);
    SAME(suspension);
    SAME(category);
    SAME(superseded);
    SAME(generation);
    SAME(attempt);
    SAME(attempts_counted);
    SAME(deliveries);
    SAME(faults);
    SAME(actions_done);
    SAME(target_index);
    SAME(target_phone);
    SAME(phone);
    SAME(token);
    SAME(actions_digest);
    SAME(failed_phone);
    SAME(failed_count);
    same_time(&a->started, &b->started);
    same_time(&a->first_device, &b->first_device);
}

static void same_item(const struct hub_item *a, const struct hub_item *b) {
    same_item_image(&a->image, &b->image);
    SAME(process);
    SAME(number);
    SAME(next_of_process);
    SAME(attempt_count);
    SAME(is_queued);
    assert_int_equal(a->strand == HUB_NONE, b->strand == HUB_NONE);
}

static void same_gate(const struct hub *a, uint32_t gate_a, const struct hub *b, uint32_t gate_b) {
    assert_int_equal(gate_a == HUB_NONE, gate_b == HUB_NONE);
    if (gate_a != HUB_NONE) {
        assert_memory_equal(a->gates[gate_a].digest, b->gates[gate_b].digest, RECORD_DIGEST_BYTES);
        assert_int_equal(a->gates[gate_a].in_use, b->gates[gate_b].in_use);
        assert_int_equal(a->gates[gate_a].references, b->gates[gate_b].references);
    }
}

/* Where an item waits, by what makes it that place: its number depends on history. */
static void same_strand(const struct hub *a, const struct hub *b, uint32_t item) {
    if (a->items[item].strand == HUB_NONE) {
        return;
    }
    const struct hub_strand *left = &a->strands[a->items[item].strand];
    const struct hub_strand *right = &b->strands[b->items[item].strand];
    const struct hub_lane *lane_a = &a->lanes[left->lane];
    const struct hub_lane *lane_b = &b->lanes[right->lane];
    same_gate(a, left->key_gate, b, right->key_gate);
    same_gate(a, left->account_gate, b, right->account_gate);
    assert_int_equal(left->references, right->references);
    assert_int_equal(left->items, right->items);
    assert_int_equal(lane_a->capability, lane_b->capability);
    assert_int_equal(lane_a->phone, lane_b->phone);
    assert_int_equal(lane_a->references, lane_b->references);
    assert_int_equal(lane_a->label_set == HUB_NONE, lane_b->label_set == HUB_NONE);
    if (lane_a->label_set != HUB_NONE) {
        assert_string_equal(a->label_sets[lane_a->label_set].text,
                            b->label_sets[lane_b->label_set].text);
    }
}

static void same_process(const struct hub_process *a, const struct hub_process *b) {
    SAME(image.generation);
    SAME(image.flags);
    SAME(image.item_count);
    SAME(image.is_deadline_over);
    same_time(&a->image.created, &b->image.created);
    same_time(&a->image.queued, &b->image.queued);
    same_time(&a->image.retrying, &b->image.retrying);
    same_time(&a->image.cancel_requested, &b->image.cancel_requested);
    same_time(&a->image.finished, &b->image.finished);
    same_time(&a->updated, &b->updated);
    assert_memory_equal(&a->counts, &b->counts, sizeof a->counts);
    assert_memory_equal(a->key, b->key, sizeof a->key);
    if (a->has_key) { /* without a key nobody compares it */
        assert_memory_equal(a->body_digest, b->body_digest, sizeof a->body_digest);
    }
    SAME(number);
    SAME(revision);
    SAME(tail.kind);
    SAME(tail.index);
    SAME(end_seq);
    SAME(deadline_ms);
    SAME(not_before_ms);
    SAME(has_key);
    SAME(first_item);
    SAME(last_item);
    SAME(capability);
    SAME(older);
    SAME(newer);
    SAME(priority);
    SAME(status);
}

/* The attempts of one item, in their order. */
static void same_attempts(const struct hub *a, const struct hub *b, uint32_t item) {
    uint32_t left = a->items[item].first_attempt;
    uint32_t right = b->items[item].first_attempt;
    while (left != HUB_NONE && right != HUB_NONE) {
        assert_int_equal(left, right); /* its slot in the store, too */
        assert_int_equal(a->attempts[left].number, b->attempts[right].number);
        left = a->attempts[left].next;
        right = b->attempts[right].next;
    }
    assert_int_equal(left, right);
}

static void same_phone(const struct hub_phone *a, const struct hub_phone *b) {
    assert_string_equal(a->id, b->id);
    assert_string_equal(a->labels, b->labels);
    SAME(number);
    SAME(item);
    assert_string_equal(a->lease.worker, b->lease.worker);
    assert_memory_equal(a->lease.claim, b->lease.claim, RECORD_DIGEST_BYTES);
}

static void same_key(const struct hub_key *a, const struct hub_key *b) {
    assert_memory_equal(a->key, b->key, RECORD_DIGEST_BYTES);
    assert_memory_equal(a->body_digest, b->body_digest, RECORD_DIGEST_BYTES);
    same_time(&a->evicted, &b->evicted);
    SAME(number);
    SAME(process);
    SAME(status);
}

static void same_hub(const struct hub *a, const struct hub *b) {
    SAME(phone_count);
    SAME(key_next);
    SAME(oldest_finished);
    SAME(newest_finished);
    SAME(image.token_counter);
    SAME(image.process_number);
    SAME(image.phone_number);
    SAME(image.key_number);
    SAME(image.command);
    SAME(image.boot);
    SAME(image.boot_count);
    for (size_t i = 0; i < a->image.boot_count; i++) {
        SAME(image.boots[i].boot);
        SAME(image.boots[i].offset_ms);
    }
    SAME(reserved_bytes);
    assert_true(b->counters.suspect_objects == 0);
}

void hub_same_tables(const struct hub *a, const struct hub *b) {
    const struct board *board = a->board;
    for (uint32_t p = 0; p < board->processes; p++) {
        assert_int_equal(pool_is_used(&a->process_pool, p), pool_is_used(&b->process_pool, p));
        if (pool_is_used(&a->process_pool, p)) {
            same_process(&a->processes[p], &b->processes[p]);
        }
    }
    for (uint32_t i = 0; i < board->items; i++) {
        assert_int_equal(pool_is_used(&a->item_pool, i), pool_is_used(&b->item_pool, i));
        if (pool_is_used(&a->item_pool, i)) {
            same_item(&a->items[i], &b->items[i]);
            same_attempts(a, b, i);
            same_strand(a, b, i);
        }
    }
    for (uint32_t p = 0; p < a->phone_count; p++) {
        same_phone(&a->phones[p], &b->phones[p]);
    }
    for (uint32_t k = 0; k < board->keys; k++) {
        same_key(&a->keys[k], &b->keys[k]);
    }
    same_hub(a, b);
}
