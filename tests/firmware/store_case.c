#include "tests/firmware/store_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct rig store_case;
static struct rig *const rig = &store_case;
const struct store_key store_case_phone = {3, 1};
const struct store_key store_case_process = {3, 2};

void store_case_start(uint32_t geometry) {
    store_rig_start(rig, &rig_geometries[geometry], 5);
    assert_null(rig->what);
}

void store_case_good(void) {
    if (rig->what != NULL) {
        fail_msg("%s", rig->what);
    }
}

void store_case_put(struct store_key key, const char *text) {
    struct bytes body = {(const uint8_t *)text, strlen(text)};
    assert_true(store_room(&rig->store) >= body.size);
    (void)store_append(&rig->store, key, NULL, body);
}

void store_case_make_durable(void) {
    enum status status = STATUS_AGAIN;
    while (rig->store.open_records > 0 || rig->store.is_syncing) {
        status = rig->store.is_syncing ? store_poll(&rig->store) : store_commit(&rig->store);
        assert_true(status == STATUS_OK || status == STATUS_AGAIN);
    }
}

enum status store_case_get(struct store_key key, char text[64]) {
    uint8_t buffer[512];
    struct store_record record;
    enum status status = store_read(&rig->store, key, buffer, sizeof buffer, &record);
    if (status == STATUS_OK) {
        snprintf(text, 64, "%.*s", (int)record.body.size, (const char *)record.body.data);
    }
    return status;
}

void store_case_reads(struct store_key key, const char *expected) {
    char text[64];
    assert_int_equal(store_case_get(key, text), STATUS_OK);
    assert_string_equal(text, expected);
}

void store_case_mount_again(void) {
    sim_flash_adopt(&rig->flash);
    assert_int_equal(store_mount(&rig->store), STATUS_OK);
}

void store_case_commit_many(uint32_t groups) {
    for (uint32_t i = 0; i < groups; i++) {
        rig_append(rig, i % 8);
        rig_append(rig, i % 16 == 0 ? rig_roll(rig, 20) : (i * 3 + 3) % 8);
        store_rig_settle(rig);
        rig_acknowledge(rig, true);
    }
    store_case_good();
}
