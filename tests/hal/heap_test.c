#include "hal/linux/heap.h"
#include "hal/linux/arena.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdalign.h>
#include <string.h>

#include <cmocka.h>

enum { MEMORY_BYTES = 256 << 10, SHADOWS = 400 };

static alignas(4096) uint8_t memory[MEMORY_BYTES];
static struct heap heap;

/* What the test believes about one block: where, how long, and which byte fills it. */
struct shadow {
    uint8_t *data;
    size_t size;
    uint8_t fill;
};

static uint32_t random_state;

static uint32_t next_random(uint32_t limit) {
    random_state = random_state * 1664525U + 1013904223U;
    return (uint32_t)(((uint64_t)random_state * limit) >> 32);
}

static int open_heap(void **state) {
    (void)state;
    random_state = 1;
    heap_open(&heap, memory, sizeof(memory));
    return 0;
}

static void *allocate(size_t size) {
    return heap_allocate(&heap, HEAP_ALIGNMENT, size);
}

static size_t random_size(void) {
    static const uint32_t limits[] = {16, 64, 600, 5000, 20000};
    return next_random(limits[next_random(array_count(limits))]);
}

static void assert_filled(const struct shadow *shadow, size_t size) {
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(shadow->data[i], shadow->fill);
    }
}

static void fill(struct shadow *shadow, void *data, size_t size) {
    *shadow = (struct shadow){data, size, (uint8_t)next_random(256)};
    memset(data, shadow->fill, heap_usable_bytes(&heap, data));
}

/* One random step on one shadow: allocate, resize or free. */
static void random_step(struct shadow *shadow) {
    size_t size = random_size();
    if (shadow->data == NULL) {
        size_t alignment = (size_t)1 << next_random(13);
        void *data = heap_allocate(&heap, alignment, size);
        if (data != NULL) {
            assert_int_equal((uintptr_t)data % alignment, 0);
            assert_int_equal((uintptr_t)data % HEAP_ALIGNMENT, 0);
            fill(shadow, data, size);
        }
        return;
    }
    assert_filled(shadow, shadow->size);
    void *moved = next_random(3) == 0 ? heap_resize(&heap, shadow->data, size) : NULL;
    if (moved != NULL) {
        shadow->data = moved;
        assert_filled(shadow, size < shadow->size ? size : shadow->size);
        fill(shadow, moved, size);
        return;
    }
    assert_filled(shadow, shadow->size);
    heap_release(&heap, shadow->data);
    shadow->data = NULL;
}

static void keeps_every_block_intact_under_random_use_and_ends_as_one_block(void **state) {
    (void)state;
    static struct shadow shadows[SHADOWS];
    memset(shadows, 0, sizeof(shadows));
    for (unsigned step = 0; step < 60000; step++) {
        random_step(&shadows[next_random(SHADOWS)]);
        if (step % 100 == 0) {
            (void)heap_walk(&heap);
        }
    }
    assert_true(heap.stats.failures > 0);
    assert_true(heap.stats.peak_bytes > MEMORY_BYTES / 2);
    for (size_t i = 0; i < SHADOWS; i++) {
        heap_release(&heap, shadows[i].data);
    }
    assert_int_equal(heap_walk(&heap), 1);
    assert_int_equal(heap.stats.used_bytes, 0);
    assert_int_equal(heap.stats.blocks, 0);
}

static void counts_blocks_bytes_and_their_peak(void **state) {
    (void)state;
    void *one = allocate(100);
    void *two = allocate(1);
    assert_int_equal(heap.stats.blocks, 2);
    assert_int_equal(heap.stats.used_bytes, 112 + 16);
    heap_release(&heap, one);
    assert_int_equal(heap.stats.used_bytes, 16);
    assert_int_equal(heap.stats.peak_bytes, 128);
    heap_release(&heap, two);
    heap_release(&heap, NULL);
    assert_int_equal(heap.stats.calls, 2);
    assert_int_equal(heap.stats.failures, 0);
}

