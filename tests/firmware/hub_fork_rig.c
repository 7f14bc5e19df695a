#include "tests/firmware/hub_fork_rig.h"

#include "firmware/hub_fork.h"
#include "firmware/hub_internal.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint8_t message[FORK_PAGE_BYTES];

void fork_take(struct rig *rig, uint32_t epoch) {
    enum status status;
    for (unsigned turn = 0; (status = hub_fork_take(&rig->hub, epoch)) == STATUS_AGAIN; turn++) {
        assert_true(turn < 8);
        rig_commit(rig);
    }
    assert_int_equal(status, STATUS_OK);
}

void fork_settle_until(struct rig *rig, enum hub_fork_state wanted) {
    for (int i = 0; i < 20 && rig->hub.fork_state != wanted; i++) {
        rig_settle(rig);
    }
    assert_int_equal(rig->hub.fork_state, wanted);
}

bool fork_page(struct rig *rig, size_t capacity, struct sync_inventory *page) {
    struct cbor_writer writer;
    assert_true(capacity <= sizeof message);
    cbor_writer_init(&writer, message, capacity);
    if (!hub_fork_page(&rig->hub, &writer)) {
        return false;
    }
    struct bytes item = {message, writer.size};
    assert_int_equal(sync_inventory_read(item, page), STATUS_OK);
    return true;
}

void fork_judge(struct rig *rig, uint64_t from, const struct sync_verdict *verdicts,
                uint32_t count) {
    static uint8_t list[2048], item[2048];
    struct cbor_writer writer;
    cbor_writer_init(&writer, list, sizeof list);
    for (uint32_t i = 0; i < count; i++) {
        sync_verdict_write(&writer, &verdicts[i]);
    }
    const struct sync_verdicts answer = {.from = from, .count = count, .list = {list, writer.size}};
    cbor_writer_init(&writer, item, sizeof item);
    sync_verdicts_write(&writer, &answer);
    hub_fork_judge(&rig->hub, (struct bytes){item, writer.size});
}

void fork_answer_all(struct rig *rig, enum sync_verdict_kind kind) {
    struct sync_inventory page;
    while (rig->hub.fork_state == HUB_FORK_LISTING) {
        struct sync_inventory_row row;
        struct sync_verdict verdicts[SYNC_INVENTORY_ROWS_MAX];
        uint32_t count = 0;
        assert_true(fork_page(rig, sizeof message, &page));
        while (sync_inventory_next(&page.rows, &row)) {
            verdicts[count++] = (struct sync_verdict){
                .process = row.process, .kind = (uint8_t)kind, .revision = row.revision};
        }
        fork_judge(rig, page.from, verdicts, count);
        rig_settle(rig);
    }
    fork_settle_until(rig, HUB_FORK_SETTLED);
}

uint32_t fork_finish_one(struct rig *rig, enum record_outcome outcome) {
    const struct rig_order one = {0};
    uint32_t process = rig_submit(rig, &one);
    struct hub_start start = rig_begin(rig);
    assert_int_equal(rig_end(rig, &start, outcome, RECORD_CATEGORY_CAPABILITY), STATUS_OK);
    return process;
}

void fork_fill(struct rig *rig, uint32_t bytes) {
    check(bytes >= HUB_GAP_BYTES);
    while (hub_has_room(&rig->hub, bytes)) {
        hub_log_self(&rig->hub, RECORD_COUNTERS_EVENT);
    }
}
