#include "protocol/adb.h"

#include "protocol/text.h"

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
    {ADB_FEATURE_FIXED_PUSH_SYMLINK_TIMESTAMP,
     {(const uint8_t *)"fixed_push_symlink_timestamp", 28}},
    {ADB_FEATURE_APEX, {(const uint8_t *)"apex", 4}},
    {ADB_FEATURE_ABB, {(const uint8_t *)"abb", 3}},
    {ADB_FEATURE_ABB_EXEC, {(const uint8_t *)"abb_exec", 8}},
    {ADB_FEATURE_REMOUNT_SHELL, {(const uint8_t *)"remount_shell", 13}},
    {ADB_FEATURE_TRACK_APP, {(const uint8_t *)"track_app", 9}},
    {ADB_FEATURE_SENDRECV_V2_BROTLI, {(const uint8_t *)"sendrecv_v2_brotli", 18}},
    {ADB_FEATURE_SENDRECV_V2_LZ4, {(const uint8_t *)"sendrecv_v2_lz4", 15}},
    {ADB_FEATURE_SENDRECV_V2_ZSTD, {(const uint8_t *)"sendrecv_v2_zstd", 16}},
    {ADB_FEATURE_SENDRECV_V2_DRY_RUN_SEND, {(const uint8_t *)"sendrecv_v2_dry_run_send", 24}},
    {ADB_FEATURE_DEVRAW, {(const uint8_t *)"devraw", 6}},
    {ADB_FEATURE_APP_INFO, {(const uint8_t *)"app_info", 8}},
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
            if (text_is(name, features[i].name)) {
                found |= features[i].bit;
            }
        }
    }
    return found;
}

static void read_property(struct bytes name, struct bytes value, struct adb_banner *banner) {
    if (text_is(name, bytes_of("ro.product.name"))) {
        banner->product = value;
    } else if (text_is(name, bytes_of("ro.product.model"))) {
        banner->model = value;
    } else if (text_is(name, bytes_of("ro.product.device"))) {
        banner->device = value;
    } else if (text_is(name, bytes_of("features"))) {
        banner->features = read_features(value);
        banner->features_text = value;
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
        if (text_is(type, peer_names[i])) {
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

static void append_features(struct text_writer *text, unsigned bits) {
    bool is_first = true;
    for (size_t i = 0; i < array_count(features); i++) {
        if ((bits & features[i].bit) == 0) {
            continue;
        }
        if (!is_first) {
            text_put_bytes(text, bytes_of(","));
        }
        text_put_bytes(text, features[i].name);
        is_first = false;
    }
}

enum status adb_banner_write(const struct adb_banner *banner, uint8_t *target, size_t capacity,
                             size_t *size) {
    struct text_writer text = {.data = target, .capacity = capacity};
    text_put_bytes(&text, peer_names[banner->peer]);
    text_put_bytes(&text, bytes_of("::"));
    if (banner->peer != ADB_PEER_HOST) {
        text_put_bytes(&text, bytes_of("ro.product.name="));
        text_put_bytes(&text, banner->product);
        text_put_bytes(&text, bytes_of(";ro.product.model="));
        text_put_bytes(&text, banner->model);
        text_put_bytes(&text, bytes_of(";ro.product.device="));
        text_put_bytes(&text, banner->device);
        text_put_bytes(&text, bytes_of(";"));
    }
    text_put_bytes(&text, bytes_of("features="));
    append_features(&text, banner->features);
    if (text.is_full) {
        return STATUS_FULL;
    }
    *size = text.size;
    return STATUS_OK;
}

size_t adb_features_write(unsigned features_named, uint8_t *target, size_t capacity) {
    struct text_writer text = {.data = target, .capacity = capacity};
    append_features(&text, features_named);
    return text.size;
}
