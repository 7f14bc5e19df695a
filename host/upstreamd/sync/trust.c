#include "host/upstreamd/sync/trust.h"

#include "hal/linux/random.h"
#include "host/shared/log.h"

#include <stdio.h>
#include <string.h>

static const char pem_type[] = "application/x-pem-file";
static const char request_type[] = "application/pkcs10";

/* ---- revocations ---- */

enum status trust_load(struct trust *trust) {
    static struct db_revocation rows[TRUST_REVOCATIONS_MAX];
    struct db_revocation row;
    uint32_t count = 0;
    db_revocation_walk(trust->db);
    enum status status = db_revocation_next(trust->db, &row);
    while (status == STATUS_OK && count < TRUST_REVOCATIONS_MAX) {
        rows[count] = row;
        count += 1;
        status = db_revocation_next(trust->db, &row);
    }
    db_walk_end(trust->db);
    trust->loaded_ms = trust->now->mono_ms;
    if (status == STATUS_OK) {
        return STATUS_FULL;
    }
    if (status == STATUS_NOT_FOUND) {
        memcpy(trust->revocations, rows, count * sizeof rows[0]);
        trust->revocation_count = count;
        status = STATUS_OK;
    }
    return status;
}

static const struct db_revocation *find(const struct trust *trust, const char *hub) {
    for (uint32_t i = 0; i < trust->revocation_count; i++) {
        if (strcmp(trust->revocations[i].hub, hub) == 0) {
            return &trust->revocations[i];
        }
    }
    return NULL;
}

bool trust_accepts(void *owner, const struct tls_peer *peer) {
    const struct db_revocation *row = find(owner, peer->name);
    return row == NULL || peer->from_s > row->before_s;
}

bool trust_step(struct trust *trust) {
    if (trust->now->mono_ms < trust->loaded_ms + TRUST_RELOAD_MS) {
        return false;
    }
    uint32_t count = trust->revocation_count;
    uint64_t sum = 0;
    uint64_t new_sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += trust->revocations[i].before_s;
    }
    enum status status = trust_load(trust);
    if (status != STATUS_OK) {
        log_error("revocations_not_read reason=%s",
                  status == STATUS_FULL ? "there are more than fit" : db_reason(trust->db));
        return false;
    }
    for (uint32_t i = 0; i < trust->revocation_count; i++) {
        new_sum += trust->revocations[i].before_s;
    }
    return trust->revocation_count != count || new_sum != sum;
}

enum status trust_revoke(struct trust *trust, const char *hub) {
    struct db_revocation row = {.before_s = trust->now->wall_ms / 1000};
    snprintf(row.hub, sizeof row.hub, "%s", hub);
    return db_revocation_put(trust->db, &row);
}

/* ---- tokens ---- */

static void digest_of(struct bytes token, uint8_t digest[SHA256_BYTES]) {
    struct sha256 hash;
    sha256_init(&hash);
    sha256_add(&hash, token);
    sha256_end(&hash, digest);
}

enum status trust_make_token(struct trust *trust, const char *hub, uint64_t minutes,
                             char token[TRUST_TOKEN_SIZE]) {
    uint8_t secret[(TRUST_TOKEN_SIZE - 1) / 2];
    struct db_enrolment row = {.expires_ms = trust->now->wall_ms + minutes * 60000};
    random_fill(secret, sizeof secret);
    for (size_t i = 0; i < sizeof secret; i++) {
        snprintf(token + 2 * i, 3, "%02x", secret[i]);
    }
    digest_of((struct bytes){(const uint8_t *)token, TRUST_TOKEN_SIZE - 1}, row.token);
    snprintf(row.hub, sizeof row.hub, "%s", hub);
    return db_enrolment_add(trust->db, &row, trust->now->wall_ms);
}

/* ---- certificates ---- */

struct refusal {
    unsigned http_status;
    const char *code, *message;
};

/* A certificate begins a little before now, for hosts whose clocks are behind, but after what was
 * revoked. */
