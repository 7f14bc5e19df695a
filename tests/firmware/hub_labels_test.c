/* Labels as a request and a phone's row say them, byte by byte, and who matches whom. */
#include "firmware/hub_internal.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    return 0;
}

static bool is_allowed(unsigned byte) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-";
    return byte != 0 && byte < 128 && strchr(allowed, (int)byte) != NULL;
}

static void a_label_has_the_bytes_that_the_header_names_and_no_others(void **state) {
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[HUB_LABELS_BYTES];
        const uint8_t word[] = {'a', (uint8_t)byte, 'z'};
        bool is_taken = is_allowed(byte) || byte == ' ';
        assert_int_equal(hub_labels_copy(text, (struct bytes){word, sizeof word}) == STATUS_OK,
                         is_taken);
        uint8_t json[] = "[\"a?z\"]";
        json[3] = (uint8_t)byte;
        assert_int_equal(hub_labels_parse(text, (struct bytes){json, 7}) == STATUS_OK,
                         is_allowed(byte));
    }
}

static void labels_fill_their_room_and_not_a_byte_more(void **state) {
    (void)state;
    static char text[HUB_LABELS_BYTES];
    static char long_text[2 * HUB_LABELS_BYTES];
    memset(long_text, 'a', sizeof long_text);
    struct bytes words = {(const uint8_t *)long_text, HUB_LABELS_BYTES - 1};
    assert_int_equal(hub_labels_copy(text, words), STATUS_OK);
    words.size += 1;
    assert_int_equal(hub_labels_copy(text, words), STATUS_MALFORMED);
    for (size_t size = 1; size < HUB_LABELS_BYTES + 4; size++) {
        char json[2 * HUB_LABELS_BYTES];
        snprintf(json, sizeof json, "[\"%.*s\"]", (int)size, long_text);
        enum status status =
            hub_labels_parse(text, (struct bytes){(const uint8_t *)json, strlen(json)});
        assert_int_equal(status, size < HUB_LABELS_BYTES - 1 ? STATUS_OK : STATUS_MALFORMED);
        assert_true(status != STATUS_OK || strlen(text) == size);
    }
}

static void an_array_may_have_blanks_wherever_json_has_them(void **state) {
    (void)state;
    static const struct {
        const char *json;
        const char *text; /* NULL: refused */
    } rows[] = {
        {" \t\r\n[ \"a\" \t,\r\n \"b\" ] \n", "a b"},
        {"[]", ""},
        {"[ ]", ""},
        {"", ""},
        {"[\"a\",]", NULL},
        {"[\"a\" \"b\"]", NULL},
        {"[\"a\"", NULL},
        {"[\"\"]", NULL},
        {"[\"a\"] x", NULL},
        {"{}", NULL},
        {"[\"a", NULL},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        char text[HUB_LABELS_BYTES] = "";
        struct bytes json = {(const uint8_t *)rows[i].json, strlen(rows[i].json)};
        enum status status = hub_labels_parse(text, json);
        assert_int_equal(status == STATUS_OK, rows[i].text != NULL);
        if (rows[i].text != NULL) {
            assert_string_equal(text, rows[i].text);
        }
    }
}

static void labels_that_are_none_are_refused_and_the_old_ones_stay(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    assert_int_equal(hub_phone_label(&rig.hub, phone, bytes_of("lab")), STATUS_OK);
    assert_int_equal(hub_phone_label(&rig.hub, phone, bytes_of("lab ")), STATUS_MALFORMED);
    assert_int_equal(hub_phone_slot_label(&rig.hub, phone, bytes_of(" x")), STATUS_MALFORMED);
    assert_string_equal(rig.hub.phones[phone].labels, "lab");
    uint64_t head = hub_head_seq(&rig.hub);
    assert_int_equal(hub_phone_label(&rig.hub, phone, bytes_of("lab")), STATUS_OK);
    assert_true(hub_head_seq(&rig.hub) == head); /* the same: nothing is written */
}

