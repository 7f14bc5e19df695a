#include "tests/firmware/store_cuts.h"

#include <stdio.h>
#include <string.h>

/* ---- which cuts ---- */

/* In byte mode a page is appended to: damage before the write position is not survived there. */
static bool makes_sense(const struct store_cuts *cuts, uint8_t model) {
    return model != SIM_FLASH_DISTURB || cuts->geometry->program_bytes > 1;
}

static bool is_length(uint8_t model) {
    return model == SIM_FLASH_PREFIX || model == SIM_FLASH_SUFFIX;
}

/* How often a model is tried at one operation. */
static uint32_t seed_count(const struct store_cuts *cuts, const struct store_cuts_world *world,
                           const struct sim_flash_operation *operation, uint8_t model) {
    bool is_file = cuts->geometry->is_file;
    if (model <= SIM_FLASH_WHOLE || (operation->kind == SIM_FLASH_SYNC && !is_file)) {
        return model <= SIM_FLASH_WHOLE;
    }
    if (cuts->plan == STORE_CUTS_EVERY_BYTE && is_length(model)) {
        return operation->size + 1;
    }
    if (cuts->plan == STORE_CUTS_PAIRS) {
        return world->level == 0 ? 2 : 1;
    }
    return cuts->plan == STORE_CUTS_EVERY_BYTE ? 8 : 4;
}

static uint32_t seed_of(const struct store_cuts *cuts, const struct store_cuts_world *world,
                        const struct sim_flash_operation *operation, uint8_t model, uint32_t i) {
    if (!is_length(model) || cuts->geometry->is_file) {
        return i * 7919 + world->operation * 31 + model;
    }
    if (cuts->plan == STORE_CUTS_EVERY_BYTE) {
        return i;
    }
    return 1 + (i * operation->size + world->operation * 13) / 4 % operation->size;
}

static uint32_t mix(uint32_t a, uint32_t b) {
    uint64_t mixed = (a + 0x9e3779b9ULL) * 0xbf58476d1ce4e5b9ULL + b;
    mixed = (mixed ^ mixed >> 30) * 0x94d049bb133111ebULL;
    return (uint32_t)(mixed >> 32);
}

/* ---- one cut ---- */

static void report(struct store_cuts *cuts, const struct store_cuts_world *world,
                   uint32_t level_count) {
    char text[STORE_CUTS_LEVELS - 1][SIM_FLASH_CUT_TEXT] = {"", ""};
    if (world->rig.what == NULL || cuts->failure[0] != '\0') {
        return;
    }
    for (uint32_t i = 0; i < level_count && i < STORE_CUTS_LEVELS - 1; i++) {
        sim_flash_cut_text(&cuts->path[i], text[i]);
    }
    snprintf(cuts->failure, sizeof cuts->failure, "%s: %s/%s%s%s%s%s", world->rig.what,
             cuts->workload, cuts->geometry->name, level_count > 0 ? "/" : "", text[0],
             level_count > 1 ? "/" : "", text[1]);
}

/* What is on the device and what the model knows: equal states have equal futures. */
static uint64_t state_of(const struct rig *rig, uint64_t salt) {
    uint64_t lanes[4] = {salt, rig->durable_seq, rig->acked_seq + (rig->gap.seq << 24),
                         rig->group_count ^ (uint64_t)rig->flash.weak_count << 32};
    size_t bytes = (size_t)rig->geometry.block_bytes * rig->geometry.block_count;
    for (size_t at = 0; at < bytes; at += sizeof lanes) {
        uint64_t words[4];
        memcpy(words, rig->cells + at, sizeof words);
        for (size_t i = 0; i < 4; i++) {
            lanes[i] = (lanes[i] ^ words[i]) * 0x9e3779b97f4a7c15ULL;
            lanes[i] ^= lanes[i] >> 29;
        }
    }
    for (uint32_t i = 0; i < rig->flash.weak_count; i++) {
        lanes[i % 4] ^= rig->flash.weak[i].offset * 0x94d049bb133111ebULL + rig->flash.weak[i].mask;
    }
    for (size_t i = 0; i < SIM_FLASH_BAD_MAX; i++) {
        lanes[i % 4] ^=
            (rig->flash.block_fault[i] * 64u + rig->flash.bad_block[i]) * 0x2545f4914fULL;
    }
    uint64_t state = rig->flash.base.verify;
    for (size_t i = 0; i < 4; i++) {
        state = (state ^ lanes[i]) * 0xbf58476d1ce4e5b9ULL;
        state ^= state >> 31;
    }
    return state;
}

/* A start, twice: no write, and the same tables. */
static void start_twice(struct rig *rig) {
    store_rig_restart(rig);
    uint64_t digest = store_rig_digest(rig);
    uint32_t torn = rig->store.stats.torn_frames;
    if (rig->what == NULL && !store_rig_mount_again(rig)) {
        store_rig_wrong(rig, "the store mounts once, but not twice");
    }
    if (digest != store_rig_digest(rig) || torn != rig->store.stats.torn_frames) {
        store_rig_wrong(rig, "two mounts of the same bytes differ");
    }
    if (rig->flash.operations > 0) {
        store_rig_wrong(rig, "a mount has written");
    }
}

