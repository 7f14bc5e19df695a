/* control.h - commands that change a process or a phone. */
#ifndef HOST_HUBCTL_CONTROL_H
#define HOST_HUBCTL_CONTROL_H

#include "host/hubctl/command.h"

extern const struct command_group control_group;

#endif
