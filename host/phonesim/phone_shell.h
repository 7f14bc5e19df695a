/* phone_shell.h - the shell of an emulated phone: one script, run piece by piece.
 *
 * Understands words, quotes, `;`, `&&`, `||`, `> FILE`, `2>&1` and `2>/dev/null`; no variables,
 * pipes or substitution. Commands are in phone_commands.c. */
#ifndef HOST_PHONESIM_PHONE_SHELL_H
#define HOST_PHONESIM_PHONE_SHELL_H

#include "host/phonesim/phone_state.h"

enum {
    PHONE_SCRIPT_SIZE = 2048,
    PHONE_WORDS_MAX = 32,
    PHONE_OUTPUT_SIZE = 8192,
    PHONE_COMPLAINT_SIZE = 1024
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
    bool is_copying;       /* `cat` of a file that is still being shown */
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

/* Takes output, at most `capacity` bytes; 0: there is none now. */
size_t phone_shell_take(struct phone_shell *shell, uint8_t *target, size_t capacity,
                        bool *is_stderr);

/* Appends; what does not fit is cut. */
__attribute__((format(printf, 2, 3))) void phone_shell_print(struct phone_text *text,
                                                             const char *format, ...);

/* Runs one command and gives its exit status (phone_commands.c). */
int phone_commands_run(struct phone_call *call);

#endif
