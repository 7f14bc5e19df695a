#include "tests/firmware/store_rig.h"

#include "firmware/store_format1.h"
#include "protocol/sha256.h"

#include <string.h>

const struct rig_geometry rig_geometries[3] = {
    {"bytes", 2048, 16, 1, 512, 512, 90, false},
    {"pages", 4096, 14, 256, 1024, 1024, 300, false},
    {"file", 16384, 16, 4096, 8192, 8192, 400, true},
};

const struct rig_geometry rig_tiny_geometries[RIG_DEVICES] = {
    {"bytes", 512, 16, 1, 256, 480, 40, false},
    {"pages", 1024, 16, 256, 512, 1000, 80, false},
    {"file", 16384, 12, 4096, 8192, 16000, 200, true},
};

static const uint8_t rig_id[STORE_ID_BYTES] = "the rig's store";

void store_rig_wrong(struct rig *rig, const char *what) {
    rig->what = rig->what == NULL ? what : rig->what;
}

uint32_t rig_roll(struct rig *rig, uint32_t count) {
    rig->dice ^= rig->dice >> 12;
    rig->dice ^= rig->dice << 25;
    rig->dice ^= rig->dice >> 27;
    return (uint32_t)((rig->dice * 0x2545f4914f6cdd1dULL) >> 32) % count;
}

struct store_key rig_key(uint32_t object) {
    return object == 0 ? (struct store_key){0, 0} : (struct store_key){3, object - 1};
}

uint32_t rig_body(uint32_t number, uint32_t object, uint32_t body_max, uint8_t *body) {
    uint32_t mixed = number * 2654435761u + object;
    uint32_t size = 8 + (mixed >> 8) % (body_max - 7);
    for (uint32_t i = 0; i < size; i++) {
        body[i] = (uint8_t)(i < 4 ? number >> (8 * i) : mixed * (i + 1) >> 16);
    }
    body[4] = (uint8_t)object;
    return size;
}

static uint32_t number_in(struct bytes body) {
    return body.size < 8 ? 0
                         : (uint32_t)body.data[0] | (uint32_t)body.data[1] << 8 |
                               (uint32_t)body.data[2] << 16 | (uint32_t)body.data[3] << 24;
}

static bool is_body(const struct rig *rig, struct bytes body, uint32_t object) {
    uint8_t expected[RIG_BODY_MAX];
    uint32_t size = rig_body(number_in(body), object, rig->geometry.body_max, expected);
    return body.size == size && memcmp(body.data, expected, size) == 0;
}

/* ---- writing ---- */

void rig_append(struct rig *rig, uint32_t object) {
    uint8_t body[RIG_BODY_MAX];
    if (store_room(&rig->store) < rig->geometry.body_max || rig->pending_count == RIG_PENDING_MAX) {
        return;
    }
    rig->number += 1;
    rig->records += 1;
    uint32_t size = rig_body(rig->number, object, rig->geometry.body_max, body);
    struct store_key key = rig_key(object);
    bool has_previous = store_slot(&rig->store, key)->seq != 0;
    uint64_t seq =
        store_append(&rig->store, key, has_previous ? &key : NULL, (struct bytes){body, size});
    rig->pending[rig->pending_count] =
        (struct rig_pending){seq, object, rig->number, rig->group + 1, false};
    rig->pending_count += 1;
}

void rig_release(struct rig *rig, uint32_t object) {
    store_release(&rig->store, rig_key(object));
    rig->is_released[object] = true;
    for (uint32_t i = 0; i < rig->pending_count; i++) {
        struct rig_pending *record = &rig->pending[i];
        record->was_released = record->was_released || record->object == object;
    }
}

