/* trust.h - which hubs may talk to upstream: certificates that this upstream signs (enrolment and
 * renewal), and those that are revoked. The CA's key is optional: without it nothing is signed.
 *
 * Revocations are in the database, for any number of upstreamd; each keeps them in RAM, since every
 * handshake asks, and reads them again every TRUST_RELOAD_MS. */
#ifndef HOST_UPSTREAMD_TRUST_H
#define HOST_UPSTREAMD_TRUST_H

#include "hal/linux/tls_identity.h"
#include "host/shared/http_server.h"
#include "host/upstreamd/db/db_trust.h"
#include "host/upstreamd/fleet/fleet.h"

enum {
    TRUST_REVOCATIONS_MAX = 4096,
    TRUST_RELOAD_MS = 2000,
    TRUST_TOKEN_SIZE = 49,    /* 24 random bytes as hexadecimal digits, with NUL */
    TRUST_TOKEN_MINUTES = 60, /* that a token is good for, unless told otherwise */
    TRUST_CLOCK_SLACK_S = 60, /* a certificate begins so much before its signing */
};

struct trust_counters {
    uint64_t enrolled;
    uint64_t renewed;
    uint64_t refused; /* requests and tokens */
    uint64_t cut;     /* connections of hubs that were revoked */
};

struct trust {
    struct db *db;
    const struct fleet_clock *now; /* the daemon's */
    struct tls_authority authority;
    uint64_t life_s; /* of a hub's certificate */
    struct db_revocation revocations[TRUST_REVOCATIONS_MAX];
    uint32_t revocation_count;
    uint64_t loaded_ms; /* by the monotonic clock; 0: not yet */
    struct trust_counters counters;
};

/* Reads the revocations. FULL: more than TRUST_REVOCATIONS_MAX: the old ones stay. */
must_check enum status trust_load(struct trust *trust);

/* For tls_settings.accepts; `owner` is the struct trust. */
bool trust_accepts(void *owner, const struct tls_peer *peer);

/* Every TRUST_RELOAD_MS reads anew. True: something was revoked since the last time. */
bool trust_step(struct trust *trust);

/* Makes a token for the hub. The commit is the caller's. */
must_check enum status trust_make_token(struct trust *trust, const char *hub, uint64_t minutes,
                                        char token[TRUST_TOKEN_SIZE]);
/* Revokes what the hub has now. The commit is the caller's. */
must_check enum status trust_revoke(struct trust *trust, const char *hub);

/* Answers a request for a certificate. `hub` is the verified name on a renewal; NULL: an enrolment,
 * with a token. Has a transaction of its own. */
void trust_answer(struct trust *trust, struct http_connection *connection,
                  const struct http_request *request, const char *hub);

#endif
