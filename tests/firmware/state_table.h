/* state_table.h - holds a state machine's table against its text under tests/, both ways. */
#ifndef TESTS_FIRMWARE_STATE_TABLE_H
#define TESTS_FIRMWARE_STATE_TABLE_H

#include "hal/base.h"

struct state_table {
    const char *path; /* a heading, then lines of `from on to`; what is not there is refused */
    unsigned state_count;
    unsigned event_count;
    const char *(*state_name)(unsigned state);
    const char *(*event_name)(unsigned event);
    enum status (*apply)(uint8_t *state, unsigned event);
};

/* Where the text leads; state_count: nowhere. */
unsigned state_table_next(const struct state_table *table, unsigned state, unsigned event);

/* Walks every pair of a state and an event; fails the test that calls it. Also: no line stands
 * twice, and no two events or states share a name. */
void state_table_check(const struct state_table *table);

#endif
