/* follow.h - follows a process over its event stream until it has ended.
 *
 * A stream that ends or breaks is taken up behind the last event seen (Last-Event-ID), so that
 * nothing is missed or told twice while a hub is restarted or a network is gone for a while. On a
 * terminal a last line shows how far it is. */
#ifndef HOST_HUBCTL_FOLLOW_H
#define HOST_HUBCTL_FOLLOW_H

#include "host/hubctl/command.h"

enum { FOLLOW_PATIENCE_MS = 60000 /* without any answer; then it is given up */ };

struct follow {
    struct command_line *line;
    const char *id;
    enum { FOLLOW_LINES, FOLLOW_JSON, FOLLOW_QUIET } form;
    bool shows_output; /* of attempts */
    bool shows_bar;    /* the last line, when standard output is a terminal */
};

/* The exit code of how the process ended: COMMAND_DONE, COMMAND_FAILED or COMMAND_CANCELLED; or of
 * what made following it impossible, after saying so. */
int follow_process(const struct follow *follow);

#endif
