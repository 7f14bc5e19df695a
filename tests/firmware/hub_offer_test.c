/* Upstream's commands, offers and grants: SPEC.md section 8, clause by clause. */
#include "firmware/hub_internal.h"
#include "firmware/hub_sync.h"
#include "protocol/sync_command.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { TTL_MS = 900000, PROCESS = 7 };

static struct rig rig;
static struct hub_sync link;
static uint8_t group_buffer[64 * 1024];
static uint8_t push_buffer[64 * 1024];

/* What upstream says in one reply. */
static struct {
    uint8_t commands[8192];
    uint8_t grants[512];
    struct cbor_writer writer;
    struct cbor_writer grant_writer;
    struct sync_reply reply;
    uint64_t next; /* number of the next command */
} upstream;

static void begin_reply(void) {
    cbor_writer_init(&upstream.writer, upstream.commands, sizeof upstream.commands);
    cbor_writer_init(&upstream.grant_writer, upstream.grants, sizeof upstream.grants);
    upstream.reply.command_count = 0;
    upstream.reply.grant_count = 0;
}

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    rig.hub.has_upstream = true;
    hub_sync_init(&link, &rig.hub, group_buffer, sizeof group_buffer);
    memset(&upstream, 0, sizeof upstream);
    upstream.next = 1;
    upstream.reply.upstream_epoch = 1;
    begin_reply();
    return 0;
}

/* ---- what upstream says ---- */

static struct sync_offer an_offer(void) {
    return (struct sync_offer){
        .process = PROCESS, .generation = 1, .item = 1, .assignment = 1, .ttl_ms = TTL_MS};
}

static struct record_request a_request(enum rig_capability capability) {
    const char *name = rig.hub.capabilities[capability].name;
    return (struct record_request){.process_type = {(const uint8_t *)name, strlen(name)},
                                   .request_id = bytes_of("r"),
                                   .system = bytes_of("fleet"),
                                   .target = bytes_of("{}"),
                                   .inputs = bytes_of("{}"),
                                   .callback = bytes_of("{\"url\":\"http://caller\"}"),
                                   .routing = RECORD_QUEUE};
}

static void add_request(struct sync_offer offer, const struct record_request *request) {
    uint8_t bytes[2048];
    struct cbor_writer writer;
    cbor_writer_init(&writer, bytes, sizeof bytes);
    record_put_request(&writer, request);
    assert_false(writer.overflow);
    offer.request = (struct bytes){bytes, writer.size};
    sync_offer_write(&upstream.writer, upstream.next, &offer);
    upstream.next += 1;
    upstream.reply.command_count += 1;
}

static void add_offer(struct sync_offer offer, enum rig_capability capability) {
    struct record_request request = a_request(capability);
    add_request(offer, &request);
}

static void add_control(enum sync_command_kind kind, struct sync_control control) {
    sync_control_write(&upstream.writer, upstream.next, kind, &control);
    upstream.next += 1;
    upstream.reply.command_count += 1;
}

static const struct sync_control of_part = {
    .owner = SYNC_OWN_UPSTREAM, .process = PROCESS, .item = 1, .assignment = 1};

static void add_grant(uint32_t assignment, uint32_t ttl_ms) {
    const struct sync_grant grant = {
        .process = PROCESS, .item = 1, .assignment = assignment, .ttl_ms = ttl_ms};
    sync_grant_write(&upstream.grant_writer, &grant);
    upstream.reply.grant_count += 1;
}

/* The hub reads the reply to a poll that was sent `age_ms` ago; nothing is committed. */
static void take_late(uint64_t age_ms) {
    uint8_t bytes[16384];
    struct cbor_writer writer;
    struct sync_reply read;
    upstream.reply.commands = (struct bytes){upstream.commands, upstream.writer.size};
    upstream.reply.grants = (struct bytes){upstream.grants, upstream.grant_writer.size};
    cbor_writer_init(&writer, bytes, sizeof bytes);
    sync_reply_write(&writer, &upstream.reply);
    assert_false(writer.overflow || upstream.writer.overflow);
    assert_int_equal(sync_reply_read((struct bytes){bytes, writer.size}, &read), STATUS_OK);
    hub_sync_take(&link, &read, rig.hub.clock.mono_ms - age_ms);
}

/* The same, committed; then upstream has nothing more to say. */
static void take(void) {
    take_late(0);
    rig_settle(&rig);
    begin_reply();
}

/* Upstream stores all that is durable, and says so. */
static void acknowledge(void) {
    while (hub_sync_has_more(&link)) {
        struct bytes message;
        struct sync_push push;
        struct sync_group group;
        struct sync_reply reply = {.result = SYNC_OK};
        assert_int_equal(hub_sync_push(&link, false, push_buffer, sizeof push_buffer, &message),
                         STATUS_OK);
        assert_int_equal(sync_push_read(message, &push), STATUS_OK);
        reply.cursor = push.last_seq;
        while (sync_group_next(&push, &group)) {
            memcpy(reply.chain, group.chain, RECORD_CHAIN_BYTES);
        }
        assert_true(hub_sync_accept(&link, &reply));
    }
}

/* ---- what the hub says ---- */

static struct sync_push next_push(void) {
    struct bytes message;
    struct sync_push push;
    assert_int_equal(hub_sync_push(&link, false, push_buffer, sizeof push_buffer, &message),
                     STATUS_OK);
    assert_int_equal(sync_push_read(message, &push), STATUS_OK);
    return push;
}

/* The code of the answer to a command in what is not acknowledged; -1: there is none. */
static int answer_to(uint64_t number) {
    struct sync_push push = next_push();
    struct sync_group group;
    int code = -1;
    while (sync_group_next(&push, &group)) {
        struct bytes body;
        while (sync_record_next(&group.records, &body)) {
            struct cbor_reader reader;
            struct record_header header;
            struct record_answer answer;
            cbor_reader_init(&reader, body);
            record_get_header(&reader, &header);
            if (header.kind == RECORD_ANSWER && header.path[0] == number) {
                record_get_answer(&reader, &answer);
                assert_true(cbor_reader_done(&reader));
                assert_int_equal(header.event, RECORD_ANSWERED_EVENT);
                bool is_of_now = answer.upstream_epoch == rig.hub.image.upstream_epoch;
                code = is_of_now ? answer.code : code;
            }
        }
    }
    return code;
}

