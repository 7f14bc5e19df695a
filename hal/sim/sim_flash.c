#include "hal/sim/sim_flash.h"

#include <string.h>

static struct sim_flash *sim(struct hal_flash *flash) {
    return (struct sim_flash *)(void *)flash;
}

static uint32_t total_bytes(const struct sim_flash *flash) {
    return flash->base.block_bytes * flash->base.block_count;
}

/* xorshift64*: the same everywhere, and good enough to choose bits. */
static uint32_t roll(struct sim_flash *flash) {
    flash->dice ^= flash->dice >> 12;
    flash->dice ^= flash->dice << 25;
    flash->dice ^= flash->dice >> 27;
    return (uint32_t)((flash->dice * 0x2545f4914f6cdd1dULL) >> 32);
}

static void seed_dice(struct sim_flash *flash, uint32_t seed) {
    flash->dice = seed * 0x9e3779b97f4a7c15ULL + 0x1234567;
}

static enum sim_flash_fault fault_of(const struct sim_flash *flash, uint32_t block) {
    for (size_t i = 0; i < SIM_FLASH_BAD_MAX; i++) {
        if (flash->block_fault[i] != SIM_FLASH_GOOD && flash->bad_block[i] == block) {
            return (enum sim_flash_fault)flash->block_fault[i];
        }
    }
    return SIM_FLASH_GOOD;
}

/* True when this operation is the one that the power loss tears. */
static bool is_cut(struct sim_flash *flash) {
    flash->operations += 1;
    return flash->operations == flash->cut.operation;
}

/* ---- one change of cells, whole or torn ---- */

/* What is to happen to `size` bytes: programming ANDs, a file's write replaces, an erase sets. */
struct change {
    uint32_t offset;
    uint32_t size;
    const uint8_t *source; /* NULL: an erase */
};

static uint8_t wanted(const struct sim_flash *flash, const struct change *change, uint32_t i) {
    if (change->source == NULL) {
        return 0xff;
    }
    uint8_t old = flash->cells[change->offset + i];
    return flash->cache != NULL ? change->source[i] : (uint8_t)(old & change->source[i]);
}

static void change_bytes(struct sim_flash *flash, const struct change *change, uint32_t size) {
    for (uint32_t i = 0; i < size; i++) {
        flash->cells[change->offset + i] = wanted(flash, change, i);
    }
}

/* Of all bits that were to change, one has, or all but one have. */
static void change_bits(struct sim_flash *flash, const struct change *change, bool all_but_one) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < change->size; i++) {
        uint8_t rest = flash->cells[change->offset + i] ^ wanted(flash, change, i);
        count += (uint32_t)__builtin_popcount(rest);
    }
    uint32_t chosen = count > 0 ? roll(flash) % count : 0;
    for (uint32_t i = 0; i < change->size; i++) {
        uint8_t *cell = &flash->cells[change->offset + i];
        uint8_t rest = *cell ^ wanted(flash, change, i);
        for (uint8_t bit = 1; bit != 0; bit = (uint8_t)(bit << 1)) {
            if ((rest & bit) != 0) {
                *cell ^= (chosen == 0) != all_but_one ? bit : 0;
                chosen -= 1;
            }
        }
    }
}

static void change_randomly(struct sim_flash *flash, const struct change *change) {
    for (uint32_t i = 0; i < change->size; i++) {
        uint8_t *cell = &flash->cells[change->offset + i];
        *cell ^= (uint8_t)((*cell ^ wanted(flash, change, i)) & roll(flash));
    }
}

/* A cut can take bits of what an earlier program wrote to the same page. */
static void disturb(struct sim_flash *flash, const struct change *change) {
    uint32_t start = change->offset / flash->page_bytes * flash->page_bytes;
    for (uint32_t at = start; at < change->offset; at++) {
        flash->cells[at] &= (uint8_t)(roll(flash) | roll(flash) >> 8);
    }
}

