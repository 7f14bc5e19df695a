#include "host/hubctl/store_commands.h"

#include "hal/linux/flash_file.h"
#include "hal/linux/random.h"
#include "host/hubctl/record_text.h"
#include "host/hubctl/store_check.h"
#include "host/hubctl/store_stats.h"
#include "host/hubctl/text.h"
#include "host/shared/config.h"
#include "host/shared/json_write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PROBLEMS_SHOWN = 100, JSON_BYTES = 1 << 16, EPOCH_MAX = (1 << 23) - 1, BLOCKS_MIN = 16 };

static struct { const char *board, *epoch, *size; } options;

static struct store_file file;

/* ---- what all begin with ---- */

static int find_board(const struct command_line *line, const struct board **board) {
    *board = NULL;
    if (options.board == NULL) {
        return COMMAND_DONE;
    }
    *board = board_named((struct bytes){(const uint8_t *)options.board, strlen(options.board)});
    if (*board != NULL) {
        return COMMAND_DONE;
    }
    char names[200] = "";
    size_t used = 0;
    for (size_t i = 0; board_list[i] != NULL && used < sizeof names; i++) {
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : "",
                                 board_list[i]->name);
    }
    return command_fail(line, COMMAND_USAGE, "--board: expected one of %s, got \"%s\"", names,
                        options.board);
}

static int open_any(const struct command_line *line) {
    const struct board *board = NULL;
    int code = find_board(line, &board);
    if (code == COMMAND_DONE && store_file_open(&file, line->operands[0], board) != STATUS_OK) {
        return command_fail(line, COMMAND_FAILED, "%s", file.reason);
    }
    return code;
}

static int open_store(const struct command_line *line) {
    int code = open_any(line);
    if (code == COMMAND_DONE && file.excess_bytes > 0) {
        store_file_close(&file);
        return command_fail(line, COMMAND_FAILED,
                            "%s: ends in a part of a block: was \"store grow\" cut short? Again",
                            line->operands[0]);
    }
    return code;
}

/* ---- check ---- */

struct report {
    const struct command_line *line;
    struct json_writer *writer;
    uint64_t told;
};

static void tell_problem(void *owner, const char *text) {
    struct report *report = owner;
    report->told += 1;
    if (report->told > PROBLEMS_SHOWN) {
        return;
    }
    if (report->line->is_json) {
        json_write_string(report->writer, NULL, text);
    } else {
        printf("%s\n", text);
    }
}

static void write_counts(struct json_writer *writer, const struct store_walked *walked) {
    json_write_uint(writer, "objects", walked->objects);
    json_write_uint(writer, "groups", walked->groups);
    json_write_uint(writer, "records", walked->records);
    json_write_uint(writer, "problem_count", walked->problems);
    json_write_uint(writer, "torn_frames", file.store.stats.torn_frames);
    json_write_bool(writer, "ok", walked->problems == 0);
}

static void print_counts(const struct command_line *line, const struct store_walked *walked) {
    char path[512];
    const char *operand = line->operands[0];
    (void)text_escape((struct bytes){(const uint8_t *)operand, strlen(operand)}, path, sizeof path);
    if (walked->problems > PROBLEMS_SHOWN) {
        printf("(and %" PRIu64 " more)\n", walked->problems - PROBLEMS_SHOWN);
    }
    if (file.store.stats.torn_frames > 0) {
        printf("a write was cut at the log's end: dropped, as nobody was told of it\n");
    }
    printf("%s: %s: %" PRIu64 " objects, %" PRIu64 " groups, %" PRIu64 " records, %" PRIu64
           " problems\n",
           path, walked->problems == 0 ? "good" : "DAMAGED", walked->objects, walked->groups,
           walked->records, walked->problems);
}

static void print_json(const struct json_writer *writer) {
    struct bytes text;
    check(json_write_finish(writer, &text) == STATUS_OK);
    printf("%.*s\n", (int)text.size, (const char *)text.data);
}