/* How often a record of this kind and event is in what is not acknowledged. */
static uint32_t count_records(enum record_kind kind, enum record_event event) {
    struct sync_push push = next_push();
    struct sync_group group;
    uint32_t count = 0;
    while (sync_group_next(&push, &group)) {
        struct bytes body;
        while (sync_record_next(&group.records, &body)) {
            struct cbor_reader reader;
            struct record_header header;
            cbor_reader_init(&reader, body);
            record_get_header(&reader, &header);
            count += header.kind == kind && header.event == event;
        }
    }
    return count;
}

static uint32_t part(void) {
    uint32_t process = hub_part_find(&rig.hub, PROCESS, 1);
    assert_true(process != HUB_NONE);
    return process;
}

static struct record_item *image(void) {
    return &rig_item(&rig, part(), 1)->image;
}

/* Offers, commits, and begins the attempt. */
static struct hub_start run_part(enum rig_capability capability) {
    (void)rig_phone(&rig, "A");
    add_offer(an_offer(), capability);
    take();
    assert_int_equal(answer_to(upstream.next - 1), RECORD_ANSWER_DONE);
    return rig_begin(&rig);
}

static void bring_phone_back(void) {
    rig_phone_event(&rig, 0, PHONE_ON_ATTACHED);
    rig_phone_event(&rig, 0, PHONE_ON_HANDSHAKE);
    rig_settle(&rig);
}

/* ---- commands ---- */

static void an_offer_makes_a_part_that_runs_to_its_end(void **state) {
    (void)state;
    struct hub_start start = run_part(RIG_WORK);
    assert_true(hub_is_part(&rig.hub, part()));
    assert_int_equal(start.attempt, 1);
    assert_int_equal(rig_process(&rig, part())->origin.upstream_epoch, 1);
    assert_false(rig_process(&rig, part())->has_key);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(image()->state, RECORD_COMPLETED);
    assert_int_equal(rig_process(&rig, part())->status, PROCESS_DONE);
    struct record_request request;
    assert_int_equal(hub_request_read(&rig.hub, part(), &request), STATUS_OK);
    assert_int_equal(request.origin.process, PROCESS);
    assert_int_equal(request.callback.size, 0); /* upstream tells the caller */
    rig_restart(&rig, true);
    assert_int_equal(image()->state, RECORD_COMPLETED);
    assert_int_equal(image()->assignment, 1);
}

static void attempts_go_on_where_those_on_other_hubs_ended(void **state) {
    (void)state;
    struct sync_offer offer = an_offer();
    offer.attempt = 5;
    offer.attempts_counted = 2;
    offer.actions_done = 1;
    offer.actions_digest = 77;
    (void)rig_phone(&rig, "A");
    add_offer(offer, RIG_WORK);
    take();
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(start.attempt, 6);
    assert_int_equal(start.actions_done, 1);
    (void)rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB);
    assert_int_equal(image()->state, RECORD_FAILED); /* the third that counts */
    assert_int_equal(image()->attempts_counted, 3);
}

static void a_command_is_applied_once_whatever_comes_again(void **state) {
    (void)state;
    add_offer(an_offer(), RIG_WORK);
    take_late(0);
    take_late(0);
    rig_settle(&rig);
    take_late(0); /* again, when it is durable */
    rig_settle(&rig);
    assert_int_equal(rig.hub.counters.offered, 1);
    assert_int_equal(count_records(RECORD_ANSWER, RECORD_ANSWERED_EVENT), 1);
    rig_restart(&rig, true);
    rig.hub.has_upstream = true;
    take();
    assert_int_equal(rig.hub.counters.offered, 0); /* of this start */
    assert_int_equal(count_records(RECORD_ANSWER, RECORD_ANSWERED_EVENT), 1);
}

static void nothing_behind_a_hole_is_taken(void **state) {
    (void)state;
    upstream.next = 2;
    add_offer(an_offer(), RIG_WORK);
    take();
    assert_true(hub_part_find(&rig.hub, PROCESS, 1) == HUB_NONE);
    upstream.next = 1;
    add_control(SYNC_CANCEL, of_part);
    upstream.next = 3;
    add_offer(an_offer(), RIG_WORK);
    take();
    assert_int_equal(rig.hub.image.command, 1);
    assert_int_equal(answer_to(1), RECORD_ANSWER_UNKNOWN_PROCESS);
    assert_int_equal(answer_to(3), -1);
}

/* An earlier life of this hub has answered 1 to 5: its flash was restored to before that. */
static void numbers_that_were_answered_are_passed_without_an_answer(void **state) {
    (void)state;
    sync_answered_write(&upstream.writer, 1, 5);
    upstream.reply.command_count += 1;
    upstream.next = 6;
    add_offer(an_offer(), RIG_WORK);
    take();
    assert_int_equal(rig.hub.image.command, 6);
    assert_int_equal(next_push().command, 6);
    assert_int_equal(count_records(RECORD_ANSWER, RECORD_ANSWERED_EVENT), 1);
    assert_int_equal(answer_to(6), RECORD_ANSWER_DONE);
    sync_answered_write(&upstream.writer, 3, 4); /* what it has passed changes nothing */
    upstream.reply.command_count += 1;
    take();
    assert_int_equal(rig.hub.image.command, 6);
    const struct sync_command cut = {.number = 7, .kind = SYNC_ANSWERED};
    sync_command_write(&upstream.writer, &cut);
    upstream.reply.command_count += 1;
    take();
    assert_int_equal(answer_to(7), RECORD_ANSWER_UNKNOWN_KIND);
    rig_restart(&rig, true);
    assert_int_equal(rig.hub.image.command, 7);
}

static void the_number_is_told_when_it_is_durable_with_its_effect(void **state) {
    (void)state;
    add_offer(an_offer(), RIG_WORK);
    take_late(0);
    assert_int_equal(next_push().command, 0);
    rig_restart(&rig, true); /* the program dies before the commit: nothing has happened */
    rig.hub.has_upstream = true;
    assert_true(hub_part_find(&rig.hub, PROCESS, 1) == HUB_NONE);
    assert_int_equal(next_push().command, 0);
    take();
    assert_int_equal(next_push().command, 1);
    assert_int_equal(next_push().upstream_epoch, 1);
    rig_restart(&rig, false);
    rig.hub.has_upstream = true;
    assert_int_equal(next_push().command, 1);
    assert_int_equal(part(), part());
    assert_int_equal(answer_to(1), RECORD_ANSWER_DONE);
}

