#include "host/hubd/phones/phone_table.h"

#include <string.h>

struct phone_operation *phone_table_find(struct phone_link *link, uint32_t id) {
    for (size_t i = 0; i < PHONE_LINK_OPERATIONS; i++) {
        if (id != 0 && link->operations[i].id == id) {
            return &link->operations[i];
        }
    }
    return NULL;
}

struct phone_operation *phone_table_find_by_stream(struct phone_link *link, uint32_t stream) {
    for (size_t i = 0; i < PHONE_LINK_OPERATIONS; i++) {
        if (link->operations[i].id != 0 && link->operations[i].stream == stream) {
            return &link->operations[i];
        }
    }
    return NULL;
}

/* Frees the slot without a word. */
void phone_table_drop(struct phone_link *link, struct phone_operation *operation) {
    adb_connection_close(&link->connection, operation->stream);
    phone_operation_release(operation);
    operation->id = 0;
    operation->stream = 0;
}

/* Frees the slot first, so that the owner may use it again from inside its call. */
void phone_table_report(struct phone_link *link, struct phone_operation *operation) {
    char detail[PHONE_DETAIL_SIZE];
    memcpy(detail, operation->detail, sizeof detail);
    struct phone_handler handler = operation->handler;
    struct phone_result result = {.status = operation->status,
                                  .exit_status = operation->exit_status,
                                  .bytes = operation->bytes,
                                  .detail = detail};
    uint32_t id = operation->id;
    phone_table_drop(link, operation);
    handler.ended(handler.owner, id, &result);
}

/* Reports what is over. False: the link was closed or attached anew meanwhile. */
bool phone_table_report_all(struct phone_link *link) {
    uint32_t epoch = link->epoch;
    for (size_t i = 0; i < PHONE_LINK_OPERATIONS; i++) {
        struct phone_operation *operation = &link->operations[i];
        if (operation->id != 0 && operation->is_over) {
            phone_table_report(link, operation);
        }
        if (link->epoch != epoch) {
            return false;
        }
    }
    return true;
}

void phone_table_end_all(struct phone_link *link, enum status status, const char *why) {
    for (size_t i = 0; i < PHONE_LINK_OPERATIONS; i++) {
        if (link->operations[i].id != 0) {
            phone_operation_end(&link->operations[i], status, why);
        }
    }
}

bool phone_table_is_owed(const struct phone_link *link) {
    if (adb_connection_awaits(&link->connection, link->probe_stream)) {
        return true;
    }
    for (size_t i = 0; i < PHONE_LINK_OPERATIONS; i++) {
        const struct phone_operation *operation = &link->operations[i];
        if (operation->id != 0 && adb_connection_awaits(&link->connection, operation->stream)) {
            return true;
        }
    }
    return false;
}

/* A higher token means that the older leases are over. Reported by the loop or the caller. */
void phone_table_fence(struct phone_link *link, uint64_t token) {
    if (token <= link->fence) {
        return;
    }
    link->fence = token;
    for (size_t i = 0; i < PHONE_LINK_OPERATIONS; i++) {
        struct phone_operation *operation = &link->operations[i];
        if (operation->id != 0 && operation->token < token) {
            phone_operation_end(operation, STATUS_STALE_LEASE, "a newer lease took over");
            adb_connection_close(&link->connection, operation->stream);
        }
    }
    phone_stream_end_below(link, token);
}

/* Finds a slot for an operation that may start now. */
enum status phone_table_begin(struct phone_link *link, uint64_t token,
                              enum phone_operation_kind kind, struct bytes text,
                              struct phone_operation **operation) {
    if (token < link->fence) {
        return STATUS_STALE_LEASE;
    }
    if (link->state != PHONE_LINK_ONLINE) {
        return STATUS_ILLEGAL;
    }
    if (kind == PHONE_SHELL && (link->features & ADB_FEATURE_SHELL_V2) == 0) {
        return STATUS_FOREIGN;
    }
    size_t limit = kind == PHONE_SHELL ? PHONE_COMMAND_MAX : ADB_FILE_PATH_MAX - 16;
    if (text.size > limit) {
        return STATUS_TOO_LARGE;
    }
    for (size_t i = 0; i < PHONE_LINK_OPERATIONS; i++) {
        if (link->operations[i].id == 0) {
            *operation = &link->operations[i];
            phone_operation_begin(*operation, kind);
            memcpy((*operation)->text, text.data, text.size);
            (*operation)->text_size = text.size;
            return STATUS_OK;
        }
    }
    return STATUS_FULL;
}

/* From here on the operation counts. */
uint32_t phone_table_commit(struct phone_link *link, struct phone_operation *operation,
                            uint64_t token, const struct phone_handler *handler) {
    check(handler->ended != NULL);
    phone_table_fence(link, token);
    link->operation_count = link->operation_count == UINT32_MAX ? 1 : link->operation_count + 1;
    operation->id = link->operation_count;
    operation->token = token;
    operation->handler = *handler;
    loop_change(link->loop, &link->source, link->source.events | EPOLLOUT);
    return operation->id;
}
