/* db_trust.h - who may become a hub, and who may be one no longer: tokens for enrolment, and
 * revocations. As db.h. */
#ifndef HOST_UPSTREAMD_DB_TRUST_H
#define HOST_UPSTREAMD_DB_TRUST_H

#include "host/upstreamd/db/db.h"
#include "protocol/sha256.h"

enum { DB_HUB_SIZE = RECORD_ID_MAX + 1 };

/* A token that makes one hub a certificate, once. What is stored is its SHA-256. */
struct db_enrolment {
    uint8_t token[SHA256_BYTES];
    char hub[DB_HUB_SIZE];
    uint64_t expires_ms; /* by the wall clock */
};

/* Adds one; what the hub had before, and what has expired by `now_ms`, goes. */
must_check enum status db_enrolment_add(struct db *db, const struct db_enrolment *enrolment,
                                        uint64_t now_ms);
/* Uses one up. NOT_FOUND: there is none of this token, this hub and this time. */
must_check enum status db_enrolment_take(struct db *db, const struct db_enrolment *enrolment,
                                         uint64_t now_ms);

/* Certificates of the hub that begin up to then are worth nothing. */
struct db_revocation {
    char hub[DB_HUB_SIZE];
    uint64_t before_s; /* seconds since 1970, inclusive */
};

must_check enum status db_revocation_put(struct db *db, const struct db_revocation *revocation);
/* All of them: db_walk_end() before anything else. */
void db_revocation_walk(struct db *db);
must_check enum status db_revocation_next(struct db *db, struct db_revocation *revocation);

#endif
