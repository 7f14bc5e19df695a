#include "host/hubctl/store_stats.h"

#include "host/hubctl/command.h"
#include "host/hubctl/record_text.h"

#include <inttypes.h>
#include <stdio.h>

enum { ROWS_MAX = 40, BARS = 10, BAR_CHARACTERS = 50, NAME_BYTES = 32, NUMBER_BYTES = 24 };

/* ---- numbers ---- */

struct wear {
    uint32_t used, least, most;
    uint64_t erases;
    uint64_t programmed_bytes; /* every use of a block but its last one filled it */
};

static struct wear find_wear(const struct store *store) {
    struct wear wear = {.least = UINT32_MAX};
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        const struct store_block *block = &store->memory.blocks[b];
        bool is_used = block->state == STORE_BLOCK_USED;
        uint64_t full =
            is_used && block->erase_count > 0 ? block->erase_count - 1u : block->erase_count;
        wear.used += is_used;
        wear.least = block->erase_count < wear.least ? block->erase_count : wear.least;
        wear.most = block->erase_count > wear.most ? block->erase_count : wear.most;
        wear.erases += block->erase_count;
        wear.programmed_bytes +=
            full * store->flash->block_bytes + (is_used ? block->used_bytes : 0);
    }
    return wear;
}

static uint64_t count_objects(const struct store *store, uint8_t kind) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < store->memory.slot_counts[kind]; i++) {
        count += store_slot(store, (struct store_key){kind, i})->seq != 0;
    }
    return count;
}

static uint64_t share(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0 : (100 * part + whole / 2) / whole;
}

struct row {
    char name[NAME_BYTES];
    uint64_t value;
};

struct rows {
    uint32_t count;
    struct row row[ROWS_MAX];
};

static void add(struct rows *rows, const char *prefix, const char *name, uint64_t value) {
    struct row *row = &rows->row[rows->count];
    check(rows->count < ROWS_MAX);
    snprintf(row->name, sizeof row->name, "%s%s", prefix, name);
    row->value = value;
    rows->count += 1;
}

static void add_space(struct rows *rows, const struct store *store, uint64_t objects) {
    struct wear wear = find_wear(store);
    uint64_t total = (uint64_t)store->flash->block_bytes * store->flash->block_count;
    uint64_t mean = objects == 0 ? 0 : store->live_bytes / objects;
    add(rows, "", "blocks", store->flash->block_count);
    add(rows, "", "blocks_used", wear.used);
    add(rows, "", "blocks_free", store->free_count);
    add(rows, "", "blocks_bad", store->stats.bad_blocks);
    add(rows, "", "blocks_spare", store_spare_blocks(store, 0));
    add(rows, "", "total_bytes", total);
    add(rows, "", "live_bytes", store->live_bytes);
    add(rows, "", "live_percent", share(store->live_bytes, total));
    add(rows, "", "erases", wear.erases);
    add(rows, "", "erases_least", wear.least);
    add(rows, "", "erases_most", wear.most);
    add(rows, "", "bytes_programmed", wear.programmed_bytes);
    add(rows, "", "amplification_percent", share(wear.programmed_bytes, mean * store->head_seq));
}

/* A gap is shown until upstream's cursor is behind it. */
static void add_gap(struct rows *rows, const struct store_file *file) {
    const struct record_gap *gap = &file->gap;
    uint64_t dropped = 0;
    if (gap->first == 0 || gap->last <= file->store.acked_seq) {
        return;
    }
    for (size_t kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        dropped += gap->dropped[kind];
    }
    add(rows, "", "gap_first_seq", gap->first);
    add(rows, "", "gap_last_seq", gap->last);
    add(rows, "", "gap_dropped_records", dropped);
}

static void collect(struct rows *rows, const struct store_file *file) {
    const struct store *store = &file->store;
    uint64_t objects = 0;
    rows->count = 0;
    for (unsigned kind = 0; kind < STORE_KINDS; kind++) {
        objects += count_objects(store, (uint8_t)kind);
    }
    add(rows, "", "epoch", store->epoch);
    add(rows, "", "block_bytes", store->flash->block_bytes);
    add_space(rows, store, objects);
    add(rows, "", "head_seq", store->head_seq);
    add(rows, "", "acknowledged_seq", store->acked_seq);
    add_gap(rows, file);
    add(rows, "", "suspect_seq", store->suspect_seq);
    add(rows, "", "torn_frames", store->stats.torn_frames);
    add(rows, "", "rotten_frames", store->stats.rotten_frames);
    add(rows, "", "lost_blocks", store->stats.lost_blocks);
    add(rows, "", "lost_sequences", store->stats.lost_sequences);
    for (unsigned kind = 0; kind < STORE_KINDS; kind++) {
        add(rows, "objects_", record_text_kind(kind), count_objects(store, (uint8_t)kind));
    }
}

