/* board_make.h - turns the macros of one board into its `struct board`, if they fit together.
 * Included once by each board's .c file, behind its own header. */
#include "boards/board.h"

_Static_assert(BOARD_ITEMS >= BOARD_PROCESSES, "every process may have an item");
_Static_assert(BOARD_ITEMS_PER_REQUEST <= BOARD_ITEMS, "a fan-out fits the item table");
_Static_assert(BOARD_ATTEMPTS >= 2 * BOARD_ITEMS, "an item keeps its first and its last attempt");
_Static_assert(BOARD_ATTEMPTS <= 0x80000, "a slot's index has 19 bits");
_Static_assert(BOARD_ITEMS <= 0x80000, "a slot's index has 19 bits");
_Static_assert(BOARD_KEYS <= 0x80000, "a slot's index has 19 bits");
_Static_assert(BOARD_FRAME_BYTES <= BOARD_BLOCK_BYTES / 2, "a frame is at most half a block");
_Static_assert(BOARD_FRAME_BYTES % BOARD_PROGRAM_BYTES == 0, "a frame is whole program units");
_Static_assert(BOARD_BLOCK_BYTES % BOARD_PROGRAM_BYTES == 0, "a block is whole program units");
_Static_assert(BOARD_PAYLOAD_BYTES <= 32768, "a record's length has 16 bits, and a text its limit");
_Static_assert(BOARD_PAYLOAD_BYTES + 1024 + 160 * BOARD_ITEMS_PER_REQUEST <= BOARD_FRAME_BYTES,
               "the largest request is one commit group");
_Static_assert(352 * (3 + BOARD_ITEMS_PER_REQUEST) + 672 <= BOARD_FRAME_BYTES - 64,
               "so is upstream's command that ends all of its items, with its answer");
_Static_assert((8 + 64 + 1) * BOARD_ITEMS_PER_REQUEST <= BOARD_PAYLOAD_BYTES + 2 * 2048,
               "the phones and accounts of a fan-out fit the buffer of one record");
_Static_assert((uint64_t)BOARD_BLOCK_BYTES *BOARD_BLOCK_COUNT < 0x80000000u, "below 2 GiB");

#define BOARD_SYMBOL2(name) board_##name
#define BOARD_SYMBOL(name) BOARD_SYMBOL2(name)
#define BOARD_TEXT2(name) #name
#define BOARD_TEXT(name) BOARD_TEXT2(name)

extern const struct board BOARD_SYMBOL(BOARD);
const struct board BOARD_SYMBOL(BOARD) = {
    .name = BOARD_TEXT(BOARD),
    .processes = BOARD_PROCESSES,
    .items = BOARD_ITEMS,
    .attempts = BOARD_ATTEMPTS,
    .phones = BOARD_PHONES,
    .adb_clients = BOARD_ADB_CLIENTS,
    .streams = BOARD_STREAMS,
    .keys = BOARD_KEYS,
    .capabilities = BOARD_CAPABILITIES,
    .label_sets = BOARD_LABEL_SETS,
    .items_per_request = BOARD_ITEMS_PER_REQUEST,
    .payload_bytes = BOARD_PAYLOAD_BYTES,
    .frame_bytes = BOARD_FRAME_BYTES,
    .block_bytes = BOARD_BLOCK_BYTES,
    .block_count = BOARD_BLOCK_COUNT,
    .program_bytes = BOARD_PROGRAM_BYTES,
};
