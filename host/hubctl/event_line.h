/* event_line.h - one event of a process as a line for people:
 *
 *     00:21:12.345  executing        started          item 1: started, attempt 1
 */
#ifndef HOST_HUBCTL_EVENT_LINE_H
#define HOST_HUBCTL_EVENT_LINE_H

#include "host/hubctl/command.h"

/* Prints it; with `shows_output` the output of an attempt stands indented below. */
void event_line_print(const struct json *json, unsigned event, bool shows_output);

#endif
