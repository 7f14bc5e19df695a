/* phone_operation.h - one operation on a phone over one ADB stream: run a command, push, pull, or
 * ask for a service that says nothing.
 *
 * Used by phone_link.c only, which owns the stream's life; here is what passes through it. File
 * reads and writes are plain and small; they go to local storage. */
#ifndef HOST_HUBD_PHONE_OPERATION_H
#define HOST_HUBD_PHONE_OPERATION_H

#include "protocol/adb_connection.h"
#include "protocol/adb_file.h"
#include "protocol/adb_shell.h"

enum {
    PHONE_COMMAND_MAX = 2048, /* bytes of a command */
    PHONE_PATH_SIZE = 512,    /* a path on the host, with its NUL */
    PHONE_DETAIL_SIZE = 128
};

enum phone_operation_kind { PHONE_SHELL, PHONE_PUSH, PHONE_PULL, PHONE_SERVICE };

/* How an operation ended. OK: it was done; for a command see exit_status. CLOSED, TIMEOUT, IO,
 * MALFORMED: the phone was lost. STALE_LEASE: fenced off. DENIED: the phone refused (detail has
 * its words). TOO_LARGE: a pull above its cap. FOREIGN: a local file could not be used. */
struct phone_result {
    enum status status;
    int exit_status;    /* of a command, 0..255; -1 when none came */
    uint64_t bytes;     /* of content that was moved */
    const char *detail; /* why, for people; "" when done; valid during the call */
};

/* What an operation tells its owner. The calls may start and cancel operations, or close the link.
 * After phone_link_cancel() or phone_link_close() none comes. */
struct phone_handler {
    /* A piece of a command's output; may be NULL. */
    void (*output)(void *owner, uint32_t operation, bool is_stderr, struct bytes data);
    /* Once, last. The operation's id is dead before the call. */
    void (*ended)(void *owner, uint32_t operation, const struct phone_result *result);
    void *owner;
};

struct phone_operation {
    uint32_t id; /* 0: the slot is free */
    enum phone_operation_kind kind;
    bool is_opened;
    uint64_t token;
    uint32_t stream; /* 0: the OPEN has not been sent */
    struct phone_handler handler;
    char text[PHONE_COMMAND_MAX]; /* the command, the path on the phone, or the service */
    size_t text_size;
    char path[PHONE_PATH_SIZE]; /* of a pull, on the host */
    int file;                   /* -1: none */
    struct bytes memory;        /* of a push that has no file; the caller's until the end */
    uint64_t max_bytes;
    uint32_t mode;
    uint32_t modified_s;
    bool is_asked;    /* the first request has been sent */
    bool is_all_sent; /* nothing more goes to the phone */
    bool is_over;     /* status, exit_status and detail are final */
    enum status status;
    int exit_status;
    uint64_t bytes;
    char detail[PHONE_DETAIL_SIZE];
    size_t detail_size;
    struct adb_shell_reader shell;
    struct adb_file_reader answers;
};

/* Prepares a free slot; the caller fills in what its kind needs. */
void phone_operation_begin(struct phone_operation *operation, enum phone_operation_kind kind);

/* Sends OPEN when there is room; then, once opened, whatever may be sent. */
void phone_operation_write(struct phone_operation *operation, struct adb_connection *connection);

/* Takes bytes that came on the stream, up to one piece of a command's output, which is then in
 * `output` for the owner. False: all bytes were taken. */
bool phone_operation_read(struct phone_operation *operation, struct bytes *input,
                          struct adb_shell_piece *output);

/* The phone closed the stream, or refused to open it. */
void phone_operation_closed(struct phone_operation *operation);

/* Ends the operation; a later reason changes nothing. */
void phone_operation_end(struct phone_operation *operation, enum status status, const char *detail);

/* Closes its file; removes what a failed pull left behind. */
void phone_operation_release(struct phone_operation *operation);

#endif
