#include "hal/linux/tls_config.h"

#include "hal/linux/arena.h"
#include "hal/linux/random.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/asn1.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TICKET_SECRET_MIN = 32, TICKET_SECRET_MAX = 1024, TICKET_KEY_BYTES = 32 };

static const int suites[] = {
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    0,
};

static int fill_random(void *context, unsigned char *target, size_t size) {
    (void)context;
    random_fill(target, size);
    return 0;
}

bool tls_config_is_no_memory(int code) {
    /* An error is a high-level code plus a low-level one of 7 bits (mbedtls/error.h). */
    int high = -(-code & 0x7F80);
    int low = -(-code & 0x7F);
    return high == MBEDTLS_ERR_SSL_ALLOC_FAILED || high == MBEDTLS_ERR_X509_ALLOC_FAILED ||
           high == MBEDTLS_ERR_PK_ALLOC_FAILED || high == MBEDTLS_ERR_ECP_ALLOC_FAILED ||
           high == MBEDTLS_ERR_MD_ALLOC_FAILED || high == MBEDTLS_ERR_CIPHER_ALLOC_FAILED ||
           high == MBEDTLS_ERR_PEM_ALLOC_FAILED || low == MBEDTLS_ERR_MPI_ALLOC_FAILED ||
           low == MBEDTLS_ERR_ASN1_ALLOC_FAILED;
}

static enum status refuse(struct tls_config *config, enum status status, const char *what,
                          const char *path, const char *why) {
    snprintf(config->reason, sizeof(config->reason), "%s %s: %s", what, path, why);
    return status;
}

/* In a bundle of certificates mbed TLS only counts those that it could not load, for whatever
 * reason: so the arena is asked, too. */
static bool ran_out(const struct tls_config *config, int code) {
    return tls_config_is_no_memory(code) || arena_stats().failures != config->arena_failures;
}

/* Says why mbed TLS did not take the file. */
static enum status refuse_file(struct tls_config *config, const char *what, const char *path,
                               int code) {
    char why[120] = "holds no PEM that can be read";
    if (ran_out(config, code)) {
        return refuse(config, STATUS_NO_MEMORY, what, path, "the library arena is exhausted");
    }
    if (code == MBEDTLS_ERR_X509_FILE_IO_ERROR || code == MBEDTLS_ERR_PK_FILE_IO_ERROR) {
        snprintf(why, sizeof(why), "cannot be read: %s", strerrordesc_np(errno));
        return refuse(config, STATUS_IO, what, path, why);
    }
    if (code == MBEDTLS_ERR_PK_PASSWORD_REQUIRED) {
        return refuse(config, STATUS_MALFORMED, what, path, "is encrypted; store it decrypted");
    }
    if (code < 0) {
        mbedtls_strerror(code, why, sizeof(why));
    }
    return refuse(config, STATUS_MALFORMED, what, path, why);
}

static enum status load_ca(struct tls_config *config, const char *path) {
    int code = mbedtls_x509_crt_parse_file(&config->ca, path);
    if (code != 0) {
        return refuse_file(config, "CA", path, code);
    }
    mbedtls_ssl_conf_ca_chain(&config->ssl, &config->ca, NULL);
    mbedtls_ssl_conf_authmode(&config->ssl, MBEDTLS_SSL_VERIFY_REQUIRED);
    config->requires_peer = true;
    return STATUS_OK;
}

static enum status load_own(struct tls_config *config, const struct tls_settings *settings) {
    int code = mbedtls_x509_crt_parse_file(&config->own, settings->cert_path);
    if (code != 0) {
        return refuse_file(config, "certificate", settings->cert_path, code);
    }
    code = MBEDTLS_COMPAT_PARSE_KEY_FILE(&config->key, settings->key_path, fill_random);
    if (code != 0) {
        return refuse_file(config, "key", settings->key_path, code);
    }
    struct stat stat_of_key;
    config->key_is_exposed =
        stat(settings->key_path, &stat_of_key) == 0 && (stat_of_key.st_mode & S_IROTH) != 0;
    code = MBEDTLS_COMPAT_CHECK_PAIR(&config->own.pk, &config->key, fill_random);
    if (code != 0 && !ran_out(config, code)) {
        return refuse(config, STATUS_MALFORMED, "key", settings->key_path,
                      "does not belong to the certificate");
    }
    if (code == 0) {
        code = mbedtls_ssl_conf_own_cert(&config->ssl, &config->own, &config->key);
    }
    return code == 0 ? STATUS_OK : refuse_file(config, "key", settings->key_path, code);
}

/* mbed TLS's signature. NOLINTNEXTLINE(readability-function-size) */
static int write_ticket(void *context, const mbedtls_ssl_session *session, unsigned char *start,
                        const unsigned char *end, size_t *size, uint32_t *lifetime) {
    struct tls_config *config = context;
    if (config->has_shared_ticket_key) {
        /* mbed TLS would replace a key of this age by a random one that nobody else has. */
        config->tickets.keys[config->tickets.active].generation_time = (uint32_t)time(NULL);
    }
    return mbedtls_ssl_ticket_write(&config->tickets, session, start, end, size, lifetime);
}

