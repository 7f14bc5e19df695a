/* run.h - the command that asks for work and follows it to its end. */
#ifndef HOST_HUBCTL_RUN_H
#define HOST_HUBCTL_RUN_H

#include "host/hubctl/command.h"

extern const struct command_group run_group;

#endif
