#include "host/shared/adb_key.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbedtls/base64.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/rsa.h>

enum {
    KEY_BITS = 2048,
    KEY_BYTES = KEY_BITS / 8,
    SQUARE_BITS = 2 * KEY_BITS,
    KEY_EXPONENT = 65537,
    PEM_SIZE = 4096,
    COMMENT_MAX = 127,
    /* android_pubkey.cpp: words, -1/n mod 2^32, n, 2^4096 mod n, exponent */
    STRUCT_SIZE = 4 + 4 + KEY_BYTES + KEY_BYTES + 4,
    STRUCT_TEXT_SIZE = (STRUCT_SIZE + 2) / 3 * 4
};

static int random_bytes(void *unused, unsigned char *target, size_t size) {
    (void)unused;
    while (size > 0) {
        ssize_t count = getrandom(target, size, 0);
        if (count < 0 && errno != EINTR) {
            return MBEDTLS_ERR_PK_FILE_IO_ERROR;
        }
        size_t got = count < 0 ? 0 : (size_t)count;
        target += got;
        size -= got;
    }
    return 0;
}

static void write_u32(uint8_t *target, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) {
        target[i] = (uint8_t)(value >> (8 * i));
    }
}

/* -1/n mod 2^32 for odd n: each Newton step doubles the correct bits. */
static uint32_t negative_inverse(uint32_t n) {
    uint32_t inverse = n;
    for (unsigned i = 0; i < 5; i++) {
        inverse *= 2 - n * inverse;
    }
    return 0 - inverse;
}

/* mbed TLS returns 0 or a negative code; the first failure wins. */
static int write_struct(const mbedtls_rsa_context *rsa, uint8_t target[STRUCT_SIZE]) {
    mbedtls_mpi n;
    mbedtls_mpi square;
    mbedtls_mpi_init(&n);
    mbedtls_mpi_init(&square);
    uint8_t *modulus = target + 8;
    int failed = mbedtls_rsa_export(rsa, &n, NULL, NULL, NULL, NULL);
    failed = failed ? failed : mbedtls_mpi_lset(&square, 1);
    failed = failed ? failed : mbedtls_mpi_shift_l(&square, SQUARE_BITS);
    failed = failed ? failed : mbedtls_mpi_mod_mpi(&square, &square, &n);
    failed = failed ? failed : mbedtls_mpi_write_binary_le(&n, modulus, KEY_BYTES);
    failed = failed ? failed : mbedtls_mpi_write_binary_le(&square, modulus + KEY_BYTES, KEY_BYTES);
    mbedtls_mpi_free(&n);
    mbedtls_mpi_free(&square);
    uint32_t low = (uint32_t)modulus[0] | (uint32_t)modulus[1] << 8 | (uint32_t)modulus[2] << 16 |
                   (uint32_t)modulus[3] << 24;
    write_u32(target, KEY_BYTES / 4);
    write_u32(target + 4, negative_inverse(low));
    write_u32(modulus + 2 * (size_t)KEY_BYTES, KEY_EXPONENT);
    return failed;
}

static enum status make_text(struct adb_key *key, const char *comment) {
    uint8_t raw[STRUCT_SIZE] = {0};
    if (mbedtls_pk_get_type(&key->pk) != MBEDTLS_PK_RSA ||
        mbedtls_pk_get_bitlen(&key->pk) != KEY_BITS) {
        return STATUS_MALFORMED;
    }
    size_t size = 0;
    if (write_struct(mbedtls_pk_rsa(key->pk), raw) != 0 ||
        mbedtls_base64_encode((unsigned char *)key->text, sizeof key->text, &size, raw,
                              sizeof raw) != 0) {
        return STATUS_NO_MEMORY;
    }
    check(strlen(comment) <= COMMENT_MAX);
    snprintf(key->text + size, sizeof key->text - size, " %s", comment);
    return STATUS_OK;
}

static enum status read_whole(const char *path, char *target, size_t capacity, size_t *size) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO;
    }
    ssize_t count = 0;
    *size = 0;
    do {
        count = read(file, target + *size, capacity - *size);
        *size += count > 0 ? (size_t)count : 0;
    } while (count > 0 && *size < capacity);
    close(file);
    if (count < 0) {
        return STATUS_IO;
    }
    return *size == capacity ? STATUS_MALFORMED : STATUS_OK;
}

static enum status load(struct adb_key *key, const char *path) {
    char pem[PEM_SIZE];
    size_t size = 0;
    enum status status = read_whole(path, pem, sizeof pem, &size);
    if (status == STATUS_OK) {
        pem[size] = '\0'; /* mbed TLS wants the NUL of a PEM counted */
        int failed =
            MBEDTLS_COMPAT_PARSE_KEY(&key->pk, (const unsigned char *)pem, size + 1, random_bytes);
        status = failed != 0 ? STATUS_MALFORMED : STATUS_OK;
    }
    mbedtls_platform_zeroize(pem, sizeof pem);
    return status;
}

