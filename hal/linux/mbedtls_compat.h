/* mbedtls_compat.h - the one place that knows which mbed TLS it is: 2.28 as Debian 12 has it,
 * or 3.6. What the two call differently stands here under one name. Include it before anything of
 * mbed TLS. */
#ifndef HAL_LINUX_MBEDTLS_COMPAT_H
#define HAL_LINUX_MBEDTLS_COMPAT_H

/* 3.x hides the fields of its structs behind this. */
#ifndef MBEDTLS_ALLOW_PRIVATE_ACCESS
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#endif

#include "hal/base.h"

#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha512.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>

typedef int mbedtls_compat_random(void *context, unsigned char *target, size_t size);

#if MBEDTLS_VERSION_MAJOR >= 3

#define MBEDTLS_COMPAT_SHA512(name) mbedtls_sha512_##name
#define MBEDTLS_COMPAT_PARSE_KEY_FILE(key, path, random)                                           \
    mbedtls_pk_parse_keyfile(key, path, NULL, random, NULL)
#define MBEDTLS_COMPAT_PARSE_KEY(key, text, size, random)                                          \
    mbedtls_pk_parse_key(key, text, size, NULL, 0, random, NULL)
#define MBEDTLS_COMPAT_RSA_INIT(rsa) mbedtls_rsa_init(rsa)
#define MBEDTLS_COMPAT_RSA_SIGN(rsa, random, hash, size, digest, signature)                        \
    mbedtls_rsa_rsassa_pkcs1_v15_sign(rsa, random, NULL, hash, size, digest, signature)
#define MBEDTLS_COMPAT_RSA_VERIFY(rsa, hash, size, digest, signature)                              \
    mbedtls_rsa_rsassa_pkcs1_v15_verify(rsa, hash, size, digest, signature)
#define MBEDTLS_COMPAT_CHECK_PAIR(public_key, key, random)                                         \
    mbedtls_pk_check_pair(public_key, key, random, NULL)
#define MBEDTLS_COMPAT_SET_SERIAL(certificate, bytes, size)                                        \
    mbedtls_x509write_crt_set_serial_raw(certificate, bytes, size)
#define MBEDTLS_COMPAT_BAD_CERTIFICATE MBEDTLS_ERR_SSL_BAD_CERTIFICATE
/* 3.x: the handshake ends with an alert of its own instead. */
#define MBEDTLS_COMPAT_NO_CLIENT_CERTIFICATE MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE
#define MBEDTLS_COMPAT_IS_CLIENT(config) ((config)->endpoint == MBEDTLS_SSL_IS_CLIENT)

static inline void mbedtls_compat_only_tls_1_2(mbedtls_ssl_config *config) {
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
}

static inline void mbedtls_compat_algorithms(mbedtls_ssl_config *config) {
    static const uint16_t groups[] = {
        MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
        MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1,
        MBEDTLS_SSL_IANA_TLS_GROUP_NONE,
    };
    static const uint16_t signatures[] = {
        MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256,
        MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384,
        MBEDTLS_TLS1_3_SIG_ECDSA_SECP521R1_SHA512,
        MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,
        MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA384,
        MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA512,
        MBEDTLS_TLS1_3_SIG_NONE,
    };
    mbedtls_ssl_conf_groups(config, groups);
    mbedtls_ssl_conf_sig_algs(config, signatures);
}

#else

#define MBEDTLS_COMPAT_SHA512(name) mbedtls_sha512_##name##_ret
#define MBEDTLS_COMPAT_PARSE_KEY_FILE(key, path, random)                                           \
    ((void)(random), mbedtls_pk_parse_keyfile(key, path, NULL))
#define MBEDTLS_COMPAT_PARSE_KEY(key, text, size, random)                                          \
    ((void)(random), mbedtls_pk_parse_key(key, text, size, NULL, 0))
#define MBEDTLS_COMPAT_RSA_INIT(rsa) mbedtls_rsa_init(rsa, MBEDTLS_RSA_PKCS_V15, 0)
#define MBEDTLS_COMPAT_RSA_SIGN(rsa, random, hash, size, digest, signature)                        \
    mbedtls_rsa_rsassa_pkcs1_v15_sign(rsa, random, NULL, MBEDTLS_RSA_PRIVATE, hash, size, digest,  \
                                      signature)
#define MBEDTLS_COMPAT_RSA_VERIFY(rsa, hash, size, digest, signature)                              \
    mbedtls_rsa_rsassa_pkcs1_v15_verify(rsa, NULL, NULL, MBEDTLS_RSA_PUBLIC, hash, size, digest,   \
                                        signature)
#define MBEDTLS_COMPAT_CHECK_PAIR(public_key, key, random)                                         \
    ((void)(random), mbedtls_pk_check_pair(public_key, key))
#define MBEDTLS_COMPAT_SET_SERIAL(certificate, bytes, size)                                        \
    mbedtls_compat_set_serial(certificate, bytes, size)
#define MBEDTLS_COMPAT_BAD_CERTIFICATE MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE
#define MBEDTLS_COMPAT_NO_CLIENT_CERTIFICATE MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE
#define MBEDTLS_COMPAT_IS_CLIENT(config) ((config)->endpoint == MBEDTLS_SSL_IS_CLIENT)

static inline void mbedtls_compat_only_tls_1_2(mbedtls_ssl_config *config) {
    mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_max_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
}

static inline void mbedtls_compat_algorithms(mbedtls_ssl_config *config) {
    static const mbedtls_ecp_group_id curves[] = {
        MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP384R1,
        MBEDTLS_ECP_DP_SECP521R1, MBEDTLS_ECP_DP_NONE,
    };
    static const int hashes[] = {MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384, MBEDTLS_MD_SHA512,
                                 MBEDTLS_MD_NONE};
    mbedtls_ssl_conf_curves(config, curves);
    mbedtls_ssl_conf_sig_hashes(config, hashes);
}

static inline int mbedtls_compat_set_serial(mbedtls_x509write_cert *certificate,
                                            const unsigned char *bytes, size_t size) {
    mbedtls_mpi serial;
    mbedtls_mpi_init(&serial);
    int code = mbedtls_mpi_read_binary(&serial, bytes, size);
    if (code == 0) {
        code = mbedtls_x509write_crt_set_serial(certificate, &serial);
    }
    mbedtls_mpi_free(&serial);
    return code;
}

#endif

#endif
