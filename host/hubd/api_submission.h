/* api_submission.h - a request on its way from its JSON body to an order for the core. */
#ifndef HOST_HUBD_API_SUBMISSION_H
#define HOST_HUBD_API_SUBMISSION_H

#include "host/hubd/api_body.h"
#include "protocol/sha256.h"

enum {
    SUBMISSION_TARGETS = 128,
    SUBMISSION_EXTRA_BYTES = 2048,
    SUBMISSION_TARGET_BYTES = 512,
};

struct submission {
    struct api_body body;
    struct record_request request;
    uint32_t capability;
    uint64_t phones[SUBMISSION_TARGETS];
    struct bytes accounts[SUBMISSION_TARGETS];
    char account_texts[SUBMISSION_TARGETS][RECORD_ID_MAX + 1];
    uint32_t target_count;
    bool has_phones;
    bool has_accounts;
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

/* The one submission, zeroed: requests are read one after the other. */
struct submission *submission_begin(void);

/* Of request.process_type, which is set. */
bool submission_find_capability(struct submission *submission, unsigned token);

/* `target` of an enqueue request; of a maintenance request (api_target.c). */
bool submission_get_target(struct submission *submission);
bool submission_get_maintenance_target(struct submission *submission);

/* The digest of the body, and of the idempotency key's three parts behind a namespace. */
struct submission_key {
    uint8_t space;
    struct bytes parts[3];
};
void submission_make_digests(struct submission *submission, const struct submission_key *key);
void submission_hash_key(const struct submission_key *key, uint8_t digest[SHA256_BYTES]);
enum { SUBMISSION_KEY_PROCESS = 0, SUBMISSION_KEY_LEGACY = 1 };

/* Gives the order to the core. False: the request was answered with a refusal, or waits to be
 * handled again; true: `accepted`, and `seq` must be durable before anybody is told. */
bool submission_accept(struct submission *submission, struct hub_accepted *accepted, uint64_t *seq);

/* Watches the callback of an accepted process; writes `callback_status` when it will not be called.
 * To be called while the answer is written. */
void submission_watch(struct submission *submission, const struct hub_accepted *accepted,
                      struct json_writer *writer);

#endif
