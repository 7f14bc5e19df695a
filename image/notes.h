/* notes.h - what the board itself keeps behind its store, in two flash sectors: who it is, and what
 * happened to it. Each note is one program, checked by a CRC-32C; a torn one does not count.
 *
 * The identity is written once, by a person at the console; the other sector is erased when it is
 * full, and starts with the newest counter. */
#ifndef IMAGE_NOTES_H
#define IMAGE_NOTES_H

#include "hal/flash.h"

enum { NOTES_BYTES = 256, NOTES_TEXT = 200 };

enum notes_kind { NOTES_NONE, NOTES_IDENTITY, NOTES_BOOT, NOTES_FAILURE };

struct notes {
    struct hal_flash *flash;       /* two blocks: identity, then the others */
    uint32_t next;                 /* free place in the second one */
    uint32_t boots;                /* counted by the newest note of a boot */
    char identity[NOTES_TEXT + 1]; /* "": none */
    char failure[NOTES_TEXT + 1];  /* why the board restarted itself last; "": never did */
};

/* Reads what is there. */
void notes_open(struct notes *notes, struct hal_flash *flash);
/* Counts this start. */
void notes_boot(struct notes *notes);
/* Anything but OK: not kept, or not whole. BUSY: there is one already. */
must_check enum status notes_set_identity(struct notes *notes, struct bytes id);
/* For the way down: what can be written is. */
void notes_failure(struct notes *notes, struct bytes text);

#endif
