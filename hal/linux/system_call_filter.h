/* system_call_filter.h - the system calls that a job has no business with, as a seccomp filter. */
#ifndef HAL_LINUX_SYSTEM_CALL_FILTER_H
#define HAL_LINUX_SYSTEM_CALL_FILTER_H

#include "hal/base.h"

/* A file in memory that holds the filter, for `bwrap --seccomp`; -1: none could be made. Each
 * reader opens it anew, by /proc/self/fd, so that it begins at the front. */
must_check int system_call_filter_open(void);

#endif
