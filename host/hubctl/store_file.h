/* store_file.h - a hub's store opened for looking only: nothing is ever written to it.
 *
 * The file is locked against hubd for as long as it is open. Its geometry comes from its own block
 * headers; the capacities are those of the board named, or as much as any board may have. */
#ifndef HOST_HUBCTL_STORE_FILE_H
#define HOST_HUBCTL_STORE_FILE_H

#include "boards/board.h"
#include "firmware/store.h"
#include "protocol/record.h"

enum { STORE_FILE_RECORD_BYTES = 80 * 1024, STORE_FILE_FRAME_BYTES = 512 * 1024 };

struct store_file {
    struct hal_flash flash; /* first: the store is given it */
    int file;               /* -1: closed */
    struct store store;     /* mounted, and behind what the hub has given up */
    struct record_gap gap;  /* that; first 0: nothing */
    uint32_t excess_bytes;  /* of the file, that are not a whole block: growing it was cut short */
    char reason[400];       /* why it could not be opened: what and where */
};

/* There is one set of tables in the program, so one store at a time. `board` may be NULL. On
 * failure nothing is open. NOT_FOUND: no file, or no store in it; BUSY; DENIED; FOREIGN; IO;
 * CORRUPT. */
must_check enum status store_file_open(struct store_file *file, const char *path,
                                       const struct board *board);
void store_file_close(struct store_file *file);

/* Room for one record, and for one frame. */
uint8_t *store_file_record_buffer(void);
uint8_t *store_file_frame_buffer(void);

/* Slots of each kind that a board needs. */
void store_file_slot_counts(const struct board *board, uint32_t counts[STORE_KINDS]);

#endif