/* Written beside its place and renamed, so that a power cut leaves no half key. */
static enum status write_whole(const char *path, const char *text, mode_t mode) {
    char beside[PATH_MAX];
    int length = snprintf(beside, sizeof beside, "%s.new", path);
    if (length < 0 || (size_t)length >= sizeof beside) {
        errno = ENAMETOOLONG;
        return STATUS_IO;
    }
    int file = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (file < 0) {
        return STATUS_IO;
    }
    size_t size = strlen(text);
    bool is_written = write(file, text, size) == (ssize_t)size && fsync(file) == 0;
    close(file);
    if (!is_written || rename(beside, path) != 0) {
        int error = errno;
        unlink(beside);
        errno = error;
        return STATUS_IO;
    }
    return STATUS_OK;
}

static enum status generate(struct adb_key *key) {
    if (mbedtls_pk_setup(&key->pk, mbedtls_pk_info_from_type(MBEDTLS_PK_RSA)) != 0 ||
        mbedtls_rsa_gen_key(mbedtls_pk_rsa(key->pk), random_bytes, NULL, KEY_BITS, KEY_EXPONENT) !=
            0) {
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

static enum status save(struct adb_key *key, const char *path) {
    char pem[PEM_SIZE];
    char public_path[PATH_MAX];
    int length = snprintf(public_path, sizeof public_path, "%s.pub", path);
    if (length < 0 || (size_t)length >= sizeof public_path) {
        errno = ENAMETOOLONG;
        return STATUS_IO;
    }
    if (mbedtls_pk_write_key_pem(&key->pk, (unsigned char *)pem, sizeof pem) != 0) {
        return STATUS_NO_MEMORY;
    }
    enum status status = write_whole(path, pem, 0600);
    mbedtls_platform_zeroize(pem, sizeof pem);
    return status != STATUS_OK ? status : write_whole(public_path, key->text, 0644);
}

enum status adb_key_open(struct adb_key *key, const char *path, const char *comment) {
    mbedtls_pk_init(&key->pk);
    enum status status = load(key, path);
    bool is_new = status == STATUS_NOT_FOUND;
    if (is_new) {
        status = generate(key);
    }
    if (status == STATUS_OK) {
        status = make_text(key, comment);
    }
    if (status == STATUS_OK && is_new) {
        status = save(key, path);
    }
    if (status != STATUS_OK) {
        mbedtls_pk_free(&key->pk);
    }
    return status;
}

void adb_key_close(struct adb_key *key) {
    mbedtls_pk_free(&key->pk);
}

enum status adb_key_sign(struct adb_key *key, const uint8_t token[ADB_TOKEN_SIZE],
                         uint8_t signature[ADB_SIGNATURE_SIZE]) {
    int failed = MBEDTLS_COMPAT_RSA_SIGN(mbedtls_pk_rsa(key->pk), random_bytes, MBEDTLS_MD_SHA1,
                                         ADB_TOKEN_SIZE, token, signature);
    return failed != 0 ? STATUS_NO_MEMORY : STATUS_OK;
}

/* Reads the public key's text: modulus, little-endian, and exponent. */
static enum status read_text(struct bytes text, uint8_t raw[STRUCT_SIZE]) {
    size_t size = 0;
    if (text.size < STRUCT_TEXT_SIZE ||
        mbedtls_base64_decode(raw, STRUCT_SIZE, &size, text.data, STRUCT_TEXT_SIZE) != 0 ||
        size != STRUCT_SIZE) {
        return STATUS_MALFORMED;
    }
    return raw[0] == KEY_BYTES / 4 && raw[1] == 0 ? STATUS_OK : STATUS_MALFORMED;
}

enum status adb_key_verify(struct bytes text, const uint8_t token[ADB_TOKEN_SIZE],
                           struct bytes signature) {
    uint8_t raw[STRUCT_SIZE];
    uint8_t modulus[KEY_BYTES];
    static const uint8_t exponent[3] = {1, 0, 1};
    if (read_text(text, raw) != STATUS_OK) {
        return STATUS_MALFORMED;
    }
    if (signature.size != ADB_SIGNATURE_SIZE) {
        return STATUS_DENIED;
    }
    for (size_t i = 0; i < KEY_BYTES; i++) {
        modulus[i] = raw[8 + KEY_BYTES - 1 - i];
    }
    mbedtls_rsa_context rsa;
    MBEDTLS_COMPAT_RSA_INIT(&rsa);
    bool is_good = mbedtls_rsa_import_raw(&rsa, modulus, sizeof modulus, NULL, 0, NULL, 0, NULL, 0,
                                          exponent, sizeof exponent) == 0 &&
                   mbedtls_rsa_complete(&rsa) == 0 &&
                   MBEDTLS_COMPAT_RSA_VERIFY(&rsa, MBEDTLS_MD_SHA1, ADB_TOKEN_SIZE, token,
                                             signature.data) == 0;
    mbedtls_rsa_free(&rsa);
    return is_good ? STATUS_OK : STATUS_DENIED;
}
