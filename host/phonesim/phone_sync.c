#include "host/phonesim/phone_sync.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MODE_FILE = 0100000, MODE_DIRECTORY = 0040000, MODE_TYPE = 0170000 };

static enum status answer(struct phone_session *session, const void *source, size_t size) {
    if (size > sizeof session->answers - session->answers_size) {
        return STATUS_MALFORMED;
    }
    memcpy(session->answers + session->answers_size, source, size);
    session->answers_size += size;
    return STATUS_OK;
}

static enum status answer_okay(struct phone_session *session) {
    uint8_t okay[ADB_FILE_HEADER_SIZE];
    adb_file_write_header(okay, ADB_FILE_OKAY, 0);
    return answer(session, okay, sizeof okay);
}

static enum status answer_fail(struct phone_session *session, const char *why) {
    uint8_t header[ADB_FILE_HEADER_SIZE];
    adb_file_write_header(header, ADB_FILE_FAIL, (uint32_t)strlen(why));
    enum status status = answer(session, header, sizeof header);
    return status == STATUS_OK ? answer(session, why, strlen(why)) : status;
}

/* --- what there is --- */

static void stat_of(const struct phone_file *file, struct adb_file_stat *stat) {
    *stat = (struct adb_file_stat){.mode = MODE_DIRECTORY | 0771, .links = 2, .size = 4096};
    if (file != NULL) {
        stat->mode = MODE_FILE | file->mode;
        stat->links = 1;
        stat->size = file->size;
        stat->modified_s = file->modified_s;
    }
    stat->user = 2000;
    stat->group = 2000;
    stat->device = 1;
    stat->inode = file != NULL ? (uintptr_t)file & 0xffffff : 2;
    stat->accessed_s = stat->modified_s;
    stat->changed_s = stat->modified_s;
}

static enum status on_stat(struct phone_session *session, uint32_t id, const char *path) {
    struct phone_files *files = &session->state->files;
    const struct phone_file *file = phone_files_find(files, path);
    struct adb_file_stat stat = {.error = ENOENT};
    if (file != NULL || phone_files_is_directory(files, path)) {
        stat_of(file, &stat);
    }
    uint8_t bytes[ADB_FILE_STAT_V2_SIZE];
    if (id == ADB_FILE_STAT) {
        adb_file_write_stat(bytes, &stat);
        return answer(session, bytes, ADB_FILE_STAT_SIZE);
    }
    adb_file_write_stat_v2(bytes, id, &stat);
    return answer(session, bytes, ADB_FILE_STAT_V2_SIZE);
}

static enum status on_recv(struct phone_session *session, const char *path) {
    const struct phone_file *file = phone_files_find(&session->state->files, path);
    if (file == NULL) {
        return answer_fail(session, "open failed: No such file or directory");
    }
    phone_files_open(&session->cursor, file);
    session->streaming = ADB_FILE_RECV;
    return STATUS_OK;
}

static enum status on_list(struct phone_session *session, uint32_t id, const char *path) {
    memcpy(session->directory, path, strlen(path) + 1);
    session->list_index = 0;
    session->streaming = id;
    return STATUS_OK;
}

/* --- what comes in --- */

static enum status refuse(struct phone_session *session, const char *why) {
    session->is_refused = true;
    return answer_fail(session, why);
}

/* A mode of another type than a file's is a link. */
static enum status begin_file(struct phone_session *session, struct bytes name, uint32_t mode) {
    char path[PHONE_FILES_PATH_SIZE];
    session->is_refused = false;
    if (session->incoming != NULL) {
        return STATUS_MALFORMED;
    }
    if (session->fault == PHONE_FAULT_FAIL) {
        return refuse(session, "phonesim: failed on purpose");
    }
    if ((mode & MODE_TYPE) != 0 && (mode & MODE_TYPE) != MODE_FILE) {
        return refuse(session, "only plain files are emulated");
    }
    if (phone_files_normalise(name, path) != STATUS_OK) {
        return refuse(session, "File name too long");
    }
    if (phone_files_is_directory(&session->state->files, path)) {
        return refuse(session, "couldn't create file: Is a directory");
    }
    session->mode = mode;
    session->incoming = phone_files_create(&session->state->files, path);
    return session->incoming != NULL ? STATUS_OK : refuse(session, "too many files");
}

