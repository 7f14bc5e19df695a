#include "tests/firmware/state_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

unsigned state_table_next(const struct state_table *table, unsigned state, unsigned event) {
    char from[24], on[24], to[24];
    unsigned next = table->state_count;
    FILE *file = fopen(table->path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*s %*s %*s"), 0); /* the heading */
    while (fscanf(file, "%23s %23s %23s", from, on, to) == 3) {
        if (strcmp(from, table->state_name(state)) == 0 &&
            strcmp(on, table->event_name(event)) == 0) {
            assert_int_equal(next, table->state_count); /* no line stands twice */
            next = 0;
            while (next < table->state_count && strcmp(to, table->state_name(next)) != 0) {
                next += 1;
            }
            assert_true(next < table->state_count);
        }
    }
    assert_true(feof(file));
    fclose(file);
    return next;
}

static unsigned count_lines(const char *path) {
    char line[96];
    unsigned count = 0;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        count += 1;
    }
    fclose(file);
    return count;
}

void state_table_check(const struct state_table *table) {
    unsigned allowed = 0;
    for (unsigned s = 0; s < table->state_count; s++) {
        for (unsigned e = 0; e < table->event_count; e++) {
            uint8_t state = (uint8_t)s;
            unsigned next = state_table_next(table, s, e);
            bool is_allowed = next < table->state_count;
            assert_int_equal(table->apply(&state, e), is_allowed ? STATUS_OK : STATUS_ILLEGAL);
            assert_int_equal(state, is_allowed ? next : s);
            allowed += is_allowed;
        }
    }
    /* Each line was found by exactly one pair: no name is unknown, and none is used twice. */
    assert_int_equal(allowed + 1, count_lines(table->path));
}
