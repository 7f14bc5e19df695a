#include "firmware/backoff.h"
#include "firmware/hash_index.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { CELLS = 16, ENTRIES = 16 };

static struct hash_cell cells[CELLS];
static struct hash_index hash_index;

static int set_up(void **state) {
    (void)state;
    memset(cells, 0, sizeof cells);
    hash_index_init(&hash_index, cells, CELLS);
    return 0;
}

/* The entries of one hash, as bits. */
static uint32_t found(uint32_t hash) {
    uint32_t entries = 0;
    uint32_t at = hash_index_start(&hash_index, hash);
    for (;;) {
        uint32_t entry = hash_index_next(&hash_index, hash, &at);
        if (entry == HASH_INDEX_NONE) {
            return entries;
        }
        assert_int_equal(entries >> entry & 1, 0);
        entries |= UINT32_C(1) << entry;
    }
}

static void finds_every_entry_of_a_hash_and_no_other(void **state) {
    (void)state;
    hash_index_add(&hash_index, 3, 0);
    hash_index_add(&hash_index, 3 + CELLS, 1);
    hash_index_add(&hash_index, 3, 2);
    hash_index_add(&hash_index, 4, 3);
    assert_int_equal(found(3), 1 << 0 | 1 << 2);
    assert_int_equal(found(3 + CELLS), 1 << 1);
    assert_int_equal(found(4), 1 << 3);
    assert_int_equal(found(5), 0);
}

static void a_run_that_wraps_around_the_end_survives_removals(void **state) {
    (void)state;
    for (uint32_t entry = 0; entry < 6; entry++) {
        hash_index_add(&hash_index, CELLS - 2, entry);
    }
    hash_index_add(&hash_index, 0, 6); /* pushed behind the run */
    hash_index_remove(&hash_index, CELLS - 2, 1);
    hash_index_remove(&hash_index, CELLS - 2, 5);
    assert_int_equal(found(CELLS - 2), 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4);
    assert_int_equal(found(0), 1 << 6);
    hash_index_remove(&hash_index, CELLS - 2, 0);
    hash_index_remove(&hash_index, CELLS - 2, 4);
    hash_index_remove(&hash_index, CELLS - 2, 2);
    hash_index_remove(&hash_index, CELLS - 2, 3);
    assert_int_equal(found(0), 1 << 6);
    hash_index_remove(&hash_index, 0, 6);
    for (size_t i = 0; i < CELLS; i++) {
        assert_int_equal(cells[i].entry, 0);
    }
}

static void agrees_with_a_plain_list_over_random_use(void **state) {
    (void)state;
    struct jitter random = {5};
    uint32_t hash_of[ENTRIES] = {0};
    bool is_in[ENTRIES] = {false};
    uint32_t count = 0;
    for (unsigned step = 0; step < 200000; step++) {
        uint64_t draw = jitter_next(&random);
        uint32_t entry = (uint32_t)(draw >> 40) % ENTRIES;
        if (is_in[entry]) {
            hash_index_remove(&hash_index, hash_of[entry], entry);
            is_in[entry] = false;
            count -= 1;
        } else if (count < CELLS - 1) {
            hash_of[entry] = (uint32_t)(draw >> 20) % 24; /* many share a hash or a home */
            hash_index_add(&hash_index, hash_of[entry], entry);
            is_in[entry] = true;
            count += 1;
        }
        uint32_t hash = (uint32_t)(draw >> 20) % 24;
        uint32_t expected = 0;
        for (uint32_t e = 0; e < ENTRIES; e++) {
            expected |= is_in[e] && hash_of[e] == hash ? UINT32_C(1) << e : 0;
        }
        assert_int_equal(found(hash), expected);
    }
}

static void consecutive_numbers_spread_over_the_cells(void **state) {
    (void)state;
    uint32_t hits[64] = {0};
    for (uint64_t number = 1; number <= 6400; number++) {
        hits[hash_number(number) % 64] += 1;
    }
    for (size_t i = 0; i < array_count(hits); i++) {
        assert_in_range(hits[i], 50, 160);
    }
}

int firmware_hash_index_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(finds_every_entry_of_a_hash_and_no_other, set_up),
        cmocka_unit_test_setup(a_run_that_wraps_around_the_end_survives_removals, set_up),
        cmocka_unit_test_setup(agrees_with_a_plain_list_over_random_use, set_up),
        cmocka_unit_test(consecutive_numbers_spread_over_the_cells),
    };
    return cmocka_run_group_tests_name("firmware/hash_index", tests, NULL, NULL);
}
