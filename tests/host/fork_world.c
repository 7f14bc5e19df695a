#include "tests/host/fork_world.h"

#include "firmware/process.h"
#include "tests/test.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BUFFER_BYTES = 96 * 1024 };

static uint8_t group_buffer[BUFFER_BYTES];
static uint8_t push_buffer[BUFFER_BYTES];
static struct bytes last_push; /* in push_buffer */
static uint8_t kept_buffer[BUFFER_BYTES];
static struct bytes kept_push;
static uint8_t reply_buffer[16384];
static uint8_t image_buffer[DB_RECORD_MAX];
static const char *const phone_names[WORLD_PHONES] = {"A", "B"};

/* ---- life ---- */

static void attach_phones(struct world *world) {
    for (unsigned p = 0; p < WORLD_PHONES; p++) {
        uint32_t phone =
            hub_phone_find(&world->rig.hub, (struct bytes){(const uint8_t *)phone_names[p], 1});
        if (phone == HUB_NONE || world->rig.hub.phones[phone].state == RECORD_PHONE_ABSENT) {
            (void)rig_phone(&world->rig, phone_names[p]);
        }
    }
}

static void connect_hub(struct world *world) {
    world->rig.hub.has_upstream = true;
    hub_sync_init(&world->sync, &world->rig.hub, group_buffer, sizeof group_buffer);
    memset(world->runs, 0, sizeof world->runs);
}

void world_start(struct world *world) {
    const struct db_place place = {.sqlite = ":memory:"};
    memset(world, 0, sizeof *world);
    rig_start(&world->rig);
    connect_hub(world);
    assert_int_equal(db_open(&world->db, &place), STATUS_OK);
    world->fleet.db = &world->db;
    world->epoch = 1;
    attach_phones(world);
}

void world_stop(struct world *world) {
    db_close(&world->db);
}

void world_set_clock(struct world *world) {
    const struct hub_clock *clock = &world->rig.clock;
    world->fleet.now = (struct fleet_clock){world->before_ms + clock->mono_ms, clock->wall_ms};
}

void world_restart(struct world *world, bool same_boot) {
    world->before_ms += same_boot ? 0 : world->rig.clock.mono_ms;
    rig_restart(&world->rig, same_boot);
    connect_hub(world);
    rig_settle(&world->rig);
    attach_phones(world);
}

/* ---- images ---- */

void world_take_flash(const struct world *world, uint8_t cells[RIG_FLASH_BYTES]) {
    memcpy(cells, world->rig.flash.cells, RIG_FLASH_BYTES);
}

void world_set_flash(struct world *world, const uint8_t cells[RIG_FLASH_BYTES]) {
    memcpy(world->rig.flash.cells, cells, RIG_FLASH_BYTES);
    world->is_restored = true;
    world->token_count = world->told_tokens; /* nobody knows of the others any more */
    world->is_blind = world->is_blind || world->is_forgetful;
    world_restart(world, false);
}

void world_take_upstream(struct world *world, struct world_upstream *image) {
    sqlite3_int64 size = 0;
    uint8_t *bytes = sqlite3_serialize(world->db.sql.handle, "main", &size, 0);
    assert_non_null(bytes);
    assert_true(size <= WORLD_DB_BYTES);
    if (image->database == NULL) {
        image->database = malloc(WORLD_DB_BYTES);
        assert_non_null(image->database);
    }
    memcpy(image->database, bytes, (size_t)size);
    image->bytes = (size_t)size;
    sqlite3_free(bytes);
    image->epoch = world->epoch;
    memcpy(image->commands, world->commands, sizeof image->commands);
    image->command_count = world->command_count;
}

void world_set_upstream(struct world *world, const struct world_upstream *image) {
    uint8_t *bytes = sqlite3_malloc64(image->bytes);
    assert_non_null(bytes);
    memcpy(bytes, image->database, image->bytes);
    assert_int_equal(
        sqlite3_deserialize(world->db.sql.handle, "main", bytes, (sqlite3_int64)image->bytes,
                            (sqlite3_int64)image->bytes,
                            SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE),
        SQLITE_OK);
    world->epoch = image->epoch;
    memcpy(world->commands, image->commands, sizeof world->commands);
    world->command_count = image->command_count;
    world->end_count = 0; /* it has forgotten */
    world->is_forgetful = true;
    world->is_blind = world->is_blind || world->is_restored;
}