static void a_full_group_leaves_a_command_for_the_next_reply(void **state) {
    (void)state;
    while (hub_has_room(&rig.hub, HUB_ANSWER_BYTES + HUB_GAP_BYTES)) {
        hub_log_self(&rig.hub, RECORD_COUNTERS_EVENT);
    }
    add_offer(an_offer(), RIG_WORK);
    take_late(0);
    assert_int_equal(rig.hub.image.command, 0);
    rig_settle(&rig);
    take();
    assert_int_equal(rig.hub.image.command, 1);
    (void)part();
}

/* Fills the open group but for the answer, the number and `more` bytes: whatever needs more waits.
 */
static void fill_group(uint32_t more) {
    while (hub_has_room(&rig.hub, HUB_ANSWER_BYTES + HUB_GAP_BYTES + more)) {
        hub_log_self(&rig.hub, RECORD_COUNTERS_EVENT);
    }
}

static void each_kind_of_command_waits_for_its_room(void **state) {
    (void)state;
    add_offer(an_offer(), RIG_WORK);
    take();
    for (int kind = 0; kind < 3; kind++) {
        if (kind == 0) {
            add_control(SYNC_CANCEL, of_part);
        } else if (kind == 1) {
            add_control(SYNC_WITHDRAW, of_part);
        } else {
            add_offer(an_offer(), RIG_WORK); /* a new grant */
        }
        fill_group(HUB_RECORD_BYTES);
        take_late(0);
        assert_int_equal(rig.hub.image.command, 1);
        rig_settle(&rig);
        begin_reply();
        upstream.next -= 1;
    }
    assert_int_equal(image()->state, RECORD_READY);
    add_control(SYNC_WITHDRAW, of_part);
    take();
    assert_int_equal(answer_to(2), RECORD_ANSWER_DONE);
}

static void numbers_begin_anew_in_a_new_epoch_of_upstream(void **state) {
    (void)state;
    add_offer(an_offer(), RIG_WORK);
    take();
    upstream.reply.upstream_epoch = 2;
    take(); /* it says no more than that */
    assert_int_equal(next_push().command, 0);
    assert_int_equal(next_push().upstream_epoch, 2);
    rig_restart(&rig, true);
    rig.hub.has_upstream = true;
    assert_int_equal(next_push().upstream_epoch, 2);
    upstream.next = 1;
    add_control(SYNC_CANCEL, of_part);
    take();
    assert_int_equal(image()->state, RECORD_CANCELED);
    assert_int_equal(next_push().command, 1);
    upstream.reply.upstream_epoch = 1; /* an older reply, late */
    upstream.next = 2;
    struct sync_offer other = an_offer();
    other.process = 8;
    add_offer(other, RIG_WORK);
    take();
    assert_int_equal(next_push().command, 1);
    assert_true(hub_part_find(&rig.hub, 8, 1) == HUB_NONE);
}

static void what_a_hub_cannot_do_is_answered(void **state) {
    (void)state;
    struct sync_offer offer = an_offer();
    struct record_request request = a_request(RIG_WORK);
    request.process_type = bytes_of("juggle");
    add_request(offer, &request); /* 1 */
    offer.phone_id = bytes_of("NOBODY");
    add_offer(offer, RIG_WORK); /* 2 */
    offer = an_offer();
    offer.attempts_counted = 1; /* of no attempt */
    add_offer(offer, RIG_WORK); /* 3 */
    offer = an_offer();
    offer.account = bytes_of("a\nb");
    add_offer(offer, RIG_WORK); /* 4 */
    offer = an_offer();
    offer.request = bytes_of("\x80");
    sync_offer_write(&upstream.writer, upstream.next, &offer); /* 5 */
    const struct sync_command unknown = {.number = upstream.next + 1, .kind = 99};
    sync_command_write(&upstream.writer, &unknown); /* 6 */
    const struct sync_command cut = {.number = upstream.next + 2, .kind = SYNC_OFFER};
    sync_command_write(&upstream.writer, &cut); /* 7 */
    const struct sync_command control = {.number = upstream.next + 3, .kind = SYNC_CANCEL};
    sync_command_write(&upstream.writer, &control); /* 8 */
    upstream.reply.command_count += 4;
    take();
    static const int codes[] = {-1,
                                RECORD_ANSWER_REFUSED_CAPABILITY,
                                RECORD_ANSWER_NO_PHONE,
                                RECORD_ANSWER_MALFORMED,
                                RECORD_ANSWER_MALFORMED,
                                RECORD_ANSWER_MALFORMED,
                                RECORD_ANSWER_UNKNOWN_KIND,
                                RECORD_ANSWER_MALFORMED,
                                RECORD_ANSWER_MALFORMED};
    for (uint64_t number = 1; number < array_count(codes); number++) {
        assert_int_equal(answer_to(number), codes[number]);
    }
    assert_int_equal(rig.hub.counters.offered, 0);
    assert_int_equal(rig.hub.image.command, 8);
}

static void full_tables_are_an_answer(void **state) {
    (void)state;
    struct sync_offer offer = an_offer();
    uint32_t processes = rig.hub.board->processes;
    for (uint32_t i = 0; i <= processes; i++) {
        offer.process = PROCESS + i;
        add_offer(offer, RIG_WORK);
        take();
        acknowledge();
    }
    assert_int_equal(rig.hub.counters.offered, processes);
    assert_int_equal(rig.hub.counters.answers[RECORD_ANSWER_CAPACITY_EXHAUSTED], 1);
    struct record_request request = a_request(RIG_WORK);
    static uint8_t inputs[1900];
    memset(inputs, '1', sizeof inputs);
    request.inputs = (struct bytes){inputs, sizeof inputs};
    request.target = (struct bytes){inputs, 0};
    offer.process = 1000;
    begin_reply();
    add_request(offer, &request);
    take();
    assert_int_equal(answer_to(upstream.next - 1), RECORD_ANSWER_CAPACITY_EXHAUSTED);
}

