#include "host/hubctl/store_file.h"

#include "firmware/store_format1.h"
#include "protocol/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP_BYTES = 256, BLOCKS_MAX = 1 << 17, ANSWERS = 64, SLOTS_MAX = 2000000 };

static struct store_slot slots[SLOTS_MAX];
static struct store_block blocks[BLOCKS_MAX];
static uint32_t order[BLOCKS_MAX];
static uint8_t group_buffer[STORE_FILE_FRAME_BYTES];
static uint8_t copy_buffer[STORE_FILE_FRAME_BYTES];
static uint8_t record_buffer[STORE_FILE_RECORD_BYTES];
static uint8_t frame_buffer[STORE_FILE_FRAME_BYTES];

uint8_t *store_file_record_buffer(void) {
    return record_buffer;
}

uint8_t *store_file_frame_buffer(void) {
    return frame_buffer;
}

__attribute__((format(printf, 2, 3))) static void explain(struct store_file *file,
                                                          const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(file->reason, sizeof file->reason, format, arguments);
    va_end(arguments);
}

/* ---- a flash that is only read ---- */

static enum status read_only(struct hal_flash *flash, uint32_t offset, void *target,
                             uint32_t size) {
    const struct store_file *file = (const struct store_file *)(void *)flash;
    uint8_t *next = target;
    while (size > 0) {
        ssize_t count = pread(file->file, next, size, (off_t)offset);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return STATUS_IO;
        }
        next += count;
        offset += (uint32_t)count;
        size -= (uint32_t)count;
    }
    return STATUS_OK;
}

static enum status no_program(struct hal_flash *flash, uint32_t offset, const void *source,
                              uint32_t size) {
    (void)flash;
    (void)offset;
    (void)source;
    (void)size;
    return STATUS_DENIED;
}

static enum status no_erase(struct hal_flash *flash, uint32_t block) {
    (void)flash;
    (void)block;
    return STATUS_DENIED;
}

static enum status no_sync(struct hal_flash *flash) {
    (void)flash;
    return STATUS_DENIED;
}

static const struct hal_flash_ops operations = {read_only, no_program, no_erase, no_sync, no_sync};

/* ---- opening ---- */

static enum status open_file(struct store_file *file, const char *path, off_t *size) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    struct stat about;
    file->file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file->file < 0 || fstat(file->file, &about) != 0) {
        explain(file, "%.250s: %s", path, strerror(errno));
        return errno == ENOENT ? STATUS_NOT_FOUND : errno == EACCES ? STATUS_DENIED : STATUS_IO;
    }
    if (!S_ISREG(about.st_mode)) {
        explain(file, "%.250s: expected a file", path);
        return STATUS_FOREIGN;
    }
    if (fcntl(file->file, F_OFD_SETLK, &lock) != 0) {
        explain(file,
                "%.250s: another process has it open; stop that hubd first, or look at a copy",
                path);
        return STATUS_BUSY;
    }
    *size = about.st_size;
    return STATUS_OK;
}

/* A header is believed when it stands where it says that it stands. The store may have grown
 * since. */
static bool is_in_place(const struct store_header *header, off_t at, off_t size) {
    return header->block_bytes > 0 && header->program_bytes > 0 && header->block_count > 0 &&
           size / header->block_bytes <= BLOCKS_MAX && header->block < header->block_count &&
           header->block_bytes % header->program_bytes == 0 &&
           (off_t)header->block * header->block_bytes == at &&
           (off_t)header->block_count * header->block_bytes <= size;
}

static enum status find_geometry(struct store_file *file, const char *path, off_t size) {
    uint8_t bytes[STORE_HEADER_BYTES];
    struct store_header header;
    bool is_newer = false;
    for (off_t at = 0; at + STORE_HEADER_BYTES <= size; at += STEP_BYTES) {
        if (pread(file->file, bytes, sizeof bytes, at) != (ssize_t)sizeof bytes) {
            explain(file, "%.250s: %s", path, strerror(errno));
            return STATUS_IO;
        }
        enum status status = store_get_header(bytes, &header);
        is_newer = is_newer || status == STATUS_FOREIGN;
        if (status == STATUS_OK && is_in_place(&header, at, size)) {
            file->flash = (struct hal_flash){
                .ops = &operations,
                .block_bytes = header.block_bytes,
                .block_count = (uint32_t)(size / header.block_bytes),
                .program_bytes = header.program_bytes,
            };
            file->excess_bytes = (uint32_t)(size % header.block_bytes);
            return STATUS_OK;
        }
    }
    explain(file,
            is_newer ? "%.250s: holds a store of a newer format"
                     : "%.250s: holds no store, or not one of this size",
            path);
    return is_newer ? STATUS_FOREIGN : STATUS_NOT_FOUND;
}

