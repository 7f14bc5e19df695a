/* A Zynq-7000 hub controller (Cortex-A9), as QEMU's xilinx-zynq-a9 emulates it: 16 phones, and the
 * front of a 64 MiB parallel NOR chip with 128 KiB sectors. */
#define BOARD zynq
#define BOARD_PROCESSES 128
#define BOARD_STREAMS 0
#define BOARD_ITEMS 256
#define BOARD_ATTEMPTS 512
#define BOARD_PHONES 16
#define BOARD_ADB_CLIENTS 0
#define BOARD_KEYS 64
#define BOARD_CAPABILITIES 8
#define BOARD_LABEL_SETS 8
#define BOARD_ITEMS_PER_REQUEST 16
#define BOARD_PAYLOAD_BYTES 1024
#define BOARD_FRAME_BYTES 8192
#define BOARD_BLOCK_BYTES 131072
#define BOARD_BLOCK_COUNT 32
#define BOARD_PROGRAM_BYTES 256
