/* vitals.h - how phones are: battery level and temperature of the idle ones, read now and then.
 *
 * For readers only: nothing is decided by it (battery_care.h reads by itself). A phone that a
 * lease is on is left alone; its last values stay, with the time they were read. */
#ifndef HOST_HUBD_VITALS_H
#define HOST_HUBD_VITALS_H

#include "host/hubd/phones/battery_reading.h"

enum {
    VITALS_LINES = 128,
    VITALS_PHONES = 256,    /* of the largest board */
    VITALS_FIRST_MS = 10000 /* a phone must have been idle so long before it is first asked */
};

struct phone_line;
struct phones;

struct vitals_line {
    struct vitals *vitals;
    struct battery_reading reading;
    uint64_t due_ms;    /* 0: it was not idle */
    uint64_t cancel_ms; /* of the operation; 0: none */
    uint32_t operation;
    uint32_t phone; /* row in the core */
};

struct vitals_value {
    unsigned level;   /* percent; more than 100: not known */
    int tenths;       /* of a degree Celsius; BATTERY_READING_NO_TENTHS: not known */
    uint64_t read_ms; /* 0: never */
};

struct vitals {
    struct phones *phones;
    uint64_t interval_ms; /* 0: nothing is read */
    struct vitals_line lines[VITALS_LINES];
    struct vitals_value values[VITALS_PHONES];
};

void vitals_step(struct vitals *vitals, uint64_t now_ms);
uint64_t vitals_deadline_ms(const struct vitals *vitals);

#endif