static void tear(struct sim_flash *flash, const struct change *change) {
    switch ((enum sim_flash_model)flash->cut.model) {
    case SIM_FLASH_NOTHING:
        break;
    case SIM_FLASH_WHOLE:
        change_bytes(flash, change, change->size);
        break;
    case SIM_FLASH_PREFIX:
        change_bytes(flash, change, flash->cut.seed % (change->size + 1));
        break;
    case SIM_FLASH_ONE_BIT:
        change_bits(flash, change, false);
        break;
    case SIM_FLASH_ALL_BUT_ONE:
        change_bits(flash, change, true);
        break;
    case SIM_FLASH_DISTURB:
        disturb(flash, change);
        change_randomly(flash, change);
        break;
    case SIM_FLASH_RANDOM:
        change_randomly(flash, change);
        break;
    case SIM_FLASH_MODEL_COUNT:
        check(false);
    }
}

/* ---- a file's cache: each page that was not synced survives or not, for itself ---- */

/* The next page from `*page` on that was programmed since the last sync. */
static bool next_dirty(const struct sim_flash *flash, uint32_t *page) {
    uint32_t count = flash->cache != NULL ? total_bytes(flash) / flash->base.program_bytes : 0;
    while (*page < count && flash->written[*page] == 0) {
        *page += 1;
    }
    return *page < count;
}

static void flush_cache(struct sim_flash *flash) {
    uint32_t size = flash->base.program_bytes;
    for (uint32_t page = 0; next_dirty(flash, &page); page++) {
        memcpy(flash->cells + (size_t)page * size, flash->cache + (size_t)page * size, size);
        flash->written[page] = 0;
    }
}

/* Reads see what has survived. */
static void lose_cache(struct sim_flash *flash) {
    uint32_t size = flash->base.program_bytes;
    for (uint32_t page = 0; next_dirty(flash, &page); page++) {
        struct change change = {page * size, size, flash->cache + (size_t)page * size};
        uint32_t fate = roll(flash) % 3;
        if (fate == 0) {
            tear(flash, &change);
        } else if (fate == 1) {
            change_bytes(flash, &change, size);
        }
        memcpy(flash->cache + (size_t)page * size, flash->cells + (size_t)page * size, size);
        flash->written[page] = 0;
    }
}

void sim_flash_power_off(struct sim_flash *flash, uint32_t seed) {
    seed_dice(flash, seed);
    lose_cache(flash);
    flash->is_off = true;
}

void sim_flash_power_on(struct sim_flash *flash) {
    flash->is_off = false;
    flash->is_syncing = false;
    flash->operations = 0;
    flash->cut = (struct sim_flash_cut){0};
    flash->fails_next_sync = false;
}

/* ---- operations ---- */

static enum status sim_read(struct hal_flash *base, uint32_t offset, void *target, uint32_t size) {
    struct sim_flash *flash = sim(base);
    memcpy(target, (flash->cache != NULL ? flash->cache : flash->cells) + offset, size);
    return flash->is_off ? STATUS_IO : STATUS_OK;
}

/* Of a part: programmed since its erase; of a file: since the last sync. */
static void mark_written(struct sim_flash *flash, const struct change *change, uint8_t mark) {
    uint32_t unit = flash->base.program_bytes;
    for (uint32_t at = 0; at < change->size; at += unit) {
        uint8_t *written = &flash->written[(change->offset + at) / unit];
        flash->violations += mark != 0 && *written != 0 && flash->cache == NULL;
        *written = mark;
    }
}

static enum status sim_program(struct hal_flash *base, uint32_t offset, const void *source,
                               uint32_t size) {
    struct sim_flash *flash = sim(base);
    struct change change = {offset, size, source};
    enum sim_flash_fault fault = fault_of(flash, offset / base->block_bytes);
    if (flash->is_off) {
        return STATUS_IO;
    }
    mark_written(flash, &change, 1);
    if (is_cut(flash)) {
        seed_dice(flash, flash->cut.seed);
        if (flash->cache != NULL) {
            memcpy(flash->cache + offset, source, size);
            lose_cache(flash);
        } else {
            tear(flash, &change);
        }
        flash->is_off = true;
        return STATUS_IO;
    }
    if (fault == SIM_FLASH_LOSES_PROGRAM) {
        return STATUS_OK;
    }
    if (fault == SIM_FLASH_FAILS_PROGRAM) {
        change_randomly(flash, &change);
        return STATUS_WORN;
    }
    if (flash->cache != NULL) {
        memcpy(flash->cache + offset, source, size);
    } else {
        change_bytes(flash, &change, size);
    }
    return STATUS_OK;
}

