/* Any bytes as pipelined requests: whole or cut in two, the parser must see the same. */
#include "host/shared/http_parse.h"

#include <stdlib.h>
#include <string.h>

enum { BODY_LIMIT = 256, BUFFER_BYTES = HTTP_HEAD_BYTES + BODY_LIMIT };

struct result {
    enum status status;
    unsigned refusal;
    size_t path_size, body_size;
    uint32_t crc; /* of path and body, simply added up */
};

static uint8_t buffer[2 * BUFFER_BYTES];

static uint32_t sum(struct bytes text, uint32_t start) {
    for (size_t i = 0; i < text.size; i++) {
        start = start * 31 + text.data[i];
    }
    return start;
}

/* Feeds the input in pieces of at most `piece` bytes, as a connection does. */
static struct result run(const uint8_t *data, size_t size, size_t piece) {
    struct http_parse parse;
    struct result result = {STATUS_MORE, 0, 0, 0, 0};
    uint32_t kept = 0;
    http_parse_begin(&parse, BODY_LIMIT);
    while (result.status == STATUS_MORE && size > 0) {
        size_t room = BUFFER_BYTES - kept;
        size_t given = size < piece ? size : piece;
        given = given < room ? given : room;
        check(given > 0);
        memcpy(buffer + kept, data, given);
        data += given;
        size -= given;
        uint32_t end = kept + (uint32_t)given;
        result.status = http_parse_feed(&parse, buffer, kept, &end);
        check(end <= kept + given);
        kept = end;
    }
    struct http_request request;
    if (result.status == STATUS_OK &&
        (result.status = http_parse_request(&parse, buffer, &request)) == STATUS_OK) {
        check(request.path.data[0] == '/' && request.body.size <= BODY_LIMIT);
        result.path_size = request.path.size;
        result.body_size = request.body.size;
        result.crc = sum(request.body, sum(request.path, 1));
    }
    check(result.status != STATUS_MALFORMED || parse.refusal.status >= 400);
    result.refusal = parse.refusal.status;
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct result whole = run(data, size, BUFFER_BYTES);
    struct result pieces = run(data, size, size > 0 ? 1 + data[size - 1] % 7 : 1);
    check(whole.status == pieces.status && whole.refusal == pieces.refusal);
    check(whole.path_size == pieces.path_size && whole.body_size == pieces.body_size);
    check(whole.crc == pieces.crc);
    return 0;
}
