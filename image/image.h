/* image.h - the program of a board without an operating system: the core, its store on NOR flash,
 * phones, a serial line upstream and a console, in one loop that never blocks but to sleep. */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include "firmware/hub.h"
#include "hal/baremetal/chip.h"
#include "image/console.h"
#include "image/fake_usb.h"
#include "image/line.h"
#include "image/notes.h"
#include "image/phones.h"

struct image {
    struct hub hub;
    struct chip flash;   /* the store's part of the chip */
    struct chip sectors; /* the two behind it */
    struct notes notes;
    struct console console;
    struct line line;
    struct fake_usb bus;
    struct phones phones;
    bool is_loaded;          /* the store is mounted and the hub runs */
    enum status load_status; /* why not */
    uint64_t turns;
};

/* Makes a store for the hub `id`; the only way one comes to be. Then the board restarts. */
must_check enum status image_format(struct image *image, struct bytes id);
/* Deepest use of the stack so far, and its size, in bytes. */
uint32_t image_stack_used(void);
uint32_t image_stack_size(void);

#endif