static void show(void *owner, const struct sim_flash_operation *operation);

static void watch(struct store_cuts *cuts, struct store_cuts_world *world, uint32_t level) {
    world->cuts = cuts;
    world->level = level;
    world->operation = 0;
    world->rig.flash.before = show;
    world->rig.flash.before_owner = world;
}

/* True: the state was new. */
static bool cut_here(struct store_cuts *cuts, struct store_cuts_world *world,
                     const struct sim_flash_operation *operation, const struct sim_flash_cut *cut,
                     bool again) {
    struct store_cuts_world *fork = &cuts->worlds[world->level + 1];
    struct rig *rig = &fork->rig;
    cuts->path[world->level] = *cut;
    store_rig_fork(rig, &world->rig);
    sim_flash_lose_power(&rig->flash, operation, cut);
    cuts->done += 1;
    if (cuts->plan != STORE_CUTS_ONE &&
        !cuts->is_new(cuts->owner, state_of(rig, world->level * 2u + again))) {
        return false;
    }
    cuts->distinct += 1;
    cuts->twice += world->level > 0;
    rig->torn = 0;
    if (rig->flash.weak_count > 0) {
        store_rig_restart_weak(rig);
    } else {
        start_twice(rig);
    }
    cuts->torn += rig->torn;
    if (rig->what == NULL) {
        if (again && world->level + 2 < STORE_CUTS_LEVELS) {
            watch(cuts, fork, world->level + 1);
        }
        store_workload_go_on(rig);
        rig->flash.before = NULL;
        rig_remount(rig);
        cuts->refused += rig->has_no_spare;
    }
    report(cuts, fork, world->level + 1);
    return true;
}

/* ---- all cuts at one operation ---- */

static void cut_in_each_way(struct store_cuts *cuts, struct store_cuts_world *world,
                            const struct sim_flash_operation *operation) {
    for (uint8_t model = 0; model < SIM_FLASH_MODEL_COUNT; model++) {
        uint32_t count = makes_sense(cuts, model) ? seed_count(cuts, world, operation, model) : 0;
        for (uint32_t i = 0; i < count && cuts->failure[0] == '\0'; i++) {
            struct sim_flash_cut cut = {world->operation, model,
                                        seed_of(cuts, world, operation, model, i)};
            (void)cut_here(cuts, world, operation, &cut, cuts->plan == STORE_CUTS_PAIRS);
        }
    }
}

static void cut_at_random(struct store_cuts *cuts, struct store_cuts_world *world,
                          const struct sim_flash_operation *operation) {
    uint32_t dice = mix(world->operation, cuts->path[0].seed * world->level + cuts->cuts_each);
    uint32_t count = world->level == 0 ? cuts->cuts_each : dice % 4 == 0;
    bool tears = operation->kind != SIM_FLASH_SYNC || cuts->geometry->is_file;
    for (uint32_t i = 0; i < count && cuts->failure[0] == '\0'; i++) {
        uint32_t roll = mix(dice, i);
        uint8_t model = (uint8_t)(tears ? roll % SIM_FLASH_MODEL_COUNT : SIM_FLASH_NOTHING);
        struct sim_flash_cut cut = {world->operation, model, roll >> 8};
        if (makes_sense(cuts, model)) {
            (void)cut_here(cuts, world, operation, &cut, roll % 8 == 0);
        }
        count = tears ? count : 1;
    }
}

static void cut_as_told(struct store_cuts *cuts, struct store_cuts_world *world,
                        const struct sim_flash_operation *operation) {
    const struct sim_flash_cut *cut = &cuts->wanted[world->level];
    if (world->operation == cut->operation) {
        bool again = world->level == 0 && cuts->wanted[1].operation > 0;
        (void)cut_here(cuts, world, operation, cut, again);
    }
}

static void show(void *owner, const struct sim_flash_operation *operation) {
    struct store_cuts_world *world = owner;
    struct store_cuts *cuts = world->cuts;
    world->operation += 1;
    if (cuts->failure[0] != '\0') {
        return;
    }
    if (cuts->plan == STORE_CUTS_ONE) {
        cut_as_told(cuts, world, operation);
    } else if (cuts->plan == STORE_CUTS_RANDOM) {
        cut_at_random(cuts, world, operation);
    } else {
        cut_in_each_way(cuts, world, operation);
    }
}

/* ---- workloads ---- */

static struct rig *begin(struct store_cuts *cuts, const char *workload,
                         const struct rig_geometry *geometry, uint32_t seed) {
    struct rig *rig = &cuts->worlds[0].rig;
    snprintf(cuts->workload, sizeof cuts->workload, "%s", workload);
    cuts->geometry = geometry;
    store_rig_start(rig, geometry, seed);
    return rig;
}