/* The request is "path,mode". */
static enum status on_send(struct phone_session *session) {
    char *comma = strrchr(session->path, ',');
    unsigned long mode = comma != NULL ? strtoul(comma + 1, NULL, 10) : 0644;
    size_t size = comma != NULL ? (size_t)(comma - session->path) : session->path_size;
    struct bytes name = {(const uint8_t *)session->path, size};
    return begin_file(session, name, (uint32_t)mode);
}

static enum status on_data(struct phone_session *session, struct bytes data) {
    if (session->is_refused) {
        return STATUS_OK;
    }
    if (session->incoming == NULL) {
        return STATUS_MALFORMED;
    }
    if (session->fault == PHONE_FAULT_DROP) {
        session->is_dropping = true;
        return STATUS_OK;
    }
    if (phone_files_append(session->incoming, data) == STATUS_OK) {
        return STATUS_OK;
    }
    phone_files_remove(session->incoming);
    session->incoming = NULL;
    return refuse(session, "write failed: No space left on device");
}

static enum status on_done(struct phone_session *session, uint32_t modified_s) {
    if (session->is_refused) {
        session->is_refused = false;
        return STATUS_OK;
    }
    if (session->incoming == NULL) {
        return STATUS_MALFORMED;
    }
    phone_files_publish(&session->state->files, session->incoming, session->mode, modified_s);
    session->incoming = NULL;
    return answer_okay(session);
}

/* The second half of SEND_V2 and RECV_V2. Packing is not emulated and not offered. */
static enum status on_settings(struct phone_session *session, const struct adb_file_piece *piece) {
    char path[PHONE_FILES_PATH_SIZE];
    struct bytes name = {(const uint8_t *)session->path, session->path_size};
    if (piece->id == ADB_FILE_SEND_V2) {
        return piece->flags != 0 ? refuse(session, "unsupported flags")
                                 : begin_file(session, name, piece->value);
    }
    if (session->streaming != 0) {
        return STATUS_MALFORMED;
    }
    if (session->fault == PHONE_FAULT_FAIL) {
        return answer_fail(session, "phonesim: failed on purpose");
    }
    if (piece->flags != 0 || phone_files_normalise(name, path) != STATUS_OK) {
        return answer_fail(session, piece->flags != 0 ? "unsupported flags" : "File name too long");
    }
    return on_recv(session, path);
}

/* A request with a path is complete. */
static enum status on_path(struct phone_session *session, uint32_t id) {
    char path[PHONE_FILES_PATH_SIZE];
    struct bytes name = {(const uint8_t *)session->path, session->path_size};
    if (id == ADB_FILE_SEND) {
        return on_send(session);
    }
    if (id == ADB_FILE_SEND_V2 || id == ADB_FILE_RECV_V2) {
        return STATUS_OK; /* its settings follow */
    }
    if (session->streaming != 0) {
        return STATUS_MALFORMED;
    }
    bool is_stat = id == ADB_FILE_STAT || id == ADB_FILE_STAT_V2 || id == ADB_FILE_LSTAT_V2;
    if (session->fault == PHONE_FAULT_FAIL && !is_stat) {
        return answer_fail(session, "phonesim: failed on purpose");
    }
    if (phone_files_normalise(name, path) != STATUS_OK) {
        return answer_fail(session, "File name too long");
    }
    if (is_stat) {
        return on_stat(session, id, path);
    }
    return id == ADB_FILE_RECV ? on_recv(session, path) : on_list(session, id, path);
}

