/* Both ends of an ADB connection, joined in memory: handshake, streams, flow control, bad peers. */
#include "protocol/adb_connection.h"

#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct adb_connection host;
static struct adb_connection device;
static uint8_t host_output[ADB_CONNECTION_OUTPUT_MIN + 8192];
static uint8_t device_output[ADB_CONNECTION_OUTPUT_MIN];
static const struct adb_banner host_banner = {.peer = ADB_PEER_HOST,
                                              .features = ADB_FEATURE_SHELL_V2};
static const struct adb_banner device_banner = {.peer = ADB_PEER_DEVICE};

/* Gives what `from` wants to send to `to`, until an event comes of it. */
static struct adb_connection_event carry(struct adb_connection *from, struct adb_connection *to) {
    struct adb_connection_event event = {.kind = ADB_EVENT_NONE};
    enum status status = STATUS_OK;
    struct bytes start = adb_connection_output(from);
    struct bytes input = start;
    while (status == STATUS_OK && event.kind == ADB_EVENT_NONE) {
        status = adb_connection_receive(to, &input, &event);
    }
    adb_connection_sent(from, start.size - input.size);
    return event;
}

/* Gives one made-up message to `to`. */
static enum status feed(struct adb_connection *to, struct adb_message message, const void *payload,
                        struct adb_connection_event *event) {
    uint8_t bytes[ADB_HEADER_SIZE + 512] = {0};
    adb_encode(bytes, &message);
    if (payload != NULL) {
        memcpy(bytes + ADB_HEADER_SIZE, payload, message.payload_size);
    }
    struct bytes input = {bytes, ADB_HEADER_SIZE + message.payload_size};
    enum status status = STATUS_OK;
    do {
        status = adb_connection_receive(to, &input, event);
    } while (status == STATUS_OK && event->kind == ADB_EVENT_NONE && input.size > 0);
    if (status == STATUS_OK && event->kind == ADB_EVENT_NONE) {
        status = adb_connection_receive(to, &input, event);
    }
    return status == STATUS_MORE ? STATUS_OK : status;
}

static struct adb_message next_output(struct adb_connection *from) {
    struct adb_message message = {.command = 0};
    if (adb_decode(adb_connection_output(from), ADB_PAYLOAD_MAX, &message) == STATUS_OK) {
        adb_connection_sent(from, ADB_HEADER_SIZE + message.payload_size);
    }
    return message;
}

static void begin(uint32_t host_max, uint32_t device_max) {
    adb_connection_init(&host, ADB_CONNECTION_HOST, host_max, host_output, sizeof host_output);
    adb_connection_init(&device, ADB_CONNECTION_DEVICE, device_max, device_output,
                        sizeof device_output);
    adb_connection_start(&host, &host_banner);
}

static void go_online(void) {
    begin(ADB_PAYLOAD_MAX, 8192);
    assert_int_equal(carry(&host, &device).kind, ADB_EVENT_CONNECT);
    assert_int_equal(adb_connection_accept(&device, &device_banner), STATUS_OK);
    assert_int_equal(carry(&device, &host).kind, ADB_EVENT_ONLINE);
}

/* Opens a stream; gives its ids on both sides. */
static uint32_t open_stream(uint32_t *remote) {
    uint32_t stream = 0;
    assert_int_equal(adb_connection_open(&host, bytes_of("shell:ls"), &stream), STATUS_OK);
    struct adb_connection_event event = carry(&host, &device);
    assert_int_equal(event.kind, ADB_EVENT_OPEN);
    assert_int_equal(event.data.size, 8);
    assert_memory_equal(event.data.data, "shell:ls", 8);
    *remote = event.stream;
    adb_connection_accept_stream(&device, event.stream);
    event = carry(&device, &host);
    assert_int_equal(event.kind, ADB_EVENT_OPENED);
    assert_int_equal(event.stream, stream);
    return stream;
}

static bool write_text(struct adb_connection *from, uint32_t stream, const char *text) {
    size_t capacity = 0;
    uint8_t *room = adb_connection_room(from, stream, strlen(text), &capacity);
    if (room == NULL) {
        return false;
    }
    memcpy(room, text, strlen(text));
    adb_connection_write_built(from, stream, strlen(text));
    return true;
}

static void settles_on_the_lower_payload_of_both(void **state) {
    (void)state;
    go_online();
    assert_int_equal(host.payload_max, 8192);
    assert_int_equal(device.payload_max, 8192);
}

