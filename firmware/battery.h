/* battery.h - keeps a phone's battery between two levels by its port's power, while nobody wants
 * the phone.
 *
 * A battery that is held at 100 % for years swells. With its port off a phone discharges, but is
 * also off the bus: it can be neither read nor used. So it rests only while no work waits for it,
 * and is waked to be looked at after as long as it should take to fall to `low`, judged by what it
 * lost the last time. Hysteresis: after `low` it fills up to `high` before it rests again.
 *
 * Levels are percent. No I/O: battery_decide() says what to do, the others what came of it. */
#ifndef FIRMWARE_BATTERY_H
#define FIRMWARE_BATTERY_H

#include "hal/base.h"

enum {
    BATTERY_CUTS_PER_HOUR = 4,
    BATTERY_HOUR_MS = 3600 * 1000,
    BATTERY_REST_CHECKS = 2,         /* the shortest rest, in intervals of reading */
    BATTERY_REST_CHECKS_MAX = 24,    /* the longest */
    BATTERY_REFUSED_MS = 3600 * 1000 /* a port that could not be cut is left alone for so long */
};

struct battery_rules {
    uint8_t low, high; /* low < high */
    uint32_t check_ms; /* how often the level is read */
};

enum battery_wish {
    BATTERY_NOTHING,
    BATTERY_READ,  /* ask the phone for its level */
    BATTERY_CUT,   /* switch its port off */
    BATTERY_CHARGE /* switch its port on */
};

struct battery {
    bool is_resting;  /* its port is off, by us */
    bool is_draining; /* it was at `high`; not at `low` since */
    bool is_known;    /* `level` was read since it was last plugged in */
    uint8_t level;
    uint8_t cut_level; /* when its port went off */
    uint8_t cuts;      /* in this hour */
    uint64_t hour_ms;
    bool was_asked; /* since it was last plugged in */
    uint64_t asked_ms;
    uint64_t rested_ms;      /* the rest before took so long; 0: counted */
    uint64_t ms_per_percent; /* it discharges; 0: not known yet */
    uint64_t cut_ms;
    uint64_t rest_ms;       /* how long this rest is to be */
    uint64_t not_before_ms; /* of the next cut */
};

/* `is_idle`: on the bus, healthy and not leased. `is_wanted`: work waits for it. */
must_check enum battery_wish battery_decide(struct battery *battery,
                                            const struct battery_rules *rules, bool is_idle,
                                            bool is_wanted, uint64_t now_ms);

/* Its level was asked for; it said so; more than 100 is no level. */
void battery_asked(struct battery *battery, uint64_t now_ms);
void battery_said(struct battery *battery, const struct battery_rules *rules, unsigned level);

/* Its port was switched off, could not be, or has power again. */
void battery_was_cut(struct battery *battery, const struct battery_rules *rules, uint64_t now_ms);
void battery_was_refused(struct battery *battery, uint64_t now_ms);
void battery_has_power(struct battery *battery, uint64_t now_ms);

/* When battery_decide() may say something new, if nothing else changes. */
uint64_t battery_deadline_ms(const struct battery *battery, const struct battery_rules *rules);

#endif
