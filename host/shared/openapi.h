/* openapi.h - the contract as the program serves it: docs/openapi.json, embedded at build time. */
#ifndef HOST_SHARED_OPENAPI_H
#define HOST_SHARED_OPENAPI_H

#include "hal/base.h"

struct bytes openapi_text(void);

#endif