void store_cuts_run(struct store_cuts *cuts, const struct store_workload *workload,
                    const struct rig_geometry *geometry) {
    struct rig *rig = begin(cuts, workload->name, geometry, 1);
    workload->prepare(rig);
    report(cuts, &cuts->worlds[0], 0);
    watch(cuts, &cuts->worlds[0], 0);
    workload->run(rig);
    store_rig_settle(rig);
    rig_verify(rig);
    rig->flash.before = NULL;
    cuts->operations = cuts->worlds[0].operation;
    report(cuts, &cuts->worlds[0], 0);
}

/* Some lives have a block that fails from the beginning. */
static void choose_fault(struct rig *rig, uint32_t seed) {
    static const uint8_t faults[8] = {[1] = SIM_FLASH_FAILS_PROGRAM,
                                      [3] = SIM_FLASH_FAILS_ERASE,
                                      [5] = SIM_FLASH_LOSES_PROGRAM,
                                      [7] = SIM_FLASH_LOSES_ERASE};
    bool is_silent = faults[seed % 8] >= SIM_FLASH_LOSES_PROGRAM;
    if (is_silent && rig->geometry.is_file) {
        return;
    }
    rig->flash.block_fault[0] = faults[seed % 8];
    rig->flash.bad_block[0] = 1 + rig_roll(rig, rig->geometry.block_count - 1);
    rig->flash.base.verify = is_silent;
}

static bool is_over(const struct store_cuts *cuts) {
    bool is_past =
        cuts->plan == STORE_CUTS_ONE && cuts->worlds[0].operation >= cuts->wanted[0].operation;
    return is_past || cuts->worlds[0].rig.has_no_spare || cuts->failure[0] != '\0';
}

void store_cuts_live(struct store_cuts *cuts, uint32_t seed, const struct rig_geometry *geometry,
                     uint32_t losses) {
    char name[24];
    struct store_cuts_world *world = &cuts->worlds[0];
    snprintf(name, sizeof name, "life-%u", (unsigned)seed);
    struct rig *rig = begin(cuts, name, geometry, seed);
    choose_fault(rig, seed);
    watch(cuts, world, 0);
    for (uint32_t i = 0; i < losses && !is_over(cuts); i++) {
        uint8_t model = (uint8_t)rig_roll(rig, SIM_FLASH_METASTABLE);
        model = makes_sense(cuts, model) ? model : SIM_FLASH_RANDOM;
        rig->flash.sync_polls = rig_roll(rig, 3);
        rig->flash.operations = 0;
        rig->flash.cut = (struct sim_flash_cut){1 + rig_roll(rig, 40), model, rig_roll(rig, 9999)};
        struct sim_flash_cut cut = rig->flash.cut;
        for (uint32_t steps = 0; !rig->flash.is_off && steps < 200; steps++) {
            store_rig_step(rig);
        }
        if (!rig->flash.is_off) {
            sim_flash_power_off(&rig->flash, cut.seed);
        }
        store_rig_restart(rig);
        cut.operation = world->operation;
        cuts->path[0] = cut;
        report(cuts, world, 1);
    }
    cuts->operations = world->operation;
}

/* ---- ids ---- */

static const struct store_workload *find_workload(const char *name) {
    for (uint32_t i = 0; i < store_workload_count; i++) {
        if (strcmp(store_workloads[i].name, name) == 0) {
            return &store_workloads[i];
        }
    }
    return NULL;
}

static const struct rig_geometry *find_geometry(const char *name) {
    for (uint32_t i = 0; i < RIG_DEVICES; i++) {
        if (strcmp(rig_tiny_geometries[i].name, name) == 0) {
            return &rig_tiny_geometries[i];
        }
    }
    return NULL;
}

bool store_cuts_replay(struct store_cuts *cuts, const char *id) {
    char workload[24];
    char device[16];
    char text[2][SIM_FLASH_CUT_TEXT] = {"", ""};
    unsigned seed;
    int count = sscanf(id, "%23[^/]/%15[^/]/%31[^/]/%31[^/]", workload, device, text[0], text[1]);
    const struct rig_geometry *geometry = count >= 2 ? find_geometry(device) : NULL;
    bool is_life = count >= 2 && sscanf(workload, "life-%u", &seed) == 1;
    const struct store_workload *found = count >= 2 && !is_life ? find_workload(workload) : NULL;
    memset(cuts->wanted, 0, sizeof cuts->wanted);
    for (int i = 0; i < 2 && i < count - 2; i++) {
        if (!sim_flash_cut_parse(text[i], &cuts->wanted[i])) {
            return false;
        }
    }
    if (geometry == NULL || (!is_life && found == NULL)) {
        return false;
    }
    cuts->plan = STORE_CUTS_ONE;
    if (is_life) {
        store_cuts_live(cuts, seed, geometry, UINT32_MAX);
    } else {
        store_cuts_run(cuts, found, geometry);
    }
    return true;
}