/* What the chain must be after the open group, computed here once more. */
static void expect_chain(const struct rig *rig, uint8_t chain[STORE_CHAIN_BYTES]) {
    struct sha256 hash;
    sha256_init(&hash);
    bool has_group = rig->group_count > 0;
    const uint8_t *before =
        has_group ? rig->groups[rig->group_count - 1].chain : rig->durable_chain;
    sha256_add(&hash, (struct bytes){before, STORE_CHAIN_BYTES});
    for (uint32_t i = 0; i < rig->pending_count; i++) {
        const struct rig_pending *record = &rig->pending[i];
        uint8_t body[RIG_BODY_MAX];
        if (record->group == rig->group + 1) {
            uint32_t size = rig_body(record->number, record->object, rig->geometry.body_max, body);
            sha256_add(&hash, (struct bytes){body, size});
        }
    }
    uint8_t digest[SHA256_BYTES];
    sha256_end(&hash, digest);
    memcpy(chain, digest, STORE_CHAIN_BYTES);
}

/* While it is being committed a cut may leave the group or not; afterwards it is there. */
enum status store_rig_commit(struct rig *rig) {
    bool was_open = rig->store.open_records > 0 && !rig->store.is_syncing && !rig->store.has_failed;
    uint64_t groups = rig->store.stats.groups;
    if (was_open) {
        check(rig->group_count < RIG_GROUPS_MAX);
        struct rig_group *group = &rig->groups[rig->group_count];
        group->last_seq = rig->store.head_seq;
        expect_chain(rig, group->chain);
        rig->group += 1;
        rig->group_count += 1;
    }
    enum status status = store_commit(&rig->store);
    if (was_open && rig->store.stats.groups == groups && !rig->flash.is_off) {
        rig->group -= 1;
        rig->group_count -= 1;
    } else if (was_open && !rig->flash.is_off &&
               memcmp(rig->store.head_chain, rig->groups[rig->group_count - 1].chain,
                      STORE_CHAIN_BYTES) != 0) {
        store_rig_wrong(rig, "the chain hash of a commit is wrong");
    }
    if (rig->store.durable_seq > rig->durable_seq && !rig->flash.is_off) {
        store_rig_wrong(rig, "a commit is durable before its sync has ended");
    }
    return status;
}

/* The owner knows of its gap from a record, not from the store: again after each mount. */
static void recall_gap(struct rig *rig) {
    if (rig->gap.seq > 0) {
        store_give_up(&rig->store, rig->gap.seq);
    }
}

/* Everything pending up to `seq` has become durable. */
static void settle_model(struct rig *rig, uint64_t seq) {
    if (rig->gap_seq != 0 && rig->gap_seq <= seq) {
        rig->gap = rig->pending_gap;
    }
    rig->gap_seq = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rig->pending_count; i++) {
        const struct rig_pending *record = &rig->pending[i];
        if (record->seq <= seq) {
            rig->newest[record->object] = record->number;
            rig->seqs[record->object] = record->seq;
            rig->is_released[record->object] = record->was_released;
        } else {
            rig->pending[kept] = *record;
            kept += 1;
        }
    }
    rig->pending_count = kept;
    rig->durable_seq = seq;
}

enum status rig_poll(struct rig *rig) {
    enum status status = store_poll(&rig->store);
    if (status == STATUS_OK && rig->store.durable_seq != rig->durable_seq) {
        if (rig->group_count != 1 || rig->groups[0].last_seq != rig->store.durable_seq) {
            store_rig_wrong(rig, "a sync made durable what was not committed");
        }
        memcpy(rig->durable_chain, rig->groups[0].chain, STORE_CHAIN_BYTES);
        rig->group_count = 0;
        settle_model(rig, rig->store.durable_seq);
        recall_gap(rig);
    }
    return status;
}

void rig_acknowledge(struct rig *rig, bool all) {
    if (all || rig_roll(rig, 2) == 0) {
        store_acknowledge(&rig->store, rig->durable_seq, rig->durable_chain);
        rig->acked_seq = rig->durable_seq;
    }
}

/* A bad block may have been the last spare: then the store refuses, and all can still be read. */
static bool is_out_of_spares(const struct rig *rig, enum status status) {
    bool has_bad = false;
    for (size_t i = 0; i < SIM_FLASH_BAD_MAX; i++) {
        has_bad = has_bad || rig->flash.block_fault[i] != SIM_FLASH_GOOD;
    }
    return has_bad && status == STATUS_FULL;
}

