#include "hal/sim/sim_phone.h"

bool sim_phone_answers(const struct sim_phone *phone) {
    return phone->is_plugged && !phone->is_mute && !phone->is_bootloader && !phone->is_broken;
}

struct sim_phone_action sim_phone_begin(const struct sim_phone *phone, struct sim_dice *dice) {
    struct sim_phone_action action = {.end = SIM_PHONE_DONE};
    uint32_t fate = sim_dice_roll(dice, 100);
    action.lasts_ms = 1 + sim_dice_wait(dice, 4000);
    if (phone->mood == SIM_PHONE_HANGING || phone->is_broken) {
        action.end = SIM_PHONE_NEVER;
    } else if (phone->mood == SIM_PHONE_FAILING ? fate < 60 : fate < 4) {
        action.end = SIM_PHONE_EXIT_CODE;
    } else if (fate >= 98) {
        action.end = fate == 99 ? SIM_PHONE_BROKEN : SIM_PHONE_REBOOTS;
    }
    if (phone->mood == SIM_PHONE_SLOW) {
        action.lasts_ms *= 10;
    }
    return action;
}

bool sim_phone_stops(const struct sim_phone *phone, struct sim_dice *dice, uint32_t *after_ms) {
    *after_ms = sim_dice_wait(dice, 3000);
    return phone->mood != SIM_PHONE_HANGING && !phone->is_broken;
}
