/* submission.h - a request on its way from its JSON body to an order, for hub and upstream alike
 * (SPEC.md section 4): parsed and judged here, accepted by the program that it was sent to.
 *
 * Every function that returns bool answers the request with a refusal when it returns false. */
#ifndef HOST_SHARED_SUBMISSION_H
#define HOST_SHARED_SUBMISSION_H

#include "host/shared/action.h"
#include "host/shared/api_body.h"
#include "host/shared/callback.h"
#include "host/shared/process_id.h"
#include "protocol/sha256.h"

enum {
    SUBMISSION_TARGETS = 128,
    SUBMISSION_EXTRA_BYTES = 2048,
    SUBMISSION_TARGET_BYTES = 512,
};

/* What the program that takes requests knows. */
struct submission_place {
    void *owner;
    const char *name;                      /* "this hub", for messages */
    const struct capability *capabilities; /* with `lists` of the same index */
    const struct action_list *lists;
    uint32_t capability_count;
    uint32_t targets_max; /* of one request */
    const struct callbacks *callbacks;
    /* The number of a phone that this place has seen; false: none of this id. */
    bool (*find_phone)(void *owner, struct bytes id, uint64_t *number);
};

struct submission {
    const struct submission_place *place;
    struct api_body body;
    struct record_request request;
    uint32_t capability;
    uint32_t target_count;
    bool has_phones;
    bool has_accounts;
    bool is_legacy; /* of POST /ingest */
    /* Of these only what the members above name means anything: they are not cleared before. */
    uint64_t phones[SUBMISSION_TARGETS];
    struct bytes accounts[SUBMISSION_TARGETS];
    char account_texts[SUBMISSION_TARGETS][RECORD_ID_MAX + 1];
    char process_type[RECORD_ID_MAX + 1];
    char request_id[RECORD_TEXT_MAX + 1];
    char system[RECORD_TEXT_MAX + 1];
    char user[RECORD_TEXT_MAX + 1];
    char concurrency_key[RECORD_ID_MAX + 1];
    char target[SUBMISSION_TARGET_BYTES];
    char extra[SUBMISSION_EXTRA_BYTES];
    uint8_t key[SHA256_BYTES];
    uint8_t body_digest[SHA256_BYTES];
};

/* Reads the body of POST /capability-requests/enqueue, /maintenance/requests, /ingest. The
 * submission is the one there is: requests are read one after the other. NULL: refused. Whole but
 * for request.phones and request.accounts, which stand in `phones` and `accounts`. */
struct submission *submission_read_enqueue(const struct submission_place *place,
                                           const struct http_api_call *call);
struct submission *submission_read_maintenance(const struct submission_place *place,
                                               const struct http_api_call *call);
struct submission *submission_read_ingest(const struct submission_place *place,
                                          const struct http_api_call *call);

/* The key that POST /ingest gives an item: a namespace of its own. */
void submission_hash_legacy_key(struct bytes account, struct bytes content,
                                uint8_t digest[SHA256_BYTES]);

/* Why a callback will not be called; NULL: it will, or there is none. */
const char *submission_callback_status(enum status status);

/* What became of it. */
struct submission_outcome {
    struct process_id id;
    bool is_duplicate;
    bool differs;                /* the first one had another body */
    const char *process_status;  /* public, of a duplicate */
    const char *queue_status;    /* of a legacy item */
    const char *callback_status; /* NULL: not told */
};
/* Begins the documented answer's object and ends it; 202, or 200 for a duplicate. */
void submission_write_answer(const struct submission *submission,
                             const struct submission_outcome *outcome, struct json_writer *writer);

/* The status of an item as the legacy endpoints name it. */
const char *submission_queue_status(enum record_item_state state);

/* ---- of submission*.c ---- */

bool submission_get_target(struct submission *submission);             /* submission_target.c */
bool submission_get_maintenance_target(struct submission *submission); /* the same */
/* Of request.process_type, which is set. */
bool submission_find_capability(struct submission *submission, unsigned token);
struct submission *submission_begin(const struct submission_place *place);
/* The digest of the body, and of the idempotency key's three parts behind a namespace. */
struct submission_key {
    uint8_t space;
    struct bytes parts[3];
};
void submission_make_digests(struct submission *submission, const struct submission_key *key);
void submission_hash_key(const struct submission_key *key, uint8_t digest[SHA256_BYTES]);
enum { SUBMISSION_KEY_PROCESS = 0, SUBMISSION_KEY_LEGACY = 1 };

#endif
