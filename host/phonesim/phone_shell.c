#include "host/phonesim/phone_shell.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void phone_shell_print(struct phone_text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t room = text->capacity - text->size;
    int size = vsnprintf(text->data + text->size, room, format, arguments);
    va_end(arguments);
    if (size > 0) {
        text->size += (size_t)size < room ? (size_t)size : room - 1;
    }
}

enum status phone_shell_begin(struct phone_shell *shell, struct bytes script) {
    memset(shell, 0, offsetof(struct phone_shell, output_memory));
    shell->output = (struct phone_text){shell->output_memory, PHONE_OUTPUT_SIZE, 0};
    shell->complaint = (struct phone_text){shell->complaint_memory, PHONE_COMPLAINT_SIZE, 0};
    if (script.size >= sizeof shell->script ||
        (script.size > 0 && memchr(script.data, '\0', script.size) != NULL)) {
        return STATUS_TOO_LARGE;
    }
    if (script.size > 0) {
        memcpy(shell->script, script.data, script.size);
    }
    shell->script[script.size] = '\0';
    shell->is_interactive = script.size == 0;
    shell->is_over = script.size == 0;
    return STATUS_OK;
}

/* --- input --- */

static void keep_line(struct phone_shell *shell, struct bytes input) {
    for (size_t i = 0; i < input.size; i++) {
        if (shell->line_size + 1 < sizeof shell->line) {
            shell->line[shell->line_size++] = (char)input.data[i];
        }
    }
}

void phone_shell_input(struct phone_shell *shell, struct bytes input) {
    if (shell->input == PHONE_INPUT_COUNT) {
        uint64_t taken = input.size < shell->input_left ? input.size : shell->input_left;
        shell->input_left -= taken;
        shell->input = shell->input_left > 0 ? PHONE_INPUT_COUNT : PHONE_INPUT_UNUSED;
        if (shell->input == PHONE_INPUT_UNUSED) {
            phone_shell_print(&shell->output, "Success\n");
        }
    } else if (shell->input != PHONE_INPUT_UNUSED && shell->incoming != NULL) {
        bool was_empty = shell->incoming->size == 0;
        if (phone_files_append(shell->incoming, input) != STATUS_OK) {
            phone_shell_print(&shell->complaint, "cat: write: No space left on device\n");
            shell->status = 1;
        }
        if (was_empty && shell->input == PHONE_INPUT_ECHO) {
            phone_files_open(&shell->cursor, shell->incoming);
            shell->is_copying = true;
        }
    } else if (shell->is_interactive) {
        keep_line(shell, input);
    }
}

void phone_shell_input_end(struct phone_shell *shell, struct phone_state *state) {
    shell->has_input_ended = true;
    if (shell->input == PHONE_INPUT_FILE && shell->incoming != NULL) {
        phone_files_publish(&state->files, shell->incoming, 0644, phone_state_wall_s());
        shell->incoming = NULL;
    }
    if (shell->input == PHONE_INPUT_COUNT) {
        phone_shell_print(&shell->output, "Failure [INSTALL_FAILED_INVALID_APK]\n");
        shell->status = 1;
    }
    shell->input = PHONE_INPUT_UNUSED;
}

void phone_shell_drop(struct phone_shell *shell) {
    if (shell->incoming != NULL) {
        phone_files_remove(shell->incoming);
        shell->incoming = NULL;
    }
}

/* An interactive shell goes on with the next whole line, or with the rest at the end of input. */
static bool take_line(struct phone_shell *shell) {
    const char *end = memchr(shell->line, '\n', shell->line_size);
    if (!shell->is_interactive || (end == NULL && !shell->has_input_ended) ||
        shell->line_size == 0) {
        return false;
    }
    size_t size = end != NULL ? (size_t)(end - shell->line) : shell->line_size;
    size_t taken = end != NULL ? size + 1 : size;
    memcpy(shell->script, shell->line, size);
    shell->script[size] = '\0';
    shell->line_size -= taken;
    memmove(shell->line, shell->line + taken, shell->line_size);
    shell->at = 0;
    shell->is_over = false;
    return true;
}

static bool is_waiting(const struct phone_shell *shell) {
    return shell->wake_ms != 0 || shell->is_copying || shell->input != PHONE_INPUT_UNUSED ||
           shell->dial_port != 0;
}

bool phone_shell_is_done(const struct phone_shell *shell) {
    bool has_more = shell->is_interactive && (shell->line_size > 0 || !shell->has_input_ended);
    return shell->is_over && !is_waiting(shell) && !has_more;
}

