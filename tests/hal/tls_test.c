#include "tests/hal/tls_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct tls_rig rig;

static void open_good_rig(void) {
    tls_rig_open(&rig, tls_rig_server("good", "good"), tls_rig_client("good", "good"));
}

static void meet_well(const char *name, struct tls_session *session) {
    tls_rig_meet(&rig, name, session);
    assert_string_equal(tls_stream_reason(&rig.client), "");
    assert_string_equal(tls_stream_reason(&rig.server), "");
    assert_int_equal(rig.client_status, STATUS_OK);
    assert_int_equal(rig.server_status, STATUS_OK);
}

/* Meets, expects these ends, and that no side would carry a byte of the application. */
static void meet_badly(const char *name, enum status client, enum status server) {
    uint8_t byte = 0;
    size_t count = 0;
    tls_rig_meet(&rig, name, NULL);
    assert_int_equal(rig.client_status, client);
    assert_int_equal(rig.server_status, server);
    if (hal_stream_is_open(&rig.client.stream)) {
        assert_int_equal(hal_stream_write(&rig.client.stream, &byte, 1, &count), client);
    }
    if (hal_stream_is_open(&rig.server.stream)) {
        assert_int_equal(hal_stream_read(&rig.server.stream, &byte, 1, &count), server);
    }
    tls_rig_close(&rig);
}

static void assert_says(const struct tls_stream *tls, const char *part) {
    if (strstr(tls_stream_reason(tls), part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", tls_stream_reason(tls), part);
    }
}

static uint8_t pattern(size_t position) {
    return (uint8_t)(position * 31 + position / 251);
}

/* Sends `size` bytes and reads them in pieces of at most `piece`. */
static void carry(struct tls_stream *from, struct tls_stream *to, size_t size, size_t piece) {
    static uint8_t sent[200000];
    static uint8_t received[200000];
    size_t sent_size = 0, received_size = 0, count = 0;
    for (size_t i = 0; i < size; i++) {
        sent[i] = pattern(i + size);
    }
    while (received_size < size) {
        enum status written = STATUS_AGAIN;
        if (sent_size < size) {
            written = hal_stream_write(&from->stream, sent + sent_size, size - sent_size, &count);
            sent_size += written == STATUS_OK ? count : 0;
            assert_true(written == STATUS_OK || written == STATUS_AGAIN);
        }
        size_t wanted = size - received_size < piece ? size - received_size : piece;
        enum status got = hal_stream_read(&to->stream, received + received_size, wanted, &count);
        received_size += got == STATUS_OK ? count : 0;
        assert_true(got == STATUS_OK || got == STATUS_AGAIN);
        if (got == STATUS_AGAIN && written == STATUS_AGAIN && received_size < size) {
            tls_rig_wait(to);
        }
    }
    assert_memory_equal(sent, received, size);
}

static void carries_bytes_of_every_size_both_ways(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 2, 255, 16383, 16384, 16385, 32768, 200000};
    open_good_rig();
    meet_well("localhost", NULL);
    for (size_t i = 0; i < array_count(sizes); i++) {
        carry(&rig.client, &rig.server, sizes[i], 200000);
        carry(&rig.server, &rig.client, sizes[i], 4000);
    }
    tls_rig_close(&rig);
}

static void carries_bytes_that_are_read_one_by_one(void **state) {
    (void)state;
    open_good_rig();
    meet_well("localhost", NULL);
    carry(&rig.client, &rig.server, 20000, 1);
    tls_rig_close(&rig);
}

static void tells_of_bytes_that_wait_inside_the_stream(void **state) {
    (void)state;
    uint8_t bytes[3] = {1, 2, 3};
    size_t count = 0;
    open_good_rig();
    meet_well("localhost", NULL);
    assert_int_equal(hal_stream_write(&rig.client.stream, bytes, 3, &count), STATUS_OK);
    assert_int_equal(tls_rig_read(&rig.server, bytes, 1, &count), STATUS_OK);
    assert_true(rig.server.stream.has_buffered);
    assert_int_equal(tls_rig_read(&rig.server, bytes, 2, &count), STATUS_OK);
    assert_int_equal(count, 2);
    assert_false(rig.server.stream.has_buffered);
    tls_rig_close(&rig);
}

