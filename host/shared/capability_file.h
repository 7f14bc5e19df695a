/* capability_file.h - reads a capability from its file: an INI file of policy and actions, see
 * docs/capabilities.md. */
#ifndef HOST_SHARED_CAPABILITY_FILE_H
#define HOST_SHARED_CAPABILITY_FILE_H

#include "host/shared/action.h"
#include "host/shared/config.h"

/* Both halves. MALFORMED and the rest as config_read(): `error` says file, line, key and what was
 * expected. */
must_check enum status capability_file_read(const char *path, struct capability *capability,
                                            struct action_list *list, struct config_error *error);

#endif
