#include "host/phonesim/phone_session.h"

#include "host/phonesim/phone_service.h"
#include "host/phonesim/phone_sync.h"

#include <string.h>

static bool starts_with(struct bytes text, struct bytes prefix) {
    return text.size >= prefix.size && memcmp(text.data, prefix.data, prefix.size) == 0;
}

static struct bytes after(struct bytes text, size_t size) {
    return (struct bytes){text.data + size, text.size - size};
}

/* `shell,v2,TERM=xterm,raw:command` and `shell:command`: what follows the first colon. */
static struct bytes after_colon(struct bytes name) {
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == ':') {
            return after(name, i + 1);
        }
    }
    return (struct bytes){name.data, 0};
}

struct bytes phone_session_command(struct bytes name) {
    bool is_shell = starts_with(name, bytes_of("shell")) || starts_with(name, bytes_of("exec:"));
    return is_shell ? after_colon(name) : name;
}

/* A script, an interactive shell, a command by words, or one of the small services. */
static enum status begin_shell(struct phone_session *session, struct bytes name) {
    struct bytes words = after_colon(name);
    bool is_abb = starts_with(name, bytes_of("abb:"));
    session->kind = is_abb || starts_with(name, bytes_of("shell,v2")) ? PHONE_SESSION_SHELL_V2
                                                                      : PHONE_SESSION_SHELL;
    if (is_abb || starts_with(name, bytes_of("abb_exec:"))) {
        char script[PHONE_SCRIPT_SIZE];
        size_t size = 0;
        enum status status = phone_service_script(words, script, sizeof script, &size);
        struct bytes text = {(const uint8_t *)script, size};
        return status == STATUS_OK ? phone_shell_begin(&session->shell, text) : status;
    }
    if (starts_with(name, bytes_of("shell")) || starts_with(name, bytes_of("exec:"))) {
        return phone_shell_begin(&session->shell, words);
    }
    return phone_service_begin(&session->shell, session->state, name);
}

enum status phone_session_begin(struct phone_session *session, uint32_t stream,
                                struct phone_state *state, struct bytes name) {
    memset(session, 0, sizeof *session);
    session->state = state;
    adb_shell_begin(&session->shell_input);
    adb_file_begin(&session->requests, ADB_FILE_REQUESTS);
    if (starts_with(name, bytes_of("sync:"))) {
        session->kind = PHONE_SESSION_FILES;
    } else if (begin_shell(session, name) != STATUS_OK) {
        return STATUS_NOT_FOUND;
    }
    session->stream = stream;
    return STATUS_OK;
}

void phone_session_set_fault(struct phone_session *session, enum phone_fault_kind fault,
                             uint64_t now_ms) {
    session->fault = fault;
    if (fault == PHONE_FAULT_SLOW) {
        session->ready_ms = now_ms + PHONE_SESSION_SLOW_MS;
    }
    if (fault == PHONE_FAULT_FAIL && session->kind != PHONE_SESSION_FILES) {
        phone_shell_print(&session->shell.complaint, "phonesim: failed on purpose\n");
        session->shell.status = 1;
        session->shell.is_over = true;
    }
}

static enum status read_shell_input(struct phone_session *session, struct bytes input) {
    struct adb_shell_piece piece;
    enum status status = STATUS_OK;
    if (session->kind == PHONE_SESSION_SHELL) {
        phone_shell_input(&session->shell, input);
        return STATUS_OK;
    }
    while (status == STATUS_OK) {
        status = adb_shell_next(&session->shell_input, &input, &piece);
        if (status == STATUS_OK && piece.id == ADB_SHELL_STDIN) {
            phone_shell_input(&session->shell, piece.data);
        } else if (status == STATUS_OK && piece.id == ADB_SHELL_CLOSE_STDIN) {
            phone_shell_input_end(&session->shell, session->state);
        }
    }
    return status == STATUS_MALFORMED ? STATUS_MALFORMED : STATUS_OK;
}

enum status phone_session_read(struct phone_session *session, struct bytes input) {
    if (session->fault == PHONE_FAULT_HANG) {
        return STATUS_OK;
    }
    return session->kind == PHONE_SESSION_FILES ? phone_sync_read(session, input)
                                                : read_shell_input(session, input);
}

