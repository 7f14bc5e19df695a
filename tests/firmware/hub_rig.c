#include "tests/firmware/hub_rig.h"

#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

extern const struct board board_sim;

/* ---- flash ---- */

static struct rig_flash *of(struct hal_flash *flash) {
    return (struct rig_flash *)(void *)flash;
}

static enum status flash_read(struct hal_flash *flash, uint32_t offset, void *target,
                              uint32_t size) {
    uint32_t left = of(flash)->fail_read;
    of(flash)->fail_read = left == 0 ? 0 : left - 1;
    if (left == 1) {
        return STATUS_IO;
    }
    memcpy(target, of(flash)->cells + offset, size);
    return STATUS_OK;
}

static enum status flash_program(struct hal_flash *flash, uint32_t offset, const void *source,
                                 uint32_t size) {
    for (uint32_t i = 0; i < size; i++) {
        assert_int_equal(of(flash)->cells[offset + i], 0xff);
    }
    memcpy(of(flash)->cells + offset, source, size);
    return STATUS_OK;
}

static enum status flash_erase(struct hal_flash *flash, uint32_t block) {
    memset(of(flash)->cells + (size_t)block * flash->block_bytes, 0xff, flash->block_bytes);
    return STATUS_OK;
}

static enum status flash_sync_start(struct hal_flash *flash) {
    assert_false(of(flash)->is_syncing);
    of(flash)->is_syncing = true;
    return STATUS_OK;
}

static enum status flash_sync_poll(struct hal_flash *flash) {
    if (!of(flash)->is_syncing || of(flash)->holds_sync) {
        return STATUS_AGAIN;
    }
    of(flash)->is_syncing = false;
    return STATUS_OK;
}

static const struct hal_flash_ops flash_ops = {
    .read = flash_read,
    .program = flash_program,
    .erase = flash_erase,
    .sync_start = flash_sync_start,
    .sync_poll = flash_sync_poll,
};

static const struct board *board_of(const struct rig *rig) {
    return rig->board == NULL ? &board_sim : rig->board;
}

static void flash_init(struct rig *rig) {
    const struct board *board = board_of(rig);
    assert_true(board->block_bytes * board->block_count <= sizeof rig->flash.cells);
    rig->flash.base = (struct hal_flash){
        .ops = &flash_ops,
        .block_bytes = board->block_bytes,
        .block_count = board->block_count,
        .program_bytes = board->program_bytes,
    };
    rig->flash.is_syncing = false;
    rig->flash.holds_sync = false;
}

/* ---- life ---- */

static struct capability capability_for(enum rig_capability which) {
    static const char *const names[RIG_CAPABILITIES] = {"work",  "once",    "long",   "review",
                                                        "keyed", "sparing", "outside"};
    bool is_long = which == RIG_LONG || which == RIG_SPARING;
    struct capability capability = {
        .attempts_max = is_long ? 20 : 3,
        .backoff = {.base_ms = is_long ? 0 : 1000, .cap_ms = 8000, .factor = 2},
        .retryable = ~(UINT32_C(1) << RECORD_CATEGORY_CAPABILITY),
        .attempt_ms = RIG_ATTEMPT_MS,
        .action_count = which == RIG_OUTSIDE ? 0 : 3,
        .once_actions = which == RIG_ONCE     ? 2
                        : which == RIG_REVIEW ? 4
                                              : 0,
        .review_actions = which == RIG_REVIEW ? 2 : 0,
        .actions_digest = 77,
        .is_external = which == RIG_OUTSIDE,
        .lease_ms = which == RIG_OUTSIDE ? RIG_LEASE_MS : 0,
        .concurrency_max = 2,
    };
    if (which == RIG_KEYED) {
        memcpy(capability.concurrency_key, "keyed", sizeof "keyed");
    }
    if (which == RIG_SPARING) {
        capability.budget = (struct budget_limit){{4, 100, 1}};
    }
    memcpy(capability.name, names[which], strlen(names[which]));
    return capability;
}

static enum status try_load(struct rig *rig) {
    assert_true(hub_bytes(board_of(rig)) <= sizeof rig->memory);
    memset(rig->memory, 0, sizeof rig->memory);
    hub_init(&rig->hub, board_of(rig), rig->memory, &rig->flash.base, 99);
    rig->hub.stop_grace_ms = RIG_GRACE_MS;
    for (unsigned c = 0; c < RIG_CAPABILITIES; c++) {
        struct capability capability = capability_for(c);
        assert_int_equal(hub_capability_set(&rig->hub, &capability), STATUS_OK);
    }
    return hub_load(&rig->hub, bytes_of("hub"), rig->boot_id, &rig->clock);
}

