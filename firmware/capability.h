/* capability.h - what the core must know of a capability: who may ask for it and how it retries.
 *
 * Its actions are the executor's; here only their number and their effect class count. A
 * capability comes from a file, never from code. */
#ifndef FIRMWARE_CAPABILITY_H
#define FIRMWARE_CAPABILITY_H

#include "firmware/backoff.h"
#include "protocol/record.h"

enum { CAPABILITY_ACTIONS_MAX = 32 };

struct capability {
    char name[RECORD_ID_MAX];
    uint32_t routings; /* bit for each enum record_routing it allows */
    bool is_permitted; /* unattended needs both */
    bool is_live_verified;
    bool is_retired;  /* its file is gone: running work ends, nothing new is accepted */
    uint8_t priority; /* when the request gives none */
    uint32_t attempts_max;
    struct backoff backoff;
    uint32_t retryable;  /* bit for each enum record_category */
    uint32_t attempt_ms; /* time limit of one attempt */
    uint32_t action_count;
    uint32_t once_actions; /* bit for each action that must not be run twice unknowingly */
};

#endif
