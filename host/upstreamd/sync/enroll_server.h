/* enroll_server.h - where a host without a certificate gets one: `[sync] enroll_listen`, TLS with
 * the server's certificate only.
 *
 *     GET  /ca      the CA, in PEM: the host compares its fingerprint with what it was told
 *     POST /enroll  a token and a request (application/pkcs10): the certificate, in PEM */
#ifndef HOST_UPSTREAMD_ENROLL_SERVER_H
#define HOST_UPSTREAMD_ENROLL_SERVER_H

#include "host/shared/http_tls.h"
#include "host/upstreamd/sync/trust.h"

enum {
    ENROLL_SERVER_CONNECTIONS = 16,
    ENROLL_SERVER_BODY_BYTES = TLS_IDENTITY_BYTES,
    ENROLL_SERVER_OUTPUT_BYTES = 3 * TLS_IDENTITY_BYTES,
};

#define ENROLL_SERVER_BYTES                                                                        \
    HTTP_SERVER_BYTES(ENROLL_SERVER_CONNECTIONS, sizeof(struct http_tls_stream),                   \
                      ENROLL_SERVER_BODY_BYTES, ENROLL_SERVER_OUTPUT_BYTES)

struct enroll_server {
    struct http_server server;
    struct http_tls tls;
    struct trust *trust;
    const char *ca_path;
};

/* `trust` and `ca_path` are set before. `memory` has ENROLL_SERVER_BYTES and is zeroed; `configs`
 * ask for no certificate. */
void enroll_server_init(struct enroll_server *enroll, struct loop *loop,
                        struct tls_config_pair *configs, void *memory);
must_check enum status enroll_server_listen(struct enroll_server *enroll, int listener);

#endif
