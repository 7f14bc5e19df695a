/* What a folder of images may say, and how each line that is wrong is refused. */
#include "host/hubd/run/flash_manifest.h"

#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define BOOT "[image.boot]\nfile = boot.img\nbytes = 10\nsha256 = " HASH "\n"

static char folder[64];
static struct flash_manifest manifest;
static struct config_error error;

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/flash_manifest_XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int tear_down(void **state) {
    char path[96];
    (void)state;
    snprintf(path, sizeof path, "%s/manifest.ini", folder);
    unlink(path);
    return rmdir(folder);
}

static enum status read_text(const char *text) {
    char path[96];
    snprintf(path, sizeof path, "%s/manifest.ini", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    return flash_manifest_read(folder, &manifest, &error);
}

static void a_manifest_is_read_in_its_order(void **state) {
    (void)state;
    assert_int_equal(
        read_text("[flash]\nproduct = sargo, bonito\nset_active = other\n" BOOT
                  "slot = both\n[erase.userdata]\n[image.dtbo]\nfile = dtbo.img\nbytes = 7\n"
                  "sha256 = " HASH "\n"),
        STATUS_OK);
    assert_int_equal(manifest.count, 3);
    assert_true(manifest.sets_active);
    assert_int_equal(manifest.active, FLASH_OTHER);
    assert_string_equal(manifest.parts[0].partition, "boot");
    assert_string_equal(manifest.parts[0].file, "boot.img");
    assert_int_equal(manifest.parts[0].slot, FLASH_BOTH);
    assert_int_equal(manifest.parts[0].sha256[1], 0x11);
    assert_string_equal(manifest.parts[1].partition, "userdata");
    assert_string_equal(manifest.parts[1].file, "");
    assert_int_equal(manifest.parts[2].bytes, 7);
    assert_true(flash_manifest_allows(&manifest, "sargo"));
    assert_true(flash_manifest_allows(&manifest, "bonito"));
    assert_false(flash_manifest_allows(&manifest, "sar"));
    assert_int_equal(read_text(BOOT), STATUS_OK);
    assert_true(flash_manifest_allows(&manifest, "anything"));
}

static void what_is_wrong_is_refused_with_its_line(void **state) {
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"", "expected an [image.PARTITION]"},
        {"[flash]\n", "expected an [image.PARTITION]"},
        {"[other]\nx = 1\n", "expected [flash], [image.PARTITION] or [erase.PARTITION]"},
        {"[image.boot]\nfile = boot.img\n", "[image.boot] expected file, bytes and sha256"},
        {"[image.boot]\n", "[image.boot] expected file, bytes and sha256"},
        {"[image.boot]\nfile = ../boot.img\n", "manifest.ini:2: [image.boot] file: expected the "
                                               "name of a file in the folder of the manifest"},
        {"[image.boot]\nfile = /etc/shadow\n", "the name of a file in the folder"},
        {"[image.boot]\nfile = .hidden\n", "the name of a file in the folder"},
        {"[image.boot]\nbytes = 0\n", "expected the size of the file"},
        {"[image.boot]\nbytes = 12x\n", "expected the size of the file"},
        {"[image.boot]\nsha256 = 0011\n", "expected 64 digits"},
        {"[image.boot]\nsha256 = " HASH "0\n", "expected 64 digits"},
        {"[image.bo:ot]\nfile = a\n", "expected the name of a partition"},
        {"[image.boot]\nslot = c\n", "expected current, other, a, b or both"},
        {"[erase.boot]\nfile = a\n", "[erase.boot] file: expected slot"},
        {"[flash]\nset_active = both\n" BOOT, "expected a, b or other"},
        {"[flash]\nset_active = current\n" BOOT, "expected a, b or other"},
        {"[flash]\nspeed = high\n" BOOT, "expected product or set_active"},
    };
    (void)state;
    for (size_t i = 0; i < array_count(rows); i++) {
        error.text[0] = '\0';
        enum status status = read_text(rows[i].text);
        assert_int_equal(status, STATUS_MALFORMED);
        if (strstr(error.text, rows[i].message) == NULL) {
            fail_msg("`%s` is refused with: %s", rows[i].text, error.text);
        }
    }
}

static void no_more_partitions_than_there_is_room_for(void **state) {
    char text[FLASH_STEPS_MAX * 32 + 64] = "";
    (void)state;
    for (unsigned i = 0; i < FLASH_STEPS_MAX; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "[erase.p%u]\nslot = a\n", i);
    }
    assert_int_equal(read_text(text), STATUS_OK);
    assert_int_equal(manifest.count, FLASH_STEPS_MAX);
    snprintf(text + strlen(text), sizeof text - strlen(text), "[erase.more]\nslot = a\n");
    assert_int_equal(read_text(text), STATUS_MALFORMED);
    assert_non_null(strstr(error.text, "at most 32 partitions"));
}

static void a_folder_without_a_manifest_is_named(void **state) {
    (void)state;
    assert_int_equal(flash_manifest_read("/nonexistent", &manifest, &error), STATUS_NOT_FOUND);
    assert_non_null(strstr(error.text, "/nonexistent/manifest.ini"));
}

int host_flash_manifest_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_manifest_is_read_in_its_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_refused_with_its_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_more_partitions_than_there_is_room_for, set_up,
                                        tear_down),
        cmocka_unit_test(a_folder_without_a_manifest_is_named),
    };
    return cmocka_run_group_tests_name("host/flash_manifest", tests, NULL, NULL);
}
