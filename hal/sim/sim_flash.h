/* sim_flash.h - NOR flash in the caller's memory, with everything that can go wrong with it.
 *
 * It keeps the rules of the part: a program unit is programmed once after its erase. Breaking them
 * is counted (`violations`), not refused, so that a test can show the damage; a test ends with a
 * count of 0. After a power loss every operation says IO until sim_flash_power_on().
 *
 * A cut is (operation, model, seed), printed as `120.3.77`: sim_flash_cut_text() and
 * sim_flash_cut_parse(). The same workload with the same cut ends with the same bytes.
 *
 * Two kinds of device: a part, where a program has happened when it returns, and a file
 * (`is_cached`), where erase does nothing and what was programmed since the last sync may or may
 * not survive a power loss, page by page, in any order. */
#ifndef HAL_SIM_SIM_FLASH_H
#define HAL_SIM_SIM_FLASH_H

#include "hal/flash.h"

enum sim_flash_model {
    SIM_FLASH_NOTHING,     /* the operation does not happen at all */
    SIM_FLASH_WHOLE,       /* it happens, but nobody hears of it */
    SIM_FLASH_PREFIX,      /* a program's first bytes; an erase's first bytes */
    SIM_FLASH_ONE_BIT,     /* one bit of what was to change has changed */
    SIM_FLASH_ALL_BUT_ONE, /* one bit has not */
    SIM_FLASH_RANDOM,      /* each bit for itself; an erase leaves a random mixture */
    SIM_FLASH_DISTURB,     /* as RANDOM, and bits before it in the same page are lost too */
    SIM_FLASH_SUFFIX,      /* as PREFIX, from the other end */
    SIM_FLASH_METASTABLE,  /* (nearly) done or not, but a few bits read differently each time */
    SIM_FLASH_MODEL_COUNT
};

struct sim_flash_cut {
    uint32_t operation; /* the n-th program, erase or sync from now, from 1; 0: never */
    uint8_t model;      /* enum sim_flash_model */
    uint32_t seed; /* PREFIX, SUFFIX: the number of bytes, modulo its size + 1; else of the dice */
};

/* What the device does next. */
enum sim_flash_kind { SIM_FLASH_PROGRAM, SIM_FLASH_ERASE, SIM_FLASH_SYNC };
struct sim_flash_operation {
    uint8_t kind; /* enum sim_flash_kind */
    uint32_t offset;
    uint32_t size;
    const uint8_t *source; /* NULL, but for a program */
};

/* A cell between two states: the bits of `mask` read as they like until it is erased. */
struct sim_flash_weak {
    uint32_t offset;
    uint8_t mask;
};

enum { SIM_FLASH_CUT_TEXT = 32, SIM_FLASH_BAD_MAX = 4, SIM_FLASH_WEAK_MAX = 4 };

enum sim_flash_fault {
    SIM_FLASH_GOOD,
    SIM_FLASH_FAILS_PROGRAM, /* says WORN, and a random part is programmed */
    SIM_FLASH_FAILS_ERASE,   /* says WORN */
    SIM_FLASH_LOSES_PROGRAM, /* says OK and does nothing */
    SIM_FLASH_LOSES_ERASE,
    SIM_FLASH_MISDIRECTS_PROGRAM, /* says OK and hits the same place of the next block */
    SIM_FLASH_MISDIRECTS_ERASE,
    SIM_FLASH_FAILS_READ, /* says IO */
};

struct sim_flash {
    struct hal_flash base;
    uint8_t *cells;      /* block_bytes * block_count */
    uint8_t *written;    /* one for each program unit: since its erase (file: the last sync) */
    uint8_t *cache;      /* as cells, or NULL: what reads see of a file before it is synced */
    uint32_t page_bytes; /* of DISTURB: a multiple of the program unit */
    struct sim_flash_cut cut;
    uint8_t block_fault[SIM_FLASH_BAD_MAX]; /* enum sim_flash_fault */
    uint32_t bad_block[SIM_FLASH_BAD_MAX];
    struct sim_flash_weak weak[SIM_FLASH_WEAK_MAX];
    uint32_t weak_count;
    /* Called in front of each program, erase and sync, already counted in `operations`; NULL: not.
     * It may copy the device, and take the copy's power away with sim_flash_lose_power(). */
    void (*before)(void *owner, const struct sim_flash_operation *operation);
    void *before_owner;
    uint32_t sync_polls;  /* AGAIN before a sync ends */
    bool fails_next_sync; /* once, with IO; what was not synced is then gone, as on Linux: reads */
    bool has_stale_cache; /* still see it, until the power is lost */
    uint32_t polls_left;
    bool is_syncing;
    bool is_off;
    uint32_t operations; /* since power on */
    uint32_t violations;
    uint32_t bad_uses; /* programs and erases of blocks that have a fault */
    uint64_t dice;
};

/* `written` has one byte for each program unit, `cache` is NULL for a part. Everything is erased;
 * geometry comes from `base`, whose ops are filled in. */
void sim_flash_init(struct sim_flash *flash, struct hal_flash geometry, uint8_t *cells,
                    uint8_t *written, uint8_t *cache);

/* Restarts the device after a power loss, or forgets the cut that was to come. */
void sim_flash_power_on(struct sim_flash *flash);

/* Pulls the plug in the middle of an operation (NULL: of none), as model and seed of the cut say.
 */
void sim_flash_lose_power(struct sim_flash *flash, const struct sim_flash_operation *operation,
                          const struct sim_flash_cut *cut);

/* Pulls the plug between two operations. */
void sim_flash_power_off(struct sim_flash *flash, uint32_t seed);

/* Bit rot: flips the bits of `mask`, on flash and in what reads see. */
void sim_flash_flip(struct sim_flash *flash, uint32_t offset, uint8_t mask);

/* Takes the bytes as they are in `cells` for programmed (an image that a test has put there). */
void sim_flash_adopt(struct sim_flash *flash);

void sim_flash_cut_text(const struct sim_flash_cut *cut, char text[SIM_FLASH_CUT_TEXT]);
/* False: not the text of a cut. */
bool sim_flash_cut_parse(const char *text, struct sim_flash_cut *cut);

#endif