static int run_check(struct command_line *line) {
    static char json[JSON_BYTES];
    struct json_writer writer;
    struct store_walked walked;
    int code = open_store(line);
    if (code != COMMAND_DONE) {
        return code;
    }
    struct report report = {line, &writer, 0};
    json_write_init(&writer, json, sizeof json);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "problems");
    store_check(&file, &walked, tell_problem, &report);
    json_write_end_array(&writer);
    write_counts(&writer, &walked);
    json_write_end_object(&writer);
    if (line->is_json) {
        print_json(&writer);
    } else {
        print_counts(line, &walked);
    }
    store_file_close(&file);
    return walked.problems == 0 ? COMMAND_DONE : COMMAND_FAILED;
}

/* ---- stats ---- */

static void print_stats_json(void) {
    static char json[JSON_BYTES];
    struct json_writer writer;
    json_write_init(&writer, json, sizeof json);
    store_stats_write(&file, &writer);
    print_json(&writer);
}

static int run_stats(struct command_line *line) {
    int code = open_store(line);
    if (code != COMMAND_DONE) {
        return code;
    }
    if (line->is_json) {
        print_stats_json();
    } else {
        store_stats_print(&file);
    }
    store_file_close(&file);
    return COMMAND_DONE;
}

/* ---- dump ---- */

struct dump {
    const struct command_line *line;
    enum cbor_text_form form;
    uint64_t first_seq; /* of the log's first group; 0: none was read yet */
    uint64_t wrong;
};

static void find_first(void *owner, const struct store_group *group) {
    struct dump *dump = owner;
    if (dump->first_seq == 0) {
        dump->first_seq = group->first_seq;
    }
}

static void dump_record(void *owner, uint64_t seq, struct bytes record) {
    struct dump *dump = owner;
    dump->wrong += !record_text_print(seq, record, dump->form);
}

static void dump_lost(void *owner, uint64_t seq, enum status status) {
    struct dump *dump = owner;
    (void)status;
    dump->wrong += 1;
    (void)command_fail(dump->line, 0, "the group of record %" PRIu64 " cannot be read", seq);
}

/* Newest records whose groups the cleaner has erased: they live on as copies. */
static void dump_copies(struct dump *dump) {
    struct store *store = &file.store;
    uint64_t before = dump->first_seq == 0 ? UINT64_MAX : dump->first_seq;
    for (unsigned kind = 0; kind < STORE_KINDS; kind++) {
        for (uint32_t i = 0; i < store->memory.slot_counts[kind]; i++) {
            const struct store_key key = {(uint8_t)kind, i};
            const struct store_slot *slot = store_slot(store, key);
            struct store_record record;
            if (slot->seq == 0 || slot->seq >= before) {
                continue;
            }
            if (store_read(store, key, store_file_record_buffer(), STORE_FILE_RECORD_BYTES,
                           &record) == STATUS_OK) {
                dump_record(dump, slot->seq, record.body);
            } else {
                dump->wrong += 1;
                (void)command_fail(dump->line, 0, "%s %u, record %" PRIu64 ": cannot be read",
                                   record_text_kind(kind), (unsigned)i, slot->seq);
            }
        }
    }
}

static int run_dump(struct command_line *line) {
    int code = open_store(line);
    if (code != COMMAND_DONE) {
        return code;
    }
    struct dump dump = {.line = line,
                        .form = line->is_json ? CBOR_TEXT_JSON : CBOR_TEXT_DIAGNOSTIC};
    const struct store_walker finder = {.group = find_first, .owner = &dump};
    const struct store_walker walker = {.record = dump_record, .lost = dump_lost, .owner = &dump};
    store_check_walk(&file, &finder);
    dump_copies(&dump);
    store_check_walk(&file, &walker);
    store_file_close(&file);
    return dump.wrong == 0 ? COMMAND_DONE : COMMAND_FAILED;
}

/* ---- format ---- */

