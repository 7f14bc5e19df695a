#include "image/image.h"

#include "boards/machine.h"
#include "hal/baremetal/clock.h"
#include "hal/baremetal/uart.h"
#include "image/capabilities.h"
#include "protocol/sha256.h"

#include <string.h>

/* From start.S and the linker script. */
extern uint32_t stack_bottom[], stack_top[];
int main(void);
_Noreturn void board_fault(uint32_t address);

enum {
    STACK_PAINT = 0x5ac3a55a,
    SLEEP_MS = 1000, /* longest sleep */
    GRACE_MS = 10000
};

static struct image the_image;

/* ---- the way down ---- */

static _Noreturn void fail(struct text_writer *text) {
    static bool is_failing;
    if (!is_failing) { /* a second failure on the way down only restarts */
        is_failing = true;
        text_put_byte(text, 0);
        text->data[text->size - 1] = 0;
        console_print(&the_image.console, (const char *)text->data);
        console_print(&the_image.console, "\nthe board restarts\n");
        if (the_image.sectors.base.ops != NULL) {
            const struct hal_flash geometry = the_image.sectors.base;
            chip_open(&the_image.sectors, &geometry, the_image.sectors.first_byte);
            notes_failure(&the_image.notes, (struct bytes){text->data, text->size - 1});
        }
    }
    clock_restart();
}

_Noreturn void check_failed(const char *condition, const char *file, unsigned line) {
    uint8_t buffer[NOTES_TEXT];
    struct text_writer text = {.data = buffer, .capacity = sizeof buffer - 1};
    text_put(&text, "check failed: ");
    text_put(&text, condition);
    text_put(&text, " at ");
    text_put(&text, file);
    text_put(&text, ":");
    text_put_number(&text, line);
    text.capacity = sizeof buffer;
    fail(&text);
}

_Noreturn void board_fault(uint32_t address) {
    uint8_t buffer[NOTES_TEXT];
    struct text_writer text = {.data = buffer, .capacity = sizeof buffer};
    text_put(&text, "processor fault near ");
    text_put_number(&text, address);
    fail(&text);
}

uint32_t image_stack_size(void) {
    return (uint32_t)((uintptr_t)stack_top - (uintptr_t)stack_bottom);
}

uint32_t image_stack_used(void) {
    uint32_t words = image_stack_size() / sizeof stack_bottom[0];
    uint32_t untouched = 0;
    while (untouched < words && stack_bottom[untouched] == STACK_PAINT) {
        untouched += 1;
    }
    return (words - untouched) * (uint32_t)sizeof stack_bottom[0];
}

/* ---- start ---- */

/* The board has no source of randomness: what is left is when things happen. Good enough to make
 * two boots differ, not good enough for a key. */
static void make_boot_id(const struct image *image, uint8_t id[RECORD_DIGEST_BYTES]) {
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    sha256_init(&hash);
    sha256_add(&hash, text_view(image->notes.identity));
    sha256_add(&hash,
               (struct bytes){(const uint8_t *)&image->notes.boots, sizeof image->notes.boots});
    for (unsigned i = 0; i < 64; i++) {
        uint64_t now = clock_us();
        sha256_add(&hash, (struct bytes){(const uint8_t *)&now, sizeof now});
    }
    sha256_end(&hash, digest);
    memcpy(id, digest, RECORD_DIGEST_BYTES);
}

static uint64_t now_ms(void) {
    return clock_us() / 1000;
}

static void prepare_hub(struct image *image, uint64_t seed) {
    check(hub_bytes(machine.board) <= machine.memory_bytes);
    memset(machine.memory, 0, machine.memory_bytes);
    hub_init(&image->hub, machine.board, machine.memory, &image->flash.base, seed | 1);
    image->hub.has_upstream = true;
    image->hub.stop_grace_ms = GRACE_MS;
}

static void open_flash(struct image *image) {
    const struct board *board = machine.board;
    const struct hal_flash store = {.block_bytes = machine.flash_sector_bytes,
                                    .block_count = board->block_count,
                                    .program_bytes = board->program_bytes};
    const struct hal_flash sectors = {
        .block_bytes = machine.flash_sector_bytes, .block_count = 2, .program_bytes = NOTES_BYTES};
    uint32_t at = machine.store_sector * machine.flash_sector_bytes;
    chip_open(&image->flash, &store, at);
    at += board->block_count * machine.flash_sector_bytes;
    chip_open(&image->sectors, &sectors, at);
    notes_open(&image->notes, &image->sectors.base);
    notes_boot(&image->notes);
}