static void sums_payloads_until_both_are_new_enough(void **state) {
    (void)state;
    begin(ADB_PAYLOAD_MAX, 8192);
    struct adb_message message;
    assert_int_equal(adb_decode(adb_connection_output(&host), 4096, &message), STATUS_OK);
    assert_true(message.checksum > 0);
    go_online();
    uint32_t stream = 0;
    assert_int_equal(adb_connection_open(&host, bytes_of("sync:"), &stream), STATUS_OK);
    assert_int_equal(next_output(&host).checksum, 0);
    begin(ADB_PAYLOAD_MAX, 8192);
    struct adb_connection_event event;
    struct adb_message old = {.command = ADB_CNXN, .arg0 = ADB_VERSION_MIN, .arg1 = 4096};
    (void)next_output(&host);
    assert_int_equal(feed(&host, old, NULL, &event), STATUS_OK);
    assert_int_equal(event.kind, ADB_EVENT_ONLINE);
    assert_int_equal(adb_connection_open(&host, bytes_of("sync:"), &stream), STATUS_OK);
    assert_int_equal(next_output(&host).checksum, 's' + 'y' + 'n' + 'c' + ':');
}

static void tries_a_signature_and_then_offers_the_key(void **state) {
    (void)state;
    static const uint8_t token[ADB_TOKEN_SIZE] = {1, 2, 3};
    static const uint8_t signature[ADB_SIGNATURE_SIZE] = {9};
    begin(ADB_PAYLOAD_MAX, 8192);
    assert_int_equal(carry(&host, &device).kind, ADB_EVENT_CONNECT);
    assert_int_equal(adb_connection_challenge(&device, token), STATUS_OK);
    struct adb_connection_event event = carry(&device, &host);
    assert_int_equal(event.kind, ADB_EVENT_TOKEN);
    assert_memory_equal(event.data.data, token, sizeof token);
    assert_int_equal(adb_connection_sign(&host, signature), STATUS_OK);
    event = carry(&host, &device);
    assert_int_equal(event.kind, ADB_EVENT_SIGNATURE);
    assert_int_equal(event.data.size, ADB_SIGNATURE_SIZE);
    assert_int_equal(adb_connection_challenge(&device, token), STATUS_OK);
    assert_int_equal(carry(&device, &host).kind, ADB_EVENT_TOKEN);
    assert_int_equal(adb_connection_offer_key(&host, bytes_of("KEY me@here")), STATUS_OK);
    event = carry(&host, &device);
    assert_int_equal(event.kind, ADB_EVENT_PUBLIC_KEY);
    assert_memory_equal(event.data.data, "KEY me@here", event.data.size);
    uint32_t stream = 0;
    assert_int_equal(adb_connection_open(&host, bytes_of("sync:"), &stream), STATUS_ILLEGAL);
    assert_int_equal(adb_connection_accept(&device, &device_banner), STATUS_OK);
    assert_int_equal(carry(&device, &host).kind, ADB_EVENT_ONLINE);
    assert_int_equal(adb_connection_sign(&host, signature), STATUS_ILLEGAL);
}

static void keeps_one_write_in_flight_per_stream(void **state) {
    (void)state;
    uint32_t remote = 0;
    go_online();
    uint32_t stream = open_stream(&remote);
    assert_true(write_text(&host, stream, "one"));
    assert_false(write_text(&host, stream, "two"));
    assert_true(adb_connection_awaits(&host, stream));
    struct adb_connection_event event = carry(&host, &device);
    assert_int_equal(event.kind, ADB_EVENT_DATA);
    assert_memory_equal(event.data.data, "one", 3);
    assert_int_equal(carry(&host, &device).kind, ADB_EVENT_DATA_END);
    assert_int_equal(adb_connection_output(&device).size, 0);
    adb_connection_acknowledge(&device, remote, 0);
    adb_connection_acknowledge(&device, remote, 0); /* once is enough */
    assert_int_equal(adb_connection_output(&device).size, ADB_HEADER_SIZE);
    event = carry(&device, &host);
    assert_int_equal(event.kind, ADB_EVENT_WRITABLE);
    assert_int_equal(event.stream, stream);
    assert_true(write_text(&host, stream, "two"));
}