/* Answers are kept until upstream has them: then commands wait for room. */
static void unacknowledged_answers_hold_commands_up(void **state) {
    (void)state;
    for (uint32_t i = 0; i < HUB_ANSWERS + 2; i++) {
        add_control(SYNC_CANCEL, of_part);
    }
    take_late(0);
    rig_settle(&rig);
    assert_int_equal(rig.hub.image.command, HUB_ANSWERS);
    take_late(0);
    assert_int_equal(rig.hub.image.command, HUB_ANSWERS);
    acknowledge();
    take();
    assert_int_equal(rig.hub.image.command, HUB_ANSWERS + 2);
    acknowledge();
    assert_int_equal(store_slot(&rig.hub.store, (struct store_key){RECORD_ANSWER, 0})->seq, 0);
}

/* The gap rule appends answers again that upstream lacks. */
static void an_answer_is_sent_again_when_older_history_is_given_up(void **state) {
    (void)state;
    add_control(SYNC_CANCEL, of_part);
    take();
    hub_gap_damage(&rig.hub); /* gives up the first group that upstream lacks */
    for (int i = 0; i < 20; i++) {
        rig_commit(&rig);
        hub_gap_damage(&rig.hub);
    }
    rig_commit(&rig);
    assert_true(hub_gap(&rig.hub) != NULL);
    uint64_t seq = store_slot(&rig.hub.store, (struct store_key){RECORD_ANSWER, 0})->seq;
    assert_true(seq > hub_gap(&rig.hub)->last);
    assert_int_equal(answer_to(1), RECORD_ANSWER_UNKNOWN_PROCESS);
}

static void controls_reach_the_part_or_the_hubs_own_process(void **state) {
    (void)state;
    add_offer(an_offer(), RIG_REVIEW);
    add_control(SYNC_SUSPEND, of_part);
    take();
    assert_true((rig_process(&rig, part())->image.flags & RECORD_HOLD) != 0);
    add_control(SYNC_RESUME, of_part);
    take();
    assert_true((rig_process(&rig, part())->image.flags & RECORD_HOLD) == 0);
    add_control(SYNC_RETRY, of_part); /* 4 */
    add_control(SYNC_SETTLE, of_part);
    add_control(SYNC_CANCEL, of_part); /* 6 */
    add_control(SYNC_CANCEL, of_part);
    add_control(SYNC_WITHDRAW, of_part); /* 8 */
    take();
    assert_int_equal(answer_to(4), RECORD_ANSWER_ILLEGAL);
    assert_int_equal(answer_to(5), RECORD_ANSWER_ILLEGAL);
    assert_int_equal(answer_to(6), RECORD_ANSWER_DONE);
    assert_int_equal(answer_to(7), RECORD_ANSWER_ALREADY_TERMINAL);
    assert_int_equal(answer_to(8), RECORD_ANSWER_ALREADY_TERMINAL);
    uint32_t own = rig_submit(&rig, &(struct rig_order){0});
    const struct sync_control of_hub = {.owner = SYNC_OWN_HUB,
                                        .process = rig_process(&rig, own)->number};
    add_control(SYNC_CANCEL, of_hub); /* 9 */
    add_control(SYNC_RETRY, of_hub);
    const struct sync_control by_local_number = {.owner = SYNC_OWN_HUB,
                                                 .process = rig_process(&rig, part())->number};
    add_control(SYNC_RETRY, by_local_number); /* 11: a part is not the hub's own */
    take();
    assert_int_equal(rig_process(&rig, own)->status, PROCESS_CANCELLED);
    assert_int_equal(answer_to(9), RECORD_ANSWER_DONE);
    assert_int_equal(answer_to(10), RECORD_ANSWER_ILLEGAL); /* cancelled is not retried */
    assert_int_equal(answer_to(11), RECORD_ANSWER_UNKNOWN_PROCESS);
}

static void a_suspended_item_is_settled_by_upstream(void **state) {
    (void)state;
    struct hub_start start = run_part(RIG_ONCE);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    rig_settle(&rig);
    rig_restart(&rig, true);
    rig.hub.has_upstream = true;
    rig_settle(&rig);
    assert_int_equal(image()->suspension, RECORD_SUSPEND_UNCERTAIN);
    struct sync_control done = of_part;
    done.is_done = true;
    add_control(SYNC_SETTLE, done);
    take();
    assert_int_equal(image()->state, RECORD_COMPLETED);
}

/* ---- assignments ---- */

static void the_same_offer_again_renews_the_grant(void **state) {
    (void)state;
    add_offer(an_offer(), RIG_WORK);
    take();
    uint64_t until = hub_grant_until_ms(&rig.hub, rig_process(&rig, part())->first_item);
    rig_advance(&rig, 1000);
    add_offer(an_offer(), RIG_WORK);
    take();
    uint32_t item = rig_process(&rig, part())->first_item;
    assert_true(hub_grant_until_ms(&rig.hub, item) == until + 1000);
    assert_int_equal(rig.hub.counters.offered, 1);
    assert_int_equal(count_records(RECORD_ITEM, RECORD_GRANTED_EVENT), 1);
    struct sync_offer shorter = an_offer();
    shorter.ttl_ms = 1;
    add_offer(shorter, RIG_WORK);
    take();
    assert_true(hub_grant_until_ms(&rig.hub, item) == until + 1000);
}

static void an_offer_again_lets_a_running_part_go_on(void **state) {
    (void)state;
    struct sync_offer offer = an_offer();
    offer.ttl_ms = 30000;
    (void)rig_phone(&rig, "A");
    add_offer(offer, RIG_WORK);
    take();
    (void)rig_begin(&rig);
    rig_advance(&rig, 15000);
    add_offer(offer, RIG_WORK);
    take();
    rig_advance(&rig, 15000); /* behind the first grant's end */
    assert_int_equal(image()->stop, RECORD_STOP_NONE);
    rig_advance(&rig, 5000); /* the second's, less the grace time */
    assert_int_equal(image()->stop, RECORD_STOP_EXPIRE);
}

static void a_renewal_of_what_is_not_here_or_has_ended_changes_nothing(void **state) {
    (void)state;
    add_grant(1, TTL_MS);
    take();
    struct hub_start start = run_part(RIG_WORK);
    (void)rig_end(&rig, &start, RECORD_SUCCESS, RECORD_CATEGORY_NONE);
    uint64_t head = hub_head_seq(&rig.hub);
    add_grant(1, TTL_MS);
    take();
    assert_int_equal(rig.hub.counters.renewed, 0);
    assert_true(hub_head_seq(&rig.hub) == head);
}

