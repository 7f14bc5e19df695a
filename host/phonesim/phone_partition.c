#include "host/phonesim/phone_partition.h"

#include "protocol/sparse.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { COPY_BYTES = 64 * 1024 };

#define MIB (UINT64_C(1) << 20)

static const struct phone_partition partitions[] = {
    {"boot", 64 * MIB, true},       {"vendor_boot", 64 * MIB, true}, {"dtbo", 8 * MIB, true},
    {"vbmeta", MIB, true},          {"system", 256 * MIB, true},     {"misc", MIB, false},
    {"userdata", 512 * MIB, false},
};

const struct phone_partition *phone_partition_at(uint32_t index) {
    return index < array_count(partitions) ? &partitions[index] : NULL;
}

static bool is_text(struct bytes name, const char *text, size_t size) {
    return name.size == size && memcmp(name.data, text, size) == 0;
}

const struct phone_partition *phone_partition_find_base(struct bytes name) {
    for (size_t i = 0; i < array_count(partitions); i++) {
        if (is_text(name, partitions[i].name, strlen(partitions[i].name))) {
            return &partitions[i];
        }
    }
    return NULL;
}

const struct phone_partition *phone_partition_find(struct bytes name) {
    bool has_slot = name.size > 2 && name.data[name.size - 2] == '_' &&
                    (name.data[name.size - 1] == 'a' || name.data[name.size - 1] == 'b');
    struct bytes base = {name.data, has_slot ? name.size - 2 : name.size};
    const struct phone_partition *found = phone_partition_find_base(base);
    return found != NULL && found->has_slots == has_slot ? found : NULL;
}

/* ---- writing ---- */

struct copy {
    int from, to;
    uint64_t room; /* bytes of the partition */
};

static bool copy_bytes(const struct copy *copy, uint64_t from, uint64_t to, uint64_t bytes) {
    static uint8_t memory[COPY_BYTES];
    while (bytes > 0) {
        size_t size = bytes < sizeof memory ? (size_t)bytes : sizeof memory;
        ssize_t count = pread(copy->from, memory, size, (off_t)from);
        if (count <= 0 || pwrite(copy->to, memory, (size_t)count, (off_t)to) != count) {
            return false;
        }
        from += (uint64_t)count;
        to += (uint64_t)count;
        bytes -= (uint64_t)count;
    }
    return true;
}

static bool fill_bytes(const struct copy *copy, uint64_t pattern_at, uint64_t to, uint64_t bytes) {
    static uint8_t memory[COPY_BYTES];
    uint8_t pattern[4];
    if (pread(copy->from, pattern, sizeof pattern, (off_t)pattern_at) != sizeof pattern) {
        return false;
    }
    for (size_t i = 0; i < sizeof memory; i++) {
        memory[i] = pattern[i % sizeof pattern];
    }
    while (bytes > 0) {
        size_t size = bytes < sizeof memory ? (size_t)bytes : sizeof memory;
        if (pwrite(copy->to, memory, size, (off_t)to) != (ssize_t)size) {
            return false;
        }
        to += size;
        bytes -= size;
    }
    return true;
}

static const char *write_chunk(const struct copy *copy, const struct sparse_image *image,
                               struct sparse_place *place) {
    uint8_t head[SPARSE_CHUNK_BYTES];
    struct sparse_chunk chunk;
    if (pread(copy->from, head, sizeof head, (off_t)place->offset) != (ssize_t)sizeof head ||
        sparse_get_chunk(image, place, head, &chunk) != STATUS_OK) {
        return "invalid sparse image";
    }
    uint64_t to = (uint64_t)place->block * image->block_bytes;
    uint64_t bytes = (uint64_t)chunk.blocks * image->block_bytes;
    if (to + bytes > copy->room) {
        return "image is larger than the partition";
    }
    bool is_good = chunk.type == SPARSE_RAW    ? copy_bytes(copy, chunk.data, to, bytes)
                   : chunk.type == SPARSE_FILL ? fill_bytes(copy, chunk.data, to, bytes)
                                               : true;
    sparse_pass_chunk(image, place, &chunk);
    return is_good ? NULL : "write failed";
}

static const char *write_sparse(const struct copy *copy, const struct sparse_image *image) {
    struct sparse_place place = sparse_start(image);
    const char *wrong = NULL;
    while (wrong == NULL && !sparse_is_end(image, &place)) {
        wrong = write_chunk(copy, image, &place);
    }
    return wrong;
}

static int open_whole(const char *path, const struct phone_partition *partition) {
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (file >= 0 && ftruncate(file, (off_t)partition->bytes) != 0) {
        close(file);
        return -1;
    }
    return file;
}

const char *phone_partition_write(const char *path, const struct phone_partition *partition,
                                  int image, uint32_t bytes) {
    uint8_t start[SPARSE_HEADER_BYTES] = {0};
    struct sparse_image read;
    ssize_t size = pread(image, start, sizeof start, 0);
    if (size <= 0 || sparse_open(&read, (struct bytes){start, (size_t)size}, bytes) != STATUS_OK) {
        return "invalid image";
    }
    int file = open_whole(path, partition);
    if (file < 0) {
        return "cannot open the partition";
    }
    struct copy copy = {.from = image, .to = file, .room = partition->bytes};
    const char *wrong = NULL;
    if (!read.is_plain) {
        wrong = write_sparse(&copy, &read);
    } else if (bytes > partition->bytes) {
        wrong = "image is larger than the partition";
    } else {
        wrong = copy_bytes(&copy, 0, 0, bytes) ? NULL : "write failed";
    }
    close(file);
    return wrong;
}

const char *phone_partition_erase(const char *path, const struct phone_partition *partition) {
    (void)!unlink(path);
    int file = open_whole(path, partition);
    if (file < 0) {
        return "cannot open the partition";
    }
    close(file);
    return NULL;
}
