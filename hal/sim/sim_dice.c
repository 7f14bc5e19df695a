#include "hal/sim/sim_dice.h"

static uint64_t mix(uint64_t value) {
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

void sim_dice_init(struct sim_dice *dice, uint64_t seed) {
    *dice = (struct sim_dice){.state = mix(seed + 0x9e3779b97f4a7c15u)};
}

void sim_dice_from(struct sim_dice *dice, struct bytes input) {
    *dice = (struct sim_dice){.state = 1, .input = input};
}

/* splitmix64 */
uint64_t sim_dice_next(struct sim_dice *dice) {
    dice->state += 0x9e3779b97f4a7c15u;
    return mix(dice->state);
}

static uint32_t take(struct sim_dice *dice, uint32_t size) {
    uint32_t value = 0;
    for (uint32_t i = 0; i < size && dice->input.size > 0; i++) {
        value = value << 8 | dice->input.data[0];
        dice->input.data += 1;
        dice->input.size -= 1;
    }
    return value;
}

uint32_t sim_dice_roll(struct sim_dice *dice, uint32_t sides) {
    check(sides > 0);
    if (dice->input.size > 0) {
        uint64_t size = sides <= 256 ? 1 : 2;
        uint64_t value = take(dice, (uint32_t)size);
        return (uint32_t)(sides <= 256 ? value % sides : value * sides >> 16);
    }
    return (uint32_t)((sim_dice_next(dice) >> 32) * sides >> 32);
}

uint32_t sim_dice_between(struct sim_dice *dice, uint32_t low, uint32_t high) {
    check(low <= high);
    return low + sim_dice_roll(dice, high - low + 1);
}

bool sim_dice_chance(struct sim_dice *dice, uint32_t per_million) {
    return per_million > 0 && sim_dice_roll(dice, SIM_MILLION) < per_million;
}

uint32_t sim_dice_wait(struct sim_dice *dice, uint32_t mean) {
    uint32_t kind = sim_dice_roll(dice, 4);
    uint32_t limit = kind < 3 ? mean : 4 * mean;
    uint32_t least = kind < 3 ? 0 : mean; /* 3/4 * mean/2 + 1/4 * 5/2 mean = mean */
    return sim_dice_between(dice, least, limit);
}
