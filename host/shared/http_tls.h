/* http_tls.h - lets http_server.h serve TLS: accepts a connection, does the handshake inside read
 * and write, and gives the verified client's common name to the handler. */
#ifndef HOST_SHARED_HTTP_TLS_H
#define HOST_SHARED_HTTP_TLS_H

#include "hal/linux/tls_mbedtls.h"
#include "host/shared/http_server.h"

/* What one connection takes of the server's memory: limits.stream_bytes is its size. */
struct http_tls_stream {
    struct hal_stream stream;
    struct tls_stream tls;
    uint64_t *refused; /* the counter of its http_tls */
    bool was_told;     /* its end was logged */
};

struct http_tls {
    struct http_acceptor acceptor; /* for http_server_listen() */
    struct tls_config_pair *configs;
    uint64_t *refused;      /* &refused_count: acceptors are const to the server */
    uint64_t refused_count; /* connections that ended without a verified peer or a common TLS */
};

/* The verified peer of a stream that http_tls has accepted. False: none, or not yet. */
bool http_tls_peer(const struct hal_stream *stream, struct tls_peer *peer);

/* `configs` holds a loaded server config; it may be loaded again while the server runs. */
void http_tls_init(struct http_tls *tls, struct tls_config_pair *configs);

#endif
