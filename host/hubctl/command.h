/* command.h - what the commands of hubctl share: their table's rows, asking the API, refusals. */
#ifndef HOST_HUBCTL_COMMAND_H
#define HOST_HUBCTL_COMMAND_H

#include "host/hubctl/client.h"
#include "host/hubctl/table.h"
#include "host/shared/cli.h"
#include "host/shared/json.h"

/* What hubctl exits with. */
enum {
    COMMAND_DONE = 0,
    COMMAND_FAILED = 1, /* refused, not found, not healthy; the process ended as failed */
    COMMAND_USAGE = 2,
    COMMAND_CANCELLED = 3,   /* the process ended as cancelled */
    COMMAND_UNREACHABLE = 4, /* no answer, or not allowed */
};

enum { COMMAND_TARGET_BYTES = 1024, COMMAND_TEXT_BYTES = 512, COMMAND_TOKENS = 1 << 17 };

struct command;

/* One run of the program. */
struct command_line {
    const struct command *command;
    const struct cli *cli;
    const char *const *operands;
    int operand_count;
    char *const *program; /* what stands behind `--`, NULL-terminated; NULL: nothing */
    bool is_json;
    const struct client_settings *settings;
    struct client client; /* open, unless the command is offline */
};

struct command {
    const char *name;  /* one word, or two with a blank */
    const char *usage; /* behind the name */
    const char *about; /* one line */
    const char *more;  /* whole lines for its --help, or NULL */
    const struct cli_option *options;
    size_t option_count;
    int operands_min, operands_max;
    bool is_offline;    /* needs no hub */
    bool takes_program; /* behind `--` */
    int (*run)(struct command_line *line);
};

struct command_group {
    const struct command *commands;
    size_t count;
};

/* Says on standard error what is wrong, behind `hubctl NAME: `. Returns `code`. */
__attribute__((format(printf, 3, 4))) int command_fail(const struct command_line *line, int code,
                                                       const char *format, ...);

/* Asks (POST when `body` is not NULL) and takes the answer's JSON. With 0 the answer is there and
 * its status below 400; else it was said what is wrong, and this is the exit code. The JSON stays
 * valid until the next question. */
int command_ask(struct command_line *line, const char *target, const struct bytes *body,
                struct json *json);
/* The same, for an answer that may be any text. */
int command_ask_text(struct command_line *line, const char *target, struct client_answer *answer);

/* Says what an answer's refusal says; returns the exit code. */
int command_refused(const struct command_line *line, const struct client_answer *answer);

/* Prints the last answer as it came, with a newline behind it. */
void command_print_answer(const struct json *json);

/* ---- targets ---- */

/* Writes a path; `*` in it is replaced by `id`, percent-encoded. False: it does not fit. */
bool command_path(char target[COMMAND_TARGET_BYTES], const char *path, const char *id);
/* Adds `name=value` to the query; nothing for a NULL value. */
bool command_query(char target[COMMAND_TARGET_BYTES], const char *name, const char *value);

/* ---- values of the answer ---- */

/* A member as text: strings without quotes, null and absent ones empty, others as they are written.
 * A longer one is cut. Not yet safe to show. */
struct bytes command_member(const struct json *json, unsigned object, const char *name,
                            char text[COMMAND_TEXT_BYTES]);
uint64_t command_number(const struct json *json, unsigned object, const char *name);
bool command_is(const struct json *json, unsigned object, const char *name, const char *value);
/* The array of this name; false: there is none. */
bool command_array(const struct json *json, const char *name, unsigned *array);

/* Adds a row: one member a column. */
void command_add_row(struct table *table, const struct json *json, unsigned object,
                     const char *const *members);

/* The program's one table, and its second buffer for answers. */
struct table *command_table(void);
uint8_t *command_buffer(void); /* CLIENT_ANSWER_BYTES; holds the last answer */

#endif
