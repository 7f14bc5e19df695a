/* lease.h - `hubctl lease`: holds a phone while a program of this machine uses it by adb. */
#ifndef HOST_HUBCTL_LEASE_H
#define HOST_HUBCTL_LEASE_H

#include "host/hubctl/command.h"

extern const struct command_group lease_group;

#endif
