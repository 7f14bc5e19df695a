#include "hal/sim/sim_flash_tear.h"

#include <string.h>

uint32_t sim_flash_total_bytes(const struct sim_flash *flash) {
    return flash->base.block_bytes * flash->base.block_count;
}

/* xorshift64*: the same everywhere, and good enough to choose bits. */
uint32_t sim_flash_roll(struct sim_flash *flash) {
    flash->dice ^= flash->dice >> 12;
    flash->dice ^= flash->dice << 25;
    flash->dice ^= flash->dice >> 27;
    return (uint32_t)((flash->dice * 0x2545f4914f6cdd1dULL) >> 32);
}

/* ---- one change of cells, whole or torn ---- */

/* Programming ANDs, a file's write replaces, an erase sets. */
static uint8_t wanted(const struct sim_flash *flash, const struct sim_flash_operation *change,
                      uint32_t i) {
    if (change->source == NULL) {
        return 0xff;
    }
    uint8_t old = flash->cells[change->offset + i];
    return flash->cache != NULL ? change->source[i] : (uint8_t)(old & change->source[i]);
}

static void change_bytes(struct sim_flash *flash, const struct sim_flash_operation *change,
                         uint32_t first, uint32_t end) {
    for (uint32_t i = first; i < end; i++) {
        flash->cells[change->offset + i] = wanted(flash, change, i);
    }
}

void sim_flash_change(struct sim_flash *flash, const struct sim_flash_operation *operation) {
    if (operation->source == NULL) {
        memset(flash->cells + operation->offset, 0xff, operation->size);
    } else {
        change_bytes(flash, operation, 0, operation->size);
    }
}

static uint32_t bits_to_change(const struct sim_flash *flash,
                               const struct sim_flash_operation *change) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < change->size; i++) {
        uint8_t rest = flash->cells[change->offset + i] ^ wanted(flash, change, i);
        count += (uint32_t)__builtin_popcount(rest);
    }
    return count;
}

/* Finds the n-th of the bits that are to change: its byte, and its mask. */
static uint32_t find_bit(const struct sim_flash *flash, const struct sim_flash_operation *change,
                         uint32_t n, uint8_t *mask) {
    uint32_t i = 0;
    uint8_t rest = flash->cells[change->offset] ^ wanted(flash, change, 0);
    while (n >= (uint32_t)__builtin_popcount(rest)) {
        n -= (uint32_t)__builtin_popcount(rest);
        i += 1;
        rest = flash->cells[change->offset + i] ^ wanted(flash, change, i);
    }
    while (n > 0) {
        rest &= (uint8_t)(rest - 1);
        n -= 1;
    }
    *mask = (uint8_t)(rest & -rest);
    return i;
}

/* Of all bits that were to change, one has, or all but one have. */
static void change_bits(struct sim_flash *flash, const struct sim_flash_operation *change,
                        bool all_but_one) {
    uint32_t count = bits_to_change(flash, change);
    if (count == 0) {
        return;
    }
    uint8_t mask;
    uint32_t i = find_bit(flash, change, sim_flash_roll(flash) % count, &mask);
    if (all_but_one) {
        uint8_t kept = flash->cells[change->offset + i] & mask;
        sim_flash_change(flash, change);
        uint8_t *cell = &flash->cells[change->offset + i];
        *cell = (uint8_t)((*cell & ~mask) | kept);
    } else {
        flash->cells[change->offset + i] ^= mask;
    }
}

void sim_flash_change_randomly(struct sim_flash *flash,
                               const struct sim_flash_operation *operation) {
    for (uint32_t i = 0; i < operation->size; i++) {
        uint8_t *cell = &flash->cells[operation->offset + i];
        uint8_t rest = *cell ^ wanted(flash, operation, i);
        *cell ^= rest != 0 ? (uint8_t)(rest & sim_flash_roll(flash)) : 0;
    }
}

/* A cut can take bits of what an earlier program wrote to the same page. */
static void disturb(struct sim_flash *flash, const struct sim_flash_operation *change) {
    uint32_t start = change->offset / flash->page_bytes * flash->page_bytes;
    for (uint32_t at = start; at < change->offset; at++) {
        uint32_t kept = sim_flash_roll(flash); /* C leaves open which of two throws comes first */
        flash->cells[at] &= (uint8_t)(kept | sim_flash_roll(flash) >> 8);
    }
}

/* Nearly done, or hardly begun: a few of the bits that change are in between, and read as they
 * like until they are erased or programmed again. */
static void weaken(struct sim_flash *flash, const struct sim_flash_operation *change) {
    uint32_t count = bits_to_change(flash, change);
    bool is_nearly_done = (sim_flash_roll(flash) & 1) != 0;
    uint32_t weak = count == 0 ? 0 : 1 + sim_flash_roll(flash) % SIM_FLASH_WEAK_MAX;
    for (uint32_t i = 0; i < weak && flash->weak_count < SIM_FLASH_WEAK_MAX; i++) {
        struct sim_flash_weak *cell = &flash->weak[flash->weak_count];
        cell->offset =
            change->offset + find_bit(flash, change, sim_flash_roll(flash) % count, &cell->mask);
        flash->weak_count += 1;
    }
    if (is_nearly_done) {
        sim_flash_change(flash, change);
    }
}

