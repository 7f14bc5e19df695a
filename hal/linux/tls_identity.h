/* tls_identity.h - a host's own key, the request for its certificate, and the authority that signs
 * such requests (PKCS #10, X.509; keys are EC P-256, signatures ECDSA with SHA-256).
 *
 * mbed TLS allocates. Reasons are for people, without a newline. */
#ifndef HAL_LINUX_TLS_IDENTITY_H
#define HAL_LINUX_TLS_IDENTITY_H

#include "hal/linux/tls_config.h"

enum {
    TLS_IDENTITY_BYTES = 4096,  /* room for a request in DER or a certificate in PEM */
    TLS_IDENTITY_LIFE_DAYS = 90 /* of a hub's certificate, unless told otherwise */
};

/* A name that a certificate of ours may be for: 1 to 64 letters, digits, `-`, `_`, `.`. */
bool tls_identity_is_name(struct bytes name);

/* Makes the key file (mode 0600), unless it is there: then it is kept. IO, MALFORMED: what is there
 * is no key, or an encrypted one. */
must_check enum status tls_identity_make_key(const char *path, char reason[TLS_REASON_SIZE]);

/* A request in DER, signed by the key, for the common name. `buffer` has TLS_IDENTITY_BYTES, and
 * `request` is a view into it. */
must_check enum status tls_identity_request(const char *key_path, const char *name, uint8_t *buffer,
                                            struct bytes *request, char reason[TLS_REASON_SIZE]);

/* Whether a certificate in PEM is one for the name, of this CA, for the key in the file. The CA is
 * a file of PEM. UNTRUSTED, MALFORMED. */
must_check enum status tls_identity_check(struct bytes pem, const char *ca_path,
                                          const char *key_path, const char *name,
                                          char reason[TLS_REASON_SIZE]);

/* SHA-256 over the first certificate (its DER) of a text of PEM. MALFORMED. */
must_check enum status tls_identity_fingerprint(struct bytes pem, uint8_t digest[32]);

/* From when to when a certificate file's first certificate is valid, in seconds since 1970. */
must_check enum status tls_identity_dates(const char *cert_path, uint64_t *from_s, uint64_t *to_s);

/* The first certificate of a CA file with its key. */
struct tls_authority {
    mbedtls_x509_crt ca;
    mbedtls_pk_context key;
    bool is_open;
    char reason[TLS_REASON_SIZE]; /* why the last call failed */
};

/* Zero it before its first use. IO, MALFORMED: a file, or they do not belong together. */
must_check enum status tls_authority_open(struct tls_authority *authority, const char *ca_path,
                                          const char *key_path);
void tls_authority_close(struct tls_authority *authority);

/* The name that a request is for. MALFORMED: it is none, its signature is not its own key's, the
 * key is not EC P-256 or P-384, or the name is none that may be signed. */
must_check enum status tls_authority_read(struct tls_authority *authority, struct bytes request,
                                          char name[TLS_NAME_SIZE]);

struct tls_life {
    uint64_t from_s, to_s; /* since 1970; from_s is at least 0, to_s at most 9999-12-31 */
};

/* Signs a client's certificate for what tls_authority_read() accepts; `pem` has TLS_IDENTITY_BYTES
 * and gets text with a NUL. */
must_check enum status tls_authority_sign(struct tls_authority *authority, struct bytes request,
                                          const struct tls_life *life, char *pem);

/* A CA for labs and small farms: a key (mode 0600) and a certificate that signs itself. BUSY: one
 * of the files is there already. */
must_check enum status tls_authority_make(const char *ca_path, const char *key_path,
                                          const struct tls_life *life,
                                          char reason[TLS_REASON_SIZE]);

/* A server's certificate of this CA and its key (mode 0600), for a DNS name or an IP address. BUSY:
 * as above. */
must_check enum status tls_authority_make_server(struct tls_authority *authority, const char *path,
                                                 const char *key_path, const char *host,
                                                 const struct tls_life *life);

#endif
