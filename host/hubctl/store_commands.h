/* store_commands.h - the offline commands on a store file: check, stats, dump, format, grow. The
 * first three only read. */
#ifndef HOST_HUBCTL_STORE_COMMANDS_H
#define HOST_HUBCTL_STORE_COMMANDS_H

#include "host/hubctl/command.h"

extern const struct command_group store_group;

#endif
