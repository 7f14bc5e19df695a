#include "host/upstreamd/sync/enroll_server.h"

#include "hal/linux/file_replace.h"

#include <string.h>

static bool is_path(const struct http_request *request, const char *path) {
    return request->path.size == strlen(path) &&
           memcmp(request->path.data, path, request->path.size) == 0;
}

static void answer_ca(const struct enroll_server *enroll, struct http_connection *connection) {
    uint8_t pem[2 * TLS_IDENTITY_BYTES];
    size_t size = 0;
    if (file_read(enroll->ca_path, pem, sizeof pem, &size) != STATUS_OK) {
        http_respond_error(connection, 503, "unavailable", "the CA's file cannot be read");
        return;
    }
    http_respond(connection, 200, "application/x-pem-file", (struct bytes){pem, size}, NULL);
}

static void handle(void *owner, struct http_connection *connection,
                   const struct http_request *request) {
    struct enroll_server *enroll = owner;
    if (is_path(request, "/enroll")) {
        trust_answer(enroll->trust, connection, request, NULL);
    } else if (is_path(request, "/ca") && request->method == HTTP_METHOD_GET) {
        answer_ca(enroll, connection);
    } else {
        http_respond_error(connection, 404, "not_found", "there is no such path");
    }
}

void enroll_server_init(struct enroll_server *enroll, struct loop *loop,
                        struct tls_config_pair *configs, void *memory) {
    check(enroll->trust != NULL && enroll->ca_path != NULL);
    http_tls_init(&enroll->tls, configs);
    const struct http_config config = {
        .loop = loop,
        .limits = {.connections = ENROLL_SERVER_CONNECTIONS,
                   .stream_bytes = sizeof(struct http_tls_stream),
                   .body_bytes = ENROLL_SERVER_BODY_BYTES,
                   .output_bytes = ENROLL_SERVER_OUTPUT_BYTES,
                   .header_ms = 10000,
                   .body_ms = 10000,
                   .idle_ms = 10000,
                   .send_ms = 10000},
        .handler = {.request = handle, .owner = enroll},
        .memory = memory,
        .memory_bytes = ENROLL_SERVER_BYTES,
    };
    http_server_init(&enroll->server, &config);
}

enum status enroll_server_listen(struct enroll_server *enroll, int listener) {
    return http_server_listen(&enroll->server, listener, &enroll->tls.acceptor);
}
