/* Inventory pages and verdicts: what is written reads the same; what is cut or wrong is refused. */
#include "protocol/sync_inventory.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint8_t list[1024];
static uint8_t item[1024];

static struct bytes written(const struct cbor_writer *writer) {
    assert_false(writer->overflow);
    return (struct bytes){writer->data, writer->size};
}

static struct bytes write_page(const struct sync_inventory_row *rows, uint32_t count) {
    struct cbor_writer writer;
    cbor_writer_init(&writer, list, sizeof list);
    for (uint32_t i = 0; i < count; i++) {
        sync_inventory_row_write(&writer, &rows[i]);
    }
    const struct sync_inventory page = {
        .from = 1, .has_more = true, .row_count = count, .rows = written(&writer)};
    cbor_writer_init(&writer, item, sizeof item);
    sync_inventory_write(&writer, &page);
    return written(&writer);
}

static const struct sync_inventory_row two_rows[] = {
    {.process = 1,
     .generation = 1,
     .revision = 7,
     .status = 9,
     .digest = {1, 2, 3},
     .request = {4, 5, 6}},
    {.process = 300, .generation = 2, .revision = UINT64_C(1) << 40, .status = 4},
};

static void a_page_reads_as_it_was_written(void **state) {
    (void)state;
    struct sync_inventory page;
    struct sync_inventory_row row;
    assert_int_equal(sync_inventory_read(write_page(two_rows, 2), &page), STATUS_OK);
    assert_true(page.has_more);
    assert_false(page.asks);
    assert_int_equal(page.from, 1);
    assert_int_equal(page.row_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_true(sync_inventory_next(&page.rows, &row));
        assert_true(row.process == two_rows[i].process && row.revision == two_rows[i].revision);
        assert_int_equal(row.generation, two_rows[i].generation);
        assert_int_equal(row.status, two_rows[i].status);
        assert_memory_equal(row.digest, two_rows[i].digest, SYNC_DIGEST_BYTES);
        assert_memory_equal(row.request, two_rows[i].request, SYNC_DIGEST_BYTES);
    }
    assert_false(sync_inventory_next(&page.rows, &row));
}

static void a_row_of_an_older_hub_says_nothing_of_its_request(void **state) {
    (void)state;
    /* [1, false, [[5, 1, 7, 4, digest]]], and the same with a field that is no digest. */
    static const uint8_t older[] = {0x83, 1, 0xf4, 0x81, 0x85, 5, 1, 7, 4,
                                    0x48, 1, 2,    3,    4,    5, 6, 7, 8};
    uint8_t wrong[sizeof older + 1];
    static const uint8_t none[SYNC_DIGEST_BYTES];
    struct sync_inventory page;
    struct sync_inventory_row row;
    assert_int_equal(sync_inventory_read((struct bytes){older, sizeof older}, &page), STATUS_OK);
    assert_true(sync_inventory_next(&page.rows, &row));
    assert_memory_equal(row.request, none, sizeof none);
    memcpy(wrong, older, sizeof older);
    wrong[4] = 0x86;
    wrong[sizeof older] = 0x40;
    assert_int_equal(sync_inventory_read((struct bytes){wrong, sizeof wrong}, &page),
                     STATUS_MALFORMED);
}

static void a_hub_asks_for_a_new_epoch_with_one_word(void **state) {
    (void)state;
    struct cbor_writer writer;
    struct sync_inventory page;
    cbor_writer_init(&writer, item, sizeof item);
    sync_inventory_write(&writer, &(struct sync_inventory){.asks = true});
    assert_int_equal(sync_inventory_read(written(&writer), &page), STATUS_OK);
    assert_true(page.asks);
    const uint8_t no[] = {0xf4};
    assert_int_equal(sync_inventory_read((struct bytes){no, sizeof no}, &page), STATUS_MALFORMED);
}

static void every_cut_of_a_page_is_refused(void **state) {
    (void)state;
    struct sync_inventory page;
    struct bytes whole = write_page(two_rows, 2);
    for (size_t size = 0; size < whole.size; size++) {
        assert_int_equal(sync_inventory_read((struct bytes){whole.data, size}, &page),
                         STATUS_MALFORMED);
    }
}

static void rows_that_do_not_grow_are_refused(void **state) {
    (void)state;
    struct sync_inventory page;
    const struct sync_inventory_row twice[] = {two_rows[0], two_rows[0]};
    assert_int_equal(sync_inventory_read(write_page(twice, 2), &page), STATUS_MALFORMED);
    const struct sync_inventory_row none = {.process = 0, .generation = 1, .revision = 1};
    assert_int_equal(sync_inventory_read(write_page(&none, 1), &page), STATUS_MALFORMED);
}

static struct bytes write_verdicts(const struct sync_verdict *verdicts, uint32_t count) {
    struct cbor_writer writer;
    cbor_writer_init(&writer, list, sizeof list);
    for (uint32_t i = 0; i < count; i++) {
        sync_verdict_write(&writer, &verdicts[i]);
    }
    const struct sync_verdicts answer = {.from = 5, .count = count, .list = written(&writer)};
    cbor_writer_init(&writer, item, sizeof item);
    sync_verdicts_write(&writer, &answer);
    return written(&writer);
}