/* ---- upstream's commands ---- */

void world_command(struct world *world, uint64_t process) {
    if (world->command_count < WORLD_COMMANDS) {
        uint64_t last =
            world->command_count == 0 ? 0 : world->commands[world->command_count - 1].number;
        world->commands[world->command_count] = (struct world_command){process, last + 1};
        world->command_count += 1;
    }
}

/* Commands are numbered anew: each may have been lost with what was forgotten. */
static void raise_epoch(struct world *world) {
    world->epoch = world->fleet.told_epoch > world->epoch ? world->fleet.told_epoch : world->epoch;
    world->epoch += 1;
    world->fleet.told_epoch = 0;
    for (uint32_t i = 0; i < world->command_count; i++) {
        world->commands[i].number = i + 1;
    }
}

static void put_commands(const struct world *world, const struct sync_push *push,
                         struct cbor_writer *writer, uint32_t *count) {
    uint64_t applied = push->upstream_epoch == world->epoch ? push->command : 0;
    for (uint32_t i = 0; i < world->command_count; i++) {
        const struct sync_control control = {.owner = SYNC_OWN_HUB,
                                             .process = world->commands[i].process};
        if (world->commands[i].number > applied && *count < 8) {
            sync_control_write(writer, world->commands[i].number, SYNC_CANCEL, &control);
            *count += 1;
        }
    }
}

/* ---- what must hold always ---- */

static void note_token(struct world *world, uint64_t token) {
    for (uint32_t i = 0; i < world->token_count && !world->is_restored && !world->is_blind; i++) {
        if (world->tokens[i] == token) {
            fail_msg("token %llx is given twice", (unsigned long long)token);
        }
    }
    assert_true(world->token_count < WORLD_TOKENS);
    world->tokens[world->token_count] = token;
    world->token_count += 1;
}

static uint32_t generation_of(struct world *world, int64_t store, uint64_t number) {
    struct db_image image = {.buffer = image_buffer};
    const uint64_t path[3] = {number};
    struct cbor_reader reader;
    struct record_header header;
    struct record_process process = {0};
    if (db_object_get(&world->db, store, RECORD_PROCESS, path, &image) == STATUS_OK) {
        cbor_reader_init(&reader, image.bytes);
        record_get_header(&reader, &header);
        record_get_process(&reader, &process);
    }
    return process.generation;
}

struct row {
    uint64_t number;
    int64_t store;
    uint8_t status;
    bool is_lost;
    uint8_t request[SYNC_DIGEST_BYTES]; /* zeros: it is not there (yet) */
};

static void read_request(struct world *world, struct row *row) {
    struct db_image image = {.buffer = image_buffer};
    const uint64_t path[3] = {row->number};
    if (db_object_get(&world->db, row->store, RECORD_REQUEST, path, &image) == STATUS_OK) {
        sync_inventory_digest(image.bytes, row->request);
    }
}

static bool is_same(const struct world_end *end, const struct row *row) {
    return end->store == row->store && memcmp(end->request, row->request, sizeof row->request) == 0;
}

static void note_end(struct world *world, const struct row *row, uint32_t generation) {
    uint8_t status = row->status;
    struct world_end now = {.store = row->store, .generation = generation, .status = status};
    memcpy(now.request, row->request, sizeof now.request);
    for (uint32_t i = 0; i < world->end_count; i++) {
        struct world_end *end = &world->ends[i];
        if (!is_same(end, row)) {
            continue;
        }
        if (process_is_terminal(end->status) && generation <= end->generation &&
            status != end->status) {
            fail_msg("process %llx had ended in row %u, and is in row %u now",
                     (unsigned long long)row->number, end->status, status);
        }
        *end = now;
        return;
    }
    if (process_is_terminal(status) && world->end_count < WORLD_ENDS) {
        world->ends[world->end_count] = now;
        world->end_count += 1;
    }
}

