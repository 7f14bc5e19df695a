/* The simulated board: small on purpose, so that tests reach every limit. */
#define BOARD sim
#define BOARD_PROCESSES 16
#define BOARD_ITEMS 32
#define BOARD_ATTEMPTS 64
#define BOARD_PHONES 8
#define BOARD_ADB_CLIENTS 0
#define BOARD_STREAMS 0
#define BOARD_KEYS 8
#define BOARD_CAPABILITIES 8
#define BOARD_LABEL_SETS 4
#define BOARD_ITEMS_PER_REQUEST 16
#define BOARD_PAYLOAD_BYTES 1024
#define BOARD_FRAME_BYTES 8192
#define BOARD_BLOCK_BYTES 16384
#define BOARD_BLOCK_COUNT 24
#define BOARD_PROGRAM_BYTES 256
