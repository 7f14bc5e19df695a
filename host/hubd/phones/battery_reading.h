/* battery_reading.h - reads `dumpsys battery` of a phone, line by line, as it comes. */
#ifndef HOST_HUBD_BATTERY_READING_H
#define HOST_HUBD_BATTERY_READING_H

#include "hal/base.h"

enum {
    BATTERY_READING_ROW = 48,          /* of a line that is looked at; what is longer is none */
    BATTERY_READING_MS = 10000,        /* a phone that does not answer in this time is given up */
    BATTERY_READING_NO_LEVEL = 101,    /* percent; more than 100: it did not say */
    BATTERY_READING_NO_TENTHS = -10000 /* of a degree Celsius: it did not say */
};

struct battery_reading {
    unsigned level; /* percent */
    int tenths;     /* of a degree Celsius */
    uint32_t row_size;
    char row[BATTERY_READING_ROW];
};

void battery_reading_begin(struct battery_reading *reading);
void battery_reading_take(struct battery_reading *reading, struct bytes output);

#endif