static void another_request_under_the_same_assignment_differs(void **state) {
    (void)state;
    add_offer(an_offer(), RIG_WORK);
    add_offer(an_offer(), RIG_LONG);
    take();
    assert_int_equal(answer_to(2), RECORD_ANSWER_DIFFERS);
    upstream.reply.upstream_epoch = 2; /* but a restored upstream may know nothing of the first */
    upstream.next = 1;
    add_offer(an_offer(), RIG_LONG);
    take();
    assert_int_equal(answer_to(1), RECORD_ANSWER_DONE);
    assert_int_equal(rig_process(&rig, part())->capability, RIG_LONG);
    assert_int_equal(rig.hub.counters.withdrawn, 1);
}

static void an_older_assignment_is_stale(void **state) {
    (void)state;
    struct sync_offer offer = an_offer();
    offer.assignment = 3;
    add_offer(offer, RIG_WORK);
    offer.assignment = 2;
    add_offer(offer, RIG_WORK);
    struct sync_control old = of_part;
    old.assignment = 2;
    add_control(SYNC_WITHDRAW, old);
    take();
    assert_int_equal(answer_to(2), RECORD_ANSWER_STALE_ASSIGNMENT);
    assert_int_equal(answer_to(3), RECORD_ANSWER_STALE_ASSIGNMENT);
    assert_int_equal(image()->assignment, 3);
}

static void a_newer_assignment_replaces_a_part_that_waits(void **state) {
    (void)state;
    struct sync_offer offer = an_offer();
    add_offer(offer, RIG_WORK);
    take();
    offer.assignment = 2;
    add_offer(offer, RIG_WORK);
    take();
    assert_int_equal(image()->assignment, 2);
    assert_int_equal(rig.hub.counters.withdrawn, 1);
    assert_int_equal(count_records(RECORD_ITEM, RECORD_WITHDRAWN_EVENT), 1);
}

static void a_newer_assignment_waits_until_the_older_one_has_stopped(void **state) {
    (void)state;
    struct hub_start start = run_part(RIG_WORK);
    struct sync_offer offer = an_offer();
    offer.assignment = 2;
    add_offer(offer, RIG_WORK);
    take_late(0);
    rig_settle(&rig);
    assert_int_equal(rig.hub.image.command, 1);
    assert_int_equal(image()->stop, RECORD_STOP_WITHDRAW);
    take_late(0); /* upstream repeats it */
    assert_int_equal(rig.hub.image.command, 1);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    take();
    assert_int_equal(rig.hub.image.command, 2);
    assert_int_equal(image()->assignment, 2);
    struct hub_start again = rig_begin(&rig);
    assert_true(again.token > start.token);
}

static void an_ended_part_is_not_offered_again_but_as_a_new_assignment(void **state) {
    (void)state;
    struct hub_start start = run_part(RIG_WORK);
    (void)rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_CAPABILITY);
    add_offer(an_offer(), RIG_WORK);
    take();
    assert_int_equal(answer_to(2), RECORD_ANSWER_ALREADY_TERMINAL);
    struct sync_offer offer = an_offer();
    offer.assignment = 2;
    add_offer(offer, RIG_WORK);
    take();
    assert_int_equal(image()->assignment, 2);
    assert_int_equal(image()->state, RECORD_RUNNING);
    rig_restart(&rig, true);
    assert_int_equal(image()->assignment, 2); /* the newest is found, after a load, too */
}

/* ---- withdrawn ---- */

static void a_part_that_waits_leaves_at_once_without_a_terminal_state(void **state) {
    (void)state;
    add_offer(an_offer(), RIG_WORK);
    add_control(SYNC_WITHDRAW, of_part);
    take();
    assert_true(hub_part_find(&rig.hub, PROCESS, 1) == HUB_NONE);
    assert_int_equal(count_records(RECORD_ITEM, RECORD_WITHDRAWN_EVENT), 1);
    assert_int_equal(count_records(RECORD_PROCESS, RECORD_WITHDRAWN_EVENT), 1);
    assert_int_equal(count_records(RECORD_PROCESS, RECORD_FINISHED_EVENT), 0);
    assert_int_equal(pool_free_count(&rig.hub.item_pool), rig.hub.board->items);
    assert_int_equal(rig.hub.reserved_bytes, 0);
    rig_restart(&rig, true);
    assert_true(hub_part_find(&rig.hub, PROCESS, 1) == HUB_NONE);
    assert_int_equal(pool_free_count(&rig.hub.process_pool), rig.hub.board->processes);
}

static void a_running_part_is_stopped_first(void **state) {
    (void)state;
    struct hub_start start = run_part(RIG_WORK);
    uint32_t phone;
    add_control(SYNC_WITHDRAW, of_part);
    take();
    assert_int_equal(answer_to(2), RECORD_ANSWER_DONE);
    assert_int_equal(image()->stop, RECORD_STOP_WITHDRAW);
    assert_true(hub_next_stop(&rig.hub, &phone));
    assert_int_equal(phone, start.phone);
    add_control(SYNC_CANCEL, of_part); /* a weaker reason */
    take();
    assert_int_equal(image()->stop, RECORD_STOP_WITHDRAW);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_true(hub_part_find(&rig.hub, PROCESS, 1) == HUB_NONE);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_READY);
    assert_int_equal(count_records(RECORD_ATTEMPT, RECORD_ATTEMPT_ENDED_EVENT), 1);
    assert_int_equal(count_records(RECORD_ITEM, RECORD_WITHDRAWN_EVENT), 1);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, RECORD_CATEGORY_NONE),
                     STATUS_STALE_LEASE);
    (void)rig_submit(&rig, &(struct rig_order){0}); /* its phone is free for others */
    assert_true(rig_begin(&rig).token > start.token);
}

/* The newest record of the part's item. */
static struct record_item last_item(void) {
    struct sync_push push = next_push();
    struct sync_group group;
    struct record_item image = {0};
    while (sync_group_next(&push, &group)) {
        struct bytes body;
        while (sync_record_next(&group.records, &body)) {
            struct cbor_reader reader;
            struct record_header header;
            cbor_reader_init(&reader, body);
            record_get_header(&reader, &header);
            if (header.kind == RECORD_ITEM) {
                record_get_item(&reader, &image);
            }
        }
    }
    return image;
}

static struct hub_start run_to_second_action(enum rig_capability capability) {
    struct hub_start start = run_part(capability);
    const struct record_attempt step = {.actions_done = 1};
    assert_int_equal(hub_attempt_step(&rig.hub, start.phone, start.token, &step), STATUS_OK);
    rig_settle(&rig);
    return start;
}