static enum status sim_erase(struct hal_flash *base, uint32_t block) {
    struct sim_flash *flash = sim(base);
    struct change change = {block * base->block_bytes, base->block_bytes, NULL};
    enum sim_flash_fault fault = fault_of(flash, block);
    if (flash->is_off) {
        return STATUS_IO;
    }
    if (fault == SIM_FLASH_FAILS_ERASE) {
        return STATUS_WORN;
    }
    if (flash->cache == NULL) {
        mark_written(flash, &change, 0);
    }
    bool cut = is_cut(flash);
    if (cut) {
        seed_dice(flash, flash->cut.seed);
        flash->is_off = true;
    }
    if (flash->cache != NULL) {
        if (cut) {
            lose_cache(flash);
        }
    } else if (cut) {
        tear(flash, &change);
    } else if (fault != SIM_FLASH_LOSES_ERASE) {
        change_bytes(flash, &change, change.size);
    }
    return cut ? STATUS_IO : STATUS_OK;
}

static enum status sim_sync_start(struct hal_flash *base) {
    struct sim_flash *flash = sim(base);
    check(!flash->is_syncing);
    if (flash->is_off) {
        return STATUS_IO;
    }
    if (is_cut(flash)) {
        seed_dice(flash, flash->cut.seed);
        lose_cache(flash);
        flash->is_off = true;
        return STATUS_IO;
    }
    flash->is_syncing = true;
    flash->polls_left = flash->sync_polls;
    return STATUS_OK;
}

static enum status sim_sync_poll(struct hal_flash *base) {
    struct sim_flash *flash = sim(base);
    if (flash->is_off) {
        return STATUS_IO;
    }
    if (!flash->is_syncing || flash->polls_left > 0) {
        flash->polls_left -= flash->polls_left > 0;
        return STATUS_AGAIN;
    }
    flash->is_syncing = false;
    if (flash->fails_next_sync) {
        flash->fails_next_sync = false;
        memset(flash->written, 0, total_bytes(flash) / base->program_bytes);
        return STATUS_IO;
    }
    flush_cache(flash);
    return STATUS_OK;
}

static const struct hal_flash_ops sim_ops = {
    .read = sim_read,
    .program = sim_program,
    .erase = sim_erase,
    .sync_start = sim_sync_start,
    .sync_poll = sim_sync_poll,
};

void sim_flash_init(struct sim_flash *flash, struct hal_flash geometry, uint8_t *cells,
                    uint8_t *written, uint8_t *cache) {
    *flash = (struct sim_flash){
        .base = geometry,
        .cells = cells,
        .written = written,
        .cache = cache,
        .page_bytes = geometry.program_bytes > 256 ? geometry.program_bytes : 256,
    };
    flash->base.ops = &sim_ops;
    memset(cells, 0xff, total_bytes(flash));
    memset(written, 0, total_bytes(flash) / geometry.program_bytes);
    if (cache != NULL) {
        memset(cache, 0xff, total_bytes(flash));
    }
}

void sim_flash_flip(struct sim_flash *flash, uint32_t offset, uint8_t mask) {
    flash->cells[offset] ^= mask;
    if (flash->cache != NULL) {
        flash->cache[offset] ^= mask;
    }
}

void sim_flash_adopt(struct sim_flash *flash) {
    uint32_t units = total_bytes(flash) / flash->base.program_bytes;
    memset(flash->written, flash->cache == NULL, units);
    if (flash->cache != NULL) {
        memcpy(flash->cache, flash->cells, total_bytes(flash));
    }
    sim_flash_power_on(flash);
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
