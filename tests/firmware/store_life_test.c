/* Lives of a store in which everything goes wrong at once: reads that fail, rot, blocks that wear
 * out or lose what they are told, syncs that fail, power that is lost. Whatever comes together, no
 * check fails, a life goes on, and an object reads as its newest record, as one that was on its
 * way, or as damaged: never as an older one, and never as something that was not written. */
#include "tests/firmware/store_case.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum {
    LIVES = RIG_DEVICES << 7, /* each device with each set of what goes wrong */
    STEPS = 400,
    NUMBERS_MAX = 8192, /* records of a life */
    FAILS_READS = 1,    /* what goes wrong in a life */
    ROTS = 2,
    WEARS = 4,
    LOSES_POWER = 8,
    IS_OFFLINE = 16,
    FAILS_SYNCS = 32,
    LOSES_SILENTLY = 64,
};

struct life {
    uint32_t seed;
    uint32_t faults;
    uint32_t reads_left;          /* the read after so many fails, once; UINT32_MAX: none */
    uint32_t newest[RIG_OBJECTS]; /* number of the newest durable record; 0: none */
    uint32_t given[RIG_OBJECTS];  /* of the last one that was appended */
    uint32_t numbers[NUMBERS_MAX];
    uint64_t seqs[NUMBERS_MAX]; /* of records that are not known to be durable; else 0 */
    uint32_t count;
    uint64_t gap_seq;
    uint64_t good; /* objects that were read */
    uint64_t damaged;
};

static struct rig *const rig = &store_case;
static struct store *const store = &store_case.store;
static struct life life;
static struct hal_flash_ops failing;
static const struct hal_flash_ops *real;

static enum status read_or_fail(struct hal_flash *flash, uint32_t offset, void *target,
                                uint32_t size) {
    if (life.reads_left == 0) {
        life.reads_left = UINT32_MAX;
        return STATUS_IO;
    }
    life.reads_left -= life.reads_left == UINT32_MAX ? 0 : 1;
    return real->read(flash, offset, target, size);
}

static bool goes_wrong(uint32_t fault, uint32_t odds) {
    return (life.faults & fault) != 0 && rig_roll(rig, odds) == 0;
}

/* ---- the model ---- */

static void append(uint32_t object) {
    uint8_t body[RIG_BODY_MAX];
    struct store_key key = rig_key(object);
    if (store_room(store) < rig->geometry.body_max || life.count == NUMBERS_MAX) {
        return;
    }
    uint32_t number = life.count + 1;
    uint32_t size = rig_body(number, object, rig->geometry.body_max, body);
    bool has_previous = store_slot(store, key)->seq != 0;
    life.numbers[life.count] = object;
    life.seqs[life.count] =
        store_append(store, key, has_previous ? &key : NULL, (struct bytes){body, size});
    life.given[object] = number;
    life.count += 1;
}

static void note_durable(void) {
    for (uint32_t i = 0; i < life.count; i++) {
        if (life.seqs[i] != 0 && life.seqs[i] <= store->durable_seq) {
            life.newest[life.numbers[i]] = i + 1;
            life.seqs[i] = 0;
        }
    }
}

static void look_at(uint32_t object) {
    uint8_t buffer[RIG_BODY_MAX + STORE_RECORD_BYTES];
    uint8_t expected[RIG_BODY_MAX];
    struct store_record record;
    enum status status = store_read(store, rig_key(object), buffer, sizeof buffer, &record);
    if (status == STATUS_OK) {
        uint32_t number = (uint32_t)record.body.data[0] | (uint32_t)record.body.data[1] << 8 |
                          (uint32_t)record.body.data[2] << 16;
        uint32_t size = rig_body(number, object, rig->geometry.body_max, expected);
        assert_int_equal(record.body.size, size);
        assert_memory_equal(record.body.data, expected, size);
        if (number < life.newest[object] || number > life.given[object]) {
            fail_msg("life %u: object %u reads as record %u, not as %u to %u", (unsigned)life.seed,
                     (unsigned)object, (unsigned)number, (unsigned)life.newest[object],
                     (unsigned)life.given[object]);
        }
        life.good += 1;
    } else if (status == STATUS_NOT_FOUND) {
        assert_int_equal(life.newest[object], 0);
    } else {
        assert_true(status == STATUS_CORRUPT || status == STATUS_IO);
        assert_true((life.faults & (FAILS_READS | ROTS | WEARS | LOSES_SILENTLY)) != 0 ||
                    store->has_failed);
        life.damaged += 1;
    }
}