static int read_format(const struct command_line *line, struct flash_file_size *size,
                       uint64_t *epoch) {
    const struct board *board = NULL;
    int code = find_board(line, &board);
    if (code != COMMAND_DONE) {
        return code;
    }
    if (board == NULL || board->program_bytes != FLASH_FILE_PROGRAM_BYTES) {
        return command_fail(line, COMMAND_USAGE,
                            "--board: expected a board whose store is a file: linux or large");
    }
    uint64_t bytes = (uint64_t)board->block_bytes * board->block_count;
    if (options.size != NULL &&
        (config_size(options.size, BLOCKS_MIN * (uint64_t)board->block_bytes, bytes, &bytes) !=
             STATUS_OK ||
         bytes % board->block_bytes != 0)) {
        return command_fail(line, COMMAND_USAGE,
                            "--size: expected a multiple of %u bytes from %u to %u of them",
                            (unsigned)board->block_bytes, BLOCKS_MIN, (unsigned)board->block_count);
    }
    *epoch = 1;
    if (options.epoch != NULL && config_integer(options.epoch, 1, EPOCH_MAX, epoch) != STATUS_OK) {
        return command_fail(line, COMMAND_USAGE, "--epoch: expected a number from 1 to %d",
                            EPOCH_MAX);
    }
    *size = (struct flash_file_size){board->block_bytes, (uint32_t)(bytes / board->block_bytes)};
    return COMMAND_DONE;
}

/* Makes the file whole before any header is in it: one that was cut short is no store. */
static enum status make_store(const char *path, struct flash_file_size size, uint32_t epoch) {
    static struct flash_file flash;
    static struct store_slot slots[STORE_KINDS];
    static struct store_block blocks[1 << 11];
    static uint32_t order[1 << 11];
    static struct store store;
    uint8_t id[STORE_ID_BYTES];
    struct store_memory memory = {
        .slots = slots,
        .blocks = blocks,
        .order = order,
        .group_buffer = store_file_frame_buffer(),
        .copy_buffer = store_file_record_buffer(),
        .group_bytes = 65536,
        .frame_bytes = 65536,
    };
    check(size.block_count <= array_count(blocks));
    enum status status = flash_file_create(&flash, path, size);
    if (status != STATUS_OK) {
        return status;
    }
    random_fill(id, sizeof id);
    store_init(&store, &flash.base, &memory);
    status = store_format(&store, id, epoch);
    if (status == STATUS_OK) {
        status = flash_file_sync_wait(&flash);
    }
    flash_file_close(&flash);
    return status;
}

static int run_format(struct command_line *line) {
    struct flash_file_size size = {0, 0};
    uint64_t epoch = 0;
    const char *path = line->operands[0];
    int code = read_format(line, &size, &epoch);
    if (code != COMMAND_DONE) {
        return code;
    }
    enum status status = make_store(path, size, (uint32_t)epoch);
    if (status == STATUS_FULL) {
        return command_fail(line, COMMAND_FAILED,
                            "%s: holds something and was left as it is; name another path", path);
    }
    if (status == STATUS_BUSY) {
        return command_fail(line, COMMAND_FAILED, "%s: another process has it open", path);
    }
    if (status != STATUS_OK) {
        return command_fail(line, COMMAND_FAILED, "%s: %s", path, strerror(errno));
    }
    code = open_store(line);
    store_file_close(&file);
    return code;
}

/* ---- grow ---- */

/* Of the boards that such a store fits, the most blocks that one may have. */
static uint32_t most_blocks(void) {
    uint32_t most = 0;
    for (size_t i = 0; board_list[i] != NULL; i++) {
        const struct board *board = board_list[i];
        bool fits = board->block_bytes == file.flash.block_bytes &&
                    board->program_bytes == file.flash.program_bytes &&
                    (options.board == NULL || strcmp(options.board, board->name) == 0);
        most = fits && board->block_count > most ? board->block_count : most;
    }
    return most;
}

/* Of the store that is open: what it is to have. */
static int read_grow(const struct command_line *line, uint64_t *bytes) {
    const uint64_t of_block = file.flash.block_bytes;
    uint64_t least = of_block * (file.flash.block_count + (file.excess_bytes > 0));
    uint64_t most = of_block * most_blocks();
    if (file.flash.program_bytes != FLASH_FILE_PROGRAM_BYTES) {
        return command_fail(line, COMMAND_FAILED, "%s: is a copy of a chip, which has its size",
                            line->operands[0]);
    }
    if (options.size == NULL || config_size(options.size, least, most, bytes) != STATUS_OK ||
        *bytes % of_block != 0) {
        return command_fail(line, COMMAND_USAGE,
                            "--size: expected a multiple of %u bytes from %" PRIu64 " to %" PRIu64
                            ": it never shrinks, and the board has no more blocks",
                            (unsigned)of_block, least, most);
    }
    return COMMAND_DONE;
}