/* Offers `size` bytes of the pattern from `sent` on; counts what was taken. */
static enum status offer(size_t size, size_t *sent) {
    static uint8_t bytes[30000];
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = pattern(*sent + i);
    }
    enum status status = hal_stream_write(&rig.client.stream, bytes, size, &count);
    *sent += status == STATUS_OK ? count : 0;
    return status;
}

static void loses_no_byte_when_the_reader_is_slow_and_more_is_offered(void **state) {
    (void)state;
    static uint8_t bytes[30000];
    size_t sent = 0, received = 0, count = 0;
    enum status status = STATUS_OK;
    open_good_rig();
    meet_well("localhost", NULL);
    while (status == STATUS_OK) {
        status = offer(1000, &sent);
    }
    assert_int_equal(status, STATUS_AGAIN);
    assert_int_equal(rig.client.stream.wants, HAL_STREAM_WRITABLE);
    while (status == STATUS_AGAIN || received < sent) {
        assert_int_equal(tls_rig_read(&rig.server, bytes, sizeof(bytes), &count), STATUS_OK);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(bytes[i], pattern(received + i));
        }
        received += count;
        if (status == STATUS_AGAIN) {
            status = offer(sizeof(bytes), &sent);
        }
    }
    assert_int_equal(received, sent);
    tls_rig_close(&rig);
}

static void tells_an_orderly_end_from_a_truncated_one(void **state) {
    (void)state;
    uint8_t byte = 0;
    size_t count = 0;
    open_good_rig();
    meet_well("localhost", NULL);
    hal_stream_close(&rig.client.stream);
    assert_int_equal(tls_rig_read(&rig.server, &byte, 1, &count), STATUS_CLOSED);
    assert_int_equal(tls_rig_read(&rig.server, &byte, 1, &count), STATUS_CLOSED);
    tls_rig_hang_up(&rig);
    meet_well("localhost", NULL);
    assert_int_equal(shutdown(rig.client.stream.handle, SHUT_RDWR), 0);
    assert_int_equal(tls_rig_read(&rig.server, &byte, 1, &count), STATUS_IO);
    assert_says(&rig.server, "end mark");
    tls_rig_close(&rig);
}

static void knows_the_client_by_its_common_name(void **state) {
    (void)state;
    open_good_rig();
    char own[TLS_NAME_SIZE];
    tls_config_own_name(&rig.client_config, own);
    assert_string_equal(own, "hub-1");
    meet_well("localhost", NULL);
    assert_string_equal(rig.server.peer_name, "hub-1");
    assert_string_equal(rig.client.peer_name, "localhost");
    tls_rig_close(&rig);
}

static void resumes_by_ticket_on_the_second_connection(void **state) {
    (void)state;
    struct tls_session session = {0};
    open_good_rig();
    for (unsigned round = 0; round < 4; round++) {
        meet_well("localhost", &session);
        assert_int_equal(rig.server_config.tickets_accepted, round);
        assert_int_equal(rig.client.is_resumed, round > 0);
        assert_int_equal(rig.server.is_resumed, round > 0);
        assert_string_equal(rig.server.peer_name, "hub-1");
        carry(&rig.client, &rig.server, 1000, 1000);
        tls_rig_hang_up(&rig);
    }
    meet_well("127.0.0.1", &session); /* another name: what was verified does not hold */
    assert_false(rig.client.is_resumed);
    tls_session_forget(&session);
    tls_rig_close(&rig);
}

