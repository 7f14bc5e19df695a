/* request_json.h - what a caller asked for, as it is shown to every reader. */
#ifndef HOST_SHARED_REQUEST_JSON_H
#define HOST_SHARED_REQUEST_JSON_H

#include "host/shared/json_write.h"
#include "protocol/record.h"

/* Writes process_type, request_id, target (as given; account_id and phone_id always there),
 * requested_by, callback (url and metadata only: the rest may be a secret), inputs, mode, priority,
 * not_before, deadline, concurrency_key, labels, related, workspace_id and queue into the object
 * that the caller has begun. NULL: not known; nulls and empty values are written. */
void request_json_members(struct json_writer *writer, const struct record_request *request);

#endif
