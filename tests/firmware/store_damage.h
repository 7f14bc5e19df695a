/* store_damage.h - a store's image damaged in every place: bytes flipped, blocks lost, swapped and
 * replaced by older copies of themselves.
 *
 * Whatever the damage, the store mounts; each object reads as it was, or as corrupt; what is wrong
 * is reported; and the store takes new records, which are there after another mount. Damage to what
 * was written last cannot be told from a torn write: only there may the log end earlier.
 *
 * Each case has an id, `damage/device/how.at.what`. */
#ifndef TESTS_FIRMWARE_STORE_DAMAGE_H
#define TESTS_FIRMWARE_STORE_DAMAGE_H

#include "tests/firmware/store_rig.h"

enum store_damage_how {
    STORE_DAMAGE_FLIP,  /* at: byte of the image; what: mask */
    STORE_DAMAGE_CLEAR, /* at: block; what: the byte that fills it */
    STORE_DAMAGE_SWAP,  /* at: block; what: the other block */
    STORE_DAMAGE_COPY,  /* at: block; what: the block whose copy it becomes */
    STORE_DAMAGE_STALE, /* at: block, as it was some time ago */
    STORE_DAMAGE_HOW_COUNT
};

struct store_damage_case {
    enum store_damage_how how;
    uint32_t at;
    uint32_t what;
};

struct store_damage {
    uint64_t done;
    uint64_t reported;
    uint64_t corrupt; /* objects that read as corrupt */
    uint32_t newest;  /* block that was written last */
    char failure[160];
    struct rig rig;
    uint8_t image[RIG_BYTES_MAX];
    uint8_t stale[RIG_BYTES_MAX];
};

/* A store that has gone round several times, started again before its last groups. */
void store_damage_prepare(struct store_damage *damage, const struct rig_geometry *geometry);
void store_damage_try(struct store_damage *damage, const struct store_damage_case *damaged);
/* Every byte, with each of the masks in turn. */
void store_damage_flip_bytes(struct store_damage *damage);
/* Every bit of the first bytes of each block. */
void store_damage_flip_bits(struct store_damage *damage, uint32_t bytes_each);
/* Every block in every way. */
void store_damage_blocks(struct store_damage *damage);
/* False: not an id. Prepares, too. */
bool store_damage_replay(struct store_damage *damage, const char *id);

#endif
