/* phone_shell.h - the shell of an emulated phone: one script, run piece by piece.
 *
 * Understands words, quotes, `;`, `&&`, `||`, `> FILE`, `2>&1` and `2>/dev/null`; no variables,
 * pipes or substitution. Without a script it runs the lines of its input. Commands are in
 * phone_commands.c and phone_packages.c. */
#ifndef HOST_PHONESIM_PHONE_SHELL_H
#define HOST_PHONESIM_PHONE_SHELL_H

#include "host/phonesim/phone_state.h"

enum {
    PHONE_SCRIPT_SIZE = 2048,
    PHONE_WORDS_MAX = 32,
    PHONE_OUTPUT_SIZE = 8192,
    PHONE_COMPLAINT_SIZE = 1024
};

/* What becomes of input while a command reads it. */
enum phone_input {
    PHONE_INPUT_UNUSED, /* no command reads */
    PHONE_INPUT_ECHO,   /* shown: `cat` */
    PHONE_INPUT_FILE,   /* kept: `cat > FILE` */
    PHONE_INPUT_COUNT   /* so many bytes are taken: an installation */
};

struct phone_text {
    char *data;
    size_t capacity;
    size_t size;
};

struct phone_shell {
    char script[PHONE_SCRIPT_SIZE];
    size_t at; /* what comes next in the script */
    int status;
    bool is_over;
    bool skips_on_failure; /* joined by && to what came before */
    bool skips_on_success; /* joined by || */
    uint64_t wake_ms;      /* sleeping until then; 0: awake */
    bool is_interactive;   /* its script is empty: runs lines of input */
    bool has_input_ended;
    char line[PHONE_SCRIPT_SIZE]; /* of input that is no command yet */
    size_t line_size;
    enum phone_input input;
    struct phone_file *incoming; /* ECHO, FILE: what came */
    uint64_t input_left;         /* COUNT */
    uint64_t dial_port;          /* a command that asks for a reverse; 0: none */
    char dial_text[64];
    bool is_copying; /* `cat` of a file that is still being shown */
    struct phone_files_cursor cursor;
    char output_memory[PHONE_OUTPUT_SIZE];
    char complaint_memory[PHONE_COMPLAINT_SIZE];
    struct phone_text output; /* not yet taken */
    struct phone_text complaint;
};

/* One command that runs. */
struct phone_call {
    struct phone_state *state;
    struct phone_shell *shell;
    uint64_t now_ms;
    int word_count;
    char *words[PHONE_WORDS_MAX];
    struct phone_text *output;
    struct phone_text *complaint;
};

/* Begins a script. TOO_LARGE: longer than PHONE_SCRIPT_SIZE - 1 or with a NUL in it. */
must_check enum status phone_shell_begin(struct phone_shell *shell, struct bytes script);

/* Runs until there is output to take, it sleeps, or it is over. */
void phone_shell_step(struct phone_shell *shell, struct phone_state *state, uint64_t now_ms);

/* Bytes of its input, and their end. */
void phone_shell_input(struct phone_shell *shell, struct bytes input);
void phone_shell_input_end(struct phone_shell *shell, struct phone_state *state);
/* Whether nothing more will be said, once the output is taken. */
bool phone_shell_is_done(const struct phone_shell *shell);
/* Drops what was only half received. */
void phone_shell_drop(struct phone_shell *shell);

/* Takes output, at most `capacity` bytes; 0: there is none now. */
size_t phone_shell_take(struct phone_shell *shell, uint8_t *target, size_t capacity,
                        bool *is_stderr);

/* Appends; what does not fit is cut. */
__attribute__((format(printf, 2, 3))) void phone_shell_print(struct phone_text *text,
                                                             const char *format, ...);

/* Runs one command and gives its exit status (phone_commands.c). */
int phone_commands_run(struct phone_call *call);
/* The commands of packages, the screen and reports (phone_packages.c); -1: it is none of them. */
int phone_packages_run(struct phone_call *call);

/* Whether the word at `index` is `text`. */
bool phone_call_is(const struct phone_call *call, int index, const char *text);

#endif
