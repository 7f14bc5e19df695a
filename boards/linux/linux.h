/* A small computer with powered hubs and up to 128 phones: the usual hub host. */
#define BOARD linux
#define BOARD_PROCESSES 4096
#define BOARD_ITEMS 8192
#define BOARD_ATTEMPTS 32768
#define BOARD_PHONES 256
#define BOARD_KEYS 4096
#define BOARD_CAPABILITIES 64
#define BOARD_ITEMS_PER_REQUEST 128
#define BOARD_PAYLOAD_BYTES 32768
#define BOARD_FRAME_BYTES 65536
#define BOARD_BLOCK_BYTES 131072
#define BOARD_BLOCK_COUNT 512
#define BOARD_PROGRAM_BYTES 4096
