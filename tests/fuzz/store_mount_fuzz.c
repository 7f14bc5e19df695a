/* Any bytes as the flash of a store. The first byte chooses the part and what a checksum is: the
 * real one, or always the same number, so that every damaged length, number and key is believed.
 * A mount ends, writes nothing and twice finds the same; everything it found can be read, the log
 * has an end, and more can be written or not, without harm. */
#include "firmware/store_format1.h"
#include "hal/sim/sim_flash.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t capacity);
uint32_t crc32c(uint32_t crc, struct bytes input);

enum {
    BLOCK_COUNT = 6,
    BLOCK_BYTES = 512,
    CELLS = BLOCK_COUNT * BLOCK_BYTES,
    OBJECTS = 16,
    FRAME_BYTES = 256,
    GROUP_BYTES = 500,
    SAME_CHECKSUM = 0x01, /* bits of the first byte */
    PAGES = 0x02,
    HEADER_CRC_AT = 124,
    TURNS_MAX = 1000,
};

static struct sim_flash flash;
static struct store store;
static struct store_slot slots[OBJECTS];
static struct store_block blocks[BLOCK_COUNT];
static uint32_t order[BLOCK_COUNT];
static uint8_t group_buffer[GROUP_BYTES];
static uint8_t copy_buffer[FRAME_BYTES];
static uint8_t cells[CELLS];
static uint8_t written[CELLS];
static uint8_t buffer[CELLS];
static bool is_same_checksum;

/* In place of protocol/crc32c.c; it is most of the time that an input takes. */
__attribute__((no_sanitize("address", "undefined", "coverage"))) uint32_t
crc32c(uint32_t crc, struct bytes input) {
    static uint32_t table[256];
    if (is_same_checksum) {
        return 0x5a5a5a5a;
    }
    for (uint32_t i = 0; table[255] == 0 && i < 256; i++) {
        uint32_t entry = i;
        for (int bit = 0; bit < 8; bit++) {
            entry = entry >> 1 ^ (0x82f63b78u & (0u - (entry & 1)));
        }
        table[i] = entry;
    }
    crc = ~crc;
    for (size_t i = 0; i < input.size; i++) {
        crc = crc >> 8 ^ table[(crc ^ input.data[i]) & 0xff];
    }
    return ~crc;
}

static void lend(uint8_t options) {
    const struct hal_flash geometry = {
        .block_bytes = BLOCK_BYTES,
        .block_count = BLOCK_COUNT,
        .program_bytes = (options & PAGES) != 0 ? 64 : 1,
    };
    const struct store_memory memory = {
        .slots = slots,
        .slot_counts = {[1] = OBJECTS / 2, [3] = OBJECTS / 2},
        .blocks = blocks,
        .order = order,
        .group_buffer = group_buffer,
        .copy_buffer = copy_buffer,
        .group_bytes = GROUP_BYTES,
        .frame_bytes = FRAME_BYTES,
        .older = &store_format_1,
    };
    is_same_checksum = (options & SAME_CHECKSUM) != 0;
    sim_flash_init(&flash, geometry, cells, written, NULL);
    store_init(&store, &flash.base, &memory);
}

static struct store_key key_of(uint32_t object) {
    return (struct store_key){object % 2 == 0 ? 1 : 3, object / 2};
}

/* Whatever was found can be read, or is said to be corrupt. */
static void read_everything(void) {
    struct store_record record;
    struct store_group group;
    struct store_cursor cursor = {.seq = store.acked_seq};
    struct bytes body;
    for (uint32_t object = 0; object < OBJECTS; object++) {
        enum status status = store_read(&store, key_of(object), buffer, sizeof buffer, &record);
        check(status == STATUS_OK || status == STATUS_NOT_FOUND || status == STATUS_CORRUPT ||
              status == STATUS_TOO_LARGE);
        uint32_t where = status == STATUS_OK ? record.previous : 0;
        for (uint32_t i = 0; where != 0 && i < 20; i++) {
            status = store_read_at(&store, where, buffer, sizeof buffer, &record);
            where = status == STATUS_OK ? record.previous : 0;
        }
    }
    enum status status = STATUS_OK;
    for (uint32_t turn = 0; status == STATUS_OK; turn++) {
        check(turn < TURNS_MAX);
        uint64_t before = cursor.seq;
        status = store_next_group(&store, &cursor, buffer, sizeof buffer, &group);
        check(status != STATUS_OK || cursor.seq > before);
        while (status == STATUS_OK && store_group_next(&group.records, &body)) {
        }
    }
    check(status != STATUS_IO);
}

static enum status commit(void) {
    enum status status = STATUS_AGAIN;
    for (uint32_t turn = 0; turn < TURNS_MAX && store.open_records > 0; turn++) {
        status = store.is_syncing ? store_poll(&store) : store_commit(&store);
        if (status == STATUS_FULL || status == STATUS_IO) {
            return status;
        }
    }
    check(store.open_records == 0);
    while (store.is_syncing && (status = store_poll(&store)) == STATUS_AGAIN) {
    }
    return status;
}

/* A header that lies may make it useless, but nothing worse. */
static void go_on(void) {
    for (uint32_t i = 0; i < 4 && store_room(&store) >= 64; i++) {
        const struct store_key key = key_of(i);
        (void)store_append(&store, key, NULL, bytes_of("a record"));
        if (commit() != STATUS_OK || store_clean(&store) != STATUS_OK) {
            return;
        }
        while (store.is_syncing && store_poll(&store) == STATUS_AGAIN) {
        }
    }
    enum status status = store_mount(&store);
    check(status != STATUS_IO);
    if (status == STATUS_OK) {
        read_everything();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) {
        return 0;
    }
    lend(data[0]);
    memcpy(cells, data + 1, size - 1 < sizeof cells ? size - 1 : sizeof cells);
    sim_flash_adopt(&flash);
    enum status status = store_mount(&store);
    uint64_t head = store.head_seq;
    check(status == STATUS_OK || status == STATUS_NOT_FOUND || status == STATUS_FOREIGN ||
          status == STATUS_CORRUPT);
    check(store_mount(&store) == status && (status != STATUS_OK || store.head_seq == head));
    check(flash.operations == 0);
    if (status == STATUS_OK) {
        read_everything();
        go_on();
    }
    return 0;
}

/* Inside one block, then sometimes a block over another one, and headers made right again. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed) {
    if (size < 2) {
        return LLVMFuzzerMutate(data, size, capacity);
    }
    size_t count = (size - 1) / BLOCK_BYTES;
    if (count == 0 || seed % 16 == 0) {
        return LLVMFuzzerMutate(data, size, capacity);
    }
    uint8_t *block = data + 1 + seed / 16 % count * BLOCK_BYTES;
    size_t at = seed % 4 == 0 ? 0 : seed / 256 % BLOCK_BYTES;
    size_t window = seed % 4 == 0 ? HEADER_CRC_AT : BLOCK_BYTES - at;
    (void)LLVMFuzzerMutate(block + at, window, window);
    if (seed % 32 == 1) {
        memcpy(block, data + 1 + seed / 512 % count * BLOCK_BYTES, BLOCK_BYTES);
    }
    is_same_checksum = false;
    if (seed % 4 == 0 && (data[0] & SAME_CHECKSUM) == 0) {
        uint32_t crc = crc32c(0, (struct bytes){block, HEADER_CRC_AT});
        for (size_t i = 0; i < 4; i++) {
            block[HEADER_CRC_AT + i] = (uint8_t)(crc >> 8 * i);
        }
    }
    return size;
}