static void assert_kept(const struct world_end *end, const struct row *rows, uint32_t count) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        found += is_same(end, &rows[i]);
    }
    if (found != 1) {
        fail_msg("%u processes have the request of one that ended in row %u", found, end->status);
    }
}

/* Every process that upstream knows of; gives how many. */
static uint32_t read_rows(struct world *world, struct row rows[WORLD_ENDS]) {
    sqlite3_stmt *statement = NULL;
    uint32_t count = 0;
    assert_int_equal(sqlite3_prepare_v2(world->db.sql.handle,
                                        "SELECT number, store, status, lost FROM processes", -1,
                                        &statement, NULL),
                     SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW && count < WORLD_ENDS) {
        rows[count] = (struct row){.number = (uint64_t)sqlite3_column_int64(statement, 0),
                                   .store = sqlite3_column_int64(statement, 1),
                                   .status = (uint8_t)sqlite3_column_int(statement, 2),
                                   .is_lost = sqlite3_column_int(statement, 3) != 0};
        count += 1;
    }
    sqlite3_finalize(statement);
    return count;
}

static void note_ends(struct world *world) {
    static const uint8_t none[SYNC_DIGEST_BYTES];
    static struct row rows[WORLD_ENDS];
    uint32_t count = read_rows(world, rows);
    for (uint32_t i = 0; i < count; i++) {
        read_request(world, &rows[i]);
        if (memcmp(rows[i].request, none, sizeof none) != 0) {
            note_end(world, &rows[i], generation_of(world, rows[i].store, rows[i].number));
        }
    }
    for (uint32_t i = 0; i < world->end_count; i++) {
        assert_kept(&world->ends[i], rows, count);
    }
}

/* ---- messages ---- */

static void write_reply(const struct sync_reply *reply, struct bytes *message) {
    struct cbor_writer writer;
    cbor_writer_init(&writer, reply_buffer, sizeof reply_buffer);
    sync_reply_write(&writer, reply);
    assert_false(writer.overflow);
    *message = (struct bytes){reply_buffer, writer.size};
}

static void answer(struct world *world, const struct sync_push *push, struct bytes *message) {
    uint8_t commands[1024];
    struct cbor_writer list;
    struct sync_reply reply;
    world_set_clock(world);
    fleet_begin_turn(&world->fleet);
    assert_int_equal(db_begin(&world->db), STATUS_OK);
    assert_int_equal(fleet_push(&world->fleet, bytes_of("hub"), push, &reply), STATUS_OK);
    if (world->dispatch != NULL) {
        dispatch_begin_turn(world->dispatch);
        assert_int_equal(dispatch_answer(world->dispatch, bytes_of("hub"), push, 0, &reply),
                         STATUS_OK);
    }
    assert_int_equal(db_commit(&world->db), STATUS_OK);
    if (world->dispatch != NULL) {
        bool has_verdicts = reply.verdicts.size > 0;
        world->pages += has_verdicts;
        world->mixed += has_verdicts && reply.commands.size + reply.grants.size > 0;
        write_reply(&reply, message);
        return;
    }
    if (world->fleet.told_epoch != 0 || push->upstream_epoch > world->epoch) {
        world->fleet.told_epoch = push->upstream_epoch > world->fleet.told_epoch
                                      ? push->upstream_epoch
                                      : world->fleet.told_epoch;
        raise_epoch(world);
    }
    cbor_writer_init(&list, commands, sizeof commands);
    reply.upstream_epoch = world->epoch;
    put_commands(world, push, &list, &reply.command_count);
    reply.commands = (struct bytes){commands, list.size};
    write_reply(&reply, message);
    note_ends(world);
}

