#include "host/shared/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 26 };

struct page {
    char *text;
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void put(struct page *page, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(page->text + page->used, CLI_TEXT_BYTES - page->used, format, arguments);
    va_end(arguments);
    page->used += size > 0 ? (size_t)size : 0;
    if (page->used >= CLI_TEXT_BYTES) {
        page->used = CLI_TEXT_BYTES - 1;
    }
}

static void put_option(struct page *page, const char *name, const char *value_name,
                       const char *help) {
    size_t begin = page->used;
    put(page, "  --%s%s%s", name, value_name != NULL ? " " : "",
        value_name != NULL ? value_name : "");
    size_t width = page->used - begin;
    put(page, "%*s%s\n", width < HELP_COLUMN ? (int)(HELP_COLUMN - width) : 1, "", help);
}

static void put_help(const struct cli *cli, struct page *page) {
    put(page, "usage: %s %s\n", cli->program, cli->usage);
    if (cli->about != NULL) {
        put(page, "%s", cli->about);
    }
    put(page, "options:\n");
    for (size_t i = 0; i < cli->option_count; i++) {
        const struct cli_option *option = &cli->options[i];
        put_option(page, option->name, option->value_name, option->help);
    }
    put_option(page, "help", NULL, "Show this text");
    put_option(page, "version", NULL, "Show the version");
}

static const struct cli_option *find(const struct cli *cli, const char *name, size_t size) {
    for (size_t i = 0; i < cli->option_count; i++) {
        const struct cli_option *option = &cli->options[i];
        if (strlen(option->name) == size && memcmp(option->name, name, size) == 0) {
            return option;
        }
    }
    return NULL;
}

static enum cli_result unknown(const struct cli *cli, const char *argument, struct page *page) {
    put(page, "%s: %s: no such option; expected one of", cli->program, argument);
    for (size_t i = 0; i < cli->option_count; i++) {
        const char *value_name = cli->options[i].value_name;
        put(page, " --%s%s%s,", cli->options[i].name, value_name != NULL ? " " : "",
            value_name != NULL ? value_name : "");
    }
    put(page, " --help, --version\n");
    return CLI_WRONG;
}

static bool take(const struct cli_option *option, const char *value) {
    if (option->take != NULL) {
        return option->take(option->owner, value);
    }
    check(option->text != NULL);
    if (*option->text != NULL || value[0] == '\0') {
        return false;
    }
    *option->text = value;
    return true;
}

/* Takes the option at argv[*at] and its value; *at becomes the index of the last one used. */
static enum cli_result take_option(const struct cli *cli, char **argv, int *at, struct page *page) {
    const char *argument = argv[*at];
    const char *name = argument + 2;
    const char *equals = strchr(name, '=');
    size_t size = equals != NULL ? (size_t)(equals - name) : strlen(name);
    if (strcmp(name, "help") == 0) {
        put_help(cli, page);
        return CLI_DONE;
    }
    if (strcmp(name, "version") == 0) {
        put(page, "%s %s\n", cli->program, cli->version);
        return CLI_DONE;
    }
    const struct cli_option *option = find(cli, name, size);
    if (option == NULL) {
        return unknown(cli, argument, page);
    }
    if (option->value_name == NULL) {
        *option->flag = true;
        if (equals != NULL) {
            put(page, "%s: --%s: takes no value\n", cli->program, option->name);
        }
        return equals != NULL ? CLI_WRONG : CLI_RUN;
    }
    const char *value = equals != NULL ? equals + 1 : argv[*at + 1];
    if (value == NULL) {
        put(page, "%s: --%s: expected %s behind it\n", cli->program, option->name,
            option->value_name);
        return CLI_WRONG;
    }
    *at += equals == NULL;
    bool is_repeated = option->text != NULL && *option->text != NULL;
    if (!take(option, value)) {
        put(page, "%s: --%s: expected %s%s, got \"%s\"\n", cli->program, option->name,
            option->value_name, is_repeated ? " only once" : "", value);
        return CLI_WRONG;
    }
    return CLI_RUN;
}

enum cli_result cli_parse(const struct cli *cli, int *argc, char **argv,
                          char text[CLI_TEXT_BYTES]) {
    struct page page = {text, 0};
    int kept = 1;
    bool has_ended = false;
    text[0] = '\0';
    for (int at = 1; at < *argc; at++) {
        const char *argument = argv[at];
        if (has_ended || argument[0] != '-' || argument[1] == '\0') {
            argv[kept++] = argv[at];
            continue;
        }
        if (argument[1] != '-') {
            return unknown(cli, argument, &page);
        }
        has_ended = argument[2] == '\0';
        enum cli_result result = has_ended ? CLI_RUN : take_option(cli, argv, &at, &page);
        if (result != CLI_RUN) {
            return result;
        }
    }
    argv[kept] = NULL;
    *argc = kept;
    return CLI_RUN;
}

void cli_start(const struct cli *cli, int *argc, char **argv) {
    char text[CLI_TEXT_BYTES];
    enum cli_result result = cli_parse(cli, argc, argv, text);
    if (result == CLI_RUN) {
        return;
    }
    fputs(text, result == CLI_DONE ? stdout : stderr);
    exit(result == CLI_DONE ? 0 : 2);
}

_Noreturn void cli_refuse(const struct cli *cli, const char *message) {
    fprintf(stderr, "%s: %s\ntry %s --help\n", cli->program, message, cli->program);
    exit(2);
}
