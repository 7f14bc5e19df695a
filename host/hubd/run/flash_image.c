#include "host/hubd/run/flash_image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the file ---- */

static bool read_at(int file, uint64_t offset, void *target, size_t size) {
    size_t at = 0;
    while (at < size) {
        ssize_t count = pread(file, (uint8_t *)target + at, size - at, (off_t)(offset + at));
        if (count == 0 || (count < 0 && errno != EINTR)) {
            return false;
        }
        at += count > 0 ? (size_t)count : 0;
    }
    return true;
}

static enum status open_image(struct flash_image *image, uint64_t bytes) {
    uint8_t start[SPARSE_HEADER_BYTES];
    size_t size = bytes < sizeof start ? (size_t)bytes : sizeof start;
    if (!read_at(image->file, 0, start, size)) {
        return STATUS_IO;
    }
    enum status status = sparse_open(&image->image, (struct bytes){start, size}, bytes);
    bool is_large = status == STATUS_OK && image->image.chunk_count > FLASH_CHUNKS_MAX;
    return is_large ? STATUS_MALFORMED : status;
}

enum status flash_image_open(struct flash_image *image, int folder, const char *name,
                             uint64_t bytes) {
    struct stat found;
    memset(image, 0, sizeof *image);
    sha256_init(&image->hash);
    image->file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (image->file < 0 || fstat(image->file, &found) != 0 || !S_ISREG(found.st_mode)) {
        flash_image_close(image);
        return STATUS_NOT_FOUND;
    }
    enum status status =
        (uint64_t)found.st_size != bytes ? STATUS_TOO_LARGE : open_image(image, bytes);
    if (status != STATUS_OK) {
        flash_image_close(image);
        return status;
    }
    image->at = sparse_start(&image->image);
    return STATUS_OK;
}

void flash_image_close(struct flash_image *image) {
    if (image->file >= 0) {
        close(image->file);
    }
    image->file = -1;
}

struct flash_identity flash_image_identity(const struct flash_image *image) {
    struct stat found = {0};
    (void)!fstat(image->file, &found);
    return (struct flash_identity){.device = found.st_dev,
                                   .inode = found.st_ino,
                                   .bytes = (uint64_t)found.st_size,
                                   .modified = found.st_mtim};
}

bool flash_identity_is(const struct flash_identity *a, const struct flash_identity *b) {
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec;
}

/* ---- judging it ---- */

static enum status get_chunk(const struct flash_image *image, const struct sparse_place *place,
                             struct sparse_chunk *chunk) {
    uint8_t head[SPARSE_CHUNK_BYTES] = {0};
    if (!image->image.is_plain) {
        uint64_t left = image->image.file_bytes - place->offset;
        if (place->offset > image->image.file_bytes || left < sizeof head) {
            return STATUS_MALFORMED;
        }
        if (!read_at(image->file, place->offset, head, sizeof head)) {
            return STATUS_IO;
        }
    }
    return sparse_get_chunk(&image->image, place, head, chunk);
}

static enum status walk(const struct flash_image *image) {
    struct sparse_place place = sparse_start(&image->image);
    while (!sparse_is_end(&image->image, &place)) {
        struct sparse_chunk chunk;
        enum status status = get_chunk(image, &place, &chunk);
        if (status != STATUS_OK) {
            return status;
        }
        sparse_pass_chunk(&image->image, &place, &chunk);
    }
    return STATUS_OK;
}

enum status flash_image_judge(struct flash_image *image, const uint8_t sha256[SHA256_BYTES]) {
    static uint8_t memory[FLASH_IMAGE_SLICE];
    uint8_t found[SHA256_BYTES];
    uint64_t left = image->image.file_bytes - image->hashed;
    size_t size = left < sizeof memory ? (size_t)left : sizeof memory;
    if (!read_at(image->file, image->hashed, memory, size)) {
        return STATUS_IO;
    }
    sha256_add(&image->hash, (struct bytes){memory, size});
    image->hashed += size;
    if (image->hashed < image->image.file_bytes) {
        return STATUS_AGAIN;
    }
    sha256_end(&image->hash, found);
    if (memcmp(found, sha256, sizeof found) != 0) {
        return STATUS_CORRUPT;
    }
    return walk(image);
}

/* ---- downloads ---- */