void store_file_slot_counts(const struct board *board, uint32_t counts[STORE_KINDS]) {
    const uint32_t of_board[STORE_KINDS] = {
        [RECORD_HUB] = 1,
        [RECORD_PHONE] = board->phones,
        [RECORD_REQUEST] = board->processes,
        [RECORD_PROCESS] = board->processes,
        [RECORD_ITEM] = board->items,
        [RECORD_ATTEMPT] = board->attempts,
        [RECORD_KEY] = board->keys,
        [RECORD_ANSWER] = ANSWERS,
    };
    memcpy(counts, of_board, sizeof of_board);
}

/* Those of one board, or of each kind the most that any board has. */
static void choose_counts(const struct board *board, uint32_t counts[STORE_KINDS]) {
    memset(counts, 0, STORE_KINDS * sizeof counts[0]);
    for (size_t i = 0; board_list[i] != NULL; i++) {
        uint32_t of_board[STORE_KINDS];
        store_file_slot_counts(board_list[i], of_board);
        for (size_t kind = 0; kind < STORE_KINDS; kind++) {
            bool is_chosen = board == NULL ? of_board[kind] > counts[kind] : board == board_list[i];
            counts[kind] = is_chosen ? of_board[kind] : counts[kind];
        }
    }
}

/* The hub's own record names what upstream will not get. */
static void read_gap(struct store_file *file) {
    const struct store_key key = {RECORD_HUB, 0};
    struct store_record record;
    struct record_header header;
    struct record_hub image;
    struct cbor_reader reader;
    file->gap = (struct record_gap){0};
    if (store_read(&file->store, key, record_buffer, sizeof record_buffer, &record) != STATUS_OK) {
        return;
    }
    cbor_reader_init(&reader, record.body);
    record_get_header(&reader, &header);
    record_get_hub(&reader, &image);
    if (cbor_reader_done(&reader) && image.gap.last <= file->store.durable_seq) {
        file->gap = image.gap;
        store_give_up(&file->store, image.gap.last);
    }
}

static enum status mount(struct store_file *file, const char *path, const struct board *board) {
    uint32_t half =
        file->flash.block_bytes / 2 / file->flash.program_bytes * file->flash.program_bytes;
    struct store_memory memory = {
        .slots = slots,
        .blocks = blocks,
        .order = order,
        .group_buffer = group_buffer,
        .copy_buffer = copy_buffer,
        .group_bytes = STORE_FILE_FRAME_BYTES,
        .older = &store_format_1,
        .frame_bytes = board != NULL                   ? board->frame_bytes
                       : half < STORE_FILE_FRAME_BYTES ? half
                                                       : STORE_FILE_FRAME_BYTES,
    };
    uint32_t total = 0;
    choose_counts(board, memory.slot_counts);
    for (size_t kind = 0; kind < STORE_KINDS; kind++) {
        total += memory.slot_counts[kind];
    }
    check(total <= SLOTS_MAX);
    store_init(&file->store, &file->flash, &memory);
    enum status status = store_mount(&file->store);
    if (status == STATUS_FOREIGN) {
        explain(file, "%.250s: does not fit %s%.40s", path, board == NULL ? "any board" : "board ",
                board == NULL ? "" : board->name);
    } else if (status == STATUS_OK) {
        read_gap(file);
    } else {
        explain(file, "%.250s: its block headers do not make a log (%s)", path,
                status == STATUS_IO ? "it cannot be read" : "they are damaged");
    }
    return status;
}

enum status store_file_open(struct store_file *file, const char *path, const struct board *board) {
    off_t size = 0;
    enum status status = open_file(file, path, &size);
    if (status == STATUS_OK) {
        status = find_geometry(file, path, size);
    }
    if (status == STATUS_OK && board != NULL &&
        (board->block_bytes != file->flash.block_bytes ||
         board->program_bytes != file->flash.program_bytes ||
         board->block_count < file->flash.block_count)) {
        explain(file, "%.250s: has %u blocks of %u bytes, board %s up to %u of %u", path,
                (unsigned)file->flash.block_count, (unsigned)file->flash.block_bytes, board->name,
                (unsigned)board->block_count, (unsigned)board->block_bytes);
        status = STATUS_FOREIGN;
    }
    if (status == STATUS_OK) {
        status = mount(file, path, board);
    }
    if (status != STATUS_OK) {
        store_file_close(file);
    }
    return status;
}

void store_file_close(struct store_file *file) {
    if (file->file >= 0) {
        (void)close(file->file);
    }
    file->file = -1;
}
