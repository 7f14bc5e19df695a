#include "hal/linux/tls_identity.h"

#include "hal/linux/file_replace.h"
#include "hal/linux/random.h"

#include <arpa/inet.h>
#include <errno.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <mbedtls/x509_csr.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SERIAL_BYTES = 16, TIME_TEXT_SIZE = 16, SUBJECT_SIZE = TLS_NAME_SIZE + 4, DN_SIZE = 256 };

static int fill_random(void *context, unsigned char *target, size_t size) {
    (void)context;
    random_fill(target, size);
    return 0;
}

static enum status refuse(char *reason, enum status status, const char *what, const char *why) {
    snprintf(reason, TLS_REASON_SIZE, "%.100s: %.130s", what, why);
    return status;
}

static enum status refuse_code(char *reason, const char *what, int code) {
    char why[120];
    if (code == MBEDTLS_ERR_PK_FILE_IO_ERROR || code == MBEDTLS_ERR_X509_FILE_IO_ERROR) {
        return refuse(reason, STATUS_IO, what, strerrordesc_np(errno));
    }
    mbedtls_strerror(code, why, sizeof why);
    return refuse(reason, tls_config_is_no_memory(code) ? STATUS_NO_MEMORY : STATUS_MALFORMED, what,
                  why);
}

bool tls_identity_is_name(struct bytes name) {
    bool is_good = name.size > 0 && name.size < TLS_NAME_SIZE;
    for (size_t i = 0; i < name.size && is_good; i++) {
        uint8_t c = name.data[i];
        is_good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
    }
    return is_good;
}

/* ---- keys ---- */

static int make_key(mbedtls_pk_context *key) {
    int code = mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    return code != 0 ? code
                     : mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key),
                                           fill_random, NULL);
}

static enum status write_key(const char *path, mbedtls_pk_context *key, char *reason) {
    uint8_t text[1024];
    int code = mbedtls_pk_write_key_pem(key, text, sizeof text);
    if (code != 0) {
        return refuse_code(reason, path, code);
    }
    enum status status =
        file_replace(path, (struct bytes){text, strlen((const char *)text)}, S_IRUSR | S_IWUSR);
    mbedtls_platform_zeroize(text, sizeof text);
    return status == STATUS_OK ? status : refuse(reason, status, path, strerrordesc_np(errno));
}

enum status tls_identity_make_key(const char *path, char reason[TLS_REASON_SIZE]) {
    mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    enum status status = STATUS_OK;
    int code = 0;
    if (access(path, F_OK) == 0) {
        code = MBEDTLS_COMPAT_PARSE_KEY_FILE(&key, path, fill_random);
    } else {
        code = make_key(&key);
        status = code == 0 ? write_key(path, &key, reason) : status;
    }
    mbedtls_pk_free(&key);
    return code == 0 ? status : refuse_code(reason, path, code);
}

/* ---- requests ---- */

static int write_request(mbedtls_pk_context *key, const char *name, uint8_t *buffer) {
    char subject[SUBJECT_SIZE];
    mbedtls_x509write_csr csr;
    mbedtls_x509write_csr_init(&csr);
    snprintf(subject, sizeof subject, "CN=%s", name);
    mbedtls_x509write_csr_set_key(&csr, key);
    mbedtls_x509write_csr_set_md_alg(&csr, MBEDTLS_MD_SHA256);
    int code = mbedtls_x509write_csr_set_subject_name(&csr, subject);
    if (code == 0) {
        code = mbedtls_x509write_csr_der(&csr, buffer, TLS_IDENTITY_BYTES, fill_random, NULL);
    }
    mbedtls_x509write_csr_free(&csr);
    return code;
}

enum status tls_identity_request(const char *key_path, const char *name, uint8_t *buffer,
                                 struct bytes *request, char reason[TLS_REASON_SIZE]) {
    mbedtls_pk_context key;
    check(tls_identity_is_name((struct bytes){(const uint8_t *)name, strlen(name)}));
    mbedtls_pk_init(&key);
    int code = MBEDTLS_COMPAT_PARSE_KEY_FILE(&key, key_path, fill_random);
    if (code == 0) {
        code = write_request(&key, name, buffer);
    }
    mbedtls_pk_free(&key);
    if (code < 0) {
        return refuse_code(reason, key_path, code);
    }
    /* mbed TLS writes from the end. */
    *request = (struct bytes){buffer + TLS_IDENTITY_BYTES - code, (size_t)code};
    return STATUS_OK;
}