static void delivers_a_write_however_it_is_cut(void **state) {
    (void)state;
    for (size_t cut = 0; cut <= ADB_HEADER_SIZE + 6; cut++) {
        uint32_t remote = 0;
        go_online();
        uint32_t stream = open_stream(&remote);
        assert_true(write_text(&host, stream, "abcdef"));
        struct bytes whole = adb_connection_output(&host);
        struct bytes parts[2] = {{whole.data, cut}, {whole.data + cut, whole.size - cut}};
        char text[8] = "";
        size_t size = 0;
        unsigned ends = 0;
        for (size_t i = 0; i < 2; i++) {
            struct adb_connection_event event;
            while (adb_connection_receive(&device, &parts[i], &event) == STATUS_OK) {
                if (event.kind == ADB_EVENT_DATA) {
                    memcpy(text + size, event.data.data, event.data.size);
                    size += event.data.size;
                }
                ends += event.kind == ADB_EVENT_DATA_END;
            }
        }
        assert_string_equal(text, "abcdef");
        assert_int_equal(ends, 1);
    }
}

static void breaks_with_a_peer_that_writes_before_the_okay(void **state) {
    (void)state;
    uint32_t remote = 0;
    go_online();
    uint32_t stream = open_stream(&remote);
    struct adb_message write = {
        .command = ADB_WRTE, .arg0 = remote, .arg1 = stream, .payload_size = 1};
    struct adb_connection_event event;
    assert_int_equal(feed(&host, write, "x", &event), STATUS_OK);
    assert_int_equal(event.kind, ADB_EVENT_DATA);
    struct bytes nothing = {host_output, 0};
    assert_int_equal(adb_connection_receive(&host, &nothing, &event), STATUS_OK);
    assert_int_equal(event.kind, ADB_EVENT_DATA_END);
    assert_int_equal(feed(&host, write, "x", &event), STATUS_MALFORMED);
    assert_int_equal(host.phase, ADB_CONNECTION_BROKEN);
    assert_non_null(host.reason);
}

/* The owner has used all it was given, and more of the same write is on its way: the OKAY for it
 * waits for its end. */
static void acknowledges_a_write_only_when_all_of_it_is_there(void **state) {
    (void)state;
    uint32_t remote = 0;
    go_online();
    uint32_t stream = open_stream(&remote);
    const struct adb_message write = {
        .command = ADB_WRTE, .arg0 = remote, .arg1 = stream, .payload_size = 4};
    uint8_t bytes[ADB_HEADER_SIZE + 4] = {0};
    struct adb_connection_event event = {.kind = ADB_EVENT_NONE};
    adb_encode(bytes, &write);
    struct bytes first = {bytes, ADB_HEADER_SIZE + 2};
    while (event.kind == ADB_EVENT_NONE) {
        assert_int_equal(adb_connection_receive(&host, &first, &event), STATUS_OK);
    }
    assert_int_equal(event.kind, ADB_EVENT_DATA);
    assert_int_equal(event.data.size, 2);
    adb_connection_acknowledge(&host, stream, 0);
    assert_int_equal(adb_connection_output(&host).size, 0);
    struct bytes rest = {bytes + ADB_HEADER_SIZE + 2, 2};
    while (event.kind != ADB_EVENT_DATA_END) {
        assert_int_equal(adb_connection_receive(&host, &rest, &event), STATUS_OK);
    }
    adb_connection_acknowledge(&host, stream, 0);
    assert_int_equal(next_output(&host).command, ADB_OKAY);
}

static void refuses_what_a_device_opens(void **state) {
    (void)state;
    struct adb_connection_event event;
    go_online();
    struct adb_message open = {.command = ADB_OPEN, .arg0 = 77, .payload_size = 9};
    assert_int_equal(feed(&host, open, "tcp:5037", &event), STATUS_OK);
    assert_int_equal(event.kind, ADB_EVENT_NONE);
    assert_int_equal(host.refused_opens, 1);
    struct adb_message answer = next_output(&host);
    assert_int_equal(answer.command, ADB_CLSE);
    assert_int_equal(answer.arg0, 0);
    assert_int_equal(answer.arg1, 77);
    open.arg0 = 0; /* nobody to answer */
    assert_int_equal(feed(&host, open, "tcp:5037", &event), STATUS_OK);
    assert_int_equal(adb_connection_output(&host).size, 0);
}