static void tear(struct sim_flash *flash, const struct sim_flash_operation *change,
                 const struct sim_flash_cut *cut) {
    switch ((enum sim_flash_model)cut->model) {
    case SIM_FLASH_NOTHING:
        break;
    case SIM_FLASH_WHOLE:
        sim_flash_change(flash, change);
        break;
    case SIM_FLASH_PREFIX:
        change_bytes(flash, change, 0, cut->seed % (change->size + 1));
        break;
    case SIM_FLASH_SUFFIX:
        change_bytes(flash, change, cut->seed % (change->size + 1), change->size);
        break;
    case SIM_FLASH_ONE_BIT:
        change_bits(flash, change, false);
        break;
    case SIM_FLASH_ALL_BUT_ONE:
        change_bits(flash, change, true);
        break;
    case SIM_FLASH_DISTURB:
        disturb(flash, change);
        sim_flash_change_randomly(flash, change);
        break;
    case SIM_FLASH_RANDOM:
        sim_flash_change_randomly(flash, change);
        break;
    case SIM_FLASH_METASTABLE:
        weaken(flash, change);
        break;
    case SIM_FLASH_MODEL_COUNT:
        check(false);
    }
}

/* ---- a file's cache: each page that was not synced survives or not, for itself ---- */

/* The next page from `*page` on that was programmed since the last sync. */
static bool next_dirty(const struct sim_flash *flash, uint32_t *page) {
    uint32_t count =
        flash->cache != NULL ? sim_flash_total_bytes(flash) / flash->base.program_bytes : 0;
    const uint8_t *dirty = *page < count ? memchr(flash->written + *page, 1, count - *page) : NULL;
    *page = dirty != NULL ? (uint32_t)(dirty - flash->written) : count;
    return dirty != NULL;
}

void sim_flash_flush_cache(struct sim_flash *flash) {
    uint32_t size = flash->base.program_bytes;
    for (uint32_t page = 0; next_dirty(flash, &page); page++) {
        memcpy(flash->cells + (size_t)page * size, flash->cache + (size_t)page * size, size);
        flash->written[page] = 0;
    }
}

enum fate { FATE_TORN, FATE_WRITTEN, FATE_LOST, FATE_COUNT };

static enum fate fate_of_page(struct sim_flash *flash, uint8_t model) {
    uint32_t fate = sim_flash_roll(flash) % FATE_COUNT;
    return model == SIM_FLASH_NOTHING ? FATE_LOST
           : model == SIM_FLASH_WHOLE ? FATE_WRITTEN
                                      : (enum fate)fate;
}

/* Reads see what has survived. */
static void lose_cache(struct sim_flash *flash, const struct sim_flash_cut *cut) {
    uint32_t size = flash->base.program_bytes;
    for (uint32_t page = 0; next_dirty(flash, &page); page++) {
        struct sim_flash_operation change = {SIM_FLASH_PROGRAM, page * size, size,
                                             flash->cache + (size_t)page * size};
        enum fate fate = fate_of_page(flash, cut->model);
        if (fate == FATE_TORN) {
            tear(flash, &change, cut);
        } else if (fate == FATE_WRITTEN) {
            sim_flash_change(flash, &change);
        }
        memcpy(flash->cache + (size_t)page * size, flash->cells + (size_t)page * size, size);
        flash->written[page] = 0;
    }
}

void sim_flash_lose_power(struct sim_flash *flash, const struct sim_flash_operation *operation,
                          const struct sim_flash_cut *cut) {
    flash->dice = cut->seed * 0x9e3779b97f4a7c15ULL + 0x1234567;
    flash->is_off = true;
    if (flash->cache == NULL) {
        if (operation != NULL && operation->kind != SIM_FLASH_SYNC) {
            tear(flash, operation, cut);
        }
        return;
    }
    if (operation != NULL && operation->kind == SIM_FLASH_PROGRAM) {
        memcpy(flash->cache + operation->offset, operation->source, operation->size);
    }
    lose_cache(flash, cut);
    if (flash->has_stale_cache) {
        memcpy(flash->cache, flash->cells, sim_flash_total_bytes(flash));
        flash->has_stale_cache = false;
    }
}

/* ---- cuts as text ---- */

static char *put_number(char *text, uint32_t number) {
    char digits[10];
    size_t count = 0;
    do {
        digits[count] = (char)('0' + number % 10);
        count += 1;
        number /= 10;
    } while (number > 0);
    while (count > 0) {
        count -= 1;
        *text = digits[count];
        text += 1;
    }
    return text;
}

void sim_flash_cut_text(const struct sim_flash_cut *cut, char text[SIM_FLASH_CUT_TEXT]) {
    text = put_number(text, cut->operation);
    *text = '.';
    text = put_number(text + 1, cut->model);
    *text = '.';
    text = put_number(text + 1, cut->seed);
    *text = '\0';
}

static const char *get_number(const char *text, uint32_t *number) {
    uint64_t value = 0;
    const char *at = text;
    while (*at >= '0' && *at <= '9' && value <= UINT32_MAX) {
        value = 10 * value + (uint64_t)(*at - '0');
        at += 1;
    }
    *number = (uint32_t)value;
    return at == text || value > UINT32_MAX ? NULL : at;
}

bool sim_flash_cut_parse(const char *text, struct sim_flash_cut *cut) {
    uint32_t numbers[3];
    for (size_t i = 0; i < array_count(numbers); i++) {
        text = get_number(text, &numbers[i]);
        if (text == NULL || *text != (i < 2 ? '.' : '\0') ||
            (i == 1 && numbers[1] >= SIM_FLASH_MODEL_COUNT)) {
            return false;
        }
        text += 1;
    }
    *cut = (struct sim_flash_cut){numbers[0], (uint8_t)numbers[1], numbers[2]};
    return true;
}