static int parse_ticket(void *context, mbedtls_ssl_session *session, unsigned char *ticket,
                        size_t size) {
    struct tls_config *config = context;
    if (config->has_shared_ticket_key) {
        config->tickets.keys[config->tickets.active].generation_time = (uint32_t)time(NULL);
    }
    int code = mbedtls_ssl_ticket_parse(&config->tickets, session, ticket, size);
    config->tickets_accepted += code == 0;
    return code;
}

/* Reads the whole file; -1 with errno, or more than `size` when it is longer. */
static ssize_t read_secret(const char *path, uint8_t *target, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    ssize_t count = read(fd, target, size);
    int saved = errno;
    close(fd);
    errno = saved;
    return count;
}

/* A short handshake checks no certificate. So the key also depends on whom we trust: a ticket that
 * was given under another CA, or without asking for a certificate, is worth nothing here. */
static void derive_ticket_key(const struct tls_config *config, const uint8_t *secret, size_t size,
                              uint8_t digest[64]) {
    mbedtls_sha512_context sha;
    mbedtls_sha512_init(&sha);
    check(MBEDTLS_COMPAT_SHA512(starts)(&sha, 0) == 0);
    check(MBEDTLS_COMPAT_SHA512(update)(&sha, secret, size) == 0);
    for (const mbedtls_x509_crt *ca = &config->ca; ca != NULL && ca->raw.p != NULL; ca = ca->next) {
        check(MBEDTLS_COMPAT_SHA512(update)(&sha, ca->raw.p, ca->raw.len) == 0);
    }
    check(MBEDTLS_COMPAT_SHA512(finish)(&sha, digest) == 0);
    mbedtls_sha512_free(&sha);
}

static enum status load_ticket_key(struct tls_config *config, const char *path) {
    uint8_t secret[TICKET_SECRET_MAX + 1];
    uint8_t digest[64];
    ssize_t size = read_secret(path, secret, sizeof(secret));
    if (size < 0) {
        return refuse(config, STATUS_IO, "ticket key", path, strerrordesc_np(errno));
    }
    if (size < TICKET_SECRET_MIN || size > TICKET_SECRET_MAX) {
        return refuse(config, STATUS_MALFORMED, "ticket key", path, "needs 32 to 1024 bytes");
    }
    derive_ticket_key(config, secret, (size_t)size, digest);
    mbedtls_ssl_ticket_key *key = &config->tickets.keys[config->tickets.active];
    int code = mbedtls_cipher_setkey(&key->ctx, digest, TICKET_KEY_BYTES * 8, MBEDTLS_ENCRYPT);
    memcpy(key->name, digest + TICKET_KEY_BYTES, sizeof(key->name));
    mbedtls_platform_zeroize(secret, sizeof(secret));
    mbedtls_platform_zeroize(digest, sizeof(digest));
    config->has_shared_ticket_key = code == 0;
    return code == 0 ? STATUS_OK : refuse_file(config, "ticket key", path, code);
}