/* What it reversed: the owner judges, takes it, and both write. */
static void a_host_that_takes_opens_is_asked_for_each(void **state) {
    (void)state;
    struct adb_connection_event event;
    size_t capacity = 0;
    go_online();
    host.takes_opens = true;
    struct adb_message open = {.command = ADB_OPEN, .arg0 = 77, .payload_size = 9};
    assert_int_equal(feed(&host, open, "tcp:5037", &event), STATUS_OK);
    assert_int_equal(event.kind, ADB_EVENT_OPEN);
    assert_true(event.data.size == 8 && memcmp(event.data.data, "tcp:5037", 8) == 0);
    assert_null(
        adb_connection_room(&host, event.stream, 1, &capacity)); /* not before it is taken */
    adb_connection_accept_stream(&host, event.stream);
    struct adb_message answer = next_output(&host);
    assert_int_equal(answer.command, ADB_OKAY);
    assert_int_equal(answer.arg1, 77);
    assert_non_null(adb_connection_room(&host, event.stream, 1, &capacity));
    open.arg0 = 78;
    assert_int_equal(feed(&host, open, "tcp:5037", &event), STATUS_OK);
    adb_connection_close(&host, event.stream);
    answer = next_output(&host);
    assert_int_equal(answer.command, ADB_CLSE);
    assert_int_equal(answer.arg0, 0);
    assert_int_equal(answer.arg1, 78);
    assert_int_equal(host.refused_opens, 0);
}

static void a_refused_open_closes_the_stream(void **state) {
    (void)state;
    uint32_t stream = 0;
    go_online();
    assert_int_equal(adb_connection_open(&host, bytes_of("root:"), &stream), STATUS_OK);
    struct adb_connection_event event = carry(&host, &device);
    adb_connection_close(&device, event.stream);
    event = carry(&device, &host);
    assert_int_equal(event.kind, ADB_EVENT_CLOSED);
    assert_int_equal(event.stream, stream);
    assert_false(adb_connection_has(&host, stream));
}

static void answers_an_okay_for_a_stream_it_left(void **state) {
    (void)state;
    uint32_t stream = 0;
    go_online();
    assert_int_equal(adb_connection_open(&host, bytes_of("sync:"), &stream), STATUS_OK);
    uint32_t remote = carry(&host, &device).stream;
    adb_connection_close(&host, stream);
    assert_int_equal(adb_connection_output(&host).size, 0); /* it has no remote id to name */
    adb_connection_accept_stream(&device, remote);
    assert_int_equal(carry(&device, &host).kind, ADB_EVENT_NONE);
    struct adb_connection_event event = carry(&host, &device);
    assert_int_equal(event.kind, ADB_EVENT_CLOSED);
    assert_int_equal(event.stream, remote);
}

static void ignores_writes_and_closes_that_name_no_stream_of_theirs(void **state) {
    (void)state;
    uint32_t remote = 0;
    struct adb_connection_event event;
    go_online();
    uint32_t stream = open_stream(&remote);
    struct adb_message wrong[] = {
        {.command = ADB_WRTE, .arg0 = remote + 1, .arg1 = stream, .payload_size = 3},
        {.command = ADB_WRTE, .arg0 = remote, .arg1 = stream + 16, .payload_size = 3},
        {.command = ADB_WRTE, .arg0 = remote, .arg1 = 0, .payload_size = 3},
        {.command = ADB_CLSE, .arg0 = remote + 1, .arg1 = stream},
        {.command = ADB_OKAY, .arg0 = remote + 1, .arg1 = stream},
        {.command = ADB_OKAY, .arg0 = remote, .arg1 = stream}, /* nothing was sent */
        {.command = ADB_SYNC, .arg0 = 1, .arg1 = 1},
        {.command = 0x12345678, .payload_size = 3},
    };
    for (size_t i = 0; i < array_count(wrong); i++) {
        assert_int_equal(feed(&host, wrong[i], "abc", &event), STATUS_OK);
        assert_int_equal(event.kind, ADB_EVENT_NONE);
        assert_true(adb_connection_has(&host, stream));
        assert_int_equal(adb_connection_output(&host).size, 0);
    }
}