static void load(struct rig *rig) {
    assert_int_equal(try_load(rig), STATUS_OK);
    hub_set_clock(&rig->hub, &rig->clock);
}

enum status rig_try_restart(struct rig *rig) {
    flash_init(rig);
    enum status status = try_load(rig);
    if (status == STATUS_OK) {
        hub_set_clock(&rig->hub, &rig->clock);
    }
    return status;
}

void rig_start(struct rig *rig) {
    static const uint8_t store_id[STORE_ID_BYTES] = {7};
    memset(rig->flash.cells, 0xff, sizeof rig->flash.cells);
    flash_init(rig);
    memset(rig->memory, 0, sizeof rig->memory);
    hub_init(&rig->hub, board_of(rig), rig->memory, &rig->flash.base, 99);
    assert_int_equal(store_format(&rig->hub.store, store_id, 1), STATUS_OK);
    memset(rig->boot_id, 1, sizeof rig->boot_id);
    rig->clock = (struct hub_clock){.mono_ms = 1000, .wall_ms = 1700000000000, .quality = 2};
    load(rig);
    rig_settle(rig);
}

void rig_restart(struct rig *rig, bool same_boot) {
    flash_init(rig);
    if (!same_boot) {
        rig->boot_id[0] += 1;
        rig->clock.mono_ms = 500;
    }
    load(rig);
}

void rig_load_copy(struct rig *copy, const struct rig *from) {
    *copy = *from;
    flash_init(copy);
    load(copy);
}

void rig_commit(struct rig *rig) {
    struct hub *hub = &rig->hub;
    for (unsigned turn = 0; hub->store.open_records > 0 || hub->store.is_syncing; turn++) {
        assert_true(turn < 1000);
        enum status status = hub_commit(hub);
        if (status != STATUS_OK && status != STATUS_AGAIN) {
            fail_msg("a commit ended with status %d", status);
        }
        if (rig->flash.holds_sync) {
            return;
        }
        status = hub_poll(hub);
        assert_true(status == STATUS_OK || status == STATUS_AGAIN);
    }
}

void rig_settle(struct rig *rig) {
    uint64_t head;
    do {
        head = hub_head_seq(&rig->hub);
        hub_step(&rig->hub);
        rig_commit(rig);
        rig_check(rig);
    } while (hub_head_seq(&rig->hub) != head);
}

void rig_advance(struct rig *rig, uint64_t ms) {
    rig->clock.mono_ms += ms;
    rig->clock.wall_ms += rig->clock.wall_ms == 0 ? 0 : ms;
    hub_set_clock(&rig->hub, &rig->clock);
    rig_settle(rig);
}

/* ---- phones ---- */

uint32_t rig_phone(struct rig *rig, const char *id) {
    uint32_t phone;
    struct bytes name = {(const uint8_t *)id, strlen(id)};
    assert_int_equal(
        hub_phone_identify(&rig->hub, name, bytes_of("slot"), bytes_of("model"), &phone),
        STATUS_OK);
    rig_phone_event(rig, phone, PHONE_ON_ATTACHED);
    rig_phone_event(rig, phone, PHONE_ON_HANDSHAKE);
    rig_settle(rig);
    return phone;
}

void rig_phone_event(struct rig *rig, uint32_t phone, enum phone_event event) {
    enum status status = hub_phone_event(&rig->hub, phone, event, "why");
    if (status == STATUS_AGAIN) {
        rig_commit(rig);
        status = hub_phone_event(&rig->hub, phone, event, "why");
    }
    assert_int_equal(status, STATUS_OK);
}

/* ---- requests ---- */

