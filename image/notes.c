#include "image/notes.h"

#include "protocol/crc32c.h"

#include <string.h>

enum { IDENTITY_BLOCK, OTHERS_BLOCK };

/* kind, size of the text, counter, text, CRC over all before it */
struct note {
    uint8_t kind;
    uint8_t size;
    uint8_t counter[4];
    uint8_t text[NOTES_BYTES - 10];
    uint8_t crc[4];
};
_Static_assert(sizeof(struct note) == NOTES_BYTES, "a note is one program unit");
_Static_assert(NOTES_TEXT <= NOTES_BYTES - 10, "its text fits");

static uint32_t get_u32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static void put_u32(uint8_t *bytes, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> 8 * i);
    }
}

static uint32_t crc_of(const struct note *note) {
    return crc32c(0, (struct bytes){(const uint8_t *)note, offsetof(struct note, crc)});
}

static bool is_erased(const struct note *note) {
    const uint8_t *bytes = (const uint8_t *)note;
    for (size_t i = 0; i < sizeof *note; i++) {
        if (bytes[i] != 0xff) {
            return false;
        }
    }
    return true;
}

static uint32_t count_of(const struct notes *notes) {
    return notes->flash->block_bytes / NOTES_BYTES;
}

static void take(struct notes *notes, const struct note *note) {
    size_t size = note->size <= NOTES_TEXT ? note->size : NOTES_TEXT;
    char *text = note->kind == NOTES_IDENTITY ? notes->identity : notes->failure;
    if (get_u32(note->crc) != crc_of(note)) {
        return;
    }
    if (note->kind == NOTES_BOOT) {
        notes->boots = get_u32(note->counter);
    } else if (note->kind == NOTES_IDENTITY || note->kind == NOTES_FAILURE) {
        memcpy(text, note->text, size);
        text[size] = '\0';
    }
}

void notes_open(struct notes *notes, struct hal_flash *flash) {
    *notes = (struct notes){.flash = flash};
    for (uint32_t block = 0; block < 2; block++) {
        for (uint32_t i = 0; i < count_of(notes); i++) {
            struct note note;
            uint32_t offset = block * flash->block_bytes + i * NOTES_BYTES;
            if (hal_flash_read(flash, offset, &note, sizeof note) != STATUS_OK) {
                continue;
            }
            if (is_erased(&note)) {
                continue;
            }
            take(notes, &note);
            if (block == OTHERS_BLOCK) {
                notes->next = i + 1; /* behind the last one, torn or not */
            }
        }
    }
}

static enum status write(const struct notes *notes, uint32_t block, uint32_t place,
                         enum notes_kind kind, struct bytes text) {
    struct note note = {.kind = (uint8_t)kind,
                        .size = (uint8_t)(text.size < NOTES_TEXT ? text.size : NOTES_TEXT)};
    put_u32(note.counter, notes->boots);
    memcpy(note.text, text.data, note.size);
    put_u32(note.crc, crc_of(&note));
    return hal_flash_program(notes->flash, block * notes->flash->block_bytes + place * NOTES_BYTES,
                             &note, sizeof note);
}

/* A place that does not take its note is left out; where the sector ends it is erased. */
static void add(struct notes *notes, enum notes_kind kind, struct bytes text) {
    for (uint32_t tries = 0; tries < 8; tries++) {
        if (notes->next >= count_of(notes)) {
            if (hal_flash_erase(notes->flash, OTHERS_BLOCK) != STATUS_OK) {
                return;
            }
            notes->next = 0;
        }
        notes->next += 1;
        if (write(notes, OTHERS_BLOCK, notes->next - 1, kind, text) == STATUS_OK) {
            return;
        }
    }
}

void notes_boot(struct notes *notes) {
    notes->boots += 1;
    add(notes, NOTES_BOOT, bytes_of(""));
}

void notes_failure(struct notes *notes, struct bytes text) {
    add(notes, NOTES_FAILURE, text);
}

enum status notes_set_identity(struct notes *notes, struct bytes id) {
    if (notes->identity[0] != '\0') {
        return STATUS_BUSY;
    }
    if (id.size == 0 || id.size > NOTES_TEXT) {
        return STATUS_MALFORMED;
    }
    enum status status = hal_flash_erase(notes->flash, IDENTITY_BLOCK);
    if (status == STATUS_OK) {
        status = write(notes, IDENTITY_BLOCK, 0, NOTES_IDENTITY, id);
    }
    if (status == STATUS_OK) {
        memcpy(notes->identity, id.data, id.size);
        notes->identity[id.size] = '\0';
    }
    return status;
}