void store_rig_settle(struct rig *rig) {
    enum status status = STATUS_OK;
    uint32_t turns = 0;
    while ((rig->store.open_records > 0 || rig->store.is_syncing) && !rig->store.has_failed) {
        if (rig->store.is_syncing) {
            (void)!rig_poll(rig);
        } else {
            status = store_rig_commit(rig);
        }
        if (status == STATUS_FULL) {
            rig_acknowledge(rig, true);
        }
        turns += 1;
        if (turns > 10000) {
            rig->has_no_spare = is_out_of_spares(rig, status);
            if (!rig->has_no_spare) {
                store_rig_wrong(rig, "a commit never ends");
            }
            return;
        }
    }
}

/* What store_carry() has appended is as any other record that is not durable yet. */
static void note_carried(struct rig *rig, uint64_t head) {
    for (uint64_t seq = head + 1; seq <= rig->store.head_seq; seq++) {
        for (uint32_t object = 0; object < RIG_OBJECTS; object++) {
            if (store_slot(&rig->store, rig_key(object))->seq == seq) {
                check(rig->pending_count < RIG_PENDING_MAX);
                rig->pending[rig->pending_count] =
                    (struct rig_pending){seq, object, rig->newest[object], rig->group + 1, false};
                rig->pending_count += 1;
            }
        }
    }
}

void rig_give_up(struct rig *rig) {
    struct store *store = &rig->store;
    struct store_end end = {.seq = store_log_seq(store)};
    struct store_cursor cursor = {0};
    enum status status = STATUS_OK;
    store_rig_settle(rig);
    while (end.bytes < rig->geometry.frame_bytes / 2 && status == STATUS_OK) {
        status = store_pass_group(store, &cursor, &end);
    }
    uint64_t first = store_log_seq(store) + 1;
    do {
        uint64_t head = store->head_seq;
        status = store_carry(store, first, &end, rig->geometry.body_max + STORE_OPEN_BYTES);
        note_carried(rig, head);
        if (status == STATUS_FULL) {
            store_rig_settle(rig);
        }
    } while (status == STATUS_FULL && !rig->flash.is_off && !rig->has_no_spare);
    uint64_t head = store->head_seq;
    rig_append(rig, 0);
    if (status == STATUS_OK && store->head_seq > head && end.seq >= first) {
        rig->pending_gap = end;
        rig->gap_seq = store->head_seq;
    }
    store_rig_settle(rig);
}

void store_rig_step(struct rig *rig) {
    switch (rig_roll(rig, 16)) {
    case 0:
        rig_acknowledge(rig, false);
        break;
    case 1:
        if (store_clean(&rig->store) != STATUS_OK && !rig->flash.is_off) {
            store_rig_wrong(rig, "cleaning failed");
        }
        break;
    case 2:
    case 3:
    case 4:
    case 5: {
        enum status status = store_rig_commit(rig);
        if (status == STATUS_FULL) {
            rig_acknowledge(rig, true);
        } else if (status != STATUS_OK && status != STATUS_AGAIN && !rig->flash.is_off) {
            store_rig_wrong(rig, "a commit failed");
        }
        break;
    }
    case 6:
        if (rig_roll(rig, 8) == 0) {
            rig_release(rig, 1 + rig_roll(rig, RIG_OBJECTS - 1));
        }
        break;
    case 7:
    case 8:
    case 9:
    case 10:
        (void)!rig_poll(rig);
        break;
    default:
        rig_append(rig, rig_roll(rig, RIG_OBJECTS));
    }
}

/* ---- starting ---- */

static void lend_memory(struct rig *rig) {
    rig->memory = (struct store_memory){
        .slots = rig->slots,
        .slot_counts = {[0] = 1, [3] = RIG_OBJECTS - 1},
        .blocks = rig->blocks,
        .order = rig->order,
        .group_buffer = rig->group_buffer,
        .copy_buffer = rig->copy_buffer,
        .group_bytes = rig->geometry.group_bytes,
        .frame_bytes = rig->geometry.frame_bytes,
        .older = &store_format_1,
    };
    store_init(&rig->store, &rig->flash.base, &rig->memory);
}