static void write_id(const struct store *store, char text[2 * STORE_ID_BYTES + 1]) {
    for (size_t i = 0; i < STORE_ID_BYTES; i++) {
        snprintf(text + 2 * i, 3, "%02x", store->id[i]);
    }
}

/* ---- wear as bars ---- */

struct bars {
    uint32_t first; /* erases of the first bar */
    uint32_t step;  /* erases that one bar stands for */
    uint32_t count;
    uint32_t highest;
    uint32_t blocks[BARS];
};

static void collect_bars(struct bars *bars, const struct store *store) {
    struct wear wear = find_wear(store);
    *bars = (struct bars){
        .first = wear.least, .step = (wear.most - wear.least) / BARS + 1, .highest = 1};
    bars->count = (wear.most - wear.least) / bars->step + 1;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        uint32_t bar = (store->memory.blocks[b].erase_count - bars->first) / bars->step;
        bars->blocks[bar] += 1;
        bars->highest = bars->blocks[bar] > bars->highest ? bars->blocks[bar] : bars->highest;
    }
}

static void print_bars(const struct bars *bars) {
    printf("\nblocks by how often they were erased\n");
    for (uint32_t i = 0; i < bars->count; i++) {
        uint64_t from = bars->first + (uint64_t)i * bars->step;
        uint64_t wanted = (uint64_t)bars->blocks[i] * BAR_CHARACTERS;
        uint64_t length = (wanted + bars->highest - 1) / bars->highest;
        printf("%10" PRIu64, from);
        if (bars->step > 1) {
            printf(" to %-10" PRIu64, from + bars->step - 1);
        }
        printf(" |");
        for (uint64_t at = 0; at < length; at++) {
            putchar('#');
        }
        printf(" %" PRIu32 "\n", bars->blocks[i]);
    }
}

/* ---- output ---- */

void store_stats_write(const struct store_file *file, struct json_writer *writer) {
    const struct store *store = &file->store;
    char id[2 * STORE_ID_BYTES + 1];
    struct rows rows;
    struct bars bars;
    collect(&rows, file);
    collect_bars(&bars, store);
    write_id(store, id);
    json_write_begin_object(writer, NULL);
    json_write_string(writer, "store_id", id);
    for (uint32_t i = 0; i < rows.count; i++) {
        json_write_uint(writer, rows.row[i].name, rows.row[i].value);
    }
    json_write_begin_array(writer, "wear");
    for (uint32_t i = 0; i < bars.count; i++) {
        json_write_begin_object(writer, NULL);
        uint64_t from = bars.first + (uint64_t)i * bars.step;
        json_write_uint(writer, "erases_from", from);
        json_write_uint(writer, "erases_to", from + bars.step - 1);
        json_write_uint(writer, "blocks", bars.blocks[i]);
        json_write_end_object(writer);
    }
    json_write_end_array(writer);
    json_write_end_object(writer);
}

void store_stats_print(const struct store_file *file) {
    const struct store *store = &file->store;
    static const char *const heads[] = {"STORE", "VALUE"};
    char text[2 * STORE_ID_BYTES + 1];
    struct rows rows;
    struct bars bars;
    collect(&rows, file);
    collect_bars(&bars, store);
    table_begin(command_table(), heads, array_count(heads));
    write_id(store, text);
    table_add_text(command_table(), "store_id");
    table_add_text(command_table(), text);
    for (uint32_t i = 0; i < rows.count; i++) {
        char number[NUMBER_BYTES];
        snprintf(number, sizeof number, "%" PRIu64, rows.row[i].value);
        table_add_text(command_table(), rows.row[i].name);
        table_add_text(command_table(), number);
    }
    table_end(command_table());
    print_bars(&bars);
}