static void breaks_with_peers_that_break_the_protocol(void **state) {
    (void)state;
    static const struct adb_message wrong[] = {
        {.command = ADB_CNXN, .arg0 = ADB_VERSION, .arg1 = 4095},
        {.command = ADB_CNXN, .arg0 = 0, .arg1 = 4096},
        {.command = ADB_CNXN, .arg0 = ADB_VERSION, .arg1 = 4096, .payload_size = 4097},
        {.command = ADB_AUTH, .arg0 = ADB_AUTH_TOKEN, .payload_size = 19},
        {.command = ADB_AUTH, .arg0 = ADB_AUTH_SIGNATURE, .payload_size = 20},
        {.command = ADB_STLS, .arg0 = 0x01000000},
        {.command = ADB_OKAY, .arg0 = 1, .arg1 = 16, .payload_size = 4},
        {.command = ADB_WRTE, .payload_size = 8193},
    };
    for (size_t i = 0; i < array_count(wrong); i++) {
        struct adb_connection_event event;
        uint8_t bytes[ADB_HEADER_SIZE + 64] = {0};
        go_online();
        adb_encode(bytes, &wrong[i]);
        size_t payload = wrong[i].payload_size < 64 ? wrong[i].payload_size : 0;
        struct bytes input = {bytes, ADB_HEADER_SIZE + payload};
        enum status status = STATUS_OK;
        while (status == STATUS_OK) {
            status = adb_connection_receive(&host, &input, &event);
        }
        assert_int_equal(status, STATUS_MALFORMED);
        assert_non_null(host.reason);
        struct adb_message good = {.command = ADB_CNXN, .arg0 = ADB_VERSION, .arg1 = 4096};
        adb_encode(bytes, &good);
        input = (struct bytes){bytes, ADB_HEADER_SIZE};
        assert_int_equal(adb_connection_receive(&host, &input, &event), STATUS_MALFORMED);
    }
}

static void a_new_connect_ends_all_streams(void **state) {
    (void)state;
    uint32_t remote = 0;
    struct adb_connection_event event;
    go_online();
    uint32_t stream = open_stream(&remote);
    struct adb_message again = {.command = ADB_CNXN, .arg0 = ADB_VERSION, .arg1 = 4096};
    assert_int_equal(feed(&host, again, NULL, &event), STATUS_OK);
    assert_int_equal(event.kind, ADB_EVENT_ONLINE);
    assert_false(adb_connection_has(&host, stream));
    assert_int_equal(host.payload_max, 4096);
}

static void holds_as_many_streams_as_its_table_and_no_more(void **state) {
    (void)state;
    uint32_t stream = 0;
    uint32_t remote = 0;
    go_online();
    for (unsigned i = 0; i < ADB_CONNECTION_STREAMS; i++) {
        stream = open_stream(&remote);
    }
    assert_int_equal(adb_connection_open(&host, bytes_of("sync:"), &remote), STATUS_FULL);
    struct adb_message open = {.command = ADB_OPEN, .arg0 = 9999, .payload_size = 5};
    struct adb_connection_event event;
    assert_int_equal(feed(&device, open, "sync:", &event), STATUS_OK);
    assert_int_equal(event.kind, ADB_EVENT_NONE);
    assert_int_equal(next_output(&device).command, ADB_CLSE);
    adb_connection_close(&host, stream);
    uint32_t another = 0;
    assert_int_equal(adb_connection_open(&host, bytes_of("sync:"), &another), STATUS_OK);
    assert_int_not_equal(another, stream); /* ids are not used again at once */
}

/* A peer that sends without ever reading: we stop reading; nothing grows, nothing is lost. */
static void stops_reading_from_a_peer_that_takes_no_answers(void **state) {
    (void)state;
    uint8_t bytes[ADB_HEADER_SIZE];
    struct adb_message open = {.command = ADB_OPEN, .arg0 = 5};
    struct adb_connection_event event;
    enum status status = STATUS_OK;
    unsigned taken = 0;
    go_online();
    adb_encode(bytes, &open);
    while (status == STATUS_OK && taken < 100000) {
        struct bytes input = {bytes, sizeof bytes};
        status = adb_connection_receive(&host, &input, &event);
        taken += status == STATUS_OK;
    }
    assert_int_equal(status, STATUS_AGAIN);
    assert_int_equal(adb_connection_output(&host).size, taken * ADB_HEADER_SIZE);
    adb_connection_sent(&host, adb_connection_output(&host).size);
    struct bytes input = {bytes, sizeof bytes};
    assert_int_equal(adb_connection_receive(&host, &input, &event), STATUS_OK);
}

