#include "firmware/budget.h"

/* Slices that are no longer in the hour before `at_ms` are emptied; an earlier time changes
 * nothing. */
static void advance(struct budget *budget, uint64_t at_ms) {
    uint64_t slice = at_ms / BUDGET_SLICE_MS;
    uint64_t steps = slice > budget->slice ? slice - budget->slice : 0;
    for (uint64_t i = 0; i < steps && i < BUDGET_SLICES; i++) {
        for (size_t kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
            budget->used[(slice - i) % BUDGET_SLICES][kind] = 0;
        }
    }
    budget->slice = slice > budget->slice ? slice : budget->slice;
}

static uint64_t oldest(uint64_t slice) {
    return slice < BUDGET_SLICES ? 0 : slice - BUDGET_SLICES + 1;
}

/* `from`: one of the slices that the budget holds. */
static uint64_t used_since(const struct budget *budget, enum budget_kind kind, uint64_t from,
                           uint64_t now_slice) {
    uint64_t sum = 0;
    for (uint64_t slice = from; slice <= budget->slice; slice++) {
        bool counts = slice + BUDGET_SLICES > now_slice;
        sum += counts ? budget->used[slice % BUDGET_SLICES][kind] : 0;
    }
    return sum;
}

uint32_t budget_left(const struct budget *budget, const struct budget_limit *limit,
                     enum budget_kind kind, uint64_t now_ms) {
    check(kind < BUDGET_KIND_COUNT);
    uint32_t max = limit->per_hour[kind];
    if (max == 0) {
        return UINT32_MAX;
    }
    uint64_t used = used_since(budget, kind, oldest(budget->slice), now_ms / BUDGET_SLICE_MS);
    return used >= max ? 0 : max - (uint32_t)used;
}

void budget_use(struct budget *budget, enum budget_kind kind, uint64_t at_ms, uint32_t amount) {
    check(kind < BUDGET_KIND_COUNT);
    uint64_t slice = at_ms / BUDGET_SLICE_MS;
    advance(budget, at_ms);
    if (slice + BUDGET_SLICES > budget->slice) {
        uint32_t *used = &budget->used[slice % BUDGET_SLICES][kind];
        *used = amount > UINT32_MAX - *used ? UINT32_MAX : *used + amount;
    }
}

void budget_return(struct budget *budget, enum budget_kind kind, uint64_t at_ms, uint32_t amount) {
    check(kind < BUDGET_KIND_COUNT);
    uint64_t slice = at_ms / BUDGET_SLICE_MS;
    if (slice <= budget->slice && slice + BUDGET_SLICES > budget->slice) {
        uint32_t *used = &budget->used[slice % BUDGET_SLICES][kind];
        *used = amount > *used ? 0 : *used - amount;
    }
}

uint64_t budget_replenished_ms(const struct budget *budget, const struct budget_limit *limit,
                               enum budget_kind kind, uint64_t now_ms) {
    if (budget_left(budget, limit, kind, now_ms) > 0) {
        return now_ms;
    }
    uint64_t slice = oldest(budget->slice);
    while (slice < budget->slice &&
           used_since(budget, kind, slice + 1, now_ms / BUDGET_SLICE_MS) >= limit->per_hour[kind]) {
        slice += 1;
    }
    /* Slice n leaves the sum when slice n + BUDGET_SLICES begins. */
    return (slice + BUDGET_SLICES) * BUDGET_SLICE_MS;
}