static const uint8_t ended[] = {RECORD_COMPLETED, RECORD_FAILED};
static const struct sync_verdict of_each_kind[] = {
    {.process = 5, .kind = SYNC_VERDICT_OK},
    {.process = 6, .kind = SYNC_VERDICT_MISSING, .revision = 3},
    {.process = 7,
     .kind = SYNC_VERDICT_ENDED,
     .revision = 9,
     .generation = 2,
     .item_count = 4,
     .flags = 1,
     .states = {ended, sizeof ended}},
};

static void verdicts_read_as_they_were_written(void **state) {
    (void)state;
    struct sync_verdicts answer;
    struct sync_verdict verdict;
    assert_int_equal(sync_verdicts_read(write_verdicts(of_each_kind, 3), &answer), STATUS_OK);
    assert_int_equal(answer.from, 5);
    assert_int_equal(answer.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(sync_verdict_next(&answer.list, &verdict));
        assert_true(verdict.process == of_each_kind[i].process);
        assert_int_equal(verdict.kind, of_each_kind[i].kind);
        assert_true(verdict.revision == of_each_kind[i].revision);
        assert_int_equal(verdict.generation, of_each_kind[i].generation);
        assert_int_equal(verdict.item_count, of_each_kind[i].item_count);
        assert_int_equal(verdict.states.size, of_each_kind[i].states.size);
    }
    assert_false(sync_verdict_next(&answer.list, &verdict));
}

static void every_cut_of_verdicts_is_refused(void **state) {
    (void)state;
    struct sync_verdicts answer;
    struct bytes whole = write_verdicts(of_each_kind, 3);
    for (size_t size = 0; size < whole.size; size++) {
        assert_int_equal(sync_verdicts_read((struct bytes){whole.data, size}, &answer),
                         STATUS_MALFORMED);
    }
}

static void a_verdict_of_a_later_version_asks_for_all_of_it(void **state) {
    (void)state;
    /* [5, [[6, 9, "x"]]]: kind 9 is not known here. */
    const uint8_t later[] = {0x82, 5, 0x81, 0x83, 6, 9, 0x61, 'x'};
    struct sync_verdicts answer;
    struct sync_verdict verdict;
    assert_int_equal(sync_verdicts_read((struct bytes){later, sizeof later}, &answer), STATUS_OK);
    assert_true(sync_verdict_next(&answer.list, &verdict));
    assert_int_equal(verdict.kind, SYNC_VERDICT_MISSING);
}

static void a_state_that_no_item_has_is_refused(void **state) {
    (void)state;
    static const uint8_t wrong[] = {RECORD_ITEM_STATE_COUNT};
    struct sync_verdict verdict = of_each_kind[2];
    struct sync_verdicts answer;
    verdict.states = (struct bytes){wrong, sizeof wrong};
    assert_int_equal(sync_verdicts_read(write_verdicts(&verdict, 1), &answer), STATUS_MALFORMED);
}

/* Whatever a byte becomes, a message is refused or can be walked. */
static void every_changed_byte_is_survived(void **state) {
    (void)state;
    static uint8_t changed[sizeof item];
    for (int which = 0; which < 2; which++) {
        struct bytes whole = which == 0 ? write_page(two_rows, 2) : write_verdicts(of_each_kind, 3);
        memcpy(changed, whole.data, whole.size);
        for (size_t at = 0; at < whole.size; at++) {
            uint8_t kept = changed[at];
            for (unsigned value = 0; value < 256; value++) {
                struct sync_inventory page = {0};
                struct sync_verdicts answer = {0};
                struct sync_inventory_row row;
                struct sync_verdict verdict;
                changed[at] = (uint8_t)value;
                const struct bytes message = {changed, whole.size};
                if (sync_inventory_read(message, &page) == STATUS_OK && !page.asks) {
                    while (sync_inventory_next(&page.rows, &row)) {
                        assert_true(row.process > 0);
                    }
                }
                if (sync_verdicts_read(message, &answer) == STATUS_OK) {
                    while (sync_verdict_next(&answer.list, &verdict)) {
                        assert_true(verdict.process > 0);
                    }
                }
            }
            changed[at] = kept;
        }
    }
}

int protocol_sync_inventory_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_reads_as_it_was_written),
        cmocka_unit_test(a_row_of_an_older_hub_says_nothing_of_its_request),
        cmocka_unit_test(a_hub_asks_for_a_new_epoch_with_one_word),
        cmocka_unit_test(every_cut_of_a_page_is_refused),
        cmocka_unit_test(rows_that_do_not_grow_are_refused),
        cmocka_unit_test(verdicts_read_as_they_were_written),
        cmocka_unit_test(every_cut_of_verdicts_is_refused),
        cmocka_unit_test(a_verdict_of_a_later_version_asks_for_all_of_it),
        cmocka_unit_test(a_state_that_no_item_has_is_refused),
        cmocka_unit_test(every_changed_byte_is_survived),
    };
    return cmocka_run_group_tests_name("protocol/sync_inventory", tests, NULL, NULL);
}
