#include "protocol/adb_file.h"

static uint32_t read_u32(const uint8_t *source) {
    return (uint32_t)source[0] | (uint32_t)source[1] << 8 | (uint32_t)source[2] << 16 |
           (uint32_t)source[3] << 24;
}

static uint64_t read_u64(const uint8_t *source) {
    return read_u32(source) | (uint64_t)read_u32(source + 4) << 32;
}

static uint8_t *put_u32(uint8_t *target, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) {
        target[i] = (uint8_t)(value >> (8 * i));
    }
    return target + 4;
}

static uint8_t *put_u64(uint8_t *target, uint64_t value) {
    return put_u32(put_u32(target, (uint32_t)value), (uint32_t)(value >> 32));
}

/* How long a message's parts are. */
struct shape {
    uint32_t id;
    uint32_t fixed_size;
    uint32_t length_at; /* where the variable part's length stands; 0: there is none */
    uint32_t variable_max;
};

static const struct shape requests[] = {
    {ADB_FILE_STAT, 8, 4, ADB_FILE_PATH_MAX},
    {ADB_FILE_STAT_V2, 8, 4, ADB_FILE_PATH_MAX},
    {ADB_FILE_LSTAT_V2, 8, 4, ADB_FILE_PATH_MAX},
    {ADB_FILE_LIST, 8, 4, ADB_FILE_PATH_MAX},
    {ADB_FILE_LIST_V2, 8, 4, ADB_FILE_PATH_MAX},
    {ADB_FILE_SEND, 8, 4, ADB_FILE_PATH_MAX},
    {ADB_FILE_RECV, 8, 4, ADB_FILE_PATH_MAX},
    {ADB_FILE_SEND_V2, 8, 4, ADB_FILE_PATH_MAX},
    {ADB_FILE_RECV_V2, 8, 4, ADB_FILE_PATH_MAX},
    {ADB_FILE_DATA, 8, 4, ADB_FILE_DATA_MAX},
    {ADB_FILE_DONE, 8, 0, 0},
    {ADB_FILE_QUIT, 8, 0, 0},
};

static const struct shape answers[] = {
    {ADB_FILE_STAT, ADB_FILE_STAT_SIZE, 0, 0},
    {ADB_FILE_STAT_V2, ADB_FILE_STAT_V2_SIZE, 0, 0},
    {ADB_FILE_LSTAT_V2, ADB_FILE_STAT_V2_SIZE, 0, 0},
    {ADB_FILE_ENTRY, ADB_FILE_ENTRY_SIZE, 16, ADB_FILE_PATH_MAX},
    {ADB_FILE_ENTRY_V2, ADB_FILE_ENTRY_V2_SIZE, 72, ADB_FILE_PATH_MAX},
    {ADB_FILE_DATA, 8, 4, ADB_FILE_DATA_MAX},
    {ADB_FILE_DONE, 8, 0, 0},
    {ADB_FILE_OKAY, 8, 0, 0},
    {ADB_FILE_FAIL, 8, 4, ADB_FILE_DATA_MAX},
};

static const struct shape send_settings = {ADB_FILE_SEND_V2, 12, 0, 0};
static const struct shape recv_settings = {ADB_FILE_RECV_V2, 8, 0, 0};

static const struct shape list_ends[] = {
    [1] = {ADB_FILE_DONE, ADB_FILE_ENTRY_SIZE, 16, 0},
    [2] = {ADB_FILE_DONE, ADB_FILE_ENTRY_V2_SIZE, 72, 0},
};

static const struct shape *find_shape(const struct adb_file_reader *reader, uint32_t id) {
    if (id == ADB_FILE_DONE && reader->list_version > 0) {
        check(reader->list_version < array_count(list_ends));
        return &list_ends[reader->list_version];
    }
    if (reader->awaited != 0) {
        const struct shape *shape =
            reader->awaited == ADB_FILE_SEND_V2 ? &send_settings : &recv_settings;
        return id == shape->id ? shape : NULL;
    }
    bool is_answer = reader->side == ADB_FILE_ANSWERS;
    const struct shape *shapes = is_answer ? answers : requests;
    size_t count = is_answer ? array_count(answers) : array_count(requests);
    for (size_t i = 0; i < count; i++) {
        if (shapes[i].id == id) {
            return &shapes[i];
        }
    }
    return NULL;
}

void adb_file_begin(struct adb_file_reader *reader, enum adb_file_side side) {
    *reader = (struct adb_file_reader){.side = side};
}

static bool collect(struct adb_file_reader *reader, struct bytes *input, uint32_t wanted) {
    while (reader->fixed_size < wanted && input->size > 0) {
        reader->fixed[reader->fixed_size++] = input->data[0];
        input->data += 1;
        input->size -= 1;
    }
    return reader->fixed_size >= wanted;
}

