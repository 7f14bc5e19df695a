#include "firmware/heap.h"
#include "firmware/backoff.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { NODES = 64 };

static struct heap_node nodes[NODES];
static bool is_in[NODES];
static uint64_t orders[NODES];

static uint32_t least(void) {
    uint32_t best = HEAP_NONE;
    for (uint32_t i = 0; i < NODES; i++) {
        if (is_in[i] && (best == HEAP_NONE || orders[i] < orders[best])) {
            best = i;
        }
    }
    return best;
}

static void the_least_is_first_whatever_is_added_and_removed(void **state) {
    (void)state;
    struct jitter dice = {4711};
    uint32_t root = HEAP_NONE;
    for (unsigned step = 0; step < 200000; step++) {
        uint32_t index = (uint32_t)(jitter_next(&dice) >> 33) % NODES;
        bool takes_first = (jitter_next(&dice) >> 33) % 3 == 0;
        if (takes_first && root != HEAP_NONE) {
            index = root;
        }
        if (is_in[index]) {
            heap_remove(nodes, &root, index);
        } else {
            orders[index] = (jitter_next(&dice) >> 33) % 40;
            heap_add(nodes, &root, index, orders[index]);
        }
        is_in[index] = !is_in[index];
        assert_int_equal(root, least());
    }
}

static void sets_share_their_nodes_without_mixing(void **state) {
    (void)state;
    struct heap_node few[4];
    uint32_t a = HEAP_NONE;
    uint32_t b = HEAP_NONE;
    heap_add(few, &a, 0, 5);
    heap_add(few, &b, 1, 4);
    heap_add(few, &a, 2, 3);
    heap_add(few, &b, 3, 9);
    assert_int_equal(a, 2);
    assert_int_equal(b, 1);
    heap_remove(few, &a, 2);
    assert_int_equal(a, 0);
    heap_remove(few, &a, 0);
    assert_int_equal(a, HEAP_NONE);
    heap_remove(few, &b, 3);
    assert_int_equal(b, 1);
}

int firmware_heap_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_is_first_whatever_is_added_and_removed),
        cmocka_unit_test(sets_share_their_nodes_without_mixing),
    };
    return cmocka_run_group_tests_name("firmware/heap", tests, NULL, NULL);
}