static enum status sign(struct trust *trust, struct bytes request, const char *hub, char *pem) {
    uint64_t now_s = trust->now->wall_ms / 1000;
    const struct db_revocation *revoked = find(trust, hub);
    struct tls_life life = {now_s - TRUST_CLOCK_SLACK_S, now_s + trust->life_s};
    if (revoked != NULL && life.from_s <= revoked->before_s) {
        life.from_s = revoked->before_s + 1;
    }
    return tls_authority_sign(&trust->authority, request, &life, pem);
}

struct taking {
    struct trust *trust;
    struct db_enrolment row;
};

static enum status take_token(void *owner) {
    const struct taking *taking = owner;
    return db_enrolment_take(taking->trust->db, &taking->row, taking->trust->now->wall_ms);
}

static enum status use_token(struct trust *trust, struct bytes token, const char *hub) {
    struct taking taking = {.trust = trust};
    digest_of(token, taking.row.token);
    snprintf(taking.row.hub, sizeof taking.row.hub, "%s", hub);
    return db_transact(trust->db, take_token, &taking);
}

/* Fills `name` and `pem`. NULL: signed. */
static const struct refusal *judge(struct trust *trust, const struct http_request *request,
                                   const char *hub, char name[TLS_NAME_SIZE], char *pem) {
    static const struct refusal cannot = {501, "not_configured", "there is no key of the CA here"};
    static const struct refusal no_request = {422, "invalid_request",
                                              "the body is no certificate request to be signed"};
    static const struct refusal no_token = {
        403, "forbidden", "the token is not good for this hub, or was used, or is too old"};
    static const struct refusal other = {403, "forbidden",
                                         "a hub renews the certificate for its own name only"};
    static const struct refusal failed = {503, "unavailable", "the database does not answer"};
    if (!trust->authority.is_open) {
        return &cannot;
    }
    if (tls_authority_read(&trust->authority, request->body, name) != STATUS_OK) {
        return &no_request;
    }
    if (hub != NULL && strcmp(hub, name) != 0) {
        return &other;
    }
    if (hub == NULL) {
        /* Signed first: a token is not used up for nothing. */
        enum status status = sign(trust, request->body, name, pem);
        status = status == STATUS_OK ? use_token(trust, request->token, name) : status;
        return status == STATUS_OK          ? NULL
               : status == STATUS_NOT_FOUND ? &no_token
               : status == STATUS_IO        ? &failed
                                            : &no_request;
    }
    return sign(trust, request->body, name, pem) == STATUS_OK ? NULL : &no_request;
}

void trust_answer(struct trust *trust, struct http_connection *connection,
                  const struct http_request *request, const char *hub) {
    char name[TLS_NAME_SIZE] = "";
    char pem[TLS_IDENTITY_BYTES];
    if (request->method != HTTP_METHOD_POST) {
        http_respond_error(connection, 405, "method_not_allowed", "this path takes POST only");
        return;
    }
    if (request->content_type.size != sizeof request_type - 1 ||
        memcmp(request->content_type.data, request_type, sizeof request_type - 1) != 0) {
        http_respond_error(connection, 415, "unsupported_media_type",
                           "a request is application/pkcs10");
        return;
    }
    const struct refusal *refusal = judge(trust, request, hub, name, pem);
    if (refusal != NULL) {
        trust->counters.refused += 1;
        log_warn("certificate_refused hub=%s reason=%s", name,
                 refusal->http_status == 422 ? trust->authority.reason : refusal->message);
        http_respond_error(connection, refusal->http_status, refusal->code, refusal->message);
        return;
    }
    *(hub == NULL ? &trust->counters.enrolled : &trust->counters.renewed) += 1;
    log_info("certificate_signed hub=%s renewal=%d", name, hub != NULL);
    http_respond(connection, 200, pem_type, (struct bytes){(const uint8_t *)pem, strlen(pem)},
                 NULL);
}
