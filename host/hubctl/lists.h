/* lists.h - the commands that show what there is: phones, slots, ps, capabilities, hubs, sync,
 * health. */
#ifndef HOST_HUBCTL_LISTS_H
#define HOST_HUBCTL_LISTS_H

#include "host/hubctl/command.h"

extern const struct command_group lists_group;

#endif
