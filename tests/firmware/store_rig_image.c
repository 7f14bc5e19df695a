#include "tests/firmware/store_rig_image.h"

#include <stdio.h>
#include <string.h>

static const struct rig_geometry *geometry_of(const char *name) {
    for (uint32_t i = 0; i < RIG_DEVICES; i++) {
        if (strcmp(rig_geometries[i].name, name) == 0 && !rig_geometries[i].is_file) {
            return &rig_geometries[i];
        }
    }
    return NULL;
}

bool store_rig_has_image(const char *name) {
    return geometry_of(name) != NULL;
}

static FILE *open_data(const char *name, const char *suffix) {
    char path[64];
    snprintf(path, sizeof path, "tests/data/store_format_1_%s.%s", name, suffix);
    FILE *file = fopen(path, "rb");
    check(file != NULL);
    return file;
}

/* What each object must hold, as the writer has listed it. */
static void read_list(struct rig *rig, const char *name) {
    char line[128];
    FILE *file = open_data(name, "txt");
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned object = 0;
        unsigned number = 0;
        unsigned long long seq = 0;
        if (line[0] == '#' || sscanf(line, "%u %u %llu", &object, &number, &seq) != 3) {
            continue;
        }
        check(object < RIG_OBJECTS);
        rig->newest[object] = number;
        rig->seqs[object] = seq;
        rig->number = number > rig->number ? number : rig->number;
    }
    fclose(file);
}

static void read_cells(struct rig *rig, const char *name) {
    size_t bytes = (size_t)rig->geometry.block_bytes * rig->geometry.block_count;
    FILE *file = open_data(name, "img");
    check(fread(rig->cells, 1, bytes, file) == bytes);
    fclose(file);
    sim_flash_adopt(&rig->flash);
}

void store_rig_load_image(struct rig *rig, const char *name) {
    store_rig_start(rig, geometry_of(name), 1);
    read_cells(rig, name);
    read_list(rig, name);
    if (store_mount(&rig->store) != STATUS_OK || rig->store.suspect_seq != 0 ||
        rig->store.stats.rotten_frames + rig->store.stats.lost_blocks != 0) {
        store_rig_wrong(rig, "a store of the first format does not mount");
        return;
    }
    rig->durable_seq = rig->store.head_seq;
    rig->acked_seq = rig->store.acked_seq;
    memcpy(rig->durable_chain, rig->store.head_chain, STORE_CHAIN_BYTES);
    rig_verify(rig);
}
