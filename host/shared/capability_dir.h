/* capability_dir.h - the files of `[capabilities] dir`, one after the other. */
#ifndef HOST_SHARED_CAPABILITY_DIR_H
#define HOST_SHARED_CAPABILITY_DIR_H

#include "host/shared/config.h"

/* False: stop; the visitor has filled in its own error. */
typedef bool capability_dir_visit(void *owner, const char *path);

/* Visits every file of the directory whose name ends in .ini, in no order. False: a visit said so,
 * or the directory cannot be read, which `error` then says. */
must_check bool capability_dir_walk(const char *directory, capability_dir_visit *visit, void *owner,
                                    struct config_error *error);

#endif
