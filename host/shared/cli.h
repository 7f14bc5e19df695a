/* cli.h - the command line of a program: long options, --help, --version, and what was wrong. */
#ifndef HOST_SHARED_CLI_H
#define HOST_SHARED_CLI_H

#include "hal/base.h"

/* Exactly one of flag, text and take is set. */
struct cli_option {
    const char *name;       /* "config" for --config */
    const char *value_name; /* "FILE"; NULL for a flag */
    const char *help;
    bool *flag;                                   /* set to true */
    const char **text;                            /* set to the value; may be given once */
    bool (*take)(void *owner, const char *value); /* for each time; false: not as value_name says */
    void *owner;
};

struct cli {
    const char *program, *version;
    const char *usage; /* behind the program's name: "--config FILE" */
    const char *about; /* whole lines for --help, may be NULL */
    const struct cli_option *options;
    size_t option_count;
};

enum cli_result {
    CLI_RUN,  /* go on */
    CLI_DONE, /* --help or --version: print the text, exit 0 */
    CLI_WRONG /* print the text to standard error, exit 2 */
};

enum { CLI_TEXT_BYTES = 4096 };

/* Takes options (`--name VALUE`, `--name=VALUE`) from anywhere up to `--`; what remains are argv[1]
 * to argv[*argc - 1]. */
must_check enum cli_result cli_parse(const struct cli *cli, int *argc, char **argv,
                                     char text[CLI_TEXT_BYTES]);

/* The same; prints and exits unless the program is to run. */
void cli_start(const struct cli *cli, int *argc, char **argv);

/* Prints `PROGRAM: message` and `try --help` to standard error and exits with status 2. */
_Noreturn void cli_refuse(const struct cli *cli, const char *message);

#endif
