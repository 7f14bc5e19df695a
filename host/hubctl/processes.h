/* processes.h - the commands for one process: show, events, logs, cancel. */
#ifndef HOST_HUBCTL_PROCESSES_H
#define HOST_HUBCTL_PROCESSES_H

#include "host/hubctl/command.h"

extern const struct command_group processes_group;

/* Shows the process of the answer: for people, or as it came. */
void processes_print(const struct command_line *line, const struct json *json);

#endif