static void tell_growth(const struct command_line *line, uint64_t from, uint64_t to) {
    if (line->is_json) {
        printf("{\"from_bytes\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n", from, to);
    } else {
        printf("from %" PRIu64 " to %" PRIu64 " bytes; now say so in hubd's configuration: "
               "[store] size = %" PRIu64 "\n",
               from, to, to);
    }
}

static int run_grow(struct command_line *line) {
    const char *path = line->operands[0];
    uint64_t to = 0;
    int code = open_any(line);
    if (code != COMMAND_DONE) {
        return code;
    }
    code = read_grow(line, &to);
    uint64_t from = (uint64_t)file.flash.block_bytes * file.flash.block_count + file.excess_bytes;
    store_file_close(&file);
    if (code != COMMAND_DONE) {
        return code;
    }
    enum status status = flash_file_grow(path, from, to);
    if (status == STATUS_BUSY || status == STATUS_FOREIGN) {
        return command_fail(line, COMMAND_FAILED, "%s: another process has it open", path);
    }
    if (status != STATUS_OK) {
        return command_fail(line, COMMAND_FAILED, "%s: %s%s", path, strerror(errno),
                            status == STATUS_FULL ? "; it is as it was" : "");
    }
    tell_growth(line, from, to);
    return COMMAND_DONE;
}

/* ---- the commands ---- */

static const struct cli_option board_options[] = {
    {"board", "NAME", "Judge it by this board's capacities (else by its own headers)",
     .text = &options.board},
};

static const struct cli_option format_options[] = {
    {"board", "NAME", "linux or large", .text = &options.board},
    {"epoch", "N", "Store epoch (1)", .text = &options.epoch},
    {"size", "BYTES", "Such as 64MiB (the board's)", .text = &options.size},
};

static const struct cli_option grow_options[] = {
    {"board", "NAME", "Judge it by this board's capacities (else by its own headers)",
     .text = &options.board},
    {"size", "BYTES", "What it is to have, such as 128MiB", .text = &options.size},
};

static const struct command commands[] = {
    {.name = "store check",
     .usage = "FILE [--board NAME]",
     .about = "Look at every record of a store file; exit status 1 when damaged",
     .more = "Only reads. A hub that runs has its store locked: stop it, or look at a copy.\n",
     .options = board_options,
     .option_count = array_count(board_options),
     .operands_min = 1,
     .operands_max = 1,
     .is_offline = true,
     .run = run_check},
    {.name = "store stats",
     .usage = "FILE [--board NAME]",
     .about = "Show what a store file holds: numbers, fill, wear",
     .more = "Only reads. bytes_programmed is what the erase counts of the blocks amount to;\n"
             "amplification_percent compares it with all records ever written, taken to be as\n"
             "large as the live ones are on average. Then how many blocks were erased how often.\n",
     .options = board_options,
     .option_count = array_count(board_options),
     .operands_min = 1,
     .operands_max = 1,
     .is_offline = true,
     .run = run_stats},
    {.name = "store dump",
     .usage = "FILE [--board NAME]",
     .about = "Print every record of a store file",
     .more = "Only reads. In CBOR's diagnostic notation, or with --json as JSON lines: first\n"
             "records that outlived their group (copies), then the log in order.\n",
     .options = board_options,
     .option_count = array_count(board_options),
     .operands_min = 1,
     .operands_max = 1,
     .is_offline = true,
     .run = run_dump},
    {.name = "store format",
     .usage = "FILE --board NAME [--epoch N] [--size BYTES]",
     .about = "Make an empty store in a new file",
     .more = "A file that holds anything is refused and left as it is.\n",
     .options = format_options,
     .option_count = array_count(format_options),
     .operands_min = 1,
     .operands_max = 1,
     .is_offline = true,
     .run = run_format},
    {.name = "store grow",
     .usage = "FILE --size BYTES [--board NAME]",
     .about = "Make a store file larger",
     .more = "Its hub must not run. What it holds stays as it is; then hubd's configuration must\n"
             "name the new size. Cut short, it is to be run again.\n",
     .options = grow_options,
     .option_count = array_count(grow_options),
     .operands_min = 1,
     .operands_max = 1,
     .is_offline = true,
     .run = run_grow},
};
const struct command_group store_group = {commands, array_count(commands)};