/* A word is matched as a whole: neither a longer nor a shorter one is it. */
static void a_phone_matches_by_whole_words(void **state) {
    (void)state;
    static const struct {
        const char *phone;
        const char *wanted;
        bool matches;
    } rows[] = {
        {"lab", "[\"lab\"]", true},         {"labs", "[\"lab\"]", false},
        {"la", "[\"lab\"]", false},         {"x lab y", "[\"lab\"]", true},
        {"x lab", "[\"lab\",\"x\"]", true}, {"x", "[\"lab\",\"x\"]", false},
        {"", "[\"lab\"]", false},           {"lab", "[]", true},
    };
    uint32_t phone = rig_phone(&rig, "A");
    for (size_t i = 0; i < array_count(rows); i++) {
        struct bytes labels = {(const uint8_t *)rows[i].phone, strlen(rows[i].phone)};
        assert_int_equal(hub_phone_label(&rig.hub, phone, labels), STATUS_OK);
        const struct rig_order order = {.labels = rows[i].wanted};
        uint32_t process = rig_submit(&rig, &order);
        assert_int_equal(rig_item(&rig, process, 1)->image.state == RECORD_RUNNING,
                         rows[i].matches);
        rig_cancel(&rig, process);
    }
}

/* Power is kept on a phone that somebody waits for, and on no other. */
static void a_phone_is_wanted_by_what_waits_for_it(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t other = rig_phone(&rig, "B");
    assert_false(hub_phone_is_wanted(&rig.hub, phone));
    rig_phone_event(&rig, phone, PHONE_ON_DETACHED);
    const struct rig_order direct = {.phones = &phone};
    uint32_t process = rig_submit(&rig, &direct);
    assert_true(hub_phone_is_wanted(&rig.hub, phone));
    assert_false(hub_phone_is_wanted(&rig.hub, other));
    rig_cancel(&rig, process);
    assert_false(hub_phone_is_wanted(&rig.hub, phone));
    assert_int_equal(hub_phone_label(&rig.hub, phone, bytes_of("lab")), STATUS_OK);
    const struct rig_order any = {.labels = "[\"lab\"]"};
    process = rig_submit(&rig, &any);
    assert_true(hub_phone_is_wanted(&rig.hub, phone)); /* nobody else has the label */
    assert_false(hub_phone_is_wanted(&rig.hub, other));
    rig_cancel(&rig, process);
    const struct rig_order outside = {.capability = RIG_OUTSIDE};
    process = rig_submit(&rig, &outside);
    assert_false(hub_phone_is_wanted(&rig.hub, phone)); /* another one is free for it */
    rig_cancel(&rig, process);
}

/* Numbers of phones are never given again: after a lost row, index and number part ways. */
static void a_phone_behind_a_lost_row_is_found_by_its_number(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t lost = rig_phone(&rig, "B");
    rig_restart(&rig, true);
    rig_settle(&rig);
    const struct store_slot *slot =
        store_slot(&rig.hub.store, (struct store_key){RECORD_PHONE, lost});
    rig.flash.cells[slot->where + 24] ^= 0x10;
    rig_restart(&rig, true);
    uint32_t phone;
    assert_int_equal(
        hub_phone_identify(&rig.hub, bytes_of("C"), bytes_of(""), bytes_of(""), &phone), STATUS_OK);
    uint64_t number = rig.hub.phones[phone].number;
    assert_true(number > phone + 1);
    assert_int_equal(hub_phone_by_number(&rig.hub, number), phone);
    assert_int_equal(hub_phone_by_number(&rig.hub, number - 1), HUB_NONE);
    assert_int_equal(hub_phone_by_number(&rig.hub, 0), HUB_NONE);
}

int firmware_hub_labels_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_label_has_the_bytes_that_the_header_names_and_no_others, set_up),
        cmocka_unit_test_setup(labels_fill_their_room_and_not_a_byte_more, set_up),
        cmocka_unit_test_setup(an_array_may_have_blanks_wherever_json_has_them, set_up),
        cmocka_unit_test_setup(labels_that_are_none_are_refused_and_the_old_ones_stay, set_up),
        cmocka_unit_test_setup(a_phone_matches_by_whole_words, set_up),
        cmocka_unit_test_setup(a_phone_is_wanted_by_what_waits_for_it, set_up),
        cmocka_unit_test_setup(a_phone_behind_a_lost_row_is_found_by_its_number, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_labels", tests, NULL, NULL);
}
