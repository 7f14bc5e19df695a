/* Runs TLS out of memory at every point of set-up and many of the handshake. The allocator
 * of the unit program becomes this file's; sanitizers bring their own and cannot take part. */
#include "hal/linux/arena.h"
#include "tests/hal/tls_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OTHER_MALLOC
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OTHER_MALLOC
#endif

#ifdef OTHER_MALLOC

static void takes_no_part_in_sanitizer_builds(void **state) {
    (void)state;
    assert_int_equal(arena_stats().capacity_bytes, 0);
}

int hal_tls_memory_tests(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(takes_no_part_in_sanitizer_builds)};
    return cmocka_run_group_tests_name("hal/tls_memory", tests, NULL, NULL);
}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void __libc_free(void *pointer);

static struct {
    uint64_t calls;
    uint64_t first, end; /* calls [first, end) fail, counted from 1 */
    uint64_t failures;
    int64_t blocks; /* live */
} memory;

void *malloc(size_t size) {
    void *pointer = __libc_malloc(size);
    memory.blocks += pointer != NULL;
    return pointer;
}

void free(void *pointer) {
    memory.blocks -= pointer != NULL;
    __libc_free(pointer);
}

void *calloc(size_t count, size_t size) {
    memory.calls++;
    if (memory.calls >= memory.first && memory.calls < memory.end) {
        memory.failures++;
        return NULL;
    }
    void *pointer = __libc_calloc(count, size);
    memory.blocks += pointer != NULL;
    return pointer;
}

/* The unit program's, in place of arena_none.c's: the TLS code asks it who is to blame. */
struct heap_stats arena_stats(void) {
    return (struct heap_stats){.calls = memory.calls, .failures = memory.failures};
}

static struct tls_rig rig;

static void fail_calls(uint64_t first, uint64_t count) {
    memory.calls = 0;
    memory.first = first;
    memory.end = first + count;
}

/* One connection whose calls [first, first + count) fail; tells whether any did. */
static bool meet_without_memory(uint64_t first, uint64_t count, struct tls_session *session) {
    uint64_t before = memory.failures;
    tls_rig_join(&rig);
    fail_calls(first, count);
    rig.server_status = tls_stream_open(&rig.server, &rig.server_config, NULL, NULL);
    rig.client_status = tls_stream_open(&rig.client, &rig.client_config, "localhost", session);
    tls_rig_handshake(&rig);
    fail_calls(0, 0);
    return memory.failures > before;
}

static bool is_about_memory(enum status status) {
    return status == STATUS_OK || status == STATUS_NO_MEMORY || status == STATUS_CLOSED ||
           status == STATUS_IO;
}

static void starve(uint64_t first, uint64_t count) {
    struct tls_session session = {0};
    (void)meet_without_memory(first, count, &session);
    assert_true(is_about_memory(rig.client_status));
    assert_true(is_about_memory(rig.server_status));
    tls_rig_hang_up(&rig);
    tls_session_forget(&session);
}

static void names_memory_not_certificates_and_leaks_nothing(void **state) {
    (void)state;
    enum { EVERY = 120, FAR = 60000, STRIDE = 1501 };
    tls_rig_open(&rig, tls_rig_server("good", "good"), tls_rig_client("good", "good"));
    starve(0, 0);
    int64_t before = memory.blocks;
    for (uint64_t first = 1; first < FAR; first += first < EVERY ? 1 : STRIDE) {
        starve(first, 1);
        starve(first, UINT32_MAX);
    }
    assert_int_equal(memory.blocks, before);
    struct tls_session session = {0};
    assert_false(meet_without_memory(0, 0, &session));
    assert_int_equal(rig.client_status, STATUS_OK);
    assert_int_equal(rig.server_status, STATUS_OK);
    tls_session_forget(&session);
    tls_rig_close(&rig);
}

static void never_trusts_a_wrong_ca_for_want_of_memory(void **state) {
    (void)state;
    tls_rig_open(&rig, tls_rig_server("good", "foreign"), tls_rig_client("good", "good"));
    for (uint64_t first = 1; first < 30000; first += first < 60 ? 1 : 613) {
        (void)meet_without_memory(first, 1, NULL);
        assert_int_not_equal(rig.client_status, STATUS_OK);
        assert_int_not_equal(rig.server_status, STATUS_OK);
        tls_rig_hang_up(&rig);
    }
    tls_rig_close(&rig);
}

static void refuses_a_config_without_memory_and_leaks_nothing(void **state) {
    (void)state;
    struct tls_settings settings = tls_rig_server("good", "good");
    settings.ticket_key_path = TLS_RIG_CERTS "ticket_key";
    struct tls_config config = {0};
    enum status status = STATUS_NO_MEMORY;
    uint64_t first = 0;
    int64_t before = memory.blocks;
    while (status != STATUS_OK && first < 100000) {
        fail_calls(++first, UINT32_MAX);
        status = tls_config_open(&config, &settings);
        fail_calls(0, 0);
        if (status != STATUS_OK) {
            assert_int_equal(status, STATUS_NO_MEMORY);
            assert_int_equal(memory.blocks, before);
            first += first < 80 ? 0 : 97;
        }
    }
    assert_true(first > 20);
    assert_int_equal(status, STATUS_OK);
    tls_config_close(&config);
    assert_int_equal(memory.blocks, before);
}

int hal_tls_memory_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_memory_not_certificates_and_leaks_nothing),
        cmocka_unit_test(never_trusts_a_wrong_ca_for_want_of_memory),
        cmocka_unit_test(refuses_a_config_without_memory_and_leaks_nothing),
    };
    return cmocka_run_group_tests_name("hal/tls_memory", tests, tls_rig_make_certs, NULL);
}

#endif