/* ---- what came back ---- */

/* mbed TLS takes PEM with its NUL. */
static int parse_pem(mbedtls_x509_crt *certificate, struct bytes pem) {
    uint8_t text[TLS_IDENTITY_BYTES];
    if (pem.size >= sizeof text) {
        return MBEDTLS_ERR_X509_BAD_INPUT_DATA;
    }
    memcpy(text, pem.data, pem.size);
    text[pem.size] = '\0';
    return mbedtls_x509_crt_parse(certificate, text, pem.size + 1);
}

static enum status judge(mbedtls_x509_crt *own, mbedtls_x509_crt *ca, mbedtls_pk_context *key,
                         const char *name, char *reason) {
    char common_name[TLS_NAME_SIZE];
    uint32_t flags = 0;
    tls_config_common_name(own, common_name);
    if (strcmp(common_name, name) != 0) {
        return refuse(reason, STATUS_UNTRUSTED, "the certificate is for", common_name);
    }
    if (MBEDTLS_COMPAT_CHECK_PAIR(&own->pk, key, fill_random) != 0) {
        return refuse(reason, STATUS_UNTRUSTED, "the certificate", "is for another key");
    }
    int code = mbedtls_x509_crt_verify(own, ca, NULL, NULL, &flags, NULL, NULL);
    /* A clock that is wrong is none of its faults: it has just been signed. */
    flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_FUTURE | MBEDTLS_X509_BADCERT_EXPIRED);
    return code == 0 || flags == 0 ? STATUS_OK
                                   : refuse(reason, STATUS_UNTRUSTED, "the certificate",
                                            "is not signed by the CA that is trusted here");
}

enum status tls_identity_check(struct bytes pem, const char *ca_path, const char *key_path,
                               const char *name, char reason[TLS_REASON_SIZE]) {
    mbedtls_x509_crt own;
    mbedtls_x509_crt ca;
    mbedtls_pk_context key;
    mbedtls_x509_crt_init(&own);
    mbedtls_x509_crt_init(&ca);
    mbedtls_pk_init(&key);
    const char *what = "the certificate";
    int code = parse_pem(&own, pem);
    if (code == 0) {
        what = ca_path;
        code = mbedtls_x509_crt_parse_file(&ca, ca_path);
    }
    if (code == 0) {
        what = key_path;
        code = MBEDTLS_COMPAT_PARSE_KEY_FILE(&key, key_path, fill_random);
    }
    enum status status =
        code == 0 ? judge(&own, &ca, &key, name, reason) : refuse_code(reason, what, code);
    mbedtls_pk_free(&key);
    mbedtls_x509_crt_free(&ca);
    mbedtls_x509_crt_free(&own);
    return status;
}

enum status tls_identity_fingerprint(struct bytes pem, uint8_t digest[32]) {
    mbedtls_x509_crt certificate;
    mbedtls_x509_crt_init(&certificate);
    int code = parse_pem(&certificate, pem);
    if (code == 0) {
        code = mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), certificate.raw.p,
                          certificate.raw.len, digest);
    }
    mbedtls_x509_crt_free(&certificate);
    return code == 0 ? STATUS_OK : STATUS_MALFORMED;
}

enum status tls_identity_dates(const char *cert_path, uint64_t *from_s, uint64_t *to_s) {
    mbedtls_x509_crt certificate;
    mbedtls_x509_crt_init(&certificate);
    int code = mbedtls_x509_crt_parse_file(&certificate, cert_path);
    if (code == 0) {
        *from_s = tls_config_seconds(&certificate.valid_from);
        *to_s = tls_config_seconds(&certificate.valid_to);
    }
    mbedtls_x509_crt_free(&certificate);
    return code == 0 ? STATUS_OK : STATUS_MALFORMED;
}

/* ---- the authority ---- */

