#include "tests/firmware/store_damage.h"

#include <stdio.h>
#include <string.h>

static const char *const how_names[STORE_DAMAGE_HOW_COUNT] = {"flip", "clear", "swap", "copy",
                                                              "stale"};

static size_t image_bytes(const struct store_damage *damage) {
    return (size_t)damage->rig.geometry.block_bytes * damage->rig.geometry.block_count;
}

static void fail(struct store_damage *damage, const struct store_damage_case *damaged,
                 const char *what, uint32_t object) {
    if (damage->failure[0] == '\0') {
        snprintf(damage->failure, sizeof damage->failure, "%s (object %u): damage/%s/%s.%u.%u",
                 what, (unsigned)object, damage->rig.geometry.name, how_names[damaged->how],
                 (unsigned)damaged->at, (unsigned)damaged->what);
    }
}

/* ---- an image ---- */

static void commit_each(struct rig *rig, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        rig_append(rig, i % RIG_OBJECTS);
        store_rig_settle(rig);
        rig_acknowledge(rig, i + 4 < count);
    }
}

void store_damage_prepare(struct store_damage *damage, const struct rig_geometry *geometry) {
    struct rig *rig = &damage->rig;
    memset(damage, 0, offsetof(struct store_damage, rig));
    store_rig_start(rig, geometry, 5);
    commit_each(rig, 5 * RIG_OBJECTS);
    memcpy(damage->stale, rig->cells, image_bytes(damage));
    commit_each(rig, 2 * RIG_OBJECTS + 7);
    rig_remount(rig);
    commit_each(rig, 2);
    rig_append(rig, 3);
    store_rig_settle(rig);
    rig_verify(rig);
    damage->newest = rig->store.newest;
    memcpy(damage->image, rig->cells, image_bytes(damage));
    if (rig->what != NULL) {
        snprintf(damage->failure, sizeof damage->failure, "%s: damage/%s", rig->what,
                 geometry->name);
    }
}

static void restore(struct store_damage *damage) {
    struct rig *rig = &damage->rig;
    memcpy(rig->cells, damage->image, image_bytes(damage));
    sim_flash_adopt(&rig->flash);
}

/* False: it changes nothing. */
static bool apply(struct store_damage *damage, const struct store_damage_case *damaged) {
    uint32_t size = damage->rig.geometry.block_bytes;
    uint8_t *cells = damage->rig.cells;
    uint8_t *block = cells + (size_t)damaged->at * size;
    const uint8_t *before = damage->image + (size_t)damaged->at * size;
    const uint8_t *other = damage->image + (size_t)damaged->what * size;
    if (damaged->how == STORE_DAMAGE_FLIP) {
        cells[damaged->at] ^= (uint8_t)damaged->what;
    } else if (damaged->how == STORE_DAMAGE_CLEAR) {
        memset(block, (int)damaged->what, size);
    } else if (damaged->how == STORE_DAMAGE_STALE) {
        memcpy(block, damage->stale + (size_t)damaged->at * size, size);
    } else {
        memcpy(block, other, size);
        if (damaged->how == STORE_DAMAGE_SWAP) {
            memcpy(cells + (size_t)damaged->what * size, before, size);
        }
    }
    sim_flash_adopt(&damage->rig.flash);
    return memcmp(cells, damage->image, image_bytes(damage)) != 0;
}

/* The last group, or the block that holds it, is what the damage hits. */
static bool hits_tail(const struct store_damage *damage, const struct store_damage_case *damaged) {
    uint32_t size = damage->rig.geometry.block_bytes;
    if (damaged->how == STORE_DAMAGE_FLIP) {
        return damaged->at / size == damage->newest;
    }
    return damaged->at == damage->newest ||
           (damaged->how == STORE_DAMAGE_SWAP && damaged->what == damage->newest);
}

/* ---- judging ---- */

static bool is_reported(const struct store *store) {
    const struct store_stats *stats = &store->stats;
    return stats->rotten_frames + stats->lost_blocks + stats->lost_sequences > 0 ||
           store->suspect_seq > 0;
}

/* Each object as it was, or corrupt, or behind the log's end where that may be earlier. */
static void judge_objects(struct store_damage *damage, const struct store_damage_case *damaged,
                          uint64_t head) {
    struct rig *rig = &damage->rig;
    uint32_t corrupt = 0;
    for (uint32_t object = 0; object < RIG_OBJECTS; object++) {
        uint8_t buffer[RIG_BODY_MAX + 64];
        uint8_t body[RIG_BODY_MAX];
        struct store_record record;
        enum status status =
            store_read(&rig->store, rig_key(object), buffer, sizeof buffer, &record);
        uint32_t size = rig_body(rig->newest[object], object, rig->geometry.body_max, body);
        bool is_right = status == STATUS_OK && record.body.size == size &&
                        memcmp(record.body.data, body, size) == 0;
        bool may_be_older = hits_tail(damage, damaged) && rig->seqs[object] > head;
        corrupt += status == STATUS_CORRUPT;
        if (!is_right && status != STATUS_CORRUPT && !may_be_older) {
            fail(damage, damaged, "an object reads as what it is not", object);
        }
    }
    damage->corrupt += corrupt;
    if (corrupt > 0 && !is_reported(&rig->store)) {
        fail(damage, damaged, "objects are corrupt and nothing is reported", corrupt);
    }
}

