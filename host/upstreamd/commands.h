/* commands.h - what `upstreamd COMMAND` does beside serving, and ends: enroll, revoke, init-ca. */
#ifndef HOST_UPSTREAMD_COMMANDS_H
#define HOST_UPSTREAMD_COMMANDS_H

#include "host/upstreamd/settings.h"
#include "host/upstreamd/sync/trust.h"

struct commands_options {
    const char *minutes; /* of --minutes; NULL: not given */
};

/* Whether the word is one. init-ca needs no settings. */
bool commands_is(const char *word);
bool commands_needs_settings(const char *word);

/* Does it: `words` are the command and its arguments. Gives the exit status. `trust` is the
 * program's, unused so far. */
int commands_run(const struct settings *settings, struct trust *trust,
                 const struct commands_options *options, int count, char **words);

#endif