static void take(struct world *world, struct bytes message) {
    struct sync_reply reply;
    assert_int_equal(sync_reply_read(message, &reply), STATUS_OK);
    if (reply.result == SYNC_FORK) {
        assert_true(reply.epoch != 0);
        enum status status = hub_sync_fork(&world->sync, &reply);
        assert_true(status == STATUS_OK || status == STATUS_AGAIN);
        world->forks += 1;
    } else if (reply.result == SYNC_REFUSED) {
        world->alarms += 1;
    } else if (hub_sync_accept(&world->sync, &reply)) {
        hub_sync_take(&world->sync, &reply, world->sync.sent_ms);
        world->is_restored = false;
        world->is_forgetful = false;
        if (!hub_sync_has_more(&world->sync)) {
            world->told_tokens = world->token_count;
        }
    }
    rig_settle(&world->rig);
}

void world_exchange(struct world *world, enum world_loss loss) {
    struct bytes message;
    struct sync_push push;
    world->messages += 1;
    enum status status =
        hub_sync_push(&world->sync, true, push_buffer, sizeof push_buffer, &message);
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(sync_push_read(message, &push), STATUS_OK);
    last_push = message;
    if (loss == WORLD_PUSH_LOST) {
        return;
    }
    answer(world, &push, &message);
    if (loss == WORLD_NO_LOSS) {
        take(world, message);
    }
}

void world_keep_push(void) {
    memcpy(kept_buffer, last_push.data, last_push.size);
    kept_push = (struct bytes){kept_buffer, last_push.size};
}

void world_repeat_push(struct world *world) {
    struct bytes message;
    struct sync_push push;
    assert_int_equal(sync_push_read(kept_push, &push), STATUS_OK);
    answer(world, &push, &message);
}

/* ---- attempts ---- */

void world_run(struct world *world, enum record_outcome outcome) {
    static const struct record_attempt ends[] = {
        [RECORD_SUCCESS] = {.outcome = RECORD_SUCCESS},
        [RECORD_FAILURE] = {.outcome = RECORD_FAILURE, .category = RECORD_CATEGORY_EXIT_CODE},
        [RECORD_STOPPED] = {.outcome = RECORD_STOPPED},
    };
    struct hub *hub = &world->rig.hub;
    struct hub_start start;
    while (hub_next_start(hub, &start)) {
        note_token(world, start.token);
        assert_true(start.phone < WORLD_PHONES);
        assert_true(hub_fork_is_settled(hub) || hub->fork_state <= HUB_FORK_CLOSING);
        world->runs[start.phone] = start;
    }
    for (unsigned p = 0; p < WORLD_PHONES; p++) {
        struct hub_start *run = &world->runs[p];
        if (run->token == 0) {
            continue;
        }
        uint32_t item = p < hub->phone_count ? hub->phones[p].item : HUB_NONE;
        bool is_asked = item != HUB_NONE && hub->items[item].image.stop != RECORD_STOP_NONE;
        const struct record_attempt *end = &ends[is_asked ? RECORD_STOPPED : outcome];
        enum status status = hub_attempt_end(hub, p, run->token, end);
        if (status == STATUS_AGAIN) {
            rig_commit(&world->rig);
            status = hub_attempt_end(hub, p, run->token, end);
        }
        *run = (struct hub_start){0};
    }
    rig_settle(&world->rig);
}

/* ---- at rest ---- */

static bool is_at_rest(struct world *world) {
    const struct hub *hub = &world->rig.hub;
    return hub_fork_is_settled(hub) && !hub_sync_has_more(&world->sync) &&
           hub->store.acked_seq == hub->store.durable_seq &&
           (world->command_count == 0 ||
            (hub->image.upstream_epoch == world->epoch &&
             hub->image.command >= world->commands[world->command_count - 1].number));
}

static int64_t store_of(struct world *world) {
    struct db_store store = {0};
    memcpy(store.hub_id, "hub", 4);
    memcpy(store.store_id, world->rig.hub.store.id, SYNC_STORE_ID_BYTES);
    assert_int_equal(db_store_find(&world->db, &store), STATUS_OK);
    assert_int_equal(store.epoch, world->rig.hub.store.epoch);
    assert_false(store.is_listing);
    return store.id;
}