static void sync_flash(struct rig *rig) {
    if (!rig->flash.is_off && !rig->flash.is_syncing &&
        hal_flash_sync_start(&rig->flash.base) != STATUS_OK) {
        return;
    }
    while (hal_flash_sync_poll(&rig->flash.base) == STATUS_AGAIN) {
    }
}

static void lend_flash(struct rig *rig) {
    const struct rig_geometry *geometry = &rig->geometry;
    struct hal_flash base = {
        .block_bytes = geometry->block_bytes,
        .block_count = geometry->block_count,
        .program_bytes = geometry->program_bytes,
    };
    sim_flash_init(&rig->flash, base, rig->cells, rig->written,
                   geometry->is_file ? rig->cache : NULL);
}

void store_rig_fork(struct rig *fork, const struct rig *from) {
    size_t bytes = (size_t)from->geometry.block_bytes * from->geometry.block_count;
    memcpy(fork, from, offsetof(struct rig, slots));
    memcpy(fork->cells, from->cells, bytes);
    memcpy(fork->written, from->written, bytes / from->geometry.program_bytes);
    if (from->geometry.is_file) {
        memcpy(fork->cache, from->cache, bytes);
    }
    fork->flash.cells = fork->cells;
    fork->flash.written = fork->written;
    fork->flash.cache = from->geometry.is_file ? fork->cache : NULL;
    fork->flash.before = NULL;
    lend_memory(fork);
}

void store_rig_start(struct rig *rig, const struct rig_geometry *geometry, uint32_t seed) {
    memset(rig, 0, offsetof(struct rig, slots));
    rig->geometry = *geometry;
    rig->dice = seed * 0x9e3779b97f4a7c15ULL + 99;
    lend_flash(rig);
    lend_memory(rig);
    if (store_format(&rig->store, rig_id, 7) != STATUS_OK) {
        store_rig_wrong(rig, "formatting failed");
    }
    sync_flash(rig);
    if (store_mount(&rig->store) != STATUS_OK) {
        store_rig_wrong(rig, "the first mount failed");
    }
}

/* ---- comparing ---- */

static void verify_object(struct rig *rig, uint32_t object) {
    uint8_t buffer[RIG_BODY_MAX + STORE_RECORD_BYTES];
    struct store_record record;
    enum status status = store_read(&rig->store, rig_key(object), buffer, sizeof buffer, &record);
    uint32_t number = rig->newest[object];
    for (uint32_t i = 0; i < rig->pending_count; i++) {
        number = rig->pending[i].object == object ? rig->pending[i].number : number;
    }
    if (rig->store.has_failed && rig->flash.weak_count > 0) {
        return; /* and another start follows */
    }
    if (rig->rotten != 0 && object == rig->rotten && status == STATUS_CORRUPT) {
        return;
    }
    if (rig->is_released[object]) {
        if (status == STATUS_OK && !is_body(rig, record.body, object)) {
            store_rig_wrong(rig, "a released object reads as something that was never written");
        }
    } else if (number == 0) {
        if (status != STATUS_NOT_FOUND) {
            store_rig_wrong(rig, "an object was invented");
        }
    } else if (status != STATUS_OK) {
        store_rig_wrong(rig, status == STATUS_NOT_FOUND ? "an object is lost"
                                                        : "an object is unreadable");
    } else if (!is_body(rig, record.body, object)) {
        store_rig_wrong(rig, "an object reads as something that was never written");
    } else if (number_in(record.body) != number) {
        store_rig_wrong(rig, number_in(record.body) < number ? "an object is older than it was"
                                                             : "an object is newer than it may be");
    }
}

