/* hmac_sha256.h - HMAC with SHA-256 (RFC 2104), without allocation. */
#ifndef HOST_SHARED_HMAC_SHA256_H
#define HOST_SHARED_HMAC_SHA256_H

#include "protocol/sha256.h"

/* Of the two parts one behind the other; a part may be empty. */
void hmac_sha256(struct bytes key, struct bytes first, struct bytes second,
                 uint8_t digest[SHA256_BYTES]);

#endif
