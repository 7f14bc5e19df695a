#include "firmware/battery.h"

enum {
    SURE_PERCENT = 5,
    NEAR_PERCENT = 2 /* so near to `low` it fills up: many short rests would hold it there */
};

static bool may_cut(struct battery *battery, uint64_t now_ms) {
    if (now_ms - battery->hour_ms >= BATTERY_HOUR_MS) {
        battery->hour_ms = now_ms;
        battery->cuts = 0;
    }
    return battery->cuts < BATTERY_CUTS_PER_HOUR && now_ms >= battery->not_before_ms;
}

static bool is_due(const struct battery *battery, const struct battery_rules *rules,
                   uint64_t now_ms) {
    return !battery->was_asked || now_ms - battery->asked_ms >= rules->check_ms;
}

enum battery_wish battery_decide(struct battery *battery, const struct battery_rules *rules,
                                 bool is_idle, bool is_wanted, uint64_t now_ms) {
    check(rules->low < rules->high && rules->check_ms > 0);
    if (battery->is_resting) {
        bool is_over = is_wanted || now_ms - battery->cut_ms >= battery->rest_ms;
        return is_over ? BATTERY_CHARGE : BATTERY_NOTHING;
    }
    if (!is_idle || is_wanted) {
        return BATTERY_NOTHING;
    }
    if (is_due(battery, rules, now_ms)) {
        return BATTERY_READ;
    }
    bool may_rest = battery->is_known && battery->is_draining;
    return may_rest && may_cut(battery, now_ms) ? BATTERY_CUT : BATTERY_NOTHING;
}

void battery_asked(struct battery *battery, uint64_t now_ms) {
    battery->was_asked = true;
    battery->asked_ms = now_ms;
    battery->is_known = false;
}

/* What the rest before says of how fast it discharges; a small loss says little, and only a faster
 * one is believed. */
static void measure(struct battery *battery, unsigned level) {
    unsigned lost = battery->cut_level > level ? battery->cut_level - level : 0;
    uint64_t before = battery->ms_per_percent;
    uint64_t measured = lost > 0 ? battery->rested_ms / lost : battery->rested_ms * 2;
    bool is_sure = lost >= SURE_PERCENT || before == 0;
    battery->ms_per_percent = is_sure || measured < before ? measured : before;
    battery->rested_ms = 0;
}

void battery_said(struct battery *battery, const struct battery_rules *rules, unsigned level) {
    if (level > 100) {
        return;
    }
    battery->is_known = true;
    battery->level = (uint8_t)level;
    if (battery->rested_ms != 0) {
        measure(battery, level);
    }
    if (level >= rules->high) {
        battery->is_draining = true;
    } else if (level <= (unsigned)rules->low + NEAR_PERCENT) {
        battery->is_draining = false;
    }
}

static uint64_t rest_for(const struct battery *battery, const struct battery_rules *rules) {
    uint64_t least_ms = (uint64_t)rules->check_ms * BATTERY_REST_CHECKS;
    uint64_t most_ms = (uint64_t)rules->check_ms * BATTERY_REST_CHECKS_MAX;
    uint64_t left = battery->level > rules->low ? (uint64_t)battery->level - rules->low : 0;
    uint64_t rest_ms = battery->ms_per_percent * left;
    return rest_ms < least_ms ? least_ms : rest_ms > most_ms ? most_ms : rest_ms;
}

void battery_was_cut(struct battery *battery, const struct battery_rules *rules, uint64_t now_ms) {
    battery->rest_ms = rest_for(battery, rules);
    battery->is_resting = true;
    battery->is_known = false;
    battery->cut_level = battery->level;
    battery->cut_ms = now_ms;
    battery->cuts = (uint8_t)(battery->cuts + 1);
}

void battery_was_refused(struct battery *battery, uint64_t now_ms) {
    battery->not_before_ms = now_ms + BATTERY_REFUSED_MS;
}

void battery_has_power(struct battery *battery, uint64_t now_ms) {
    battery->rested_ms = battery->is_resting ? now_ms - battery->cut_ms : 0;
    battery->is_resting = false;
    battery->is_known = false;
    battery->was_asked = false;
}

uint64_t battery_deadline_ms(const struct battery *battery, const struct battery_rules *rules) {
    if (battery->is_resting) {
        return battery->cut_ms + battery->rest_ms;
    }
    return battery->was_asked ? battery->asked_ms + rules->check_ms : 0;
}