/* Fills one payload of a command's answer; 0: nothing to say now. */
static size_t fill_shell(struct phone_session *session, uint8_t *target, size_t capacity,
                         uint64_t now_ms) {
    bool is_v2 = session->kind == PHONE_SESSION_SHELL_V2;
    size_t header = is_v2 ? ADB_SHELL_HEADER_SIZE : 0;
    bool is_stderr = false;
    phone_shell_step(&session->shell, session->state, now_ms);
    size_t size = phone_shell_take(&session->shell, target + header, capacity - header, &is_stderr);
    if (size == 0 && !phone_shell_is_done(&session->shell)) {
        return 0;
    }
    if (size == 0) {
        session->is_ending = true;
        if (is_v2) {
            adb_shell_write_header(target, ADB_SHELL_EXIT, 1);
            target[ADB_SHELL_HEADER_SIZE] = (uint8_t)session->shell.status;
        }
        return is_v2 ? ADB_SHELL_HEADER_SIZE + 1 : 0;
    }
    if (is_v2) {
        uint8_t id = is_stderr ? ADB_SHELL_STDERR : ADB_SHELL_STDOUT;
        adb_shell_write_header(target, id, (uint32_t)size);
    }
    return header + size;
}

/* A header whose magic is wrong: no ADB peer can take it for a message. */
static void send_garbage(struct adb_connection *connection) {
    struct adb_output *output = &connection->output;
    adb_output_send_words(output, 0x21212121u, 0xdeadbeefu, 0xffffffffu);
    output->data[output->end - 1] ^= 0xff;
}

void phone_session_write(struct phone_session *session, struct adb_connection *connection,
                         uint64_t now_ms) {
    bool is_hanging = session->fault == PHONE_FAULT_HANG;
    if (is_hanging || session->is_dropping || now_ms < session->ready_ms) {
        return;
    }
    session->ready_ms = 0; /* what is due is due once, or the loop would spin */
    if (now_ms >= session->shell.wake_ms) {
        session->shell.wake_ms = 0;
    }
    size_t capacity = 0;
    uint8_t *target = adb_connection_room(connection, session->stream, 1024, &capacity);
    if (target == NULL) {
        return;
    }
    bool is_files = session->kind == PHONE_SESSION_FILES;
    size_t size = 0;
    if (!session->is_ending) {
        size = is_files ? phone_sync_fill(session, target, capacity)
                        : fill_shell(session, target, capacity, now_ms);
    }
    if (size == 0 && session->is_ending) {
        adb_connection_close(connection, session->stream);
        phone_session_end(session);
    }
    if (size == 0) {
        return;
    }
    if (session->fault == PHONE_FAULT_SLOW) {
        session->ready_ms = now_ms + PHONE_SESSION_PAUSE_MS;
    }
    if (session->fault == PHONE_FAULT_GARBAGE) {
        send_garbage(connection);
        return;
    }
    session->is_dropping = session->fault == PHONE_FAULT_DROP;
    adb_connection_write_built(connection, session->stream,
                               session->is_dropping ? (size + 1) / 2 : size);
}

uint64_t phone_session_due_ms(const struct phone_session *session) {
    if (session->stream == 0 || session->fault == PHONE_FAULT_HANG) {
        return UINT64_MAX;
    }
    uint64_t due_ms = session->ready_ms != 0 ? session->ready_ms : UINT64_MAX;
    uint64_t wake_ms = session->shell.wake_ms == UINT64_MAX ? 0 : session->shell.wake_ms;
    return wake_ms != 0 && (due_ms == UINT64_MAX || wake_ms > due_ms) ? wake_ms : due_ms;
}

void phone_session_end(struct phone_session *session) {
    if (session->incoming != NULL) {
        phone_files_remove(session->incoming);
        session->incoming = NULL;
    }
    if (session->stream != 0 && session->kind != PHONE_SESSION_FILES) {
        phone_shell_input_end(&session->shell, session->state);
        phone_shell_drop(&session->shell);
    }
    session->stream = 0;
}