/* Hashes a group's bodies behind the chain before it. */
static void verify_group(struct rig *rig, const struct store_group *group, uint64_t seq,
                         uint8_t chain[STORE_CHAIN_BYTES], bool is_known) {
    struct sha256 hash;
    struct bytes records = group->records;
    struct bytes body;
    uint32_t count = 0;
    sha256_init(&hash);
    sha256_add(&hash, (struct bytes){chain, STORE_CHAIN_BYTES});
    while (store_group_next(&records, &body)) {
        sha256_add(&hash, body);
        count += 1;
        if (!is_body(rig, body, body.size > 4 ? body.data[4] : 0)) {
            store_rig_wrong(rig, "the log holds something that was never written");
        }
    }
    uint8_t digest[SHA256_BYTES];
    sha256_end(&hash, digest);
    if (is_known && group->first_seq != seq + 1) {
        store_rig_wrong(rig, "the log has a gap");
    }
    if (count != group->record_count) {
        store_rig_wrong(rig, "a group miscounts its records");
    }
    if (is_known && memcmp(digest, group->chain, STORE_CHAIN_BYTES) != 0) {
        store_rig_wrong(rig, "the chain of hashes is broken");
    }
    memcpy(chain, group->chain, STORE_CHAIN_BYTES);
}

/* Reads the log behind what is acknowledged, as the link to upstream does. */
static void verify_log(struct rig *rig) {
    static uint8_t buffer[RIG_GROUP_MAX];
    uint8_t chain[STORE_CHAIN_BYTES] = {0};
    bool has_gap = store_log_seq(&rig->store) > rig->store.acked_seq;
    struct store_cursor cursor = {.seq = store_log_seq(&rig->store)};
    struct store_group group;
    enum status status;
    memcpy(chain, has_gap ? rig->gap.chain : rig->store.acked_chain, STORE_CHAIN_BYTES);
    while ((status = store_next_group(&rig->store, &cursor, buffer, sizeof buffer, &group)) ==
           STATUS_OK) {
        uint64_t before = group.first_seq - 1;
        verify_group(rig, &group, before, chain, true);
        if (cursor.seq != before + group.record_count) {
            store_rig_wrong(rig, "the cursor is not at the group's end");
        }
    }
    if (status != STATUS_AGAIN || cursor.seq != rig->store.durable_seq) {
        store_rig_wrong(rig, "the log ends too early");
    }
    bool is_head = rig->store.committed_seq == rig->store.durable_seq;
    if (is_head && memcmp(chain, rig->store.head_chain, STORE_CHAIN_BYTES) != 0) {
        store_rig_wrong(rig, "the chain does not end at the head");
    }
}

void rig_verify(struct rig *rig) {
    for (uint32_t object = 0; object < RIG_OBJECTS; object++) {
        verify_object(rig, object);
    }
    verify_log(rig);
    if (rig->flash.violations > 0) {
        store_rig_wrong(rig, "flash was programmed without an erase");
    }
}

/* Of the groups that were on their way, one is the last that is there. */
static void follow_head(struct rig *rig, uint64_t head) {
    const uint8_t *chain = rig->durable_chain;
    bool is_end = head == rig->durable_seq;
    for (uint32_t i = 0; i < rig->group_count; i++) {
        if (rig->groups[i].last_seq == head) {
            is_end = true;
            chain = rig->groups[i].chain;
        }
    }
    if (head < rig->durable_seq) {
        store_rig_wrong(rig, "durable records are lost");
    } else if (!is_end) {
        store_rig_wrong(rig, "the log does not end at a group's end");
    } else if (memcmp(chain, rig->store.head_chain, STORE_CHAIN_BYTES) != 0) {
        store_rig_wrong(rig, "the log ends with a chain hash that was never made");
    }
    memcpy(rig->durable_chain, rig->store.head_chain, STORE_CHAIN_BYTES);
    settle_model(rig, head);
    recall_gap(rig);
    rig->pending_count = 0;
    rig->group_count = 0;
}

