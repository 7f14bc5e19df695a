/* sha256.h - SHA-256 (FIPS 180-4), for chain hashes and idempotency digests. */
#ifndef PROTOCOL_SHA256_H
#define PROTOCOL_SHA256_H

#include "hal/base.h"

enum { SHA256_BYTES = 32 };

struct sha256 {
    uint32_t state[8];
    uint64_t size; /* bytes hashed so far */
    uint8_t block[64];
};

void sha256_init(struct sha256 *hash);
void sha256_add(struct sha256 *hash, struct bytes input);
void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_BYTES]);

/* From here on it is computed as on a processor without instructions for it. For tests. */
void sha256_without_instructions(void);

#endif