static void forgets_a_ticket_when_a_handshake_fails(void **state) {
    (void)state;
    struct tls_session session = {0};
    open_good_rig();
    meet_well("localhost", &session);
    assert_true(session.is_saved);
    tls_rig_hang_up(&rig);
    tls_config_close(&rig.server_config);
    struct tls_settings foreign = tls_rig_server("good", "foreign");
    assert_int_equal(tls_config_open(&rig.server_config, &foreign), STATUS_OK);
    tls_rig_meet(&rig, "localhost", &session);
    assert_int_equal(rig.client_status, STATUS_UNTRUSTED);
    assert_false(session.is_saved);
    tls_rig_close(&rig);
}

/* Meets a server, then another process's server that has the settings `second`. */
static bool resumes_elsewhere(struct tls_settings first, struct tls_settings second) {
    struct tls_session session = {0};
    tls_rig_open(&rig, first, tls_rig_client("good", "good"));
    meet_well("localhost", &session);
    tls_rig_hang_up(&rig);
    tls_config_close(&rig.server_config);
    assert_int_equal(tls_config_open(&rig.server_config, &second), STATUS_OK);
    tls_rig_meet(&rig, "localhost", &session);
    bool is_resumed = rig.server.is_resumed;
    tls_session_forget(&session);
    tls_rig_close(&rig);
    return is_resumed;
}

static void resumes_at_another_process_only_with_the_same_key_and_trust(void **state) {
    (void)state;
    struct tls_settings shared = tls_rig_server("good", "good");
    shared.ticket_key_path = TLS_RIG_CERTS "ticket_key";
    struct tls_settings own_key = tls_rig_server("good", "good");
    struct tls_settings other_trust = tls_rig_server("foreign", "good");
    other_trust.ticket_key_path = shared.ticket_key_path;
    struct tls_settings no_trust = tls_rig_server(NULL, "good");
    no_trust.ticket_key_path = shared.ticket_key_path;
    assert_true(resumes_elsewhere(shared, shared));
    assert_false(resumes_elsewhere(shared, own_key));
    assert_false(resumes_elsewhere(shared, other_trust));
    assert_false(resumes_elsewhere(no_trust, shared));
}

static void refuses_a_server_of_another_ca_with_the_same_name(void **state) {
    (void)state;
    tls_rig_open(&rig, tls_rig_server("good", "foreign"), tls_rig_client("good", "good"));
    meet_badly("localhost", STATUS_UNTRUSTED, STATUS_DENIED);
    assert_says(&rig.client, "not correctly signed by the trusted CA");
    assert_says(&rig.server, "does not know our CA");
}

static void refuses_a_client_of_another_ca_with_the_same_name(void **state) {
    (void)state;
    tls_rig_open(&rig, tls_rig_server("good", "good"), tls_rig_client("good", "foreign"));
    meet_badly("localhost", STATUS_DENIED, STATUS_UNTRUSTED);
}

static void refuses_a_server_whose_certificate_is_for_another_name(void **state) {
    (void)state;
    static const char *const names[] = {"example.org", "127.0.0.2", "::2", "localhos",
                                        "xlocalhost"};
    for (size_t i = 0; i < array_count(names); i++) {
        open_good_rig();
        meet_badly(names[i], STATUS_UNTRUSTED, STATUS_DENIED);
        assert_says(&rig.client, "Common Name");
    }
}

static void accepts_names_and_addresses_of_the_certificate(void **state) {
    (void)state;
    static const char *const names[] = {"localhost", "LOCALHOST", "127.0.0.1", "::1"};
    open_good_rig();
    for (size_t i = 0; i < array_count(names); i++) {
        meet_well(names[i], NULL);
        tls_rig_hang_up(&rig);
    }
    tls_rig_close(&rig);
}

static void refuses_an_expired_server(void **state) {
    (void)state;
    tls_rig_open(&rig, tls_rig_server("good", "expired"), tls_rig_client("good", "good"));
    meet_badly("localhost", STATUS_UNTRUSTED, STATUS_DENIED);
    assert_says(&rig.client, "expired");
    assert_says(&rig.server, "expired");
}

