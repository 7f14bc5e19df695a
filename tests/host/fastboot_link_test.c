/* A bootloader's commands through transfers: their order, and every way they break. */
#include "host/hubd/phones/fastboot_link.h"

#include "tests/host/usb_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { DEVICE = 7, PACKET = 512, MANY = USB_RIG_MANY, TOKEN = 5 };

static struct {
    unsigned ended, notes;
    enum status status;
    char text[FASTBOOT_LINK_TEXT];
    uint32_t content_left;
} seen;

static struct fastboot_link device;
static const struct usb_interface interface = {.in = {0x81, PACKET}, .out = {0x01, PACKET}};

static void finish(struct hal_usb_transfer *transfer, enum status status, uint32_t moved) {
    transfer->status = status;
    transfer->moved = moved;
    fastboot_link_done(&device, transfer, 0);
}

static void answers(const char *text) {
    struct hal_usb_transfer *transfer = usb_rig_take(usb_rig.in, &usb_rig.in_count);
    memcpy(transfer->data, text, strlen(text));
    finish(transfer, STATUS_OK, (uint32_t)strlen(text));
}

/* Takes one OUT transfer, whose bytes are these when given. */
static uint32_t takes(const char *text) {
    struct hal_usb_transfer *transfer = usb_rig_take(usb_rig.out, &usb_rig.out_count);
    assert_false(transfer->ends_with_zero);
    if (text != NULL) {
        assert_int_equal(transfer->size, strlen(text));
        assert_memory_equal(transfer->data, text, transfer->size);
    }
    uint32_t size = transfer->size; /* it may be on its way again */
    finish(transfer, STATUS_OK, size);
    return size;
}

static size_t fill(void *owner, uint8_t *target, size_t capacity) {
    (void)owner;
    size_t size = seen.content_left < capacity ? seen.content_left : capacity;
    memset(target, 0x5a, size);
    seen.content_left -= (uint32_t)size;
    return size;
}

static void note(void *owner, struct bytes text) {
    (void)owner;
    (void)text;
    seen.notes += 1;
}

static void ended(void *owner, const struct fastboot_result *result) {
    (void)owner;
    seen.ended += 1;
    seen.status = result->status;
    memcpy(seen.text, result->text, sizeof seen.text);
}

static enum status order(const char *name, const char *argument, uint32_t data_bytes) {
    const struct fastboot_order one = {.name = name,
                                       .argument = argument,
                                       .data_bytes = data_bytes,
                                       .handler = {.fill = fill, .note = note, .ended = ended}};
    enum status status = fastboot_link_command(&device, TOKEN, &one, 0);
    fastboot_link_step(&device, 0);
    return status;
}

static int set_up(void **state) {
    (void)state;
    usb_rig_begin();
    memset(&seen, 0, sizeof seen);
    memset(&device, 0, sizeof device);
    usb_rig.room = MANY;
    fastboot_link_open(&device, &usb_rig.usb, DEVICE, &interface, TOKEN);
    return 0;
}

static void assert_ended(enum status status, const char *text) {
    assert_int_equal(seen.ended, 1);
    assert_int_equal(seen.status, status);
    assert_string_equal(seen.text, text);
    seen.ended = 0;
}

static void a_command_is_one_transfer_and_notes_come_before_its_end(void **state) {
    (void)state;
    assert_int_equal(order("getvar", "product", 0), STATUS_OK);
    takes("getvar:product");
    answers("INFOone");
    answers("TEXTtwo");
    assert_int_equal(seen.ended, 0);
    answers("OKAYsargo");
    assert_int_equal(seen.notes, 2);
    assert_ended(STATUS_OK, "sargo");
    assert_int_equal(order("flash", "boot", 0), STATUS_OK);
    takes("flash:boot");
    answers("FAILno \x01space");
    assert_ended(STATUS_DENIED, "no ?space");
    assert_true(fastboot_link_is_usable(&device));
}

static void a_download_keeps_four_transfers_in_flight(void **state) {
    (void)state;
    const uint32_t bytes = 6 * HAL_USB_CHUNK + 100;
    seen.content_left = bytes;
    assert_int_equal(order("", "", bytes), STATUS_OK);
    takes("download:00018064");
    answers("DATA00018064");
    uint32_t sent = 0;
    while (sent < bytes) {
        assert_true(usb_rig.out_count <= FASTBOOT_LINK_OUT);
        assert_true(usb_rig.out_count == FASTBOOT_LINK_OUT || seen.content_left == 0);
        sent += takes(NULL);
    }
    assert_int_equal(sent, bytes);
    answers("OKAY");
    assert_ended(STATUS_OK, "");
}

static void an_answer_that_overtakes_the_last_transfer_waits_for_it(void **state) {
    (void)state;
    seen.content_left = 1000;
    assert_int_equal(order("", "", 1000), STATUS_OK);
    takes(NULL);
    answers("DATA000003e8");
    answers("OKAYearly");
    assert_int_equal(seen.ended, 0);
    takes(NULL);
    assert_ended(STATUS_OK, "early");
}

static void a_refusal_in_the_middle_of_data_breaks_the_link(void **state) {
    (void)state;
    seen.content_left = 10 * HAL_USB_CHUNK;
    assert_int_equal(order("", "", 10 * HAL_USB_CHUNK), STATUS_OK);
    takes(NULL);
    answers("DATA00028000");
    answers("FAILflash is full");
    assert_ended(STATUS_DENIED, "flash is full");
    assert_false(fastboot_link_is_usable(&device));
    assert_int_equal(order("reboot", "", 0), STATUS_ILLEGAL);
}

