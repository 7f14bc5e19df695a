/* ladder.h - how a phone that does not answer is brought back: rungs, the mildest first, each with
 * a budget per hour (SPEC.md section 7).
 *
 * A phone climbs while it recovers: a rung is tried as often as the table allows in one climb, with
 * a wait after each try that doubles; then comes the next rung that this phone's place offers and
 * that has budget left. Budgets belong to the phone, and outlive its recovery and its absence, so
 * that a phone that keeps falling gets fewer mild tries and ends in quarantine. */
#ifndef FIRMWARE_LADDER_H
#define FIRMWARE_LADDER_H

#include "hal/base.h"

enum ladder_rung {
    LADDER_REOPEN, /* close and open its interface */
    LADDER_RESET,  /* clear halts, reset its port */
    LADDER_REBOOT, /* adb reboot, or fastboot reboot */
    LADDER_POWER,  /* switch its port off and on, both halves */
    LADDER_HUB,    /* restart the hub it is on */
    LADDER_END,    /* nothing is left: quarantine */
    LADDER_RUNG_COUNT
};

enum { LADDER_HOUR_MS = 3600 * 1000 };

struct ladder_rule {
    const char *name;
    uint8_t tries; /* in one climb */
    uint8_t per_hour;
    uint32_t wait_ms; /* after the first try of a climb; then doubled */
};

/* What SPEC.md and facts of real rigs allow; a row for each rung but the last. */
extern const struct ladder_rule ladder_rules[LADDER_END];

struct ladder {
    uint64_t hour_ms; /* when the budgets were filled */
    uint64_t next_ms; /* no rung before */
    uint8_t used[LADDER_END];
    uint8_t tried[LADDER_END]; /* in this climb */
};

/* The rung to try now, of those whose bit is in `offered`; it is counted as used. AGAIN: not yet,
 * see `next_ms`. OK with LADDER_END: every one offered is spent. */
must_check enum status ladder_climb(struct ladder *ladder, unsigned offered, uint64_t now_ms,
                                    enum ladder_rung *rung);

/* The phone answers again: the next climb begins below. Budgets stay. */
void ladder_rest(struct ladder *ladder);

/* An operator has let the phone out of quarantine: everything is as new. */
void ladder_reset(struct ladder *ladder);

#endif