static void refuses_an_expired_client(void **state) {
    (void)state;
    tls_rig_open(&rig, tls_rig_server("good", "good"), tls_rig_client("good", "expired"));
    meet_badly("localhost", STATUS_DENIED, STATUS_UNTRUSTED);
    assert_says(&rig.server, "expired");
}

static void refuses_a_client_without_a_certificate(void **state) {
    (void)state;
    tls_rig_open(&rig, tls_rig_server("good", "good"), tls_rig_client("good", NULL));
    meet_badly("localhost", STATUS_DENIED, STATUS_UNTRUSTED);
    assert_says(&rig.server, "missing");
    assert_says(&rig.client, "missing");
}

static void serves_clients_without_certificates_where_none_is_asked_for(void **state) {
    (void)state;
    tls_rig_open(&rig, tls_rig_server(NULL, "good"), tls_rig_client("good", NULL));
    meet_well("localhost", NULL);
    assert_string_equal(rig.server.peer_name, "");
    carry(&rig.client, &rig.server, 1000, 1000);
    tls_rig_close(&rig);
}

static void refuses_versions_before_tls_1_2(void **state) {
    (void)state;
    open_good_rig();
    mbedtls_ssl_conf_min_version(&rig.client_config.ssl, 3, MBEDTLS_SSL_MINOR_VERSION_1);
    mbedtls_ssl_conf_max_version(&rig.client_config.ssl, 3, MBEDTLS_SSL_MINOR_VERSION_2);
    meet_badly("localhost", STATUS_MALFORMED, STATUS_MALFORMED);
}

static void refuses_ciphers_without_authentication_of_data_or_forward_secrecy(void **state) {
    (void)state;
    static const int offers[][2] = {
        {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, 0},
        {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, 0},
        {MBEDTLS_TLS_ECDH_ECDSA_WITH_AES_128_GCM_SHA256, 0},
        {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CCM, 0},
        {MBEDTLS_TLS_RSA_WITH_AES_128_GCM_SHA256, 0},
    };
    for (size_t i = 0; i < array_count(offers); i++) {
        open_good_rig();
        mbedtls_ssl_conf_ciphersuites(&rig.client_config.ssl, offers[i]);
        meet_badly("localhost", STATUS_DENIED, STATUS_MALFORMED);
    }
}

/* What the server makes of these bytes from a client that speaks no TLS. */
static enum status answer_to(const void *bytes, size_t size) {
    size_t count = 0;
    tls_rig_join(&rig);
    assert_int_equal(tls_stream_open(&rig.server, &rig.server_config, NULL, NULL), STATUS_OK);
    assert_int_equal(hal_stream_write(&rig.client.socket, bytes, size, &count), STATUS_OK);
    assert_int_equal(shutdown(rig.client.socket.handle, SHUT_WR), 0);
    enum status status = STATUS_AGAIN;
    while ((status = tls_stream_handshake(&rig.server)) == STATUS_AGAIN) {
        tls_rig_wait(&rig.server);
    }
    hal_stream_close(&rig.client.socket);
    tls_rig_hang_up(&rig);
    return status;
}

static void refuses_garbage_instead_of_a_handshake(void **state) {
    (void)state;
    static const uint8_t huge[] = {22, 3, 3, 0xff, 0xff, 1, 0, 0, 0};
    uint8_t random[64];
    open_good_rig();
    assert_int_equal(answer_to("GET / HTTP/1.1\r\n\r\n", 18), STATUS_MALFORMED);
    assert_int_equal(answer_to(huge, sizeof(huge)), STATUS_MALFORMED);
    for (unsigned round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof(random); i++) {
            random[i] = pattern(round * 977 + i * i);
        }
        random[0] = round % 2 == 0 ? 22 : random[0];
        enum status status = answer_to(random, sizeof(random));
        assert_true(status == STATUS_MALFORMED || status == STATUS_CLOSED);
    }
    tls_rig_close(&rig);
}

