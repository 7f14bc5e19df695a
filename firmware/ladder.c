#include "firmware/ladder.h"

#include <string.h>

/* clang-format off */
const struct ladder_rule ladder_rules[LADDER_END] = {
    /*                    name      tries per_hour wait_ms */
    [LADDER_REOPEN] = { "reopen",   3,    20,        1000 },
    [LADDER_RESET]  = { "reset",    2,     3,        4000 },
    [LADDER_REBOOT] = { "reboot",   1,     2,       90000 },
    [LADDER_POWER]  = { "power",    2,     2,       15000 },
    [LADDER_HUB]    = { "hub",      1,     1,       20000 },
};
/* clang-format on */

static void fill(struct ladder *ladder, uint64_t now_ms) {
    if (now_ms - ladder->hour_ms >= LADDER_HOUR_MS) {
        ladder->hour_ms = now_ms;
        memset(ladder->used, 0, sizeof ladder->used);
    }
}

static bool is_left(const struct ladder *ladder, unsigned rung) {
    const struct ladder_rule *rule = &ladder_rules[rung];
    return ladder->tried[rung] < rule->tries && ladder->used[rung] < rule->per_hour;
}

enum status ladder_climb(struct ladder *ladder, unsigned offered, uint64_t now_ms,
                         enum ladder_rung *rung) {
    fill(ladder, now_ms);
    if (now_ms < ladder->next_ms) {
        return STATUS_AGAIN;
    }
    for (unsigned r = 0; r < LADDER_END; r++) {
        if ((offered >> r & 1u) != 0 && is_left(ladder, r)) {
            ladder->next_ms = now_ms + ((uint64_t)ladder_rules[r].wait_ms << ladder->tried[r]);
            ladder->used[r] = (uint8_t)(ladder->used[r] + 1);
            ladder->tried[r] = (uint8_t)(ladder->tried[r] + 1);
            *rung = (enum ladder_rung)r;
            return STATUS_OK;
        }
    }
    *rung = LADDER_END;
    return STATUS_OK;
}

void ladder_rest(struct ladder *ladder) {
    memset(ladder->tried, 0, sizeof ladder->tried);
    ladder->next_ms = 0;
}

void ladder_reset(struct ladder *ladder) {
    memset(ladder, 0, sizeof *ladder);
}