/* One simple command, taken apart. */
struct command {
    char memory[PHONE_SCRIPT_SIZE];
    size_t used;
    char *words[PHONE_WORDS_MAX];
    int count;
    char *target;   /* of `>`; NULL: none */
    bool is_joined; /* 2>&1 */
    bool is_quiet;  /* 2>/dev/null */
    const char *trouble;
};

static bool is_blank(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static bool ends_word(char byte) {
    return byte == '\0' || is_blank(byte) || strchr(";&|<>", byte) != NULL;
}

/* Copies one word without its quotes. */
static char *take_word(struct phone_shell *shell, struct command *command) {
    char *word = command->memory + command->used;
    char quote = '\0';
    const char *script = shell->script;
    while (script[shell->at] != '\0' && (quote != '\0' || !ends_word(script[shell->at]))) {
        char byte = script[shell->at++];
        if (byte == quote) {
            quote = '\0';
        } else if (quote == '\0' && (byte == '\'' || byte == '"')) {
            quote = byte;
        } else if (byte == '\\' && quote != '\'' && script[shell->at] != '\0') {
            command->memory[command->used++] = script[shell->at++];
        } else {
            command->memory[command->used++] = byte;
        }
    }
    command->trouble = quote != '\0' ? "no closing quote" : command->trouble;
    command->memory[command->used++] = '\0';
    return word;
}

static void skip_blanks(struct phone_shell *shell) {
    while (shell->script[shell->at] == ' ' || shell->script[shell->at] == '\t') {
        shell->at += 1;
    }
}

static bool take(struct phone_shell *shell, const char *text) {
    size_t size = strlen(text);
    bool is_here = strncmp(shell->script + shell->at, text, size) == 0;
    shell->at += is_here ? size : 0;
    return is_here;
}

static void take_redirection(struct phone_shell *shell, struct command *command) {
    skip_blanks(shell);
    command->target = take_word(shell, command);
    if (command->target[0] == '\0') {
        command->trouble = "syntax error: '>' without a file";
    }
}

/* Takes words up to the separator, which stays. */
static void take_command(struct phone_shell *shell, struct command *command) {
    *command = (struct command){.used = 0};
    while (command->trouble == NULL) {
        skip_blanks(shell);
        const char *rest = shell->script + shell->at;
        if (take(shell, "2>&1")) {
            command->is_joined = true;
        } else if (take(shell, "2>/dev/null") || take(shell, "2> /dev/null")) {
            command->is_quiet = true;
        } else if (*rest == '>') {
            shell->at += 1;
            take_redirection(shell, command);
        } else if (*rest == '<') {
            command->trouble = "syntax error: '<' unexpected";
        } else if (ends_word(*rest)) {
            return;
        } else if (command->count == PHONE_WORDS_MAX) {
            command->trouble = "too many words";
        } else {
            command->words[command->count++] = take_word(shell, command);
        }
    }
}

/* What joins this command to the next one; also finds the end of the script. */
static const char *take_separator(struct phone_shell *shell) {
    shell->skips_on_failure = false;
    shell->skips_on_success = false;
    while (true) {
        if (take(shell, "&&")) {
            shell->skips_on_failure = true;
        } else if (take(shell, "||")) {
            shell->skips_on_success = true;
        } else if (shell->script[shell->at] == '|') {
            return "syntax error: '|' unexpected";
        } else if (shell->script[shell->at] == '&') {
            return "syntax error: '&' unexpected";
        } else if (shell->script[shell->at] == ';' || is_blank(shell->script[shell->at])) {
            shell->at += 1;
        } else {
            shell->is_over = shell->script[shell->at] == '\0';
            return NULL;
        }
    }
}

static void give_up(struct phone_shell *shell, const char *trouble) {
    phone_shell_print(&shell->complaint, "/system/bin/sh: %s\n", trouble);
    shell->status = 1;
    shell->is_over = true;
}

/* `cat > FILE`: what comes in is kept there. */
static int redirect_input(struct phone_call *call, const char *target) {
    char path[PHONE_FILES_PATH_SIZE];
    struct bytes name = {(const uint8_t *)target, strlen(target)};
    phone_shell_drop(call->shell);
    if (phone_files_normalise(name, path) == STATUS_OK &&
        !phone_files_is_directory(&call->state->files, path)) {
        call->shell->incoming = phone_files_create(&call->state->files, path);
    }
    if (call->shell->incoming == NULL) {
        call->shell->input = PHONE_INPUT_UNUSED;
        phone_shell_print(call->complaint, "/system/bin/sh: can't create %s\n", target);
        return 1;
    }
    call->shell->input = PHONE_INPUT_FILE;
    return 0;
}

/* Puts what a command printed into a file instead. */
static int redirect(struct phone_call *call, const char *target, size_t from) {
    char path[PHONE_FILES_PATH_SIZE];
    struct phone_text *output = call->output;
    struct bytes content = {(const uint8_t *)output->data + from, output->size - from};
    output->size = from;
    if (call->shell->input == PHONE_INPUT_ECHO) {
        return redirect_input(call, target);
    }
    if (strcmp(target, "/dev/null") == 0) {
        call->shell->is_copying = false;
        return 0;
    }
    struct bytes name = {(const uint8_t *)target, strlen(target)};
    struct phone_files *files = &call->state->files;
    struct phone_file *file =
        phone_files_normalise(name, path) != STATUS_OK || phone_files_is_directory(files, path)
            ? NULL
            : phone_files_create(files, path);
    enum status status = file == NULL ? STATUS_FULL : phone_files_append(file, content);
    uint8_t part[512];
    size_t size = 0;
    while (status == STATUS_OK && call->shell->is_copying &&
           (size = phone_files_read(&call->shell->cursor, part, sizeof part)) > 0) {
        status = phone_files_append(file, (struct bytes){part, size});
    }
    call->shell->is_copying = false;
    if (status != STATUS_OK) {
        if (file != NULL) {
            phone_files_remove(file);
        }
        phone_shell_print(call->complaint, "/system/bin/sh: can't create %s\n", target);
        return 1;
    }
    phone_files_publish(files, file, 0644, phone_state_wall_s());
    return 0;
}

static void run_command(struct phone_shell *shell, struct phone_state *state, uint64_t now_ms,
                        struct command *command) {
    struct phone_call call = {.state = state,
                              .shell = shell,
                              .now_ms = now_ms,
                              .word_count = command->count,
                              .output = &shell->output,
                              .complaint = command->is_joined ? &shell->output : &shell->complaint};
    memcpy(call.words, command->words, sizeof call.words);
    size_t from = shell->output.size;
    size_t complaint_from = shell->complaint.size;
    shell->status = command->count > 0 ? phone_commands_run(&call) : 0;
    if (command->is_quiet) {
        shell->complaint.size = complaint_from;
    }
    if (command->target != NULL) {
        int status = redirect(&call, command->target, from);
        shell->status = status != 0 ? status : shell->status;
    }
}

static void step_once(struct phone_shell *shell, struct phone_state *state, uint64_t now_ms) {
    struct command command;
    bool is_skipped = (shell->skips_on_failure && shell->status != 0) ||
                      (shell->skips_on_success && shell->status == 0);
    take_command(shell, &command);
    if (command.trouble != NULL) {
        give_up(shell, command.trouble);
        return;
    }
    if (!is_skipped) {
        run_command(shell, state, now_ms, &command);
    }
    const char *trouble = shell->is_over ? NULL : take_separator(shell);
    if (trouble != NULL) {
        give_up(shell, trouble);
    }
}

void phone_shell_step(struct phone_shell *shell, struct phone_state *state, uint64_t now_ms) {
    if (shell->wake_ms != 0 && now_ms >= shell->wake_ms) {
        shell->wake_ms = 0;
    }
    while (!is_waiting(shell) && shell->output.size == 0 && shell->complaint.size == 0 &&
           (!shell->is_over || take_line(shell))) {
        step_once(shell, state, now_ms);
    }
}

static size_t take_text(struct phone_text *text, uint8_t *target, size_t capacity) {
    size_t size = text->size < capacity ? text->size : capacity;
    memcpy(target, text->data, size);
    text->size -= size;
    memmove(text->data, text->data + size, text->size);
    return size;
}

size_t phone_shell_take(struct phone_shell *shell, uint8_t *target, size_t capacity,
                        bool *is_stderr) {
    *is_stderr = false;
    if (shell->output.size > 0) {
        return take_text(&shell->output, target, capacity);
    }
    if (shell->complaint.size > 0) {
        *is_stderr = true;
        return take_text(&shell->complaint, target, capacity);
    }
    size_t size = 0;
    if (shell->is_copying) {
        size = phone_files_read(&shell->cursor, target, capacity);
        shell->is_copying = size > 0 || shell->input == PHONE_INPUT_ECHO;
    }
    return size;
}
