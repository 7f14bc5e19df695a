#include "host/hubd/phones/phone_operation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK_MAX = ADB_FILE_HEADER_SIZE + ADB_FILE_DATA_MAX,
    PHONE_SERVICE_SIZE = PHONE_COMMAND_MAX + 16
};

void phone_operation_begin(struct phone_operation *operation, enum phone_operation_kind kind) {
    *operation = (struct phone_operation){.kind = kind,
                                          .file = -1,
                                          .exit_status = -1,
                                          .status = STATUS_AGAIN,
                                          .is_all_sent = kind == PHONE_SERVICE};
    adb_shell_begin(&operation->shell);
    adb_file_begin(&operation->answers, ADB_FILE_ANSWERS);
}

void phone_operation_end(struct phone_operation *operation, enum status status,
                         const char *detail) {
    if (operation->is_over) {
        return;
    }
    operation->is_over = true;
    operation->status = status;
    snprintf(operation->detail, sizeof operation->detail, "%s", detail);
}

void phone_operation_release(struct phone_operation *operation) {
    if (operation->file < 0) {
        return;
    }
    close(operation->file);
    operation->file = -1;
    if (operation->kind == PHONE_PULL && operation->status != STATUS_OK) {
        unlink(operation->path);
    }
}

/* --- to the phone --- */

static struct bytes shell_service(const struct phone_operation *operation,
                                  uint8_t target[PHONE_SERVICE_SIZE]) {
    struct bytes prefix = bytes_of("shell,v2,raw:");
    memcpy(target, prefix.data, prefix.size);
    memcpy(target + prefix.size, operation->text, operation->text_size);
    return (struct bytes){target, prefix.size + operation->text_size};
}

static void send_open(struct phone_operation *operation, struct adb_connection *connection) {
    uint8_t service[PHONE_SERVICE_SIZE];
    struct bytes text = {(const uint8_t *)operation->text, operation->text_size};
    struct bytes name = operation->kind == PHONE_SHELL     ? shell_service(operation, service)
                        : operation->kind == PHONE_SERVICE ? text
                                                           : bytes_of("sync:");
    enum status status = adb_connection_open(connection, name, &operation->stream);
    if (status != STATUS_OK && status != STATUS_AGAIN && status != STATUS_FULL) {
        phone_operation_end(operation, status, "the phone takes no command of this length");
    }
}

/* Up to `capacity` bytes of what is pushed; 0 at its end or after a failure. */
static size_t read_content(struct phone_operation *operation, uint8_t *target, size_t capacity) {
    if (operation->file < 0) {
        size_t left = operation->memory.size - (size_t)operation->bytes;
        size_t size = left < capacity ? left : capacity;
        if (size > 0) {
            memcpy(target, operation->memory.data + operation->bytes, size);
        }
        return size;
    }
    ssize_t count = 0;
    do {
        count = read(operation->file, target, capacity);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        phone_operation_end(operation, STATUS_FOREIGN, "the file to push could not be read");
        return 0;
    }
    return (size_t)count;
}

static size_t put_request(struct phone_operation *operation, uint8_t *target) {
    char mode[16] = "";
    if (operation->kind == PHONE_PUSH) {
        snprintf(mode, sizeof mode, ",%u", operation->mode);
    }
    size_t mode_size = strlen(mode);
    size_t size = operation->text_size + mode_size;
    uint32_t id = operation->kind == PHONE_PUSH ? ADB_FILE_SEND : ADB_FILE_RECV;
    adb_file_write_header(target, id, (uint32_t)size);
    memcpy(target + ADB_FILE_HEADER_SIZE, operation->text, operation->text_size);
    memcpy(target + ADB_FILE_HEADER_SIZE + operation->text_size, mode, mode_size);
    operation->is_asked = true;
    operation->is_all_sent = operation->kind == PHONE_PULL;
    return ADB_FILE_HEADER_SIZE + size;
}

/* One DATA, or DONE at the end of the content. `capacity` has room for both headers. */
static size_t put_content(struct phone_operation *operation, uint8_t *target, size_t capacity) {
    size_t most = capacity - ADB_FILE_HEADER_SIZE;
    most = most < ADB_FILE_DATA_MAX ? most : ADB_FILE_DATA_MAX;
    size_t size = read_content(operation, target + ADB_FILE_HEADER_SIZE, most);
    if (size == 0) {
        adb_file_write_header(target, ADB_FILE_DONE, operation->modified_s);
        operation->is_all_sent = true;
        return ADB_FILE_HEADER_SIZE;
    }
    operation->bytes += size;
    adb_file_write_header(target, ADB_FILE_DATA, (uint32_t)size);
    return ADB_FILE_HEADER_SIZE + size;
}

/* A command gets no input: its end is told at once, so that nothing waits for it. */
static size_t put_next(struct phone_operation *operation, uint8_t *target, size_t capacity) {
    if (operation->kind == PHONE_SHELL) {
        adb_shell_write_header(target, ADB_SHELL_CLOSE_STDIN, 0);
        operation->is_all_sent = true;
        return ADB_SHELL_HEADER_SIZE;
    }
    return operation->is_asked ? put_content(operation, target, capacity)
                               : put_request(operation, target);
}