/* Else another hub would begin its once-only action, and nobody knows what it did here. */
static void a_part_that_is_withdrawn_says_what_it_may_have_done(void **state) {
    (void)state;
    struct hub_start start = run_to_second_action(RIG_ONCE);
    add_control(SYNC_WITHDRAW, of_part);
    take();
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_true(hub_part_find(&rig.hub, PROCESS, 1) == HUB_NONE);
    struct record_item left = last_item();
    assert_int_equal(left.state, RECORD_SUSPENDED);
    assert_int_equal(left.suspension, RECORD_SUSPEND_UNCERTAIN);
    assert_int_equal(left.actions_done, 1);
    assert_int_equal(left.phone, 0);
    assert_int_equal(rig.hub.reserved_bytes, 0);

    (void)set_up(state);
    start = run_part(RIG_ONCE); /* its first action may be done again */
    add_control(SYNC_WITHDRAW, of_part);
    take();
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(last_item().state, RECORD_READY);
}

static void a_part_that_is_withdrawn_before_its_review_waits_for_it(void **state) {
    (void)state;
    struct hub_start start = run_to_second_action(RIG_REVIEW);
    const struct record_attempt so_far = {.actions_done = 2};
    assert_int_equal(hub_attempt_review(&rig.hub, start.phone, start.token, &so_far), STATUS_OK);
    add_control(SYNC_WITHDRAW, of_part);
    take(); /* the command comes again until it has stopped */
    assert_int_equal(image()->stop, RECORD_STOP_SUSPEND);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    upstream.next -= 1;
    add_control(SYNC_WITHDRAW, of_part);
    take();
    assert_true(hub_part_find(&rig.hub, PROCESS, 1) == HUB_NONE);
    assert_int_equal(last_item().state, RECORD_SUSPENDED);
    assert_int_equal(last_item().suspension, RECORD_SUSPEND_REVIEW);
}

static void what_ends_by_itself_while_it_is_withdrawn(void **state) {
    (void)state;
    for (int how = 0; how < 4; how++) {
        (void)set_up(state);
        struct hub_start start = run_part(RIG_WORK);
        add_control(SYNC_WITHDRAW, of_part);
        take();
        if (how == 0) { /* it does not stop in the grace time */
            rig_advance(&rig, RIG_GRACE_MS);
        } else if (how == 1) { /* its phone is lost */
            rig_phone_event(&rig, start.phone, PHONE_ON_DETACHED);
            rig_advance(&rig, HUB_PHONE_LOST_MS);
        } else { /* the program dies, or the power */
            rig_restart(&rig, how == 2);
            rig_settle(&rig);
        }
        assert_true(hub_part_find(&rig.hub, PROCESS, 1) == HUB_NONE);
        rig_restart(&rig, true);
        assert_true(hub_part_find(&rig.hub, PROCESS, 1) == HUB_NONE);
        rig_settle(&rig);
        assert_int_equal(pool_free_count(&rig.hub.item_pool), rig.hub.board->items);
    }
}

static void a_success_before_it_has_stopped_wins(void **state) {
    (void)state;
    struct hub_start start = run_part(RIG_WORK);
    add_control(SYNC_WITHDRAW, of_part);
    take();
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(image()->state, RECORD_COMPLETED);
    assert_int_equal(count_records(RECORD_ITEM, RECORD_WITHDRAWN_EVENT), 0);
}

static void a_part_is_withdrawn_from_every_state_that_is_not_terminal(void **state) {
    (void)state;
    for (int how = 0; how < 4; how++) {
        (void)set_up(state);
        struct record_request request = a_request(how == 3 ? RIG_OUTSIDE : RIG_WORK);
        request.not_before_ms = how == 0 ? rig.clock.wall_ms + 60000 : 0;
        (void)rig_phone(&rig, "A");
        add_request(an_offer(), &request);
        take();
        if (how == 0) {
            assert_int_equal(image()->state, RECORD_SCHEDULED);
        } else if (how == 1) {
            struct hub_start start = rig_begin(&rig);
            (void)rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB);
            assert_int_equal(image()->state, RECORD_RETRY_WAIT);
        } else if (how == 2) {
            struct hub_start start = rig_begin(&rig);
            add_control(SYNC_SUSPEND, of_part);
            take();
            (void)rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE);
            assert_int_equal(image()->state, RECORD_SUSPENDED);
        } else {
            assert_int_equal(rig_claim(&rig, "w", "c", 1).count, 1);
            assert_int_equal(image()->state, RECORD_LEASED);
        }
        add_control(SYNC_WITHDRAW, of_part);
        take();
        assert_true(hub_part_find(&rig.hub, PROCESS, 1) == HUB_NONE);
        rig_advance(&rig, 120000); /* no timer of it is left */
        assert_int_equal(rig.hub.phones[0].state, RECORD_PHONE_READY);
    }
}

/* ---- grants ---- */

static uint64_t until(void) {
    return hub_grant_until_ms(&rig.hub, rig_process(&rig, part())->first_item);
}

static void a_grant_counts_from_the_sending_of_the_poll(void **state) {
    (void)state;
    rig_advance(&rig, 60000);
    add_offer(an_offer(), RIG_WORK);
    take_late(5000);
    uint64_t expected = rig.hub.clock.mono_ms - 5000 + TTL_MS - RIG_GRACE_MS;
    assert_true(until() == expected);
    rig_settle(&rig);
    rig_advance(&rig, 1000);
    take_late(0); /* the same command in a later answer changes nothing */
    assert_true(until() == expected);
    rig_restart(&rig, true);
    assert_true(until() == expected);
}

