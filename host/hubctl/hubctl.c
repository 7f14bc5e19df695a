/* hubctl - the command line for one hub, or for the fleet at an upstream's address. */
#include "host/hubctl/control.h"
#include "host/hubctl/follow.h"
#include "host/hubctl/lease.h"
#include "host/hubctl/lists.h"
#include "host/hubctl/processes.h"
#include "host/hubctl/run.h"
#include "host/hubctl/store_commands.h"
#include "host/hubctl/text.h"
#include "host/shared/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTIONS_MAX = 24, ABOUT_BYTES = 3072 };

static struct client_settings settings;
static struct command_line line;

static const struct cli_option global_options[] = {
    {"url", "URL", "http://HOST:PORT, https://HOST:PORT or unix:PATH", .text = &settings.url},
    {"ca", "FILE", "Certificate to trust, for https", .text = &settings.ca_path},
    {"token-file", "FILE", "A token, or a daemon's token file", .text = &settings.token_path},
    {"json", NULL, "Print the API's JSON as it is", .flag = &line.is_json},
};

static const struct command_group *const groups[] = {
    &lists_group, &processes_group, &run_group, &control_group, &lease_group, &store_group,
};

/* ---- finding the command ---- */

/* Index of the first word that is neither a global option nor its value; argc: there is none. */
static int find_word(int argc, char **argv) {
    int at = 1;
    while (at < argc && strncmp(argv[at], "--", 2) == 0 && argv[at][2] != '\0') {
        bool has_value = false;
        for (size_t i = 0; i < array_count(global_options); i++) {
            has_value = has_value || (global_options[i].value_name != NULL &&
                                      strcmp(argv[at] + 2, global_options[i].name) == 0);
        }
        at += has_value ? 2 : 1;
    }
    return at < argc ? at : argc;
}

static bool is_named(const struct command *command, const char *first, const char *second) {
    size_t size = strlen(first);
    if (strncmp(command->name, first, size) != 0) {
        return false;
    }
    const char *rest = command->name + size;
    return rest[0] == '\0' || (rest[0] == ' ' && second != NULL && strcmp(rest + 1, second) == 0);
}

static const struct command *find_command(const char *first, const char *second) {
    for (size_t g = 0; g < array_count(groups); g++) {
        for (size_t i = 0; i < groups[g]->count; i++) {
            if (is_named(&groups[g]->commands[i], first, second)) {
                return &groups[g]->commands[i];
            }
        }
    }
    return NULL;
}

/* ---- help ---- */

static void add_commands(char about[ABOUT_BYTES]) {
    size_t used = (size_t)snprintf(
        about, ABOUT_BYTES, "Asks a hub, or an upstream about its whole fleet.\n\ncommands:\n");
    for (size_t g = 0; g < array_count(groups); g++) {
        for (size_t i = 0; i < groups[g]->count; i++) {
            const struct command *command = &groups[g]->commands[i];
            used += (size_t)snprintf(about + used, ABOUT_BYTES - used, "  %-14s%s\n", command->name,
                                     command->about);
            check(used < ABOUT_BYTES);
        }
    }
    used += (size_t)snprintf(
        about + used, ABOUT_BYTES - used,
        "\n`hubctl COMMAND --help` says more. The environment's HUBCTL_URL and HUBCTL_TOKEN_FILE\n"
        "stand in for --url and --token-file; without either: http://127.0.0.1:7700, no token.\n"
        "exit status: 0 done, 1 failed or refused, 2 wrong usage, 3 cancelled, 4 no answer\n\n");
    check(used < ABOUT_BYTES);
}

static _Noreturn void refuse_without_command(int argc, char **argv, int word) {
    static char about[ABOUT_BYTES];
    add_commands(about);
    const struct cli cli = {
        .program = "hubctl",
        .version = HUB_VERSION,
        .usage = "[--url URL] [--ca FILE] [--token-file FILE] [--json] COMMAND ...",
        .about = about,
        .options = global_options,
        .option_count = array_count(global_options),
    };
    char message[160];
    if (word == argc) {
        cli_start(&cli, &argc, argv);
        cli_refuse(&cli, "expected a command");
    }
    snprintf(message, sizeof message, "%.100s: no such command", argv[word]);
    cli_refuse(&cli, message);
}

/* ---- running it ---- */

/* Puts the command's options behind the global ones and parses all. */
static void parse(const struct command *command, int *argc, char **argv) {
    static struct cli_option options[OPTIONS_MAX];
    static char program[32];
    static char about[ABOUT_BYTES];
    static struct cli cli;
    size_t count = array_count(global_options);
    check(command->option_count + count <= OPTIONS_MAX);
    if (command->option_count > 0) {
        memcpy(options, command->options, command->option_count * sizeof options[0]);
    }
    memcpy(options + command->option_count, global_options, sizeof global_options);
    snprintf(program, sizeof program, "hubctl %s", command->name);
    snprintf(about, sizeof about, "%s.\n%s\n", command->about,
             command->more == NULL ? "" : command->more);
    cli = (struct cli){program, HUB_VERSION, command->usage,
                       about,   options,     command->option_count + count};
    line.cli = &cli;
    cli_start(&cli, argc, argv);
}

int main(int argc, char **argv) {
    static char follow[] = "--follow";
    text_start();
    int word = find_word(argc, argv);
    const char *second = word + 1 < argc ? argv[word + 1] : NULL;
    const struct command *command = word == argc ? NULL : find_command(argv[word], second);
    if (command == NULL) {
        refuse_without_command(argc, argv, word);
    }
    /* cppcheck-suppress nullPointerRedundantCheck ; refusing does not come back */
    for (int i = word; command->takes_program && i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            line.program = argv + i + 1;
            argc = i;
        }
    }
    for (int i = word; i < argc; i++) {
        argv[i] = strcmp(argv[i], "-f") == 0 ? follow : argv[i];
    }
    parse(command, &argc, argv);
    int words = strchr(command->name, ' ') == NULL ? 1 : 2;
    line.command = command;
    line.settings = &settings;
    line.operands = (const char *const *)(argv + 1 + words);
    line.operand_count = argc - 1 - words;
    if (line.operand_count < command->operands_min || line.operand_count > command->operands_max) {
        char message[160];
        snprintf(message, sizeof message, "expected %s%s",
                 command->usage[0] == '\0' ? "nothing more" : "it as: ", command->usage);
        cli_refuse(line.cli, message);
    }
    if (!command->is_offline && client_open(&line.client, &settings) != STATUS_OK) {
        return command_fail(&line, COMMAND_USAGE, "%s", line.client.reason);
    }
    int code = command->run(&line);
    if (fflush(stdout) != 0) {
        return command_fail(&line, COMMAND_FAILED, "standard output takes no more");
    }
    return code;
}
