#include "protocol/adb.h"

#include <string.h>

static const struct {
    unsigned bit;
    struct bytes name;
} features[] = {
    {ADB_FEATURE_SHELL_V2, {(const uint8_t *)"shell_v2", 8}},
    {ADB_FEATURE_CMD, {(const uint8_t *)"cmd", 3}},
    {ADB_FEATURE_STAT_V2, {(const uint8_t *)"stat_v2", 7}},
    {ADB_FEATURE_LS_V2, {(const uint8_t *)"ls_v2", 5}},
    {ADB_FEATURE_FIXED_PUSH_MKDIR, {(const uint8_t *)"fixed_push_mkdir", 16}},
    {ADB_FEATURE_SENDRECV_V2, {(const uint8_t *)"sendrecv_v2", 11}},
    {ADB_FEATURE_DELAYED_ACK, {(const uint8_t *)"delayed_ack", 11}},
};

static const struct bytes peer_names[] = {
    [ADB_PEER_HOST] = {(const uint8_t *)"host", 4},
    [ADB_PEER_DEVICE] = {(const uint8_t *)"device", 6},
    [ADB_PEER_BOOTLOADER] = {(const uint8_t *)"bootloader", 10},
    [ADB_PEER_RECOVERY] = {(const uint8_t *)"recovery", 8},
    [ADB_PEER_SIDELOAD] = {(const uint8_t *)"sideload", 8},
    [ADB_PEER_RESCUE] = {(const uint8_t *)"rescue", 6},
};

static uint32_t read_u32(const uint8_t *source) {
    return (uint32_t)source[0] | (uint32_t)source[1] << 8 | (uint32_t)source[2] << 16 |
           (uint32_t)source[3] << 24;
}

static void write_u32(uint8_t *target, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) {
        target[i] = (uint8_t)(value >> (8 * i));
    }
}

enum status adb_decode(struct bytes input, uint32_t payload_max, struct adb_message *message) {
    if (input.size < ADB_HEADER_SIZE) {
        return STATUS_MORE;
    }
    struct adb_message read = {
        .command = read_u32(input.data),
        .arg0 = read_u32(input.data + 4),
        .arg1 = read_u32(input.data + 8),
        .payload_size = read_u32(input.data + 12),
        .checksum = read_u32(input.data + 16),
    };
    if (read_u32(input.data + 20) != (read.command ^ UINT32_MAX) ||
        read.payload_size > payload_max) {
        return STATUS_MALFORMED;
    }
    *message = read;
    return STATUS_OK;
}

void adb_encode(uint8_t target[ADB_HEADER_SIZE], const struct adb_message *message) {
    write_u32(target, message->command);
    write_u32(target + 4, message->arg0);
    write_u32(target + 8, message->arg1);
    write_u32(target + 12, message->payload_size);
    write_u32(target + 16, message->checksum);
    write_u32(target + 20, message->command ^ UINT32_MAX);
}

uint32_t adb_checksum(struct bytes payload) {
    uint32_t sum = 0;
    for (size_t i = 0; i < payload.size; i++) {
        sum += payload.data[i];
    }
    return sum;
}

static bool is_same(struct bytes a, struct bytes b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Takes the front of `rest` up to `separator`, and moves `rest` behind it. */
static struct bytes take_piece(struct bytes *rest, uint8_t separator) {
    size_t size = 0;
    while (size < rest->size && rest->data[size] != separator) {
        size += 1;
    }
    struct bytes piece = {rest->data, size};
    size_t skip = size < rest->size ? size + 1 : size;
    rest->data += skip;
    rest->size -= skip;
    return piece;
}

static unsigned read_features(struct bytes list) {
    unsigned found = 0;
    while (list.size > 0) {
        struct bytes name = take_piece(&list, ',');
        for (size_t i = 0; i < array_count(features); i++) {
            if (is_same(name, features[i].name)) {
                found |= features[i].bit;
            }
        }
    }
    return found;
}

static void read_property(struct bytes name, struct bytes value, struct adb_banner *banner) {
    if (is_same(name, bytes_of("ro.product.name"))) {
        banner->product = value;
    } else if (is_same(name, bytes_of("ro.product.model"))) {
        banner->model = value;
    } else if (is_same(name, bytes_of("ro.product.device"))) {
        banner->device = value;
    } else if (is_same(name, bytes_of("features"))) {
        banner->features = read_features(value);
    }
}

void adb_banner_read(struct bytes payload, struct adb_banner *banner) {
    *banner = (struct adb_banner){.peer = ADB_PEER_HOST};
    if (payload.size == 0) {
        return;
    }
    if (payload.data[payload.size - 1] == '\0') {
        payload.size -= 1; /* old peers count the NUL */
    }
    struct bytes type = take_piece(&payload, ':');
    for (size_t i = 0; i < array_count(peer_names); i++) {
        if (is_same(type, peer_names[i])) {
            banner->peer = (enum adb_peer)i;
        }
    }
    (void)take_piece(&payload, ':'); /* the serial, empty today */
    struct bytes properties = take_piece(&payload, ':');
    while (properties.size > 0) {
        struct bytes value = take_piece(&properties, ';');
        struct bytes name = take_piece(&value, '=');
        read_property(name, value, banner);
    }
}

/* Text that is appended while it fits; `is_full` once something did not. */
struct text {
    uint8_t *data;
    size_t capacity;
    size_t size;
    bool is_full;
};

static void append(struct text *text, struct bytes more) {
    if (text->is_full || more.size > text->capacity - text->size) {
        text->is_full = true;
        return;
    }
    if (more.size > 0) {
        memcpy(text->data + text->size, more.data, more.size);
    }
    text->size += more.size;
}

static void append_features(struct text *text, unsigned bits) {
    append(text, bytes_of("features="));
    bool is_first = true;
    for (size_t i = 0; i < array_count(features); i++) {
        if ((bits & features[i].bit) == 0) {
            continue;
        }
        if (!is_first) {
            append(text, bytes_of(","));
        }
        append(text, features[i].name);
        is_first = false;
    }
}

enum status adb_banner_write(const struct adb_banner *banner, uint8_t *target, size_t capacity,
                             size_t *size) {
    struct text text = {.data = target, .capacity = capacity};
    append(&text, peer_names[banner->peer]);
    append(&text, bytes_of("::"));
    if (banner->peer != ADB_PEER_HOST) {
        append(&text, bytes_of("ro.product.name="));
        append(&text, banner->product);
        append(&text, bytes_of(";ro.product.model="));
        append(&text, banner->model);
        append(&text, bytes_of(";ro.product.device="));
        append(&text, banner->device);
        append(&text, bytes_of(";"));
    }
    append_features(&text, banner->features);
    if (text.is_full) {
        return STATUS_FULL;
    }
    *size = text.size;
    return STATUS_OK;
}