/* Data may not use the room that answers need. */
static void leaves_room_for_answers_when_full_of_data(void **state) {
    (void)state;
    uint32_t streams[ADB_CONNECTION_STREAMS];
    uint32_t remotes[ADB_CONNECTION_STREAMS];
    go_online();
    for (unsigned i = 0; i < ADB_CONNECTION_STREAMS; i++) {
        streams[i] = open_stream(&remotes[i]);
    }
    for (unsigned i = 0; i < ADB_CONNECTION_STREAMS; i++) {
        size_t capacity = 0;
        uint8_t *room = adb_connection_room(&host, streams[i], 1, &capacity);
        if (room != NULL) {
            memset(room, 'x', capacity);
            adb_connection_write_built(&host, streams[i], capacity);
        }
    }
    for (unsigned i = 0; i < ADB_CONNECTION_STREAMS; i++) {
        struct adb_connection_event event;
        struct adb_message write = {
            .command = ADB_WRTE, .arg0 = remotes[i], .arg1 = streams[i], .payload_size = 0};
        assert_int_equal(feed(&host, write, NULL, &event), STATUS_OK);
        assert_int_equal(event.kind, ADB_EVENT_DATA_END);
        adb_connection_acknowledge(&host, streams[i], 0);
        adb_connection_close(&host, streams[i]);
    }
}

static void what_names_no_stream_is_harmless(void **state) {
    (void)state;
    uint32_t remote = 0;
    size_t capacity = 7;
    go_online();
    uint32_t stream = open_stream(&remote);
    assert_false(adb_connection_has(&host, 0));
    assert_false(adb_connection_awaits(&host, 0));
    assert_false(adb_connection_awaits(&host, stream + ADB_CONNECTION_STREAMS));
    assert_false(adb_connection_awaits(&host, stream)); /* both have all they need */
    adb_connection_accept_stream(&host, stream + 1);
    adb_connection_accept_stream(&host, stream); /* it was ours to open */
    adb_connection_acknowledge(&host, stream + 1, 0);
    adb_connection_close(&host, stream + 1);
    assert_null(adb_connection_room(&host, stream + 1, 1, &capacity));
    assert_int_equal(capacity, 0);
    assert_int_equal(adb_connection_output(&host).size, 0);
    assert_true(adb_connection_has(&host, stream));
}

static void a_stream_whose_open_is_not_answered_cannot_be_written(void **state) {
    (void)state;
    uint32_t stream = 0;
    size_t capacity = 7;
    go_online();
    assert_int_equal(adb_connection_open(&host, bytes_of("sync:"), &stream), STATUS_OK);
    assert_true(adb_connection_awaits(&host, stream));
    assert_null(adb_connection_room(&host, stream, 1, &capacity));
    assert_int_equal(capacity, 0);
    struct adb_connection_event event;
    struct adb_message write = {.command = ADB_WRTE, .arg1 = stream, .payload_size = 3};
    assert_int_equal(feed(&host, write, "abc", &event), STATUS_OK); /* nor may the peer write */
    assert_int_equal(event.kind, ADB_EVENT_NONE);
}

static void a_stream_that_is_asked_for_waits_for_its_owner(void **state) {
    (void)state;
    struct adb_connection_event event;
    go_online();
    host.takes_opens = true;
    struct adb_message open = {.command = ADB_OPEN, .arg0 = 77, .payload_size = 9};
    assert_int_equal(feed(&host, open, "tcp:5037", &event), STATUS_OK);
    uint32_t stream = event.stream;
    assert_false(adb_connection_awaits(&host, stream)); /* it is we who owe an answer */
    struct adb_message early[] = {
        {.command = ADB_WRTE, .arg0 = 77, .arg1 = stream, .payload_size = 3},
        {.command = ADB_CLSE, .arg0 = 77, .arg1 = stream},
    };
    for (size_t i = 0; i < array_count(early); i++) {
        assert_int_equal(feed(&host, early[i], "abc", &event), STATUS_OK);
        assert_int_equal(event.kind, ADB_EVENT_NONE);
        assert_true(adb_connection_has(&host, stream));
    }
}

