/* sim_dice.h - where every choice of a simulated world comes from: a seed, or the bytes that a
 * fuzzer gives. The same start gives the same throws on every machine and with every compiler, as
 * long as no expression throws twice (C leaves open which comes first). */
#ifndef HAL_SIM_SIM_DICE_H
#define HAL_SIM_SIM_DICE_H

#include "hal/base.h"

enum { SIM_MILLION = 1000000 };

struct sim_dice {
    uint64_t state;
    struct bytes input; /* used up first; then the state goes on alone */
};

void sim_dice_init(struct sim_dice *dice, uint64_t seed);
/* The first throws come from `input`, a byte or two each. It must outlive the dice. */
void sim_dice_from(struct sim_dice *dice, struct bytes input);

uint64_t sim_dice_next(struct sim_dice *dice);
/* 0 to sides - 1; sides is at least 1. */
uint32_t sim_dice_roll(struct sim_dice *dice, uint32_t sides);
/* low to high, both possible. */
uint32_t sim_dice_between(struct sim_dice *dice, uint32_t low, uint32_t high);
/* True `per_million` times in a million. */
bool sim_dice_chance(struct sim_dice *dice, uint32_t per_million);
/* A waiting time with this mean: often short, seldom up to four times as long. */
uint32_t sim_dice_wait(struct sim_dice *dice, uint32_t mean);

#endif