enum status tls_authority_open(struct tls_authority *authority, const char *ca_path,
                               const char *key_path) {
    check(!authority->is_open);
    mbedtls_x509_crt_init(&authority->ca);
    mbedtls_pk_init(&authority->key);
    const char *what = ca_path;
    int code = mbedtls_x509_crt_parse_file(&authority->ca, ca_path);
    if (code == 0) {
        what = key_path;
        code = MBEDTLS_COMPAT_PARSE_KEY_FILE(&authority->key, key_path, fill_random);
    }
    if (code == 0) {
        code = MBEDTLS_COMPAT_CHECK_PAIR(&authority->ca.pk, &authority->key, fill_random);
    }
    authority->is_open = true;
    if (code != 0) {
        tls_authority_close(authority);
        return refuse_code(authority->reason, what, code);
    }
    return STATUS_OK;
}

void tls_authority_close(struct tls_authority *authority) {
    if (authority->is_open) {
        mbedtls_pk_free(&authority->key);
        mbedtls_x509_crt_free(&authority->ca);
        authority->is_open = false;
    }
}

/* Nobody may ask for a certificate for a key that is not theirs. */
static bool is_signed_by_itself(mbedtls_x509_csr *csr) {
    uint8_t digest[MBEDTLS_MD_MAX_SIZE];
    const mbedtls_md_info_t *hash = mbedtls_md_info_from_type(csr->sig_md);
    bool is_hash = csr->sig_md == MBEDTLS_MD_SHA256 || csr->sig_md == MBEDTLS_MD_SHA384;
    return is_hash && hash != NULL && mbedtls_md(hash, csr->cri.p, csr->cri.len, digest) == 0 &&
           mbedtls_pk_verify(&csr->pk, csr->sig_md, digest, mbedtls_md_get_size(hash), csr->sig.p,
                             csr->sig.len) == 0;
}

static bool is_good_key(mbedtls_pk_context *key) {
    size_t bits = mbedtls_pk_get_bitlen(key);
    return mbedtls_pk_can_do(key, MBEDTLS_PK_ECDSA) && (bits == 256 || bits == 384);
}

/* The subject is one common name and nothing else. */
static bool read_name(const mbedtls_x509_csr *csr, char name[TLS_NAME_SIZE]) {
    const mbedtls_x509_name *subject = &csr->subject;
    const struct bytes value = {subject->val.p, subject->val.len};
    bool is_name = subject->next == NULL &&
                   MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &subject->oid) == 0 &&
                   tls_identity_is_name(value);
    if (is_name) {
        memcpy(name, value.data, value.size);
        name[value.size] = '\0';
    }
    return is_name;
}

enum status tls_authority_read(struct tls_authority *authority, struct bytes request,
                               char name[TLS_NAME_SIZE]) {
    mbedtls_x509_csr csr;
    mbedtls_x509_csr_init(&csr);
    enum status status = STATUS_MALFORMED;
    const char *why = NULL;
    if (mbedtls_x509_csr_parse_der(&csr, request.data, request.size) != 0) {
        why = "it is not PKCS #10 in DER";
    } else if (!is_good_key(&csr.pk)) {
        why = "its key is not EC P-256 or P-384";
    } else if (!is_signed_by_itself(&csr)) {
        why = "it is not signed with SHA-256 or SHA-384 by its own key";
    } else if (!read_name(&csr, name)) {
        why = "its subject is not one common name that a hub may have";
    } else {
        status = STATUS_OK;
    }
    mbedtls_x509_csr_free(&csr);
    return status == STATUS_OK ? status
                               : refuse(authority->reason, status, "certificate request", why);
}

/* YYYYMMDDhhmmss. */
static void put_time(uint64_t seconds, char text[TIME_TEXT_SIZE]) {
    const time_t when = (time_t)seconds;
    struct tm parts;
    check(gmtime_r(&when, &parts) != NULL);
    check(strftime(text, TIME_TEXT_SIZE, "%Y%m%d%H%M%S", &parts) == TIME_TEXT_SIZE - 2);
}

/* What differs between the certificates that are written here. */
struct plan {
    mbedtls_pk_context *subject_key;
    mbedtls_pk_context *issuer_key;
    const char *subject; /* CN=... */
    const char *issuer;
    const struct tls_life *life;
    bool is_ca;
    struct bytes usage;     /* extended key usage, in DER; empty: none */
    struct bytes alt_names; /* as well */
};

