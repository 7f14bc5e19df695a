/* budget.h - what may be used in any hour: attempts, seconds of attempts, power cycles.
 *
 * The hour slides in slices of five minutes: what was used in the running slice and in the twelve
 * before it counts, so that no hour ever sees more than the limit. Times are monotonic
 * milliseconds. */
#ifndef FIRMWARE_BUDGET_H
#define FIRMWARE_BUDGET_H

#include "hal/base.h"

enum { BUDGET_SLICE_MS = 300000, BUDGET_SLICES = 13 };

enum budget_kind { BUDGET_ATTEMPTS, BUDGET_SECONDS, BUDGET_POWER_CYCLES, BUDGET_KIND_COUNT };

/* Of one hour; 0: without limit. */
struct budget_limit {
    uint32_t per_hour[BUDGET_KIND_COUNT];
};

/* Zeroed: nothing was used. */
struct budget {
    uint64_t slice;                                  /* number of the newest slice in `used` */
    uint32_t used[BUDGET_SLICES][BUDGET_KIND_COUNT]; /* slice n at n % BUDGET_SLICES */
};

/* What is left at `now_ms`; UINT32_MAX: without limit. */
uint32_t budget_left(const struct budget *budget, const struct budget_limit *limit,
                     enum budget_kind kind, uint64_t now_ms);

/* Counts a use at `at_ms`, which may lie up to an hour back. */
void budget_use(struct budget *budget, enum budget_kind kind, uint64_t at_ms, uint32_t amount);
/* Gives back what was counted at `at_ms` and was not used. */
void budget_return(struct budget *budget, enum budget_kind kind, uint64_t at_ms, uint32_t amount);

/* When something of this kind is left again; `now_ms` when it is, TIMER_NEVER is never given: a
 * limit is at least 1. */
uint64_t budget_replenished_ms(const struct budget *budget, const struct budget_limit *limit,
                               enum budget_kind kind, uint64_t now_ms);

#endif
