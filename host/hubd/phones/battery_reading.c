#include "host/hubd/phones/battery_reading.h"

#include <stdlib.h>
#include <string.h>

void battery_reading_begin(struct battery_reading *reading) {
    *reading = (struct battery_reading){.level = BATTERY_READING_NO_LEVEL,
                                        .tenths = BATTERY_READING_NO_TENTHS};
}

/* The number behind `NAME: ` and blanks in front of it. False: another line. */
static bool take_number(const char *row, const char *name, long *number) {
    const char *at = row + strspn(row, " ");
    if (strncmp(at, name, strlen(name)) != 0) {
        return false;
    }
    *number = strtol(at + strlen(name), NULL, 10);
    return true;
}

static void take_row(struct battery_reading *reading) {
    long number;
    reading->row[reading->row_size] = '\0';
    if (take_number(reading->row, "level: ", &number)) {
        bool is_level = number >= 0 && number <= 100;
        reading->level = is_level ? (unsigned)number : BATTERY_READING_NO_LEVEL;
    } else if (take_number(reading->row, "temperature: ", &number)) {
        bool is_sane = number > -1000 && number < 2000;
        reading->tenths = is_sane ? (int)number : BATTERY_READING_NO_TENTHS;
    }
}

void battery_reading_take(struct battery_reading *reading, struct bytes output) {
    for (size_t i = 0; i < output.size; i++) {
        if (output.data[i] == '\n') {
            take_row(reading);
            reading->row_size = 0;
        } else if (reading->row_size < sizeof reading->row - 1) {
            reading->row[reading->row_size] = (char)output.data[i];
            reading->row_size += 1;
        }
    }
}