static void survives_a_peer_that_vanishes_at_any_step_of_the_handshake(void **state) {
    (void)state;
    bool is_done = false;
    open_good_rig();
    for (unsigned steps = 0; !is_done; steps++) {
        tls_rig_connect(&rig, "localhost", NULL);
        for (unsigned i = 0; i < steps; i++) {
            (void)mbedtls_ssl_handshake_step(&rig.client.ssl);
            assert_in_range(tls_stream_handshake(&rig.server), STATUS_OK, STATUS_AGAIN);
        }
        is_done = rig.server.is_established;
        assert_int_equal(shutdown(rig.client.stream.handle, SHUT_RDWR), 0);
        enum status status = STATUS_AGAIN;
        while (!is_done && (status = tls_stream_handshake(&rig.server)) == STATUS_AGAIN) {
            tls_rig_wait(&rig.server);
        }
        assert_true(is_done || status == STATUS_CLOSED);
        tls_rig_hang_up(&rig);
        assert_true(steps < 100);
    }
    tls_rig_close(&rig);
}

/* The refusal lies in the socket while writing fails: it is read before the end is told. */
static void hears_why_it_was_refused_by_a_peer_that_is_gone(void **state) {
    (void)state;
    tls_rig_open(&rig, tls_rig_server("good", "good"), tls_rig_client("good", "expired"));
    tls_rig_connect(&rig, "localhost", NULL);
    for (unsigned steps = 0; tls_stream_handshake(&rig.server) == STATUS_AGAIN; steps++) {
        (void)mbedtls_ssl_handshake_step(&rig.client.ssl);
        assert_true(steps < 100);
    }
    assert_says(&rig.server, "expired");
    hal_stream_close(&rig.server.stream);
    enum status status = STATUS_AGAIN;
    while ((status = tls_stream_handshake(&rig.client)) == STATUS_AGAIN) {
        tls_rig_wait(&rig.client);
    }
    assert_int_equal(status, STATUS_DENIED);
    assert_says(&rig.client, "our certificate has expired");
    tls_rig_close(&rig);
}

int hal_tls_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_bytes_of_every_size_both_ways),
        cmocka_unit_test(carries_bytes_that_are_read_one_by_one),
        cmocka_unit_test(tells_of_bytes_that_wait_inside_the_stream),
        cmocka_unit_test(loses_no_byte_when_the_reader_is_slow_and_more_is_offered),
        cmocka_unit_test(tells_an_orderly_end_from_a_truncated_one),
        cmocka_unit_test(knows_the_client_by_its_common_name),
        cmocka_unit_test(resumes_by_ticket_on_the_second_connection),
        cmocka_unit_test(forgets_a_ticket_when_a_handshake_fails),
        cmocka_unit_test(resumes_at_another_process_only_with_the_same_key_and_trust),
        cmocka_unit_test(refuses_a_server_of_another_ca_with_the_same_name),
        cmocka_unit_test(refuses_a_client_of_another_ca_with_the_same_name),
        cmocka_unit_test(refuses_a_server_whose_certificate_is_for_another_name),
        cmocka_unit_test(accepts_names_and_addresses_of_the_certificate),
        cmocka_unit_test(refuses_an_expired_server),
        cmocka_unit_test(refuses_an_expired_client),
        cmocka_unit_test(hears_why_it_was_refused_by_a_peer_that_is_gone),
        cmocka_unit_test(refuses_a_client_without_a_certificate),
        cmocka_unit_test(serves_clients_without_certificates_where_none_is_asked_for),
        cmocka_unit_test(refuses_versions_before_tls_1_2),
        cmocka_unit_test(refuses_ciphers_without_authentication_of_data_or_forward_secrecy),
        cmocka_unit_test(refuses_garbage_instead_of_a_handshake),
        cmocka_unit_test(survives_a_peer_that_vanishes_at_any_step_of_the_handshake),
    };
    return cmocka_run_group_tests_name("hal/tls", tests, tls_rig_make_certs, NULL);
}
