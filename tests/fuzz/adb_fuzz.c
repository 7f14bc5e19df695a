/* Any bytes from a peer, to both roles: the engine must stay inside its tables and its output, and
 * the codecs inside it inside their input. The first byte chooses role and how bytes are cut. */
#include "protocol/adb.h"
#include "protocol/adb_connection.h"
#include "protocol/adb_file.h"
#include "protocol/adb_shell.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *condition, const char *file, unsigned line) {
    fprintf(stderr, "%s:%u: check failed: %s\n", file, line, condition);
    abort();
}

static struct adb_connection connection;
static uint8_t output[ADB_CONNECTION_OUTPUT_MIN];
static struct adb_shell_reader shell;
static struct adb_file_reader files;

/* What the owner of a stream would read out of it. */
static void use_data(struct bytes data) {
    struct bytes rest = data;
    struct adb_shell_piece shell_piece;
    struct adb_file_piece file_piece;
    while (adb_shell_next(&shell, &rest, &shell_piece) == STATUS_OK) {
        check(shell_piece.data.size <= data.size);
    }
    rest = data;
    while (adb_file_next(&files, &rest, &file_piece) == STATUS_OK) {
        check(file_piece.data.size <= data.size);
    }
}

/* The answers an owner gives at once. */
static void answer(const struct adb_connection_event *event) {
    static const uint8_t secret[ADB_SIGNATURE_SIZE] = {1};
    static const struct adb_banner banner = {.peer = ADB_PEER_DEVICE,
                                             .features = ADB_FEATURE_DELAYED_ACK};
    struct adb_banner read;
    if (event->kind == ADB_EVENT_TOKEN) {
        check(adb_connection_sign(&connection, secret) == STATUS_OK);
    } else if (event->kind == ADB_EVENT_ONLINE) {
        adb_banner_read(event->data, &read);
        uint32_t stream = 0;
        (void)!adb_connection_open(&connection, bytes_of("sync:"), &stream);
    } else if (event->kind == ADB_EVENT_CONNECT || event->kind == ADB_EVENT_PUBLIC_KEY) {
        check(adb_connection_accept(&connection, &banner) == STATUS_OK);
    } else if (event->kind == ADB_EVENT_OPEN) {
        adb_connection_accept_stream(&connection, event->stream);
    } else if (event->kind == ADB_EVENT_DATA) {
        use_data(event->data);
    } else if (event->kind == ADB_EVENT_DATA_END) {
        adb_connection_acknowledge(&connection, event->stream, 0);
    } else if (event->kind == ADB_EVENT_WRITABLE || event->kind == ADB_EVENT_OPENED) {
        size_t capacity = 0;
        if (adb_connection_room(&connection, event->stream, 1, &capacity) != NULL) {
            adb_connection_write_built(&connection, event->stream, capacity);
        }
    }
}

/* False: the connection takes no more. */
static bool give(struct bytes part, bool is_reading) {
    while (true) {
        struct adb_connection_event event;
        enum status status = adb_connection_receive(&connection, &part, &event);
        if (status == STATUS_AGAIN && is_reading) {
            adb_connection_sent(&connection, adb_connection_output(&connection).size);
            continue;
        }
        if (status != STATUS_OK) {
            return status == STATUS_MORE;
        }
        answer(&event);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct adb_banner banner = {.peer = ADB_PEER_HOST,
                                             .features = ADB_FEATURE_DELAYED_ACK};
    if (size < 1) {
        return 0;
    }
    enum adb_connection_role role = data[0] & 1 ? ADB_CONNECTION_HOST : ADB_CONNECTION_DEVICE;
    bool is_reading = (data[0] & 2) != 0;
    size_t step = (size_t)(data[0] >> 2) + 1;
    adb_connection_init(&connection, role, ADB_PAYLOAD_V1, output, sizeof output);
    connection.offered_window = 3000;
    adb_shell_begin(&shell);
    adb_file_begin(&files, data[0] & 4 ? ADB_FILE_ANSWERS : ADB_FILE_REQUESTS);
    if (role == ADB_CONNECTION_HOST) {
        adb_connection_start(&connection, &banner);
    }
    for (size_t at = 1; at < size; at += step) {
        size_t part = size - at < step ? size - at : step;
        if (!give((struct bytes){data + at, part}, is_reading)) {
            break;
        }
    }
    return 0;
}