static enum status plan_piece(struct flash_image *image, uint32_t limit) {
    sparse_piece_begin(&image->image, &image->piece, &image->at, limit);
    while (!sparse_is_end(&image->image, &image->piece.to)) {
        struct sparse_chunk chunk;
        enum status status = get_chunk(image, &image->piece.to, &chunk);
        if (status != STATUS_OK) {
            return status;
        }
        if (!sparse_piece_add(&image->image, &image->piece, &chunk)) {
            return STATUS_OK;
        }
    }
    return STATUS_OK;
}

/* As it goes out: sparse.h counts the skips at both ends even where there is none. */
static uint32_t piece_bytes(const struct flash_image *image) {
    uint8_t head[SPARSE_PIECE_HEAD_BYTES];
    uint8_t tail[SPARSE_CHUNK_BYTES];
    return image->piece.bytes - SPARSE_HEADER_BYTES - 2 * SPARSE_CHUNK_BYTES +
           sparse_piece_head(&image->image, &image->piece, head) +
           sparse_piece_tail(&image->image, &image->piece, tail);
}

enum status flash_image_next(struct flash_image *image, uint32_t limit, uint32_t *bytes) {
    uint64_t file_bytes = image->image.file_bytes;
    if (!image->is_begun && file_bytes <= limit) {
        image->is_begun = true;
        image->is_whole = true;
        *bytes = (uint32_t)file_bytes;
        return STATUS_OK;
    }
    if (image->is_whole || sparse_is_end(&image->image, &image->at)) {
        return STATUS_NOT_FOUND;
    }
    image->is_begun = true;
    enum status status = plan_piece(image, limit);
    if (status == STATUS_OK) {
        *bytes = piece_bytes(image);
        image->at = image->piece.to;
        image->place = image->piece.from;
        image->is_tail = false;
        image->head_bytes = sparse_piece_head(&image->image, &image->piece, image->head);
        image->head_taken = 0;
        image->output = (struct sparse_output){.head_bytes = 0};
    }
    return status;
}

/* Prepares what comes next in the piece; false: it cannot be read. */
static bool step_piece(struct flash_image *image) {
    struct sparse_chunk chunk;
    image->head_taken = 0;
    if (sparse_piece_is_end(&image->piece, &image->place)) {
        image->head_bytes =
            image->is_tail ? 0 : sparse_piece_tail(&image->image, &image->piece, image->head);
        image->is_tail = true;
        return image->head_bytes > 0;
    }
    if (get_chunk(image, &image->place, &chunk) != STATUS_OK) {
        return false;
    }
    sparse_piece_chunk(&image->image, &image->piece, &image->place, &chunk, &image->output);
    image->head_bytes = image->output.head_bytes;
    memcpy(image->head, image->output.head, image->head_bytes);
    return true;
}

/* 0: nothing is left of what was prepared, or it cannot be read. */
static size_t take_prepared(struct flash_image *image, uint8_t *target, size_t capacity) {
    struct sparse_output *output = &image->output;
    if (image->head_taken < image->head_bytes) {
        size_t left = image->head_bytes - image->head_taken;
        size_t size = left < capacity ? left : capacity;
        memcpy(target, image->head + image->head_taken, size);
        image->head_taken += (uint32_t)size;
        return size;
    }
    if (output->copy_bytes > 0) {
        size_t size = output->copy_bytes < capacity ? output->copy_bytes : capacity;
        if (!read_at(image->file, output->copy_from, target, size)) {
            return 0;
        }
        output->copy_from += size;
        output->copy_bytes -= (uint32_t)size;
        return size;
    }
    size_t size = output->zero_bytes < capacity ? output->zero_bytes : capacity;
    memset(target, 0, size);
    output->zero_bytes -= (uint32_t)size;
    return size;
}

static size_t read_piece(struct flash_image *image, uint8_t *target, size_t capacity) {
    size_t size = 0;
    while (size < capacity) {
        size_t taken = take_prepared(image, target + size, capacity - size);
        bool is_broken = taken == 0 && image->output.copy_bytes > 0;
        if (is_broken || (taken == 0 && !step_piece(image))) {
            return is_broken ? 0 : size;
        }
        size += taken;
    }
    return size;
}

static size_t read_whole(struct flash_image *image, uint8_t *target, size_t capacity) {
    uint64_t left = image->image.file_bytes - image->sent;
    size_t size = left < capacity ? (size_t)left : capacity;
    if (!read_at(image->file, image->sent, target, size)) {
        return 0;
    }
    image->sent += size;
    return size;
}

size_t flash_image_read(struct flash_image *image, uint8_t *target, size_t capacity) {
    return image->is_whole ? read_whole(image, target, capacity)
                           : read_piece(image, target, capacity);
}