static enum status set_up_tickets(struct tls_config *config, const struct tls_settings *settings) {
    if (settings->role == TLS_CLIENT) {
        mbedtls_ssl_conf_session_tickets(&config->ssl, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
        return STATUS_OK;
    }
    int code = mbedtls_ssl_ticket_setup(&config->tickets, fill_random, NULL,
                                        MBEDTLS_CIPHER_AES_256_GCM, TLS_TICKET_LIFETIME_SECONDS);
    if (code != 0) {
        return refuse_file(config, "ticket keys", "(random)", code);
    }
    mbedtls_ssl_conf_session_tickets_cb(&config->ssl, write_ticket, parse_ticket, config);
    return settings->ticket_key_path == NULL ? STATUS_OK
                                             : load_ticket_key(config, settings->ticket_key_path);
}

static enum status set_up(struct tls_config *config, const struct tls_settings *settings) {
    int endpoint = settings->role == TLS_CLIENT ? MBEDTLS_SSL_IS_CLIENT : MBEDTLS_SSL_IS_SERVER;
    int code = mbedtls_ssl_config_defaults(&config->ssl, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                           MBEDTLS_SSL_PRESET_DEFAULT);
    if (code != 0) {
        return refuse_file(config, "TLS", "defaults", code);
    }
    mbedtls_compat_only_tls_1_2(&config->ssl);
    mbedtls_ssl_conf_ciphersuites(&config->ssl, suites);
    mbedtls_compat_algorithms(&config->ssl);
    mbedtls_ssl_conf_renegotiation(&config->ssl, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
    mbedtls_ssl_conf_rng(&config->ssl, fill_random, NULL);
    mbedtls_ssl_conf_authmode(&config->ssl, MBEDTLS_SSL_VERIFY_NONE);
    enum status status = STATUS_OK;
    if (settings->ca_path != NULL) {
        status = load_ca(config, settings->ca_path);
    }
    if (status == STATUS_OK && settings->cert_path != NULL) {
        status = load_own(config, settings);
    }
    return status == STATUS_OK ? set_up_tickets(config, settings) : status;
}

static void free_parts(struct tls_config *config) {
    mbedtls_ssl_ticket_free(&config->tickets);
    mbedtls_ssl_config_free(&config->ssl);
    mbedtls_pk_free(&config->key);
    mbedtls_x509_crt_free(&config->own);
    mbedtls_x509_crt_free(&config->ca);
}

enum status tls_config_open(struct tls_config *config, const struct tls_settings *settings) {
    static uint32_t last_serial;
    check(!config->is_open);
    check((settings->cert_path == NULL) == (settings->key_path == NULL));
    check(settings->role == TLS_CLIENT || settings->cert_path != NULL);
    memset(config, 0, sizeof(*config));
    config->accepts = settings->accepts;
    config->owner = settings->owner;
    config->clock = settings->clock;
    config->arena_failures = arena_stats().failures;
    mbedtls_ssl_config_init(&config->ssl);
    mbedtls_x509_crt_init(&config->ca);
    mbedtls_x509_crt_init(&config->own);
    mbedtls_pk_init(&config->key);
    mbedtls_ssl_ticket_init(&config->tickets);
    enum status status = set_up(config, settings);
    if (status != STATUS_OK) {
        free_parts(config);
        return status;
    }
    config->serial = ++last_serial;
    config->is_open = true;
    return STATUS_OK;
}

void tls_config_close(struct tls_config *config) {
    if (!config->is_open) {
        return;
    }
    check(config->users == 0);
    free_parts(config);
    config->is_open = false;
}

void tls_config_own_name(const struct tls_config *config, char name[TLS_NAME_SIZE]) {
    tls_config_common_name(&config->own, name);
}

enum status tls_config_pair_load(struct tls_config_pair *pair, const struct tls_settings *settings,
                                 char reason[TLS_REASON_SIZE]) {
    struct tls_config *current = &pair->slots[pair->current];
    struct tls_config *spare = &pair->slots[1 - pair->current];
    if (spare->is_open) {
        if (reason != NULL) {
            snprintf(reason, TLS_REASON_SIZE, "connections from before the last load are open");
        }
        return STATUS_AGAIN;
    }
    enum status status = tls_config_open(spare, settings);
    if (status != STATUS_OK) {
        if (reason != NULL) {
            memcpy(reason, spare->reason, TLS_REASON_SIZE);
        }
        return status;
    }
    pair->current = 1 - pair->current;
    current->is_retired = current->users > 0;
    if (!current->is_retired) {
        tls_config_close(current);
    }
    return STATUS_OK;
}

struct tls_config *tls_config_pair_current(struct tls_config_pair *pair) {
    check(pair->slots[pair->current].is_open);
    return &pair->slots[pair->current];
}

void tls_config_pair_close(struct tls_config_pair *pair) {
    tls_config_close(&pair->slots[0]);
    tls_config_close(&pair->slots[1]);
}

void tls_config_hold(struct tls_config *config) {
    check(config->is_open);
    config->users++;
}

void tls_config_release(struct tls_config *config) {
    check(config->users > 0);
    config->users--;
    if (config->is_retired && config->users == 0) {
        tls_config_close(config);
    }
}

static bool is_common_name(const mbedtls_x509_name *part) {
    return MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &part->oid) == 0;
}

void tls_config_common_name(const mbedtls_x509_crt *certificate, char name[TLS_NAME_SIZE]) {
    const mbedtls_x509_name *found = NULL;
    name[0] = '\0';
    for (const mbedtls_x509_name *part = &certificate->subject; part != NULL; part = part->next) {
        if (!is_common_name(part)) {
            continue;
        }
        if (found != NULL) {
            return;
        }
        found = part;
    }
    if (found == NULL || found->val.len >= TLS_NAME_SIZE) {
        return;
    }
    for (size_t i = 0; i < found->val.len; i++) {
        if (found->val.p[i] < ' ' || found->val.p[i] > '~') {
            return;
        }
    }
    memcpy(name, found->val.p, found->val.len);
    name[found->val.len] = '\0';
}

/* Days since 1970 of the first of March of year 0 of an era of 400 years that begin in March. */
uint64_t tls_config_seconds(const mbedtls_x509_time *time) {
    int64_t year = time->mon > 2 ? time->year : time->year - 1;
    int64_t month = time->mon > 2 ? time->mon - 3 : time->mon + 9;
    int64_t of_year = (153 * month + 2) / 5 + time->day - 1;
    int64_t days = year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719468;
    int64_t minutes = (days * 24 + time->hour) * 60 + time->min;
    int64_t seconds = minutes * 60 + time->sec;
    return seconds > 0 ? (uint64_t)seconds : 0;
}