static void whatever_breaks_is_told_once_with_the_reason(void **state) {
    static const struct {
        const char *answer; /* NULL: the transfer ends with the status */
        enum status status, expected;
        const char *text;
    } rows[] = {
        {"OK", STATUS_OK, STATUS_MALFORMED, "broke the fastboot protocol"},
        {"DATA00000004", STATUS_OK, STATUS_MALFORMED, "broke the fastboot protocol"},
        {NULL, STATUS_STALLED, STATUS_STALLED, "halted its endpoint"},
        {NULL, STATUS_UNPLUGGED, STATUS_UNPLUGGED, "was unplugged"},
        {NULL, STATUS_TOO_LARGE, STATUS_TOO_LARGE, "sent more than was asked for"},
        {NULL, STATUS_IO, STATUS_IO, "the USB transfer failed"},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        set_up(state);
        assert_int_equal(order("erase", "misc", 0), STATUS_OK);
        takes(NULL);
        if (rows[i].answer != NULL) {
            answers(rows[i].answer);
        } else {
            finish(usb_rig_take(usb_rig.in, &usb_rig.in_count), rows[i].status, 0);
        }
        assert_ended(rows[i].expected, rows[i].text);
        assert_false(fastboot_link_is_usable(&device));
        fastboot_link_unplugged(&device);
        assert_int_equal(seen.ended, 0);
    }
}

static void silence_is_judged_from_the_last_thing_that_went_well(void **state) {
    (void)state;
    assert_int_equal(order("erase", "userdata", 0), STATUS_OK);
    takes(NULL);
    fastboot_link_step(&device, FASTBOOT_RESPONSE_MS - 1);
    assert_int_equal(seen.ended, 0);
    struct hal_usb_transfer *transfer = usb_rig_take(usb_rig.in, &usb_rig.in_count);
    memcpy(transfer->data, "INFOstill", 9);
    transfer->status = STATUS_OK;
    transfer->moved = 9;
    fastboot_link_done(&device, transfer, FASTBOOT_RESPONSE_MS - 1);
    fastboot_link_step(&device, 2 * FASTBOOT_RESPONSE_MS - 2);
    assert_int_equal(seen.ended, 0);
    assert_int_equal(fastboot_link_deadline_ms(&device, 0), 2 * FASTBOOT_RESPONSE_MS - 1);
    fastboot_link_step(&device, 2 * FASTBOOT_RESPONSE_MS - 1);
    assert_ended(STATUS_TIMEOUT, "does not answer");
}

static void empty_packets_are_left_out_but_not_without_end(void **state) {
    (void)state;
    assert_int_equal(order("getvar", "version", 0), STATUS_OK);
    takes(NULL);
    for (unsigned i = 0; i < FASTBOOT_LINK_EMPTY_MAX; i++) {
        answers("");
    }
    assert_int_equal(seen.ended, 0);
    answers("");
    assert_ended(STATUS_MALFORMED, "sends empty packets without end");
}

static void what_finds_no_memory_goes_out_later_and_in_order(void **state) {
    (void)state;
    const uint32_t bytes = 3 * HAL_USB_CHUNK;
    usb_rig.room = 1;
    seen.content_left = bytes;
    assert_int_equal(order("", "", bytes), STATUS_OK);
    takes("download:0000c000");
    fastboot_link_step(&device, 0); /* now the answer is asked for */
    usb_rig.room = 2;
    answers("DATA0000c000");
    uint32_t sent = 0;
    while (sent < bytes) {
        if (usb_rig.out_count == 0) {
            usb_rig.room = 1;
            fastboot_link_step(&device, 0);
        }
        sent += takes(NULL);
    }
    usb_rig.room = 1;
    fastboot_link_step(&device, 0);
    answers("OKAY");
    assert_ended(STATUS_OK, "");
}

static void an_old_token_and_a_second_command_are_refused(void **state) {
    (void)state;
    const struct fastboot_order one = {.name = "reboot", .argument = "", .handler.ended = ended};
    assert_int_equal(fastboot_link_command(&device, TOKEN - 1, &one, 0), STATUS_STALE_LEASE);
    assert_int_equal(order("getvar", "a\nb", 0), STATUS_TOO_LARGE);
    assert_int_equal(order("getvar", "version", 0), STATUS_OK);
    assert_int_equal(order("reboot", "", 0), STATUS_ILLEGAL);
    fastboot_link_close(&device);
    assert_int_equal(seen.ended, 0);
    assert_false(fastboot_link_is_idle(&device));
    (void)usb_rig_take(usb_rig.in, &usb_rig.in_count);
    (void)usb_rig_take(usb_rig.out, &usb_rig.out_count);
    assert_true(fastboot_link_is_idle(&device));
}

int host_fastboot_link_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_command_is_one_transfer_and_notes_come_before_its_end, set_up),
        cmocka_unit_test_setup(a_download_keeps_four_transfers_in_flight, set_up),
        cmocka_unit_test_setup(an_answer_that_overtakes_the_last_transfer_waits_for_it, set_up),
        cmocka_unit_test_setup(a_refusal_in_the_middle_of_data_breaks_the_link, set_up),
        cmocka_unit_test_setup(whatever_breaks_is_told_once_with_the_reason, set_up),
        cmocka_unit_test_setup(silence_is_judged_from_the_last_thing_that_went_well, set_up),
        cmocka_unit_test_setup(empty_packets_are_left_out_but_not_without_end, set_up),
        cmocka_unit_test_setup(what_finds_no_memory_goes_out_later_and_in_order, set_up),
        cmocka_unit_test_setup(an_old_token_and_a_second_command_are_refused, set_up),
    };
    return cmocka_run_group_tests_name("host/fastboot_link", tests, NULL, NULL);
}