static void a_running_part_is_stopped_so_that_it_ends_with_its_grant(void **state) {
    (void)state;
    struct sync_offer offer = an_offer();
    offer.ttl_ms = 30000; /* less than the attempt may take */
    (void)rig_phone(&rig, "A");
    add_offer(offer, RIG_WORK);
    take();
    (void)rig_begin(&rig);
    rig_advance(&rig, 30000 - RIG_GRACE_MS - 1);
    assert_int_equal(image()->stop, RECORD_STOP_NONE);
    rig_advance(&rig, 1);
    assert_int_equal(image()->stop, RECORD_STOP_EXPIRE);
    rig_advance(&rig, RIG_GRACE_MS - 1);
    assert_int_equal(image()->state, RECORD_RUNNING);
    rig_advance(&rig, 1); /* the grant's end */
    assert_int_equal(image()->state, RECORD_RETRY_WAIT);
    assert_int_equal(image()->attempts_counted, 1);
    struct record_attempt attempt;
    rig_read_attempt(&rig, part(), 1, &attempt);
    assert_int_equal(attempt.category, RECORD_CATEGORY_LEASE_EXPIRED);
    assert_memory_equal(attempt.code.data, "grant_expired", 13);
    rig_advance(&rig, 60000); /* due again, but not leased */
    assert_int_equal(image()->state, RECORD_READY);
    assert_int_equal(hub_process_wait(&rig.hub, part()), HUB_WAIT_GRANT);
    rig_assert_no_start(&rig);
    add_offer(an_offer(), RIG_WORK); /* until there is a new grant */
    take();
    assert_int_equal(rig_begin(&rig).attempt, 2);
}

static void a_part_that_waits_is_not_leased_behind_its_grant(void **state) {
    (void)state;
    struct sync_offer offer = an_offer();
    offer.ttl_ms = 30000;
    add_offer(offer, RIG_WORK);
    take();
    assert_int_equal(hub_process_wait(&rig.hub, part()), HUB_WAIT_LABELS);
    rig_advance(&rig, 30000 - RIG_GRACE_MS);
    uint32_t own = rig_submit(&rig, &(struct rig_order){0});
    (void)rig_phone(&rig, "A");
    assert_int_equal(image()->state, RECORD_READY);
    assert_int_equal(rig_begin(&rig).process, rig_process(&rig, own)->number);
}

static void renewals_let_an_attempt_outlast_a_ttl(void **state) {
    (void)state;
    struct sync_offer offer = an_offer();
    offer.ttl_ms = 30000;
    (void)rig_phone(&rig, "A");
    add_offer(offer, RIG_WORK);
    take();
    (void)rig_begin(&rig);
    for (int i = 0; i < 5; i++) {
        uint64_t head = hub_head_seq(&rig.hub);
        rig_advance(&rig, 10000);
        add_grant(1, 30000);
        take();
        assert_true(hub_head_seq(&rig.hub) == head); /* in memory only */
    }
    assert_int_equal(image()->stop, RECORD_STOP_NONE);
    add_grant(1, 25000); /* never shorter */
    take();
    rig_advance(&rig, 30000 - RIG_GRACE_MS - 1 - 10000);
    add_grant(2, 900000); /* of another assignment */
    take();
    rig_advance(&rig, 10001);
    assert_int_equal(image()->stop, RECORD_STOP_TIMEOUT); /* its own limit comes first */
}

static void a_renewal_brings_back_what_waits(void **state) {
    (void)state;
    struct sync_offer offer = an_offer();
    offer.ttl_ms = 30000;
    add_offer(offer, RIG_WORK);
    take();
    rig_advance(&rig, 30000);
    (void)rig_phone(&rig, "A");
    rig_assert_no_start(&rig);
    add_grant(1, 30000);
    take();
    (void)rig_begin(&rig);
}

static void after_a_restart_of_the_program_the_durable_grant_counts(void **state) {
    (void)state;
    struct sync_offer offer = an_offer();
    offer.ttl_ms = 60000;
    add_offer(offer, RIG_WORK);
    take();
    uint64_t durable = until();
    rig_advance(&rig, 40000);
    add_grant(1, 60000);
    take();
    assert_true(until() > durable);
    rig_restart(&rig, true);
    assert_true(until() == durable);
    rig_advance(&rig, 10000); /* its end: 60 s less the grace time */
    (void)rig_phone(&rig, "A");
    rig_assert_no_start(&rig);
}

static void a_reboot_voids_the_grant_until_the_offer_comes_anew(void **state) {
    (void)state;
    (void)run_part(RIG_WORK);
    rig_restart(&rig, false);
    rig.hub.has_upstream = true;
    rig_settle(&rig);
    assert_int_equal(image()->state, RECORD_READY);
    assert_int_equal(image()->faults, 1);
    assert_true(until() == 0);
    bring_phone_back();
    rig_assert_no_start(&rig);
    add_grant(1, TTL_MS); /* a renewal does not revive it */
    take();
    rig_assert_no_start(&rig);
    assert_int_equal(hub_process_wait(&rig.hub, part()), HUB_WAIT_GRANT);
    add_offer(an_offer(), RIG_WORK);
    take();
    assert_int_equal(answer_to(2), RECORD_ANSWER_DONE);
    assert_int_equal(rig_begin(&rig).attempt, 2);
}

static void an_external_worker_never_goes_beyond_the_grant(void **state) {
    (void)state;
    struct sync_offer offer = an_offer();
    struct hub_heartbeat answer;
    offer.ttl_ms = 40000;
    (void)rig_phone(&rig, "A");
    add_offer(offer, RIG_OUTSIDE);
    take();
    struct hub_claimed claimed = rig_claim(&rig, "w", "c", 1);
    struct hub_worker worker = rig_worker(&rig, "w", claimed.items[0]);
    assert_int_equal(rig_worker_start(&rig, &worker), STATUS_OK);
    rig_advance(&rig, 20000);
    assert_int_equal(hub_worker_heartbeat(&rig.hub, &worker, UINT32_MAX, &answer), STATUS_OK);
    assert_int_equal(answer.expires_in_ms, 10000);
    rig_restart(&rig, true); /* its time counts anew in full, but within the grant */
    rig.hub.has_upstream = true;
    rig_settle(&rig);
    worker = rig_worker(&rig, "w", rig_process(&rig, part())->first_item);
    assert_int_equal(hub_worker_heartbeat(&rig.hub, &worker, UINT32_MAX, &answer), STATUS_OK);
    assert_int_equal(answer.expires_in_ms, 10000);
    add_grant(1, 40000);
    take();
    assert_int_equal(hub_worker_heartbeat(&rig.hub, &worker, UINT32_MAX, &answer), STATUS_OK);
    assert_int_equal(answer.expires_in_ms, 30000);
}

