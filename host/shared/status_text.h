/* status_text.h - what an operator reads of a status (hal/status.def). */
#ifndef HOST_SHARED_STATUS_TEXT_H
#define HOST_SHARED_STATUS_TEXT_H

#include "hal/base.h"

const char *status_text(enum status status);

#endif
