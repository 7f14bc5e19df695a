/* The derived status against SPEC.md section 3, over every combination of small counts and flags.
 */
#include "firmware/process.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A column of the table's condition, written by its letters; evaluated in the table's order. */
struct letters {
    uint32_t s, r, l, u, w, p, c, f, x, n;
    bool planned, cancel;
};

static unsigned row_of(const struct letters *v) {
    const bool conditions[] = {
        false,
        v->n == 0 && v->cancel,
        v->n == 0 && !v->planned,
        v->n == 0,
        v->u > 0,
        v->l > 0,
        v->w > 0,
        v->s + v->r + v->p > 0,
        v->x > 0 && (v->cancel || v->c + v->f == 0),
        v->c == v->n,
        v->c > 0,
        v->f > 0,
    };
    unsigned row = 1;
    while (row < array_count(conditions) && !conditions[row]) {
        row += 1;
    }
    return row;
}

static const char *const names[12][4] = {
    [1] = {"CANCELLED", "cancelled", "cancelled", "cancelled"},
    [2] = {"QUEUED", "queued", "pending", "queued"},
    [3] = {"DEAD_LETTER", "failed_terminal", "failed", "failed"},
    [4] = {"EXECUTING", "executing", "running", "running"},
    [5] = {"CLAIMED", "queued", "pending", "claimed"},
    [6] = {"RETRYABLE", "retrying", "running", "queued"},
    [7] = {"PLANNED", "queued", "pending", "queued"},
    [8] = {"CANCELLED", "cancelled", "cancelled", "cancelled"},
    [9] = {"DONE", "completed", "completed", "completed"},
    [10] = {"PARTIAL", "failed_terminal", "failed", "failed"},
    [11] = {"DEAD_LETTER", "failed_terminal", "failed", "failed"},
};

static struct letters letters_of(const struct process_counts *counts, uint32_t flags) {
    const uint16_t *by = counts->by_state;
    struct letters v = {
        .s = by[RECORD_SCHEDULED],
        .r = by[RECORD_READY],
        .l = by[RECORD_LEASED],
        .u = by[RECORD_RUNNING],
        .w = by[RECORD_RETRY_WAIT],
        .p = by[RECORD_SUSPENDED],
        .c = by[RECORD_COMPLETED],
        .f = by[RECORD_FAILED],
        .x = by[RECORD_CANCELED],
        .planned = (flags & RECORD_PLANNED) != 0,
        .cancel = (flags & RECORD_CANCEL_REQUESTED) != 0,
    };
    v.n = v.s + v.r + v.l + v.u + v.w + v.p + v.c + v.f + v.x;
    return v;
}

static void assert_derived(const struct process_counts *counts, uint32_t flags) {
    struct letters v = letters_of(counts, flags);
    if (v.n > 0 && !v.planned) {
        return; /* a programming error, stopped by a check */
    }
    unsigned row = row_of(&v);
    enum process_status status = process_derive(counts, flags);
    assert_int_equal(status, row);
    struct process_names found = process_status_names(status, counts);
    assert_string_equal(found.internal, names[row][0]);
    assert_string_equal(found.status, names[row][1]);
    bool in_review = row == 7 && counts->in_review > 0;
    assert_string_equal(found.state, in_review ? "waiting_review" : names[row][2]);
    assert_string_equal(found.job_status, names[row][3]);
    assert_string_equal(process_status_names(status, NULL).state, names[row][2]);
    bool has_ended = v.n == 0 ? v.cancel || v.planned : v.c + v.f + v.x == v.n;
    assert_int_equal(process_is_terminal(status), has_ended);
}

static void every_combination_of_counts_and_flags_is_as_specified(void **state) {
    (void)state;
    unsigned walked = 0;
    for (unsigned code = 0; code < 19683; code++) { /* 3 to the power of 9 */
        struct process_counts counts = {0};
        unsigned rest = code;
        for (unsigned s = 0; s < RECORD_ITEM_STATE_COUNT; s++) {
            counts.by_state[s] = (uint16_t)(rest % 3);
            rest /= 3;
        }
        for (uint32_t flags = 0; flags < 16; flags++) {
            for (uint32_t r = 0; r <= counts.by_state[RECORD_SUSPENDED]; r++) {
                counts.in_review = (uint16_t)r;
                assert_derived(&counts, flags);
                walked += 1;
            }
        }
    }
    assert_int_equal(walked, 19683 / 3 * 16 * (1 + 2 + 3));
}

static void hold_and_a_passed_deadline_do_not_change_the_status(void **state) {
    (void)state;
    struct process_counts counts = {.by_state = {[RECORD_FAILED] = 1, [RECORD_CANCELED] = 1}};
    for (uint32_t flags = 0; flags < 16; flags++) {
        uint32_t counted = (flags & RECORD_CANCEL_REQUESTED) | RECORD_PLANNED;
        assert_int_equal(process_derive(&counts, flags | RECORD_PLANNED),
                         process_derive(&counts, counted));
    }
}

static void an_item_has_the_job_status_of_the_specification(void **state) {
    (void)state;
    static const char *const job_status[RECORD_ITEM_STATE_COUNT] = {
        [RECORD_SCHEDULED] = "queued",    [RECORD_READY] = "queued",
        [RECORD_LEASED] = "claimed",      [RECORD_RUNNING] = "running",
        [RECORD_RETRY_WAIT] = "queued",   [RECORD_SUSPENDED] = "queued",
        [RECORD_COMPLETED] = "completed", [RECORD_FAILED] = "failed",
        [RECORD_CANCELED] = "cancelled",
    };
    for (unsigned s = 0; s < RECORD_ITEM_STATE_COUNT; s++) {
        assert_string_equal(process_item_job_status(s), job_status[s]);
    }
}

int firmware_process_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_of_counts_and_flags_is_as_specified),
        cmocka_unit_test(hold_and_a_passed_deadline_do_not_change_the_status),
        cmocka_unit_test(an_item_has_the_job_status_of_the_specification),
    };
    return cmocka_run_group_tests_name("firmware/process", tests, NULL, NULL);
}
