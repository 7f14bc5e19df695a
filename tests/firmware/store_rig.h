/* store_rig.h - a store on simulated flash, and a model beside it that knows what must be there.
 *
 * Every record's body is made of one number that is never used twice, so that whatever is read can
 * be told: when it was written, for which object, in which group. */
#ifndef TESTS_FIRMWARE_STORE_RIG_H
#define TESTS_FIRMWARE_STORE_RIG_H

#include "firmware/store.h"
#include "hal/sim/sim_flash.h"

enum {
    RIG_OBJECTS = 24,
    RIG_BLOCKS_MAX = 32,
    RIG_BYTES_MAX = 512 * 1024,
    RIG_FRAME_MAX = 8192,
    RIG_GROUP_MAX = 24576,
    RIG_BODY_MAX = 400,
    RIG_PENDING_MAX = 256,
    RIG_GROUPS_MAX = 4, /* committed and not durable: one at a time */
    RIG_DEVICES = 3,
};

struct rig_geometry {
    const char *name;
    uint32_t block_bytes;
    uint32_t block_count;
    uint32_t program_bytes;
    uint32_t frame_bytes;
    uint32_t group_bytes;
    uint32_t body_max;
    bool is_file;
};

extern const struct rig_geometry rig_geometries[RIG_DEVICES]; /* bytes, pages, file */
/* As small as the store can be on them, for cuts by the million. */
extern const struct rig_geometry rig_tiny_geometries[RIG_DEVICES];

/* A record that was appended and is not known to be durable. */
struct rig_pending {
    uint64_t seq;
    uint32_t object;
    uint32_t number;
    uint32_t group;
    bool was_released;
};

/* A group that was committed, or is being committed, and is not known to be durable. */
struct rig_group {
    uint64_t last_seq;
    uint8_t chain[STORE_CHAIN_BYTES];
};

struct rig {
    struct rig_geometry geometry;
    struct sim_flash flash;
    struct store store;
    struct store_memory memory;
    /* the model */
    uint32_t number;              /* last one given to a record */
    uint32_t newest[RIG_OBJECTS]; /* number of the newest durable record; 0: none */
    uint64_t seqs[RIG_OBJECTS];
    bool is_released[RIG_OBJECTS]; /* since its last record: anything may be found */
    uint64_t durable_seq;
    uint64_t acked_seq;
    uint8_t durable_chain[STORE_CHAIN_BYTES];
    uint32_t pending_count;
    struct rig_pending pending[RIG_PENDING_MAX];
    uint32_t group;
    uint32_t group_count;
    struct rig_group groups[RIG_GROUPS_MAX];
    struct store_end gap;         /* what the owner has given up, durably */
    struct store_end pending_gap; /* the next one */
    uint64_t gap_seq;             /* of the record that holds it, object 0's; 0: none */
    uint32_t rotten; /* an object whose newest record a test has damaged may read so; 0: none */
    uint64_t dice;
    bool has_no_spare; /* a block is bad, and no more goes in: what is there can only be read */
    const char *what;  /* the first thing that was wrong, or NULL */
    uint32_t cuts;
    uint32_t torn; /* frames that mounts have dropped */
    uint64_t records;
    /* memory */
    struct store_slot slots[RIG_OBJECTS];
    struct store_block blocks[RIG_BLOCKS_MAX];
    uint32_t order[RIG_BLOCKS_MAX];
    uint8_t group_buffer[RIG_GROUP_MAX];
    uint8_t copy_buffer[RIG_FRAME_MAX];
    uint8_t cells[RIG_BYTES_MAX];
    uint8_t written[RIG_BYTES_MAX];
    uint8_t cache[RIG_BYTES_MAX];
};

/* The first thing that is wrong stays. */
void store_rig_wrong(struct rig *rig, const char *what);

/* Formats and mounts. */
void store_rig_start(struct rig *rig, const struct rig_geometry *geometry, uint32_t seed);

uint32_t rig_roll(struct rig *rig, uint32_t count);
struct store_key rig_key(uint32_t object);
uint32_t rig_body(uint32_t number, uint32_t object, uint32_t body_max, uint8_t *body);

void rig_append(struct rig *rig, uint32_t object); /* no room: does nothing */
void rig_release(struct rig *rig, uint32_t object);
enum status store_rig_commit(struct rig *rig);
enum status rig_poll(struct rig *rig);
void rig_acknowledge(struct rig *rig, bool all);
/* Commits and polls until everything is durable; acknowledges when the store is full. */
void store_rig_settle(struct rig *rig);
/* Gives up the oldest of what is not acknowledged, by the gap rule, as far as half a frame goes;
 * the gap stands with object 0. Ends durable. */
void rig_give_up(struct rig *rig);
/* One random operation of a busy hub. */
void store_rig_step(struct rig *rig);
/* Starts again from what is on flash: power on, mount, compare. */
void store_rig_restart(struct rig *rig);
/* Mounts once more, as an owner does that looks twice. False: it does not mount. */
bool store_rig_mount_again(struct rig *rig);
/* Makes `fork` a copy of the device and of the model, without the store's memory: what a power loss
 * leaves. It is then to be restarted. */
void store_rig_fork(struct rig *fork, const struct rig *from);
/* As what store_mount() has made of the tables: equal when two mounts agree. */
uint64_t store_rig_digest(const struct rig *rig);
/* Ends the program, not the power, then starts again. */
void rig_remount(struct rig *rig);
/* As store_rig_restart(), of a device with cells that read as they like: until something new is
 * durable, the group on its way may be there or not, and differently at each look; what was durable
 * before is there, and afterwards nothing changes any more. */
void store_rig_restart_weak(struct rig *rig);
/* Compares every object and the log behind the acknowledged cursor with the model. */
void rig_verify(struct rig *rig);

#endif