/* The newest image upstream is the hub's, to the byte. */
static void assert_same(struct world *world, int64_t store, enum record_kind kind, uint32_t index) {
    static uint8_t record[65536];
    struct db_image image = {.buffer = image_buffer};
    struct store_record read;
    struct cbor_reader reader;
    struct record_header header;
    const struct store_key key = {(uint8_t)kind, index};
    assert_int_equal(store_read(&world->rig.hub.store, key, record, sizeof record, &read),
                     STATUS_OK);
    cbor_reader_init(&reader, read.body);
    record_get_header(&reader, &header);
    if (db_object_get(&world->db, store, kind, header.path, &image) != STATUS_OK) {
        fail_msg("upstream has no %s of process %llx, item %llu, %llu", record_kind_name(kind),
                 (unsigned long long)header.path[0], (unsigned long long)header.path[1],
                 (unsigned long long)header.path[2]);
    }
    if (image.bytes.size != read.body.size ||
        memcmp(image.bytes.data, read.body.data, read.body.size) != 0) {
        fail_msg("object %s of process %llx is another one upstream", record_kind_name(kind),
                 (unsigned long long)header.path[0]);
    }
}

static void assert_process(struct world *world, int64_t store, uint32_t process) {
    const struct hub *hub = &world->rig.hub;
    const struct hub_process *of = &hub->processes[process];
    struct db_fork_row row;
    if (db_fork_row(&world->db, store, of->number, &row) != STATUS_OK) {
        fail_msg("upstream does not know of process %llx", (unsigned long long)of->number);
    }
    assert_false(row.is_lost);
    assert_int_equal(row.status, of->status);
    if (row.is_sealed ? row.revision > of->revision : row.revision != of->revision) {
        fail_msg("process %llx has revision %llu, upstream %llu", (unsigned long long)of->number,
                 (unsigned long long)of->revision, (unsigned long long)row.revision);
    }
    if (row.is_sealed) {
        return; /* it ended in an earlier life, of which upstream has more */
    }
    assert_same(world, store, RECORD_PROCESS, process);
    assert_same(world, store, RECORD_REQUEST, process);
    for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
        assert_same(world, store, RECORD_ITEM, i);
        for (uint32_t a = hub->items[i].first_attempt; a != HUB_NONE; a = hub->attempts[a].next) {
            assert_same(world, store, RECORD_ATTEMPT, a);
        }
    }
}

static void assert_commands(const struct world *world) {
    const struct hub *hub = &world->rig.hub;
    for (uint32_t i = 0; i < world->command_count; i++) {
        uint32_t process = hub_process_find(hub, world->commands[i].process);
        if (process != HUB_NONE && hub->processes[process].end_seq == 0 &&
            (hub->processes[process].image.flags & RECORD_CANCEL_REQUESTED) == 0) {
            fail_msg("the cancel of process %llx is lost",
                     (unsigned long long)world->commands[i].process);
        }
    }
}

static void assert_rows(struct world *world) {
    static struct row rows[WORLD_ENDS];
    uint32_t count = read_rows(world, rows);
    for (uint32_t i = 0; i < count; i++) {
        bool is_here = hub_process_find(&world->rig.hub, rows[i].number) != HUB_NONE;
        if (!is_here && !rows[i].is_lost && !process_is_terminal(rows[i].status)) {
            fail_msg("process %llx would run for ever upstream",
                     (unsigned long long)rows[i].number);
        }
        assert_false(is_here && rows[i].is_lost);
    }
}

void world_converge(struct world *world, uint32_t most) {
    struct hub *hub = &world->rig.hub;
    world_run(world, RECORD_STOPPED);
    for (uint32_t i = 0; i < most; i++) {
        world_exchange(world, WORLD_NO_LOSS);
        world_run(world, RECORD_SUCCESS);
        if (is_at_rest(world)) {
            break;
        }
    }
    if (!is_at_rest(world)) {
        fail_msg("no rest after %u messages: %s, epoch %u", most,
                 hub_fork_state_name(hub->fork_state), hub->store.epoch);
    }
    int64_t store = store_of(world);
    for (uint32_t p = 0; p < hub->process_pool.touched; p++) {
        if (pool_is_used(&hub->process_pool, p)) {
            assert_process(world, store, p);
        }
    }
    assert_rows(world);
    assert_commands(world);
}