static void refuses_what_does_not_fit_and_counts_it(void **state) {
    (void)state;
    assert_null(allocate(MEMORY_BYTES));
    assert_null(allocate(SIZE_MAX));
    assert_null(allocate(SIZE_MAX - 7));
    assert_null(heap_allocate(&heap, (size_t)1 << 40, 8));
    assert_int_equal(heap.stats.failures, 4);
    size_t count = 0;
    while (allocate(1000) != NULL) {
        count++;
    }
    assert_int_equal(count, heap.stats.capacity_bytes / 1008);
    assert_int_equal(heap.stats.failures, 5);
    assert_int_equal(heap.stats.blocks, count);
    (void)heap_walk(&heap);
}

static void grows_in_place_when_the_neighbour_is_free(void **state) {
    (void)state;
    uint8_t *data = allocate(40);
    assert_ptr_equal(heap_resize(&heap, data, 4000), data);
    assert_true(heap_usable_bytes(&heap, data) >= 4000);
    assert_ptr_equal(heap_resize(&heap, data, 10), data);
    void *wall = allocate(8);
    void *moved = heap_resize(&heap, data, 4000);
    assert_ptr_not_equal(moved, data);
    assert_null(heap_resize(&heap, moved, MEMORY_BYTES));
    heap_release(&heap, moved);
    heap_release(&heap, wall);
    assert_int_equal(heap_walk(&heap), 1);
}

static void merges_a_freed_block_with_both_neighbours(void **state) {
    (void)state;
    void *blocks[3] = {allocate(100), allocate(100), allocate(100)};
    void *wall = allocate(1);
    heap_release(&heap, blocks[0]);
    heap_release(&heap, blocks[2]);
    assert_int_equal(heap_walk(&heap), 3);
    heap_release(&heap, blocks[1]);
    assert_int_equal(heap_walk(&heap), 2);
    heap_release(&heap, wall);
    assert_int_equal(heap_walk(&heap), 1);
}

static void fails_where_a_test_asks_for_it(void **state) {
    (void)state;
    heap_fail(&heap, 2, 1);
    void *one = allocate(1);
    void *two = allocate(1);
    assert_non_null(one);
    assert_non_null(two);
    assert_null(heap_resize(&heap, one, 2));
    assert_ptr_equal(heap_resize(&heap, one, 2), one);
    assert_int_equal(heap.stats.failures, 1);
}

static void does_not_write_memory_that_was_never_handed_out(void **state) {
    (void)state;
    memset(memory, 0xa5, sizeof(memory));
    heap_open(&heap, memory, sizeof(memory));
    void *data = allocate(10000);
    heap_release(&heap, data);
    for (size_t i = 12000; i < sizeof(memory); i++) {
        assert_int_equal(memory[i], 0xa5);
    }
}

static void tells_of_no_arena_in_a_program_without_one(void **state) {
    (void)state;
    assert_int_equal(arena_stats().capacity_bytes, 0);
}

int hal_heap_tests(void) {
#define HEAP_TEST(name) cmocka_unit_test_setup(name, open_heap)
    const struct CMUnitTest tests[] = {
        HEAP_TEST(keeps_every_block_intact_under_random_use_and_ends_as_one_block),
        HEAP_TEST(counts_blocks_bytes_and_their_peak),
        HEAP_TEST(refuses_what_does_not_fit_and_counts_it),
        HEAP_TEST(grows_in_place_when_the_neighbour_is_free),
        HEAP_TEST(merges_a_freed_block_with_both_neighbours),
        HEAP_TEST(fails_where_a_test_asks_for_it),
        HEAP_TEST(does_not_write_memory_that_was_never_handed_out),
        HEAP_TEST(tells_of_no_arena_in_a_program_without_one),
    };
    return cmocka_run_group_tests_name("hal/heap", tests, NULL, NULL);
}