void store_rig_restart(struct rig *rig) {
    sim_flash_power_on(&rig->flash);
    enum status status = store_mount(&rig->store);
    if (status != STATUS_OK) {
        store_rig_wrong(rig, "the store does not mount");
        return;
    }
    const struct store_stats *stats = &rig->store.stats;
    rig->torn += stats->torn_frames;
    if (rig->rotten == 0 && stats->rotten_frames + stats->lost_blocks + stats->lost_sequences > 0) {
        store_rig_wrong(rig, "a power loss is reported as rot");
    }
    if (rig->store.suspect_seq > 0) {
        store_rig_wrong(rig, "a power loss makes objects suspect");
    }
    follow_head(rig, rig->store.head_seq);
    if (rig->store.acked_seq > rig->acked_seq) {
        store_rig_wrong(rig, "more is acknowledged than was");
    }
    rig->acked_seq = rig->store.acked_seq;
    rig_verify(rig);
}

bool store_rig_mount_again(struct rig *rig) {
    bool is_good = store_mount(&rig->store) == STATUS_OK;
    recall_gap(rig);
    return is_good;
}

enum { WEAK_MOUNTS = 3, WEAK_BOOTS = 6, WEAK_LOOKS = 3 };

static bool is_pending(const struct rig *rig, uint32_t object) {
    for (uint32_t i = 0; i < rig->pending_count; i++) {
        if (rig->pending[i].object == object) {
            return true;
        }
    }
    return false;
}

/* One start with weak cells, and one commit. False: it has failed, and another start follows. */
static bool start_weak(struct rig *rig) {
    sim_flash_power_on(&rig->flash);
    enum status status = STATUS_CORRUPT;
    for (uint32_t i = 0; i < WEAK_MOUNTS && status != STATUS_OK; i++) {
        status = store_mount(&rig->store);
    }
    if (status != STATUS_OK) {
        store_rig_wrong(rig, "the store does not mount with weak cells");
        return true;
    }
    for (uint32_t object = 0; object < RIG_OBJECTS; object++) {
        if (!is_pending(rig, object)) {
            verify_object(rig, object);
        }
    }
    follow_head(rig, rig->store.head_seq);
    rig->acked_seq = rig->store.acked_seq;
    rig_append(rig, 4);
    store_rig_settle(rig);
    return !rig->store.has_failed;
}

void store_rig_restart_weak(struct rig *rig) {
    enum { BEGIN = offsetof(struct rig, number), SIZE = offsetof(struct rig, what) - BEGIN };
    static uint8_t model[SIZE];
    bool is_done = false;
    memcpy(model, (const uint8_t *)rig + BEGIN, SIZE);
    for (uint32_t boot = 0; boot < WEAK_BOOTS && !is_done; boot++) {
        memcpy((uint8_t *)rig + BEGIN, model, SIZE);
        is_done = start_weak(rig);
    }
    if (!is_done) {
        store_rig_wrong(rig, "weak cells stop the store for good");
    }
    for (uint32_t look = 0; look < WEAK_LOOKS && rig->what == NULL; look++) {
        rig_remount(rig);
    }
}

void rig_remount(struct rig *rig) {
    sync_flash(rig);
    store_rig_restart(rig);
}

/* FNV-1a. */
static uint64_t add_to_digest(uint64_t digest, const void *data, size_t size) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        digest = (digest ^ bytes[i]) * 0x100000001b3ULL;
    }
    return digest;
}

uint64_t store_rig_digest(const struct rig *rig) {
    const struct store *store = &rig->store;
    uint64_t digest = 0xcbf29ce484222325ULL;
    uint64_t numbers[] = {store->head_seq,       store->durable_seq, store->acked_seq,
                          store->block_sequence, store->free_count,  store->live_bytes};
    digest = add_to_digest(digest, rig->slots, sizeof rig->slots);
    digest = add_to_digest(digest, numbers, sizeof numbers);
    digest = add_to_digest(digest, store->head_chain, STORE_CHAIN_BYTES);
    return add_to_digest(digest, store->acked_chain, STORE_CHAIN_BYTES);
}