static int put_extensions(mbedtls_x509write_cert *writer, const struct plan *plan) {
    static const char usage_oid[] = MBEDTLS_OID_EXTENDED_KEY_USAGE;
    static const char names_oid[] = MBEDTLS_OID_SUBJECT_ALT_NAME;
    int code = mbedtls_x509write_crt_set_basic_constraints(writer, plan->is_ca, -1);
    if (code == 0) {
        code = mbedtls_x509write_crt_set_key_usage(
            writer, plan->is_ca ? MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN
                                : MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
    }
    if (code == 0) {
        code = mbedtls_x509write_crt_set_subject_key_identifier(writer);
    }
    if (code == 0 && !plan->is_ca) {
        code = mbedtls_x509write_crt_set_authority_key_identifier(writer);
    }
    if (code == 0 && plan->usage.size > 0) {
        code = mbedtls_x509write_crt_set_extension(writer, usage_oid, sizeof usage_oid - 1, 0,
                                                   plan->usage.data, plan->usage.size);
    }
    if (code == 0 && plan->alt_names.size > 0) {
        code = mbedtls_x509write_crt_set_extension(writer, names_oid, sizeof names_oid - 1, 0,
                                                   plan->alt_names.data, plan->alt_names.size);
    }
    return code;
}

static int write_certificate(const struct plan *plan, char *pem) {
    char from[TIME_TEXT_SIZE];
    char to[TIME_TEXT_SIZE];
    uint8_t serial[SERIAL_BYTES];
    mbedtls_x509write_cert writer;
    mbedtls_x509write_crt_init(&writer);
    random_fill(serial, sizeof serial);
    serial[0] = (uint8_t)((serial[0] & 0x7F) | 0x40); /* positive, and always as long */
    put_time(plan->life->from_s, from);
    put_time(plan->life->to_s, to);
    mbedtls_x509write_crt_set_version(&writer, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&writer, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&writer, plan->subject_key);
    mbedtls_x509write_crt_set_issuer_key(&writer, plan->issuer_key);
    int code = MBEDTLS_COMPAT_SET_SERIAL(&writer, serial, sizeof serial);
    code = code == 0 ? mbedtls_x509write_crt_set_validity(&writer, from, to) : code;
    code = code == 0 ? mbedtls_x509write_crt_set_subject_name(&writer, plan->subject) : code;
    code = code == 0 ? mbedtls_x509write_crt_set_issuer_name(&writer, plan->issuer) : code;
    code = code == 0 ? put_extensions(&writer, plan) : code;
    if (code == 0) {
        code = mbedtls_x509write_crt_pem(&writer, (uint8_t *)pem, TLS_IDENTITY_BYTES, fill_random,
                                         NULL);
    }
    mbedtls_x509write_crt_free(&writer);
    return code;
}

static int sign(struct tls_authority *authority, const struct plan *what, const char *name,
                char *pem) {
    char subject[SUBJECT_SIZE];
    char issuer[DN_SIZE];
    struct plan plan = *what;
    snprintf(subject, sizeof subject, "CN=%s", name);
    int size = mbedtls_x509_dn_gets(issuer, sizeof issuer, &authority->ca.subject);
    plan.issuer_key = &authority->key;
    plan.subject = subject;
    plan.issuer = issuer;
    return size < 0 ? size : write_certificate(&plan, pem);
}

/* RFC 5280 section 4.2.1.12: id-kp-clientAuth and id-kp-serverAuth, each alone in its sequence. */
static const uint8_t client_usage[] = {0x30, 0x0A, 0x06, 0x08, 0x2B, 0x06,
                                       0x01, 0x05, 0x05, 0x07, 0x03, 0x02};
static const uint8_t server_usage[] = {0x30, 0x0A, 0x06, 0x08, 0x2B, 0x06,
                                       0x01, 0x05, 0x05, 0x07, 0x03, 0x01};

enum status tls_authority_sign(struct tls_authority *authority, struct bytes request,
                               const struct tls_life *life, char *pem) {
    char name[TLS_NAME_SIZE];
    enum status status = tls_authority_read(authority, request, name);
    if (status != STATUS_OK) {
        return status;
    }
    mbedtls_x509_csr csr;
    mbedtls_x509_csr_init(&csr);
    int code = mbedtls_x509_csr_parse_der(&csr, request.data, request.size);
    const struct plan plan = {
        .subject_key = &csr.pk,
        .life = life,
        .usage = {client_usage, sizeof client_usage},
    };
    code = code == 0 ? sign(authority, &plan, name, pem) : code;
    mbedtls_x509_csr_free(&csr);
    return code == 0 ? STATUS_OK : refuse_code(authority->reason, "signing", code);
}

/* ---- files for a lab ---- */

static enum status write_pair(const char *cert_path, const char *pem, const char *key_path,
                              mbedtls_pk_context *key, char *reason) {
    enum status status = write_key(key_path, key, reason);
    if (status == STATUS_OK) {
        status = file_replace(cert_path, (struct bytes){(const uint8_t *)pem, strlen(pem)},
                              S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH);
        if (status != STATUS_OK) {
            (void)refuse(reason, status, cert_path, strerrordesc_np(errno));
        }
    }
    return status;
}

static enum status refuse_existing(const char *one, const char *other, char *reason) {
    const char *there = access(one, F_OK) == 0 ? one : other;
    return access(there, F_OK) == 0 ? refuse(reason, STATUS_BUSY, there, "is there already")
                                    : STATUS_OK;
}

enum status tls_authority_make(const char *ca_path, const char *key_path,
                               const struct tls_life *life, char reason[TLS_REASON_SIZE]) {
    char pem[TLS_IDENTITY_BYTES];
    mbedtls_pk_context key;
    enum status status = refuse_existing(ca_path, key_path, reason);
    if (status != STATUS_OK) {
        return status;
    }
    mbedtls_pk_init(&key);
    int code = make_key(&key);
    const struct plan plan = {
        .subject_key = &key,
        .issuer_key = &key,
        .subject = "CN=hubd CA",
        .issuer = "CN=hubd CA",
        .life = life,
        .is_ca = true,
    };
    code = code == 0 ? write_certificate(&plan, pem) : code;
    status = code == 0 ? write_pair(ca_path, pem, key_path, &key, reason)
                       : refuse_code(reason, ca_path, code);
    mbedtls_pk_free(&key);
    return status;
}

/* Subject alternative names with one entry (RFC 5280 section 4.2.1.6). */
static struct bytes put_host(const char *host, uint8_t *der) {
    uint8_t address[16];
    size_t size = 0;
    if (inet_pton(AF_INET, host, address) == 1) {
        size = 4;
    } else if (inet_pton(AF_INET6, host, address) == 1) {
        size = 16;
    }
    bool is_name = size == 0;
    size = is_name ? strlen(host) : size;
    der[0] = 0x30;
    der[1] = (uint8_t)(size + 2);
    der[2] = is_name ? 0x82 : 0x87;
    der[3] = (uint8_t)size;
    memcpy(der + 4, is_name ? (const void *)host : address, size);
    return (struct bytes){der, size + 4};
}

enum status tls_authority_make_server(struct tls_authority *authority, const char *path,
                                      const char *key_path, const char *host,
                                      const struct tls_life *life) {
    char pem[TLS_IDENTITY_BYTES];
    uint8_t names[TLS_NAME_SIZE + 4];
    mbedtls_pk_context key;
    enum status status = refuse_existing(path, key_path, authority->reason);
    if (status != STATUS_OK) {
        return status;
    }
    if (strlen(host) >= TLS_NAME_SIZE) {
        return refuse(authority->reason, STATUS_TOO_LARGE, host, "is longer than 64 bytes");
    }
    mbedtls_pk_init(&key);
    int code = make_key(&key);
    const struct plan plan = {
        .subject_key = &key,
        .life = life,
        .usage = {server_usage, sizeof server_usage},
        .alt_names = put_host(host, names),
    };
    code = code == 0 ? sign(authority, &plan, "upstream", pem) : code;
    status = code == 0 ? write_pair(path, pem, key_path, &key, authority->reason)
                       : refuse_code(authority->reason, path, code);
    mbedtls_pk_free(&key);
    return status;
}
