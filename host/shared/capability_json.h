/* capability_json.h - the answer to GET /capabilities, of a hub and of the fleet. */
#ifndef HOST_SHARED_CAPABILITY_JSON_H
#define HOST_SHARED_CAPABILITY_JSON_H

#include "host/shared/action.h"
#include "host/shared/http_api.h"

/* Answers the call. `lists` holds the actions of each capability, at the same index. */
void capabilities_write(const struct http_api_call *call, const struct capability *capabilities,
                        const struct action_list *lists, uint32_t count);

#endif