static enum status on_piece(struct phone_session *session, const struct adb_file_piece *piece) {
    switch (piece->id) {
    case ADB_FILE_DATA:
        return on_data(session, piece->data);
    case ADB_FILE_DONE:
        return on_done(session, piece->value);
    case ADB_FILE_QUIT:
        session->is_finished = true;
        return STATUS_OK;
    default:
        break;
    }
    if (piece->is_settings) {
        return on_settings(session, piece);
    }
    session->path_size = piece->is_first ? 0 : session->path_size;
    if (piece->data.size > 0) { /* the reader keeps it below ADB_FILE_PATH_MAX */
        memcpy(session->path + session->path_size, piece->data.data, piece->data.size);
        session->path_size += piece->data.size;
    }
    session->path[session->path_size] = '\0';
    return piece->is_last ? on_path(session, piece->id) : STATUS_OK;
}

enum status phone_sync_read(struct phone_session *session, struct bytes input) {
    struct adb_file_piece piece;
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        status = adb_file_next(&session->requests, &input, &piece);
        if (status == STATUS_OK) {
            status = on_piece(session, &piece);
        }
    }
    return status == STATUS_MORE ? STATUS_OK : STATUS_MALFORMED;
}

/* --- what goes out --- */

static size_t fill_content(struct phone_session *session, uint8_t *target, size_t capacity) {
    size_t most = capacity - ADB_FILE_HEADER_SIZE;
    most = most < ADB_FILE_DATA_MAX ? most : ADB_FILE_DATA_MAX;
    size_t size = phone_files_read(&session->cursor, target + ADB_FILE_HEADER_SIZE, most);
    adb_file_write_header(target, size > 0 ? ADB_FILE_DATA : ADB_FILE_DONE, (uint32_t)size);
    session->streaming = size > 0 ? session->streaming : 0;
    return ADB_FILE_HEADER_SIZE + size;
}

static size_t fill_list(struct phone_session *session, uint8_t *target, size_t capacity) {
    bool is_v2 = session->streaming == ADB_FILE_LIST_V2;
    size_t fixed = is_v2 ? ADB_FILE_ENTRY_V2_SIZE : ADB_FILE_ENTRY_SIZE;
    size_t size = 0;
    struct bytes name = {target, 0};
    while (capacity - size >= 2 * fixed + PHONE_FILES_PATH_SIZE) {
        const struct phone_file *file = NULL;
        struct adb_file_stat stat = {.error = 0};
        bool is_entry = phone_files_list(&session->state->files, session->directory,
                                         &session->list_index, &name, &file);
        if (is_entry) {
            stat_of(file, &stat);
        }
        uint32_t name_size = is_entry ? (uint32_t)name.size : 0;
        uint32_t v1_id = is_entry ? ADB_FILE_ENTRY : ADB_FILE_DONE;
        uint32_t v2_id = is_entry ? ADB_FILE_ENTRY_V2 : ADB_FILE_DONE;
        if (is_v2) {
            adb_file_write_entry_v2(target + size, v2_id, &stat, name_size);
        } else {
            adb_file_write_entry(target + size, v1_id, &stat, name_size);
        }
        memcpy(target + size + fixed, name.data, name_size);
        size += fixed + name_size;
        if (!is_entry) {
            session->streaming = 0;
            break;
        }
    }
    return size;
}

size_t phone_sync_fill(struct phone_session *session, uint8_t *target, size_t capacity) {
    if (session->answers_size > 0) {
        size_t size = session->answers_size;
        memcpy(target, session->answers, size);
        session->answers_size = 0;
        return size;
    }
    if (session->streaming == ADB_FILE_RECV) {
        return fill_content(session, target, capacity);
    }
    if (session->streaming != 0) {
        return fill_list(session, target, capacity);
    }
    session->is_ending = session->is_finished;
    return 0;
}
