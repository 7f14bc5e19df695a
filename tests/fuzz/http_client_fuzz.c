/* Any bytes as a server's answer, whole or in small pieces: the client sees the same of both, and
 * stays inside its buffers. */
#include "host/shared/http_client.h"

#include <stdlib.h>
#include <string.h>

enum { BODY_BYTES = 256 };

struct result {
    enum status status;
    unsigned code;
    size_t body_size;
    uint8_t body[BODY_BYTES];
};

static struct {
    struct hal_stream stream;
    struct bytes input;
    size_t piece;
} peer;

static struct http_client client;
static uint8_t body[BODY_BYTES];

static enum status peer_read(struct hal_stream *stream, void *target, size_t size,
                             size_t *size_read) {
    (void)stream;
    size_t given = peer.input.size < peer.piece ? peer.input.size : peer.piece;
    given = given < size ? given : size;
    if (given == 0) {
        return STATUS_CLOSED;
    }
    memcpy(target, peer.input.data, given);
    peer.input.data += given;
    peer.input.size -= given;
    *size_read = given;
    return STATUS_OK;
}

static enum status peer_write(struct hal_stream *stream, const void *source, size_t size,
                              size_t *size_written) {
    (void)stream;
    (void)source;
    *size_written = size;
    return STATUS_OK;
}

static bool take_line(void *owner, struct bytes line) {
    size_t *lines = owner;
    check(line.size <= BODY_BYTES);
    *lines += 1;
    return *lines < 100;
}

static void run(struct bytes input, size_t piece, bool by_line, struct result *result) {
    static const struct hal_stream_ops ops = {peer_read, peer_write, NULL};
    static const struct http_client_request get = {.method = "GET", .target = "/", .host = "h"};
    size_t lines = 0;
    struct http_client_sink sink = {.buffer = body, .capacity = sizeof body, .owner = &lines};
    sink.line = by_line ? take_line : NULL;
    peer.stream = (struct hal_stream){.ops = &ops};
    peer.input = input;
    peer.piece = piece;
    memset(result, 0, sizeof *result);
    http_client_init(&client, &peer.stream);
    check(http_client_begin(&client, &get, &sink, 1000) == STATUS_OK);
    do {
        result->status = http_client_step(&client, 0);
    } while (result->status == STATUS_AGAIN);
    if (result->status == STATUS_OK) {
        check(client.answer.size <= BODY_BYTES && client.status >= 100);
        result->code = client.status;
        result->body_size = by_line ? lines : client.answer.size;
        if (!by_line && client.answer.size > 0) {
            memcpy(result->body, client.answer.data, client.answer.size);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct result whole, pieces;
    if (size < 1) {
        return 0;
    }
    struct bytes input = {data + 1, size - 1};
    bool by_line = (data[0] & 1) != 0;
    run(input, SIZE_MAX, by_line, &whole);
    run(input, 1 + (data[0] >> 1) % 7, by_line, &pieces);
    check((whole.status == STATUS_OK) == (pieces.status == STATUS_OK));
    check(memcmp(&whole.body, &pieces.body, sizeof whole.body) == 0);
    check(whole.code == pieces.code && whole.body_size == pieces.body_size);
    return 0;
}
