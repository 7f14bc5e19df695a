#include "protocol/adb_shell.h"

enum { WINDOW_MAX = 64 };

void adb_shell_begin(struct adb_shell_reader *reader) {
    *reader = (struct adb_shell_reader){.header_size = 0};
}

static bool is_sane(uint8_t id, uint32_t size) {
    if (id == ADB_SHELL_EXIT) {
        return size == 1;
    }
    return id != ADB_SHELL_WINDOW || size <= WINDOW_MAX;
}

/* Collects the header; true once it is whole. */
static bool take_header(struct adb_shell_reader *reader, struct bytes *input) {
    while (reader->header_size < ADB_SHELL_HEADER_SIZE && input->size > 0) {
        reader->header[reader->header_size++] = input->data[0];
        input->data += 1;
        input->size -= 1;
    }
    return reader->header_size == ADB_SHELL_HEADER_SIZE;
}

enum status adb_shell_next(struct adb_shell_reader *reader, struct bytes *input,
                           struct adb_shell_piece *piece) {
    bool is_new = reader->header_size < ADB_SHELL_HEADER_SIZE;
    if (is_new) {
        if (!take_header(reader, input)) {
            return STATUS_MORE;
        }
        const uint8_t *size = reader->header + 1;
        reader->left = (uint32_t)size[0] | (uint32_t)size[1] << 8 | (uint32_t)size[2] << 16 |
                       (uint32_t)size[3] << 24;
        if (!is_sane(reader->header[0], reader->left)) {
            return STATUS_MALFORMED;
        }
    }
    if (reader->left > 0 && input->size == 0) {
        return STATUS_MORE;
    }
    size_t size = input->size < reader->left ? input->size : reader->left;
    reader->left -= (uint32_t)size;
    *piece = (struct adb_shell_piece){
        .id = reader->header[0], .is_last = reader->left == 0, .data = {input->data, size}};
    input->data += size;
    input->size -= size;
    if (piece->is_last) {
        reader->header_size = 0;
    }
    return STATUS_OK;
}

void adb_shell_write_header(uint8_t target[ADB_SHELL_HEADER_SIZE], uint8_t id, uint32_t size) {
    target[0] = id;
    for (unsigned i = 0; i < 4; i++) {
        target[1 + i] = (uint8_t)(size >> (8 * i));
    }
}