static void an_open_beyond_what_was_agreed_is_refused(void **state) {
    (void)state;
    static uint8_t bytes[ADB_HEADER_SIZE + ADB_HANDSHAKE_MAX + 1];
    struct adb_connection_event event;
    go_online();
    struct adb_message windowed = {.command = ADB_OPEN, .arg0 = 5, .arg1 = 1, .payload_size = 5};
    assert_int_equal(feed(&device, windowed, "sync:", &event), STATUS_OK);
    assert_int_equal(event.kind, ADB_EVENT_NONE);
    assert_int_equal(next_output(&device).command, ADB_CLSE);
    struct adb_message large = {
        .command = ADB_OPEN, .arg0 = 6, .payload_size = ADB_HANDSHAKE_MAX + 1};
    adb_encode(bytes, &large);
    struct bytes input = {bytes, sizeof bytes};
    while (adb_connection_receive(&device, &input, &event) == STATUS_OK) {
        assert_int_equal(event.kind, ADB_EVENT_NONE);
    }
    struct adb_message answer = next_output(&device);
    assert_int_equal(answer.command, ADB_CLSE);
    assert_int_equal(answer.arg1, 6);
    assert_int_equal(device.refused_opens, 2);
}

static void nothing_but_a_handshake_counts_before_it(void **state) {
    (void)state;
    struct adb_connection_event event;
    begin(ADB_PAYLOAD_MAX, 8192);
    struct adb_message early[] = {
        {.command = ADB_OPEN, .arg0 = 5, .payload_size = 5},
        {.command = ADB_OKAY, .arg0 = 5, .arg1 = 80},
        {.command = ADB_AUTH, .arg0 = ADB_AUTH_SIGNATURE, .payload_size = 5},
        {.command = ADB_AUTH, .arg0 = ADB_AUTH_PUBLIC_KEY, .payload_size = 5},
    };
    for (size_t i = 0; i < array_count(early); i++) {
        assert_int_equal(feed(&device, early[i], "abcde", &event), STATUS_OK);
        assert_int_equal(event.kind, ADB_EVENT_NONE);
        assert_int_equal(adb_connection_output(&device).size, 0);
    }
    assert_int_equal(carry(&host, &device).kind, ADB_EVENT_CONNECT);
    struct adb_message unknown = {.command = ADB_AUTH, .arg0 = 9, .payload_size = 5};
    assert_int_equal(feed(&device, unknown, "abcde", &event), STATUS_OK);
    assert_int_equal(event.kind, ADB_EVENT_NONE);
    assert_int_equal(device.phase, ADB_CONNECTION_AUTH);
}

static void each_role_has_its_own_handshake_answers(void **state) {
    (void)state;
    static const uint8_t secret[ADB_SIGNATURE_SIZE] = {0};
    begin(ADB_PAYLOAD_MAX, 8192);
    assert_int_equal(carry(&host, &device).kind, ADB_EVENT_CONNECT);
    assert_int_equal(adb_connection_sign(&device, secret), STATUS_ILLEGAL);
    assert_int_equal(adb_connection_offer_key(&device, bytes_of("KEY")), STATUS_ILLEGAL);
    assert_int_equal(adb_connection_challenge(&host, secret), STATUS_ILLEGAL);
    assert_int_equal(adb_connection_accept(&host, &host_banner), STATUS_ILLEGAL);
    assert_int_equal(adb_connection_output(&device).size, 0);
}

static void a_service_name_fits_one_payload_or_is_refused(void **state) {
    (void)state;
    static uint8_t name[8192];
    struct bytes service = {name, sizeof name};
    uint32_t stream = 0;
    go_online();
    memset(name, 'x', sizeof name);
    assert_int_equal(adb_connection_open(&host, service, &stream), STATUS_TOO_LARGE);
    service.size -= 1; /* with its NUL it fits */
    assert_int_equal(adb_connection_open(&host, service, &stream), STATUS_OK);
    assert_int_equal(adb_connection_open(&host, service, &stream), STATUS_AGAIN);
    host.payload_max = ADB_PAYLOAD_MAX; /* a peer that takes more than our own output holds */
    service.size = sizeof host_output - ADB_CONNECTION_RESERVE - ADB_HEADER_SIZE;
    assert_true(service.size <= sizeof name + ADB_PAYLOAD_V1);
    assert_int_equal(adb_connection_open(&host, (struct bytes){host_output, service.size}, &stream),
                     STATUS_TOO_LARGE);
}

static void room_is_given_whole_or_not_at_all(void **state) {
    (void)state;
    uint32_t remote = 0;
    size_t capacity = 7;
    go_online();
    uint32_t stream = open_stream(&remote);
    assert_null(adb_connection_room(&host, stream, host.payload_max + 1, &capacity));
    assert_int_equal(capacity, 0);
    assert_non_null(adb_connection_room(&host, stream, host.payload_max, &capacity));
    assert_int_equal(capacity, host.payload_max);
    size_t left = adb_output_room(&host.output) - ADB_CONNECTION_RESERVE - ADB_HEADER_SIZE;
    host.output.end += left; /* as if it were full of data */
    assert_null(adb_connection_room(&host, stream, 0, &capacity));
    assert_int_equal(capacity, 0);
}

