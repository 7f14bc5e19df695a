#include "protocol/sha256.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void hashes_to(struct sha256 *hash, const char *expected) {
    uint8_t digest[SHA256_BYTES];
    char text[2 * SHA256_BYTES + 1];
    sha256_end(hash, digest);
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
    assert_string_equal(text, expected);
}

static void the_vectors_of_fips_180_4_hold(void **unused) {
    (void)unused;
    static const struct {
        struct bytes text;
        const char *digest;
    } vectors[] = {
        {{(const uint8_t *)"", 0},
         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {{(const uint8_t *)"abc", 3},
         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {{(const uint8_t *)"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56},
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < array_count(vectors); i++) {
        struct sha256 hash;
        sha256_init(&hash);
        sha256_add(&hash, vectors[i].text);
        hashes_to(&hash, vectors[i].digest);
    }
}

static void a_million_letters_in_uneven_pieces(void **unused) {
    (void)unused;
    uint8_t letters[977];
    struct sha256 hash;
    memset(letters, 'a', sizeof letters);
    sha256_init(&hash);
    for (size_t left = 1000000; left > 0;) {
        size_t size = left < sizeof letters ? left : sizeof letters;
        sha256_add(&hash, (struct bytes){letters, size});
        left -= size;
    }
    hashes_to(&hash, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void every_cut_gives_the_same_hash(void **unused) {
    (void)unused;
    uint8_t data[200];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)i;
    }
    for (size_t size = 0; size <= sizeof data; size += 7) {
        uint8_t whole[SHA256_BYTES];
        struct sha256 hash;
        sha256_init(&hash);
        sha256_add(&hash, (struct bytes){data, size});
        sha256_end(&hash, whole);
        for (size_t cut = 0; cut <= size; cut++) {
            uint8_t digest[SHA256_BYTES];
            sha256_init(&hash);
            sha256_add(&hash, (struct bytes){data, cut});
            sha256_add(&hash, (struct bytes){data + cut, size - cut});
            sha256_end(&hash, digest);
            assert_memory_equal(digest, whole, SHA256_BYTES);
        }
    }
}

static void without_the_instructions_it_is_the_same(void **unused) {
    sha256_without_instructions();
    the_vectors_of_fips_180_4_hold(unused);
    a_million_letters_in_uneven_pieces(unused);
}

int protocol_sha256_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_fips_180_4_hold),
        cmocka_unit_test(a_million_letters_in_uneven_pieces),
        cmocka_unit_test(every_cut_gives_the_same_hash),
        cmocka_unit_test(without_the_instructions_it_is_the_same),
    };
    return cmocka_run_group_tests_name("protocol/sha256", tests, NULL, NULL);
}