static void look(void) {
    for (uint32_t object = 0; object < RIG_OBJECTS; object++) {
        look_at(object);
    }
}

/* ---- what happens ---- */

static void poll_to_the_end(void) {
    for (uint32_t i = 0; i < 8 && store->is_syncing; i++) {
        if (store_poll(store) == STATUS_OK) {
            note_durable();
        }
    }
}

static void commit(void) {
    enum status status = store_commit(store);
    if (status == STATUS_FULL && (life.faults & IS_OFFLINE) == 0) {
        store_acknowledge(store, store->durable_seq, store->head_chain);
    }
    poll_to_the_end();
}

/* By the gap rule, and only when what goes on is durable. */
static void give_up(void) {
    struct store_end end = {.seq = store_log_seq(store)};
    struct store_cursor cursor = {0};
    uint64_t first = store_log_seq(store) + 1;
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < 9 && store->open_records > 0; i++) {
        commit();
    }
    while (status == STATUS_OK && end.bytes < rig->geometry.frame_bytes / 2) {
        status = store_pass_group(store, &cursor, &end);
    }
    for (uint32_t i = 0; i < 9; i++) {
        status = store_carry(store, first, &end, 0);
        if (status != STATUS_FULL) {
            break;
        }
        commit();
    }
    for (uint32_t i = 0; i < 9 && store->open_records > 0; i++) {
        commit();
    }
    if (status == STATUS_OK && store->open_records == 0 && end.seq <= store->durable_seq &&
        store->committed_seq == store->durable_seq) {
        life.gap_seq = end.seq;
        store_give_up(store, end.seq);
    }
}

/* In a block well before the log's end: of that, rot cannot be told from a torn write. */
static void rot(void) {
    uint32_t newer = 0;
    uint32_t b = rig_roll(rig, rig->geometry.block_count);
    for (uint32_t i = 0; i < rig->geometry.block_count; i++) {
        newer += rig->blocks[i].state == STORE_BLOCK_USED &&
                 rig->blocks[i].sequence > rig->blocks[b].sequence;
    }
    if (rig->blocks[b].state == STORE_BLOCK_USED && newer >= 4 && !store->is_mounted) {
        uint32_t offset = rig_roll(rig, rig->blocks[b].used_bytes);
        sim_flash_flip(&rig->flash, b * rig->geometry.block_bytes + offset,
                       (uint8_t)(1 + rig_roll(rig, 255)));
    }
}

static void wear(void) {
    static const uint8_t faults[] = {SIM_FLASH_FAILS_PROGRAM, SIM_FLASH_FAILS_ERASE,
                                     SIM_FLASH_LOSES_PROGRAM, SIM_FLASH_LOSES_ERASE};
    bool is_silent = (life.faults & LOSES_SILENTLY) != 0 && !rig->geometry.is_file;
    uint32_t i = rig_roll(rig, SIM_FLASH_BAD_MAX);
    rig->flash.block_fault[i] = faults[rig_roll(rig, 2) + (is_silent ? 2 : 0)];
    rig->flash.bad_block[i] = rig_roll(rig, rig->geometry.block_count);
}

