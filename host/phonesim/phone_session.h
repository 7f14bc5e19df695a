/* phone_session.h - one stream of an emulated phone: a shell command or the file service.
 *
 * Used by phone.c, which owns the connection. */
#ifndef HOST_PHONESIM_PHONE_SESSION_H
#define HOST_PHONESIM_PHONE_SESSION_H

#include "host/phonesim/phone_fault.h"
#include "host/phonesim/phone_shell.h"
#include "protocol/adb_connection.h"
#include "protocol/adb_file.h"
#include "protocol/adb_shell.h"

enum phone_session_kind { PHONE_SESSION_SHELL, PHONE_SESSION_SHELL_V2, PHONE_SESSION_FILES };

enum {
    PHONE_SESSION_ANSWERS = 1024, /* bytes of short answers that wait */
    PHONE_SESSION_SLOW_MS = 1000, /* before the first byte */
    PHONE_SESSION_PAUSE_MS = 100  /* before each later one */
};

struct phone_session {
    uint32_t stream; /* 0: free */
    enum phone_session_kind kind;
    enum phone_fault_kind fault;
    uint64_t ready_ms; /* of a slow one */
    bool is_ending;    /* the last byte is on its way; closed once it was acknowledged */
    bool is_dropping;  /* the connection is to break now */
    bool is_finished;  /* the peer said QUIT */
    uint32_t dialled;  /* stream towards the host; 0: none */
    bool has_dialled;  /* what is to be said on it has been said */
    struct phone_state *state;
    struct phone_shell shell;
    struct adb_shell_reader shell_input;
    /* the file service */
    struct adb_file_reader requests;
    char path[ADB_FILE_PATH_MAX + 1];
    size_t path_size;
    struct phone_file *incoming; /* of SEND */
    bool is_refused;             /* FAIL was said: what comes until DONE is skipped */
    uint32_t mode;
    uint32_t streaming; /* RECV, LIST or LIST_V2 while its answer is being sent; else 0 */
    struct phone_files_cursor cursor;
    char directory[PHONE_FILES_PATH_SIZE];
    size_t list_index;
    uint8_t answers[PHONE_SESSION_ANSWERS];
    size_t answers_size;
};

/* Begins the service that `name` asks for, with the fault that was drawn for it. NOT_FOUND: this
 * phone has no such service. */
must_check enum status phone_session_begin(struct phone_session *session, uint32_t stream,
                                           struct phone_state *state, struct bytes name);
void phone_session_set_fault(struct phone_session *session, enum phone_fault_kind fault,
                             uint64_t now_ms);

/* What a service is called for faults and the log: the command, or `sync:`. */
struct bytes phone_session_command(struct bytes name);

/* Takes bytes from the host. MALFORMED: they are not of this service's protocol. */
must_check enum status phone_session_read(struct phone_session *session, struct bytes input);

/* Sends what may be sent now. */
void phone_session_write(struct phone_session *session, struct adb_connection *connection,
                         uint64_t now_ms);

/* When phone_session_write() has something to do again by time alone; UINT64_MAX: never. */
uint64_t phone_session_due_ms(const struct phone_session *session);

/* Frees the slot, and what was only half received. */
void phone_session_end(struct phone_session *session);

#endif