static struct bytes text_of(const char *text) {
    return (struct bytes){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

enum status rig_accept(struct rig *rig, const struct rig_order *order,
                       struct hub_accepted *accepted) {
    static uint8_t inputs[8192];
    uint8_t key[RECORD_DIGEST_BYTES] = {0};
    uint8_t body[RECORD_DIGEST_BYTES] = {0};
    uint64_t phones[16];
    const struct capability *capability = &rig->hub.capabilities[order->capability];
    if (order->key != NULL) {
        assert_true(strlen(order->key) <= sizeof key);
        memcpy(key, order->key, strlen(order->key));
    }
    body[0] = order->body == NULL ? 0 : (uint8_t)order->body[0];
    memset(inputs, '1', sizeof inputs);
    struct record_request request = {
        .process_type = {(const uint8_t *)capability->name, strlen(capability->name)},
        .system = bytes_of("test"),
        .target = bytes_of("{}"),
        .inputs = {inputs, order->input_bytes},
        .key = {key, order->key == NULL ? 0 : RECORD_DIGEST_BYTES},
        .body_digest = {body, RECORD_DIGEST_BYTES},
        .routing = order->phones == NULL ? RECORD_QUEUE : RECORD_GROUP,
        .priority = order->priority,
        .not_before_ms = order->not_before_ms,
        .deadline_ms = order->deadline_ms,
        .labels = text_of(order->labels),
        .concurrency_key = text_of(order->concurrency_key),
    };
    struct hub_order wanted = {
        .request = &request,
        .capability = order->capability,
        .item_count = order->items == 0 ? 1 : order->items,
    };
    for (uint32_t i = 0; order->phones != NULL && i < wanted.item_count; i++) {
        phones[i] = rig->hub.phones[order->phones[i]].number;
        wanted.phones = phones;
    }
    struct bytes accounts[16];
    for (uint32_t i = 0; order->accounts != NULL && i < wanted.item_count; i++) {
        accounts[i] = text_of(order->accounts[i]);
        wanted.accounts = accounts;
    }
    enum status status = hub_accept(&rig->hub, &wanted, accepted);
    for (unsigned turn = 0; status == STATUS_AGAIN && !rig->keeps_group && turn < 8; turn++) {
        rig_commit(rig);
        status = hub_accept(&rig->hub, &wanted, accepted);
    }
    return status;
}

uint32_t rig_submit(struct rig *rig, const struct rig_order *order) {
    struct hub_accepted accepted;
    assert_int_equal(rig_accept(rig, order, &accepted), STATUS_OK);
    assert_false(accepted.is_duplicate);
    rig_settle(rig);
    return accepted.process;
}

void rig_cancel(struct rig *rig, uint32_t process) {
    enum status status = hub_cancel(&rig->hub, process);
    if (status == STATUS_AGAIN) {
        rig_commit(rig);
        status = hub_cancel(&rig->hub, process);
    }
    assert_int_equal(status, STATUS_OK);
    rig_settle(rig);
}

enum status rig_ask(struct rig *rig, enum status (*ask)(struct hub *, uint32_t), uint32_t process) {
    enum status status = ask(&rig->hub, process);
    for (unsigned turn = 0; status == STATUS_AGAIN && turn < 8; turn++) {
        rig_commit(rig);
        status = ask(&rig->hub, process);
    }
    rig_settle(rig);
    return status;
}

enum status rig_settle_item(struct rig *rig, uint32_t process, uint32_t number, bool is_done) {
    enum status status = hub_settle(&rig->hub, process, number, is_done);
    if (status == STATUS_AGAIN) {
        rig_commit(rig);
        status = hub_settle(&rig->hub, process, number, is_done);
    }
    rig_settle(rig);
    return status;
}

/* ---- external workers ---- */

struct hub_claimed rig_claim(struct rig *rig, const char *worker, const char *claim_id,
                             uint32_t batch) {
    return rig_claim_of(rig, worker, claim_id, batch, 0);
}

struct hub_claimed rig_claim_of(struct rig *rig, const char *worker, const char *claim_id,
                                uint32_t batch, uint64_t process) {
    const struct hub_claim claim = {.worker = text_of(worker),
                                    .claim_id = text_of(claim_id),
                                    .batch = batch,
                                    .process = process};
    struct hub_claimed claimed;
    rig_commit(rig);
    assert_int_equal(hub_claim(&rig->hub, &claim, &claimed), STATUS_OK);
    rig_settle(rig);
    return claimed;
}

struct hub_worker rig_worker(struct rig *rig, const char *name, uint32_t item) {
    return (struct hub_worker){
        .item = item, .name = text_of(name), .token = rig->hub.items[item].image.token};
}

enum status rig_worker_start(struct rig *rig, const struct hub_worker *worker) {
    rig_commit(rig);
    enum status status = hub_worker_start(&rig->hub, worker);
    rig_settle(rig);
    return status;
}

enum status rig_worker_end(struct rig *rig, const struct hub_worker *worker,
                           enum record_outcome outcome, enum hub_retryable retryable) {
    const struct record_attempt end = {
        .outcome = (uint8_t)outcome,
        .category = outcome == RECORD_SUCCESS ? RECORD_CATEGORY_NONE : RECORD_CATEGORY_EXIT_CODE,
        .message = bytes_of("the worker says so"),
        .result = bytes_of("{}"),
    };
    rig_commit(rig);
    enum status status = hub_worker_end(&rig->hub, worker, &end, retryable);
    rig_settle(rig);
    return status;
}

/* ---- attempts ---- */

struct hub_start rig_begin(struct rig *rig) {
    struct hub_start start = {0};
    assert_true(hub_next_start(&rig->hub, &start));
    return start;
}

void rig_assert_no_start(struct rig *rig) {
    struct hub_start start;
    assert_false(hub_next_start(&rig->hub, &start));
}

enum status rig_step(struct rig *rig, const struct hub_start *start) {
    const struct hub_phone *phone = &rig->hub.phones[start->phone];
    uint32_t done = phone->item == HUB_NONE ? 0 : rig->hub.items[phone->item].image.actions_done;
    const struct record_attempt so_far = {.actions_done = done + 1,
                                          .result = bytes_of("{\"battery\":50}")};
    enum status status = hub_attempt_step(&rig->hub, start->phone, start->token, &so_far);
    if (status == STATUS_AGAIN) {
        rig_commit(rig);
        status = hub_attempt_step(&rig->hub, start->phone, start->token, &so_far);
    }
    return status;
}

enum status rig_end(struct rig *rig, const struct hub_start *start, enum record_outcome outcome,
                    enum record_category category) {
    const struct record_attempt end = {
        .outcome = (uint8_t)outcome,
        .category = (uint8_t)category,
        .has_exit_code = category == RECORD_CATEGORY_EXIT_CODE,
        .exit_code = 1,
        .code = bytes_of("code"),
        .message = bytes_of("how it ended"),
        .result = bytes_of("{}"),
    };
    enum status status = hub_attempt_end(&rig->hub, start->phone, start->token, &end);
    if (status == STATUS_AGAIN) {
        rig_commit(rig);
        status = hub_attempt_end(&rig->hub, start->phone, start->token, &end);
    }
    rig_settle(rig);
    return status;
}

/* ---- reading ---- */

struct hub_item *rig_item(struct rig *rig, uint32_t process, uint32_t number) {
    uint32_t item = rig->hub.processes[process].first_item;
    while (item != HUB_NONE && rig->hub.items[item].number != number) {
        item = rig->hub.items[item].next_of_process;
    }
    assert_true(item != HUB_NONE);
    return &rig->hub.items[item];
}

struct hub_process *rig_process(struct rig *rig, uint32_t process) {
    assert_true(pool_is_used(&rig->hub.process_pool, process));
    return &rig->hub.processes[process];
}

void rig_read_history(struct rig *rig, uint32_t process, struct rig_history *history) {
    struct hub_history walk;
    struct bytes record;
    uint32_t where;
    uint32_t count = 0;
    memset(history, 0, sizeof *history);
    hub_history_start(&rig->hub, process, &walk);
    uint32_t newest = (uint32_t)walk.revision;
    assert_in_range(newest, 1, RIG_EVENTS_MAX);
    while (hub_history_next(&rig->hub, &walk, &record, &where) == STATUS_OK) {
        struct cbor_reader reader;
        struct record_header header;
        cbor_reader_init(&reader, record);
        record_get_header(&reader, &header);
        assert_false(reader.failed);
        assert_int_equal(header.revision, newest - count);
        assert_int_equal(header.path[0], rig->hub.processes[process].number);
        history->kind[newest - count - 1] = header.kind;
        history->event[newest - count - 1] = header.event;
        history->status[newest - count - 1] = header.status;
        count += 1;
        assert_int_equal(
            hub_history_read(&rig->hub, where, header.path[0], header.revision, &record),
            STATUS_OK);
    }
    assert_int_equal(count, newest);
    history->count = count;
}

void rig_read_attempt(struct rig *rig, uint32_t process, uint32_t number,
                      struct record_attempt *attempt) {
    struct hub_item *item = rig_item(rig, process, number);
    uint32_t newest = item->first_attempt;
    assert_true(newest != HUB_NONE);
    while (rig->hub.attempts[newest].next != HUB_NONE) {
        newest = rig->hub.attempts[newest].next;
    }
    struct record_header header;
    struct cbor_reader reader;
    assert_int_equal(
        hub_read(&rig->hub, (struct store_key){RECORD_ATTEMPT, newest}, &header, &reader),
        STATUS_OK);
    record_get_attempt(&reader, attempt);
    assert_true(cbor_reader_done(&reader));
}