void phone_operation_write(struct phone_operation *operation, struct adb_connection *connection) {
    if (operation->is_over) {
        return;
    }
    if (operation->stream == 0) {
        send_open(operation, connection);
        return;
    }
    if (!operation->is_opened || operation->is_all_sent) {
        return;
    }
    size_t capacity = 0;
    uint8_t *target =
        adb_connection_room(connection, operation->stream, ADB_FILE_PATH_MAX + 64, &capacity);
    if (target == NULL) {
        return;
    }
    capacity = capacity < CHUNK_MAX ? capacity : CHUNK_MAX;
    size_t size = put_next(operation, target, capacity);
    if (!operation->is_over) {
        adb_connection_write_built(connection, operation->stream, size);
    }
}

/* --- from the phone --- */

static bool read_shell(struct phone_operation *operation, struct bytes *input,
                       struct adb_shell_piece *output) {
    enum status status = adb_shell_next(&operation->shell, input, output);
    if (status == STATUS_MALFORMED) {
        phone_operation_end(operation, STATUS_MALFORMED, "the phone broke the shell protocol");
    }
    if (status != STATUS_OK) {
        return false;
    }
    if (output->id == ADB_SHELL_EXIT && output->data.size == 1) {
        operation->exit_status = output->data.data[0];
        phone_operation_end(operation, STATUS_OK, "");
    }
    bool is_output = output->id == ADB_SHELL_STDOUT || output->id == ADB_SHELL_STDERR;
    operation->bytes += is_output ? output->data.size : 0;
    return true;
}

static void keep_content(struct phone_operation *operation, struct bytes data) {
    if (data.size > operation->max_bytes - operation->bytes) {
        phone_operation_end(operation, STATUS_TOO_LARGE, "the file is larger than its cap");
        return;
    }
    while (data.size > 0) {
        ssize_t count = write(operation->file, data.data, data.size);
        if (count < 0 && errno != EINTR) {
            phone_operation_end(operation, STATUS_FOREIGN, "the pulled file could not be written");
            return;
        }
        size_t size = count < 0 ? 0 : (size_t)count;
        operation->bytes += size;
        data.data += size;
        data.size -= size;
    }
}

/* The phone's own words, as far as they fit; what is not printable is replaced. */
static void keep_refusal(struct phone_operation *operation, const struct adb_file_piece *piece) {
    for (size_t i = 0; i < piece->data.size; i++) {
        if (operation->detail_size + 1 < sizeof operation->detail) {
            uint8_t byte = piece->data.data[i];
            operation->detail[operation->detail_size++] =
                byte >= ' ' && byte < 0x7f ? (char)byte : '?';
        }
    }
    operation->detail[operation->detail_size] = '\0';
    if (piece->is_last) {
        operation->is_over = true;
        operation->status = STATUS_DENIED;
    }
}

static void on_answer(struct phone_operation *operation, const struct adb_file_piece *piece) {
    bool is_pull = operation->kind == PHONE_PULL;
    if (piece->id == ADB_FILE_FAIL) {
        keep_refusal(operation, piece);
    } else if (is_pull && piece->id == ADB_FILE_DATA) {
        keep_content(operation, piece->data);
    } else if (piece->id == (is_pull ? ADB_FILE_DONE : ADB_FILE_OKAY) && operation->is_all_sent) {
        phone_operation_end(operation, STATUS_OK, "");
    } else {
        phone_operation_end(operation, STATUS_MALFORMED, "the phone broke the file protocol");
    }
}

static void read_answers(struct phone_operation *operation, struct bytes *input) {
    while (!operation->is_over) {
        struct adb_file_piece piece;
        enum status status = adb_file_next(&operation->answers, input, &piece);
        if (status == STATUS_MALFORMED) {
            phone_operation_end(operation, STATUS_MALFORMED, "the phone broke the file protocol");
        }
        if (status != STATUS_OK) {
            return;
        }
        on_answer(operation, &piece);
    }
}

bool phone_operation_read(struct phone_operation *operation, struct bytes *input,
                          struct adb_shell_piece *output) {
    if (operation->is_over) {
        return false;
    }
    if (operation->kind == PHONE_SHELL) {
        return read_shell(operation, input, output);
    }
    if (operation->kind == PHONE_SERVICE) {
        *input = (struct bytes){0};
        return false;
    }
    read_answers(operation, input);
    return false;
}

void phone_operation_closed(struct phone_operation *operation) {
    const char *why = "the phone ended it before it was done";
    if (!operation->is_opened) {
        phone_operation_end(operation, STATUS_DENIED, "the phone does not offer this service");
    }
    if (operation->kind == PHONE_SERVICE) {
        phone_operation_end(operation, STATUS_OK, "");
    }
    phone_operation_end(operation, STATUS_CLOSED, why);
}
