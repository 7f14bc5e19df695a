#include "host/shared/hmac_sha256.h"

#include <string.h>

enum { BLOCK_BYTES = 64, INNER = 0x36, OUTER = 0x5c };

static void begin(struct sha256 *hash, const uint8_t key[BLOCK_BYTES], uint8_t mask) {
    uint8_t block[BLOCK_BYTES];
    for (size_t i = 0; i < BLOCK_BYTES; i++) {
        block[i] = key[i] ^ mask;
    }
    sha256_init(hash);
    sha256_add(hash, (struct bytes){block, sizeof block});
}

void hmac_sha256(struct bytes key, struct bytes first, struct bytes second,
                 uint8_t digest[SHA256_BYTES]) {
    struct sha256 hash;
    uint8_t padded[BLOCK_BYTES] = {0};
    if (key.size > BLOCK_BYTES) {
        sha256_init(&hash);
        sha256_add(&hash, key);
        sha256_end(&hash, padded);
    } else if (key.size > 0) {
        memcpy(padded, key.data, key.size);
    }
    begin(&hash, padded, INNER);
    sha256_add(&hash, first);
    sha256_add(&hash, second);
    sha256_end(&hash, digest);
    begin(&hash, padded, OUTER);
    sha256_add(&hash, (struct bytes){digest, SHA256_BYTES});
    sha256_end(&hash, digest);
}