static void okays_and_closes_of_nobody_change_nothing(void **state) {
    (void)state;
    uint32_t remote = 0;
    struct adb_connection_event event;
    go_online();
    uint32_t stream = open_stream(&remote);
    struct adb_message odd[] = {
        {.command = ADB_OKAY, .arg0 = 0, .arg1 = stream},
        {.command = ADB_OKAY, .arg0 = remote, .arg1 = 0},
        {.command = ADB_CLSE, .arg0 = remote, .arg1 = stream + ADB_CONNECTION_STREAMS},
    };
    for (size_t i = 0; i < array_count(odd); i++) {
        assert_int_equal(feed(&host, odd[i], NULL, &event), STATUS_OK);
        assert_int_equal(event.kind, ADB_EVENT_NONE);
        assert_int_equal(adb_connection_output(&host).size, 0);
    }
    assert_true(adb_connection_has(&host, stream));
}

/* What waits is moved to the front when the next message needs the room behind it. */
static void output_that_was_sent_in_pieces_stays_in_order(void **state) {
    (void)state;
    static uint8_t data[4 * ADB_HEADER_SIZE];
    struct adb_output output = {.data = data, .capacity = sizeof data};
    uint32_t next = 1, seen = 1;
    for (unsigned round = 0; round < 50; round++) {
        while (adb_output_room(&output) >= ADB_HEADER_SIZE) {
            adb_output_send_words(&output, ADB_OKAY, next, next);
            next += 1;
        }
        struct adb_message message;
        assert_int_equal(adb_decode(adb_output_waiting(&output), 0, &message), STATUS_OK);
        assert_int_equal(message.arg0, seen);
        seen += 1;
        adb_output_sent(&output, ADB_HEADER_SIZE);
    }
}

int protocol_adb_connection_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settles_on_the_lower_payload_of_both),
        cmocka_unit_test(sums_payloads_until_both_are_new_enough),
        cmocka_unit_test(tries_a_signature_and_then_offers_the_key),
        cmocka_unit_test(keeps_one_write_in_flight_per_stream),
        cmocka_unit_test(delivers_a_write_however_it_is_cut),
        cmocka_unit_test(breaks_with_a_peer_that_writes_before_the_okay),
        cmocka_unit_test(acknowledges_a_write_only_when_all_of_it_is_there),
        cmocka_unit_test(refuses_what_a_device_opens),
        cmocka_unit_test(a_host_that_takes_opens_is_asked_for_each),
        cmocka_unit_test(a_refused_open_closes_the_stream),
        cmocka_unit_test(answers_an_okay_for_a_stream_it_left),
        cmocka_unit_test(ignores_writes_and_closes_that_name_no_stream_of_theirs),
        cmocka_unit_test(breaks_with_peers_that_break_the_protocol),
        cmocka_unit_test(a_new_connect_ends_all_streams),
        cmocka_unit_test(holds_as_many_streams_as_its_table_and_no_more),
        cmocka_unit_test(stops_reading_from_a_peer_that_takes_no_answers),
        cmocka_unit_test(leaves_room_for_answers_when_full_of_data),
        cmocka_unit_test(what_names_no_stream_is_harmless),
        cmocka_unit_test(a_stream_whose_open_is_not_answered_cannot_be_written),
        cmocka_unit_test(a_stream_that_is_asked_for_waits_for_its_owner),
        cmocka_unit_test(an_open_beyond_what_was_agreed_is_refused),
        cmocka_unit_test(nothing_but_a_handshake_counts_before_it),
        cmocka_unit_test(each_role_has_its_own_handshake_answers),
        cmocka_unit_test(a_service_name_fits_one_payload_or_is_refused),
        cmocka_unit_test(room_is_given_whole_or_not_at_all),
        cmocka_unit_test(okays_and_closes_of_nobody_change_nothing),
        cmocka_unit_test(output_that_was_sent_in_pieces_stays_in_order),
    };
    return cmocka_run_group_tests_name("protocol/adb_connection", tests, NULL, NULL);
}
