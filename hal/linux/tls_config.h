/* tls_config.h - what many TLS connections share: certificates, keys, cipher list, ticket keys.
 *
 * mbed TLS 2.28, TLS 1.2 only, ECDHE with ECDSA or RSA and an AEAD cipher only, no renegotiation,
 * no compression (SPEC.md section 8). mbed TLS allocates; the structs are the caller's and must not
 * move while open. One thread. */
#ifndef HAL_LINUX_TLS_CONFIG_H
#define HAL_LINUX_TLS_CONFIG_H

#include "hal/linux/mbedtls_compat.h"

enum tls_role { TLS_CLIENT, TLS_SERVER };

enum {
    TLS_NAME_SIZE = 65,    /* a common name (at most 64, X.520) with its NUL */
    TLS_REASON_SIZE = 240, /* an explanation for people, with its NUL */
    TLS_TICKET_LIFETIME_SECONDS = 86400,
};

/* A peer whose certificate is good, as tls_settings.accepts is asked about it. */
struct tls_peer {
    const char *name; /* the common name */
    uint64_t from_s;  /* the certificate is valid since then, in seconds since 1970 */
};

/* For a client on a host whose clock may never have been set: it is later than `floor_s`, so a
 * system clock below that does not count. Dates are then judged by the time that was told; before
 * that a certificate only must not have expired at the floor, and tls_stream.is_time_unset says so.
 */
struct tls_clock {
    uint64_t floor_s;   /* since 1970 */
    uint64_t offset_ms; /* the told wall clock minus CLOCK_BOOTTIME; 0: not told */
};

struct tls_settings {
    enum tls_role role;
    /* PEM, one or more. NULL: no peer's certificate is asked for, or looked at: a client then
     * trusts whom it must judge by other means. */
    const char *ca_path;
    const char *cert_path; /* PEM, own certificate first, then its chain. Client: NULL shows none */
    const char *key_path;  /* PEM, not encrypted; NULL exactly when cert_path is */
    const char *ticket_key_path; /* server: 32..1024 secret bytes that processes share; NULL: random
                                    keys, so tickets end with this config */
    /* Asked at the end of every handshake, also of a short one. False: revoked. NULL: all. */
    bool (*accepts)(void *owner, const struct tls_peer *peer);
    void *owner;
    const struct tls_clock *clock; /* client: NULL trusts the system's clock */
};

struct tls_config {
    mbedtls_ssl_config ssl;
    mbedtls_x509_crt ca;
    mbedtls_x509_crt own;
    mbedtls_pk_context key;
    mbedtls_ssl_ticket_context tickets;
    bool has_shared_ticket_key;
    bool requires_peer;  /* the peer must show a certificate of our CA */
    bool key_is_exposed; /* the key file is readable by everybody: worth a warning */
    bool (*accepts)(void *owner, const struct tls_peer *peer);
    void *owner;
    const struct tls_clock *clock;
    bool is_open;
    bool is_retired;              /* closes itself with its last stream */
    uint32_t users;               /* open streams */
    uint32_t serial;              /* differs for each config of this process */
    uint64_t arena_failures;      /* of the arena, when this config began */
    uint64_t tickets_accepted;    /* server: handshakes that a ticket made short */
    char reason[TLS_REASON_SIZE]; /* why the last tls_config_open() failed */
};

/* Reads all files. IO: one cannot be read. MALFORMED: one does not hold what it should, or key and
 * certificate differ. NO_MEMORY. On failure the config stays closed and `reason` says which file
 * and why. Zero the struct before its first use. */
must_check enum status tls_config_open(struct tls_config *config,
                                       const struct tls_settings *settings);

/* No stream may use it any more. Harmless when closed. */
void tls_config_close(struct tls_config *config);

/* The common name of our own certificate; empty when there is none. */
void tls_config_own_name(const struct tls_config *config, char name[TLS_NAME_SIZE]);

/* A config that can be loaded again while streams live (SIGHUP): those keep the old one until they
 * close, new ones get the new one. Zero it before its first use. */
struct tls_config_pair {
    struct tls_config slots[2];
    unsigned current;
};

/* Loads, the first time or again. On failure the current config stays in use and `reason` (if not
 * NULL) says why. AGAIN: streams from before the previous load are still open. */
must_check enum status tls_config_pair_load(struct tls_config_pair *pair,
                                            const struct tls_settings *settings,
                                            char reason[TLS_REASON_SIZE]);
struct tls_config *tls_config_pair_current(struct tls_config_pair *pair);
void tls_config_pair_close(struct tls_config_pair *pair); /* no stream may be open */

/* For tls_mbedtls.c. A stream holds its config while open. */
void tls_config_hold(struct tls_config *config);
void tls_config_release(struct tls_config *config);

/* The certificate's common name; empty if there is none, several, or it is not printable ASCII. */
void tls_config_common_name(const mbedtls_x509_crt *certificate, char name[TLS_NAME_SIZE]);

uint64_t tls_config_seconds(const mbedtls_x509_time *time); /* since 1970 */

/* Whether mbed TLS's error code says that an allocation failed. The other sign is the arena's
 * failure counter: in a chain verification exhaustion looks like a bad certificate. */
bool tls_config_is_no_memory(int code);

#endif