/* The log behind what is acknowledged ends with an answer, and never goes back. */
static void judge_log(struct store_damage *damage, const struct store_damage_case *damaged) {
    static uint8_t buffer[RIG_GROUP_MAX];
    struct store *store = &damage->rig.store;
    struct store_cursor cursor = {.seq = store->acked_seq};
    struct store_group group;
    enum status status = STATUS_OK;
    for (uint32_t turns = 0; status == STATUS_OK && turns < 10000; turns++) {
        uint64_t before = cursor.seq;
        status = store_next_group(store, &cursor, buffer, sizeof buffer, &group);
        if (status == STATUS_OK && cursor.seq <= before) {
            fail(damage, damaged, "the log goes back", 0);
        }
    }
    if (status == STATUS_OK) {
        fail(damage, damaged, "the log never ends", 0);
    }
}

/* New records go in, and are there afterwards. */
static void go_on(struct store_damage *damage, const struct store_damage_case *damaged) {
    struct store *store = &damage->rig.store;
    const struct store_key key = rig_key(7);
    uint8_t buffer[RIG_BODY_MAX + 64];
    struct store_record record;
    (void)store_append(store, key, NULL, bytes_of("after the damage"));
    for (uint32_t i = 0; i < 1000 && (store->open_records > 0 || store->is_syncing); i++) {
        if (store->is_syncing) {
            (void)!store_poll(store);
        } else if (store_commit(store) == STATUS_FULL) {
            store_acknowledge(store, store->durable_seq, store->head_chain);
        }
    }
    if (store->open_records > 0 || store->has_failed || store_mount(store) != STATUS_OK) {
        fail(damage, damaged, "nothing goes in any more", 0);
    } else if (store_read(store, key, buffer, sizeof buffer, &record) != STATUS_OK ||
               record.body.size != 16 || memcmp(record.body.data, "after the damage", 16) != 0) {
        fail(damage, damaged, "what was written after the damage is not there", 7);
    }
}

void store_damage_try(struct store_damage *damage, const struct store_damage_case *damaged) {
    struct rig *rig = &damage->rig;
    if (damage->failure[0] != '\0') {
        return;
    }
    restore(damage);
    if (!apply(damage, damaged)) {
        return;
    }
    damage->done += 1;
    enum status status = store_mount(&rig->store);
    if (status != STATUS_OK) {
        fail(damage, damaged, "the store does not mount", (uint32_t)status);
        return;
    }
    uint64_t head = rig->store.head_seq;
    damage->reported += is_reported(&rig->store) || rig->store.stats.torn_frames > 0;
    if (head < rig->durable_seq && !is_reported(&rig->store) && !hits_tail(damage, damaged)) {
        fail(damage, damaged, "the log ends early and nothing is reported", 0);
    }
    if (head > rig->durable_seq) {
        fail(damage, damaged, "the log has grown", 0);
    }
    judge_objects(damage, damaged, head);
    judge_log(damage, damaged);
    go_on(damage, damaged);
}

/* ---- everything ---- */

void store_damage_flip_bytes(struct store_damage *damage) {
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    for (uint32_t at = 0; at < image_bytes(damage); at++) {
        const struct store_damage_case flip = {STORE_DAMAGE_FLIP, at,
                                               masks[at % array_count(masks)]};
        store_damage_try(damage, &flip);
    }
}

void store_damage_flip_bits(struct store_damage *damage, uint32_t bytes_each) {
    uint32_t size = damage->rig.geometry.block_bytes;
    for (uint32_t i = 0; i < damage->rig.geometry.block_count * bytes_each * 8; i++) {
        uint32_t byte = i / 8;
        const struct store_damage_case flip = {
            STORE_DAMAGE_FLIP, byte / bytes_each * size + byte % bytes_each, 1u << i % 8};
        store_damage_try(damage, &flip);
    }
}

void store_damage_blocks(struct store_damage *damage) {
    uint32_t count = damage->rig.geometry.block_count;
    for (uint32_t b = 0; b < count; b++) {
        const struct store_damage_case cases[] = {
            {STORE_DAMAGE_CLEAR, b, 0xff}, {STORE_DAMAGE_CLEAR, b, 0}, {STORE_DAMAGE_STALE, b, 0}};
        for (size_t i = 0; i < array_count(cases); i++) {
            store_damage_try(damage, &cases[i]);
        }
        for (uint32_t other = 0; other < count; other++) {
            const struct store_damage_case swap = {STORE_DAMAGE_SWAP, b, other};
            const struct store_damage_case copy = {STORE_DAMAGE_COPY, b, other};
            store_damage_try(damage, &swap);
            store_damage_try(damage, &copy);
        }
    }
}

bool store_damage_replay(struct store_damage *damage, const char *id) {
    char device[16];
    char how[8];
    unsigned at, what;
    if (sscanf(id, "damage/%15[^/]/%7[a-z].%u.%u", device, how, &at, &what) != 4) {
        return false;
    }
    struct store_damage_case damaged = {STORE_DAMAGE_HOW_COUNT, at, what};
    for (size_t i = 0; i < STORE_DAMAGE_HOW_COUNT; i++) {
        damaged.how = strcmp(how_names[i], how) == 0 ? (enum store_damage_how)i : damaged.how;
    }
    for (size_t i = 0; i < RIG_DEVICES; i++) {
        const struct rig_geometry *geometry = &rig_tiny_geometries[i];
        uint32_t size = geometry->block_bytes * geometry->block_count;
        uint32_t limit = damaged.how == STORE_DAMAGE_FLIP ? size : geometry->block_count;
        bool is_block = damaged.how == STORE_DAMAGE_SWAP || damaged.how == STORE_DAMAGE_COPY;
        if (strcmp(geometry->name, device) == 0 && damaged.how < STORE_DAMAGE_HOW_COUNT &&
            at < limit && what < (is_block ? geometry->block_count : 256)) {
            store_damage_prepare(damage, geometry);
            store_damage_try(damage, &damaged);
            return true;
        }
    }
    return false;
}