static void load(struct image *image) {
    uint8_t boot_id[RECORD_DIGEST_BYTES];
    uint64_t seed;
    const struct hub_clock clock = {.mono_ms = now_ms()};
    make_boot_id(image, boot_id);
    memcpy(&seed, boot_id, sizeof seed);
    prepare_hub(image, seed);
    capabilities_set(&image->hub);
    image->load_status = STATUS_NOT_FOUND;
    if (image->notes.identity[0] != '\0') {
        image->load_status =
            hub_load(&image->hub, text_view(image->notes.identity), boot_id, &clock);
    }
    image->is_loaded = image->load_status == STATUS_OK;
    if (image->is_loaded) {
        line_init(&image->line, &image->hub, machine.line);
        fake_usb_open(&image->bus);
        phones_init(&image->phones, &image->hub, &image->bus.usb);
    }
}

enum status image_format(struct image *image, struct bytes id) {
    uint8_t store_id[STORE_ID_BYTES];
    uint8_t boot_id[RECORD_DIGEST_BYTES];
    if (image->is_loaded || id.size > RECORD_ID_MAX) {
        return image->is_loaded ? STATUS_BUSY : STATUS_TOO_LARGE;
    }
    enum status status = notes_set_identity(&image->notes, id);
    if (status != STATUS_OK && status != STATUS_BUSY) {
        return status;
    }
    if (!text_is(id, text_view(image->notes.identity))) {
        return STATUS_FOREIGN;
    }
    make_boot_id(image, boot_id);
    memcpy(store_id, boot_id, sizeof store_id);
    return store_format(&image->hub.store, store_id, 1);
}

/* ---- the loop ---- */

static void turn_of_store(struct image *image) {
    enum status status = hub_poll(&image->hub);
    if (status == STATUS_OK || status == STATUS_AGAIN) {
        status = hub_commit(&image->hub);
    }
    /* A sync that failed must never be believed later: what is true stands on flash. */
    check(status == STATUS_OK || status == STATUS_AGAIN || status == STATUS_FULL);
}

/* True: come back at once. */
static bool turn(struct image *image) {
    const struct hub_clock clock = {.mono_ms = now_ms()};
    uint64_t head = hub_head_seq(&image->hub);
    bool is_busy = false;
    hub_set_clock(&image->hub, &clock);
    fake_usb_step(&image->bus, clock.mono_ms);
    phones_step(&image->phones, clock.mono_ms);
    hub_step(&image->hub);
    turn_of_store(image);
    is_busy |= line_step(&image->line, clock.mono_ms);
    is_busy |= console_step(&image->console, image);
    is_busy |= head != hub_head_seq(&image->hub) || image->hub.store.open_records > 0 ||
               image->hub.store.is_syncing;
    return is_busy;
}

static uint64_t wake_ms(const struct image *image) {
    const uint64_t dues[] = {hub_deadline_ms(&image->hub), line_deadline_ms(&image->line),
                             fake_usb_deadline_ms(&image->bus), phones_deadline_ms(&image->phones)};
    uint64_t next = image->hub.clock.mono_ms + SLEEP_MS;
    for (size_t i = 0; i < array_count(dues); i++) {
        next = dues[i] < next ? dues[i] : next;
    }
    return next;
}

int main(void) {
    struct image *image = &the_image;
    clock_open();
    uart_open(machine.console);
    uart_open(machine.line);
    console_init(&image->console, machine.console);
    open_flash(image);
    load(image);
    console_print(&image->console, image->is_loaded ? "hub ready; help lists the commands\n"
                                                    : "no hub runs here; status says why\n");
    for (;;) {
        image->turns += 1;
        if (!image->is_loaded) {
            clock_wait(clock_us() + 100000);
            (void)console_step(&image->console, image);
        } else if (!turn(image)) {
            clock_wait(wake_ms(image) * 1000);
        }
    }
}
