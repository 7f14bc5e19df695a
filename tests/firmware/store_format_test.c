/* The worked example of docs/store.md is what the store writes, byte for byte. */
#include "firmware/store.h"
#include "hal/sim/sim_flash.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCK = 1024, BLOCKS = 8, FRAME = 512, SLOTS = 4, SHOWN = 176 };

static uint8_t cells[BLOCK * BLOCKS];
static uint8_t written[BLOCK * BLOCKS];
static char page[32768];

/* A store of one record: "ready", of object 2 of kind 1. */
static void write_example(void) {
    static struct store_slot slots[SLOTS];
    static struct store_block blocks[BLOCKS];
    static uint32_t order[BLOCKS];
    static uint8_t buffers[2][FRAME];
    static struct sim_flash flash;
    static struct store store;
    const struct hal_flash base = {.block_bytes = BLOCK, .block_count = BLOCKS, .program_bytes = 1};
    const struct store_memory memory = {
        .slots = slots,
        .slot_counts = {[1] = SLOTS},
        .blocks = blocks,
        .order = order,
        .group_buffer = buffers[0],
        .copy_buffer = buffers[1],
        .group_bytes = FRAME,
        .frame_bytes = FRAME,
    };
    const uint8_t id[STORE_ID_BYTES + 1] = "an example store";
    sim_flash_init(&flash, base, cells, written, NULL);
    store_init(&store, &flash.base, &memory);
    assert_int_equal(store_format(&store, id, 1), STATUS_OK);
    assert_int_equal(store_mount(&store), STATUS_OK);
    (void)store_append(&store, (struct store_key){1, 2}, NULL, bytes_of("ready"));
    assert_int_equal(store_commit(&store), STATUS_OK);
    assert_int_equal(store_poll(&store), STATUS_OK);
}

static void writes_the_example_of_its_description(void **state) {
    (void)state;
    FILE *file = fopen("docs/store.md", "r");
    assert_non_null(file);
    page[fread(page, 1, sizeof page - 1, file)] = '\0';
    fclose(file);
    write_example();
    for (unsigned at = 0; at < SHOWN; at += 16) {
        char line[64];
        int size = snprintf(line, sizeof line, "%03x:", at);
        for (unsigned i = 0; i < 16; i++) {
            size +=
                snprintf(line + size, sizeof line - (size_t)size, " %02x", cells[BLOCK + at + i]);
        }
        if (strstr(page, line) == NULL) {
            fail_msg("docs/store.md does not say %s", line);
        }
    }
}

int firmware_store_format_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_example_of_its_description),
    };
    return cmocka_run_group_tests_name("firmware/store_format", tests, NULL, NULL);
}
