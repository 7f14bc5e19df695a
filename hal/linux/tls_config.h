/* tls_config.h - what many TLS connections share: certificates, keys, cipher list, ticket keys.
 *
 * mbed TLS 2.28, TLS 1.2 only, ECDHE with ECDSA or RSA and an AEAD cipher only, no renegotiation,
 * no compression (SPEC.md section 8). mbed TLS allocates; the structs are the caller's and must not
 * move while open. One thread. */
#ifndef HAL_LINUX_TLS_CONFIG_H
#define HAL_LINUX_TLS_CONFIG_H

#include "hal/base.h"

#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crt.h>

enum tls_role { TLS_CLIENT, TLS_SERVER };

enum {
    TLS_NAME_SIZE = 65,    /* a common name (at most 64, X.520) with its NUL */
    TLS_REASON_SIZE = 240, /* an explanation for people, with its NUL */
    TLS_TICKET_LIFETIME_SECONDS = 86400,
};

struct tls_settings {
    enum tls_role role;
    const char
        *ca_path; /* PEM, one or more. Client: needed. Server: NULL asks for no certificate */
    const char *cert_path; /* PEM, own certificate first, then its chain. Client: NULL shows none */
    const char *key_path;  /* PEM, not encrypted; NULL exactly when cert_path is */
    const char *ticket_key_path; /* server: 32..1024 secret bytes that processes share; NULL: random
                                    keys, so tickets end with this config */
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

/* Whether mbed TLS's error code says that an allocation failed. The other sign is the arena's
 * failure counter: in a chain verification exhaustion looks like a bad certificate. */
bool tls_config_is_no_memory(int code);

#endif