static void an_unstarted_lease_ends_with_the_grant(void **state) {
    (void)state;
    struct sync_offer offer = an_offer();
    offer.ttl_ms = 20000;
    (void)rig_phone(&rig, "A");
    add_offer(offer, RIG_OUTSIDE);
    take();
    struct hub_claimed claimed = rig_claim(&rig, "w", "c", 1);
    struct hub_worker worker = rig_worker(&rig, "w", claimed.items[0]);
    rig.clock.mono_ms += 10000;
    hub_set_clock(&rig.hub, &rig.clock);
    assert_int_equal(hub_worker_start(&rig.hub, &worker), STATUS_STALE_LEASE);
    rig_settle(&rig);
    assert_int_equal(image()->state, RECORD_READY);
    assert_int_equal(image()->deliveries, 1);
    assert_int_equal(rig_claim(&rig, "w", "d", 1).count, 0);
    assert_int_equal(rig_claim_of(&rig, "w", "e", 1, rig_process(&rig, part())->number).count, 0);
}

static void the_hubs_own_items_need_no_grant(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t own = rig_submit(&rig, &(struct rig_order){0});
    assert_true(hub_grant_until_ms(&rig.hub, rig_process(&rig, own)->first_item) == TIMER_NEVER);
    (void)rig_begin(&rig);
    rig_restart(&rig, false);
    rig_settle(&rig);
    bring_phone_back();
    (void)rig_begin(&rig);
}

/* ---- around them ---- */

static void a_deadline_that_has_passed_fails_the_item(void **state) {
    (void)state;
    struct record_request request = a_request(RIG_WORK);
    request.deadline_ms = rig.clock.wall_ms - 1;
    add_request(an_offer(), &request);
    take();
    assert_int_equal(image()->state, RECORD_FAILED);
    assert_int_equal(image()->category, RECORD_CATEGORY_DEADLINE);
}

static void a_part_goes_to_its_phone_and_its_account(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t b = rig_phone(&rig, "B");
    struct sync_offer offer = an_offer();
    offer.phone_id = bytes_of("B");
    offer.account = bytes_of("ann");
    add_offer(offer, RIG_WORK);
    take();
    assert_int_equal(rig_begin(&rig).phone, b);
    offer.process = 8;
    offer.phone_id = (struct bytes){0};
    add_offer(offer, RIG_WORK);
    take();
    rig_assert_no_start(&rig); /* one phone at a time works for an account */
    assert_int_equal(hub_process_wait(&rig.hub, hub_part_find(&rig.hub, 8, 1)), HUB_WAIT_ACCOUNT);
}

static void a_push_says_what_the_hub_could_take(void **state) {
    (void)state;
    link.wait_ms = 20000;
    (void)rig_phone(&rig, "A");
    (void)rig_phone(&rig, "B");
    assert_int_equal(next_push().idle, 2);
    assert_int_equal(next_push().wait_ms, 20000);
    assert_int_equal(next_push().capacity, rig.hub.board->processes);
    add_offer(an_offer(), RIG_WORK);
    take();
    struct sync_push push = next_push();
    assert_int_equal(push.idle, 1);
    assert_int_equal(push.capacity, rig.hub.board->processes - 1);
    struct hub_start start = rig_begin(&rig);
    (void)rig_end(&rig, &start, RECORD_SUCCESS, RECORD_CATEGORY_NONE);
    assert_int_equal(next_push().capacity, rig.hub.board->processes - 1);
    acknowledge(); /* now it may be evicted */
    assert_int_equal(next_push().capacity, rig.hub.board->processes);
}

int firmware_hub_offer_tests(void) {
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
        TEST(an_offer_makes_a_part_that_runs_to_its_end),
        TEST(attempts_go_on_where_those_on_other_hubs_ended),
        TEST(a_command_is_applied_once_whatever_comes_again),
        TEST(nothing_behind_a_hole_is_taken),
        TEST(numbers_that_were_answered_are_passed_without_an_answer),
        TEST(the_number_is_told_when_it_is_durable_with_its_effect),
        TEST(a_full_group_leaves_a_command_for_the_next_reply),
        TEST(each_kind_of_command_waits_for_its_room),
        TEST(numbers_begin_anew_in_a_new_epoch_of_upstream),
        TEST(what_a_hub_cannot_do_is_answered),
        TEST(full_tables_are_an_answer),
        TEST(unacknowledged_answers_hold_commands_up),
        TEST(an_answer_is_sent_again_when_older_history_is_given_up),
        TEST(controls_reach_the_part_or_the_hubs_own_process),
        TEST(a_suspended_item_is_settled_by_upstream),
        TEST(the_same_offer_again_renews_the_grant),
        TEST(an_offer_again_lets_a_running_part_go_on),
        TEST(a_renewal_of_what_is_not_here_or_has_ended_changes_nothing),
        TEST(another_request_under_the_same_assignment_differs),
        TEST(an_older_assignment_is_stale),
        TEST(a_newer_assignment_replaces_a_part_that_waits),
        TEST(a_newer_assignment_waits_until_the_older_one_has_stopped),
        TEST(an_ended_part_is_not_offered_again_but_as_a_new_assignment),
        TEST(a_part_that_waits_leaves_at_once_without_a_terminal_state),
        TEST(a_running_part_is_stopped_first),
        TEST(a_part_that_is_withdrawn_says_what_it_may_have_done),
        TEST(a_part_that_is_withdrawn_before_its_review_waits_for_it),
        TEST(what_ends_by_itself_while_it_is_withdrawn),
        TEST(a_success_before_it_has_stopped_wins),
        TEST(a_part_is_withdrawn_from_every_state_that_is_not_terminal),
        TEST(a_grant_counts_from_the_sending_of_the_poll),
        TEST(a_running_part_is_stopped_so_that_it_ends_with_its_grant),
        TEST(a_part_that_waits_is_not_leased_behind_its_grant),
        TEST(renewals_let_an_attempt_outlast_a_ttl),
        TEST(a_renewal_brings_back_what_waits),
        TEST(after_a_restart_of_the_program_the_durable_grant_counts),
        TEST(a_reboot_voids_the_grant_until_the_offer_comes_anew),
        TEST(an_external_worker_never_goes_beyond_the_grant),
        TEST(an_unstarted_lease_ends_with_the_grant),
        TEST(the_hubs_own_items_need_no_grant),
        TEST(a_deadline_that_has_passed_fails_the_item),
        TEST(a_part_goes_to_its_phone_and_its_account),
        TEST(a_push_says_what_the_hub_could_take),
#undef TEST
    };
    return cmocka_run_group_tests_name("firmware/hub_offer", tests, NULL, NULL);
}
