/* One key, many certificates: what a handshake costs does not depend on whose key it is, and making
 * ten thousand of them is no part of what is measured. */
#include "hal/linux/random.h"
#include "tests/bench/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIFE_S = 7 * 86400, SLACK_S = 3600 };

static int fill_random(void *context, unsigned char *target, size_t size) {
    (void)context;
    random_fill(target, size);
    return 0;
}

static void must(int code, const char *what) {
    if (code != 0) {
        fprintf(stderr, "bench: %s failed: -0x%04x\n", what, (unsigned)-code);
        exit(1);
    }
}

void fleet_make_key(struct fleet *fleet, const struct fleet_files *files) {
    char reason[TLS_REASON_SIZE];
    if (tls_identity_make_key(files->key, reason) != STATUS_OK ||
        tls_authority_open(&fleet->authority, files->ca, files->ca_key) != STATUS_OK) {
        fprintf(stderr, "bench: the hubs' key: %s%s\n", reason, fleet->authority.reason);
        exit(1);
    }
    mbedtls_pk_init(&fleet->key);
    must(MBEDTLS_COMPAT_PARSE_KEY_FILE(&fleet->key, files->key, fill_random), "reading the key");
}

static void put_time(int64_t ahead_s, char text[16]) {
    const time_t when = time(NULL) + ahead_s;
    struct tm parts;
    check(gmtime_r(&when, &parts) != NULL);
    check(strftime(text, 16, "%Y%m%d%H%M%S", &parts) == 14);
}

void fleet_certify(struct fleet *fleet, uint32_t index, mbedtls_x509_crt *certificate) {
    uint8_t der[1024];
    uint8_t serial[16];
    char subject[32];
    char issuer[256];
    char from[16];
    char to[16];
    mbedtls_x509write_cert writer;
    mbedtls_x509write_crt_init(&writer);
    random_fill(serial, sizeof serial);
    serial[0] = (uint8_t)((serial[0] & 0x7F) | 0x40);
    put_time(-SLACK_S, from);
    put_time(LIFE_S, to);
    snprintf(subject, sizeof subject, "CN=hub-%06u", index);
    check(mbedtls_x509_dn_gets(issuer, sizeof issuer, &fleet->authority.ca.subject) > 0);
    mbedtls_x509write_crt_set_version(&writer, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&writer, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&writer, &fleet->key);
    mbedtls_x509write_crt_set_issuer_key(&writer, &fleet->authority.key);
    must(MBEDTLS_COMPAT_SET_SERIAL(&writer, serial, sizeof serial), "a serial number");
    must(mbedtls_x509write_crt_set_validity(&writer, from, to), "dates");
    must(mbedtls_x509write_crt_set_subject_name(&writer, subject), "a subject");
    must(mbedtls_x509write_crt_set_issuer_name(&writer, issuer), "an issuer");
    must(mbedtls_x509write_crt_set_key_usage(&writer, MBEDTLS_X509_KU_DIGITAL_SIGNATURE),
         "a key usage");
    int size = mbedtls_x509write_crt_der(&writer, der, sizeof der, fill_random, NULL);
    must(size > 0 ? 0 : size, "signing");
    mbedtls_x509write_crt_free(&writer);
    mbedtls_x509_crt_init(certificate);
    /* mbed TLS writes from the end. */
    must(mbedtls_x509_crt_parse_der(certificate, der + sizeof der - size, (size_t)size),
         "reading a certificate");
}