/* With the power lost, or the program ended; a mount that cannot read is tried again. */
static void start_again(void) {
    if ((life.faults & LOSES_POWER) != 0) {
        sim_flash_power_off(&rig->flash, rig_roll(rig, 9999));
    }
    sim_flash_power_on(&rig->flash);
    memset(life.seqs, 0, life.count * sizeof life.seqs[0]);
    enum status status = STATUS_IO;
    for (uint32_t i = 0; i < 4 && status != STATUS_OK; i++) {
        status = store_mount(store);
        assert_true(status == STATUS_OK || status == STATUS_IO || status == STATUS_CORRUPT);
    }
    assert_int_equal(status, STATUS_OK);
    if (life.gap_seq <= store->durable_seq) {
        store_give_up(store, life.gap_seq);
    }
    look();
}

static void step(void) {
    struct store_key key = rig_key(rig_roll(rig, RIG_OBJECTS));
    if (goes_wrong(FAILS_READS, 24)) {
        life.reads_left = rig_roll(rig, rig_roll(rig, 4) == 0 ? 400 : 12);
    }
    if (goes_wrong(ROTS, 12)) {
        rot();
    }
    if (goes_wrong(WEARS, 120)) {
        wear();
    }
    rig->flash.fails_next_sync = rig->flash.fails_next_sync || goes_wrong(FAILS_SYNCS, 64);
    switch (rig_roll(rig, 12)) {
    case 0:
        if (store_clean(store) == STATUS_OK) {
            poll_to_the_end();
        }
        break;
    case 1:
        if (store_scrub(store, rig_roll(rig, 4096)) == STATUS_AGAIN) {
            poll_to_the_end();
        }
        break;
    case 2:
        if ((life.faults & IS_OFFLINE) == 0 && store->committed_seq == store->durable_seq) {
            store_acknowledge(store, store->durable_seq, store->head_chain);
        }
        break;
    case 3:
        if (store_must_give_up(store) && !store->has_failed) {
            give_up();
        }
        break;
    case 4:
        if (store_room(store) >= rig->geometry.body_max && rig_roll(rig, 8) == 0) {
            (void)!store_repeat(store, key, 0);
        }
        break;
    case 5:
        if (store->has_failed || rig_roll(rig, 8) == 0) {
            start_again();
        }
        break;
    default:
        for (uint32_t i = 1 + rig_roll(rig, rig_roll(rig, 8) == 0 ? 12 : 3); i > 0; i--) {
            append(rig_roll(rig, RIG_OBJECTS));
        }
        commit();
    }
}

static void live(uint32_t seed) {
    uint32_t device = seed % RIG_DEVICES;
    uint64_t good = life.good;
    uint64_t damaged = life.damaged;
    life = (struct life){.seed = seed, .faults = seed / RIG_DEVICES, .reads_left = UINT32_MAX};
    life.good = good;
    life.damaged = damaged;
    bool is_tiny = seed % 2 == 0;
    store_rig_start(rig, is_tiny ? &rig_tiny_geometries[device] : &rig_geometries[device],
                    seed + 1);
    store_case_good();
    real = rig->flash.base.ops;
    failing = *real;
    failing.read = read_or_fail;
    rig->flash.base.ops = &failing;
    rig->flash.base.verify = (life.faults & LOSES_SILENTLY) != 0;
    for (uint32_t i = 0; i < STEPS; i++) {
        step();
    }
    life.reads_left = UINT32_MAX;
    start_again();
}

static void nothing_older_is_served_whatever_goes_wrong(void **state) {
    (void)state;
    life = (struct life){0};
    static const uint32_t was_once_wrong[] = {1414, 1710};
    for (uint32_t seed = 0; seed < LIVES; seed++) {
        live(seed);
    }
    for (size_t i = 0; i < array_count(was_once_wrong); i++) {
        live(was_once_wrong[i]);
    }
    assert_true(life.good > 10 * life.damaged);
    assert_true(life.damaged > 1000);
}

int firmware_store_life_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_older_is_served_whatever_goes_wrong),
    };
    return cmocka_run_group_tests_name("firmware/store_life", tests, NULL, NULL);
}