/* Collects the fixed part; OK once it is whole and sane. */
static enum status take_fixed(struct adb_file_reader *reader, struct bytes *input) {
    if (!collect(reader, input, 4)) {
        return STATUS_MORE;
    }
    const struct shape *shape = find_shape(reader, read_u32(reader->fixed));
    if (shape == NULL) {
        return STATUS_MALFORMED;
    }
    if (!collect(reader, input, shape->fixed_size)) {
        return STATUS_MORE;
    }
    uint32_t left = shape->length_at > 0 ? read_u32(reader->fixed + shape->length_at) : 0;
    if (left > shape->variable_max) {
        return STATUS_MALFORMED;
    }
    reader->left = left;
    return STATUS_OK;
}

enum status adb_file_next(struct adb_file_reader *reader, struct bytes *input,
                          struct adb_file_piece *piece) {
    bool is_first = !reader->is_inside;
    if (is_first) {
        enum status status = take_fixed(reader, input);
        if (status != STATUS_OK) {
            return status;
        }
    } else if (input->size == 0) {
        return STATUS_MORE;
    }
    size_t size = input->size < reader->left ? input->size : reader->left;
    reader->left -= (uint32_t)size;
    *piece = (struct adb_file_piece){
        .id = read_u32(reader->fixed),
        .value = read_u32(reader->fixed + 4),
        .is_first = is_first,
        .is_last = reader->left == 0,
        .fixed = {reader->fixed, reader->fixed_size},
        .data = {input->data, size},
    };
    input->data += size;
    input->size -= size;
    piece->is_settings = reader->awaited != 0;
    if (piece->is_settings) {
        piece->flags = read_u32(reader->fixed + reader->fixed_size - 4);
    }
    reader->is_inside = !piece->is_last;
    if (piece->is_last) {
        bool has_settings = piece->id == ADB_FILE_SEND_V2 || piece->id == ADB_FILE_RECV_V2;
        reader->awaited = has_settings && !piece->is_settings ? piece->id : 0;
        reader->fixed_size = 0;
    }
    return STATUS_OK;
}

void adb_file_write_header(uint8_t target[ADB_FILE_HEADER_SIZE], uint32_t id, uint32_t value) {
    put_u32(put_u32(target, id), value);
}

void adb_file_write_stat(uint8_t target[ADB_FILE_STAT_SIZE], const struct adb_file_stat *stat) {
    target = put_u32(target, ADB_FILE_STAT);
    target = put_u32(target, stat->mode);
    target = put_u32(target, (uint32_t)stat->size);
    put_u32(target, (uint32_t)stat->modified_s);
}

void adb_file_write_entry(uint8_t target[ADB_FILE_ENTRY_SIZE], uint32_t id,
                          const struct adb_file_stat *stat, uint32_t name_size) {
    adb_file_write_stat(target, stat);
    put_u32(target, id);
    put_u32(target + ADB_FILE_STAT_SIZE, name_size);
}

void adb_file_write_stat_v2(uint8_t target[ADB_FILE_STAT_V2_SIZE], uint32_t id,
                            const struct adb_file_stat *stat) {
    target = put_u32(target, id);
    target = put_u32(target, stat->error);
    target = put_u64(target, stat->device);
    target = put_u64(target, stat->inode);
    target = put_u32(target, stat->mode);
    target = put_u32(target, stat->links);
    target = put_u32(target, stat->user);
    target = put_u32(target, stat->group);
    target = put_u64(target, stat->size);
    target = put_u64(target, (uint64_t)stat->accessed_s);
    target = put_u64(target, (uint64_t)stat->modified_s);
    put_u64(target, (uint64_t)stat->changed_s);
}

void adb_file_write_entry_v2(uint8_t target[ADB_FILE_ENTRY_V2_SIZE], uint32_t id,
                             const struct adb_file_stat *stat, uint32_t name_size) {
    adb_file_write_stat_v2(target, id, stat);
    put_u32(target + ADB_FILE_STAT_V2_SIZE, name_size);
}

void adb_file_read_stat(const struct adb_file_piece *piece, struct adb_file_stat *stat) {
    const uint8_t *fixed = piece->fixed.data;
    check(piece->fixed.size >= ADB_FILE_STAT_SIZE);
    *stat = (struct adb_file_stat){.mode = 0};
    if (piece->id == ADB_FILE_STAT || piece->id == ADB_FILE_ENTRY) {
        stat->mode = read_u32(fixed + 4);
        stat->size = read_u32(fixed + 8);
        stat->modified_s = read_u32(fixed + 12);
        return;
    }
    check(piece->fixed.size >= ADB_FILE_STAT_V2_SIZE);
    stat->error = read_u32(fixed + 4);
    stat->device = read_u64(fixed + 8);
    stat->inode = read_u64(fixed + 16);
    stat->mode = read_u32(fixed + 24);
    stat->links = read_u32(fixed + 28);
    stat->user = read_u32(fixed + 32);
    stat->group = read_u32(fixed + 36);
    stat->size = read_u64(fixed + 40);
    stat->accessed_s = (int64_t)read_u64(fixed + 48);
    stat->modified_s = (int64_t)read_u64(fixed + 56);
    stat->changed_s = (int64_t)read_u64(fixed + 64);
}
