/* What the server says. */
#include "protocol/adb_server.h"

#include "protocol/text.h"

#include <string.h>

static size_t written(const struct text_writer *writer) {
    return writer->is_full ? 0 : writer->size;
}

static bool is_plain(uint8_t byte) {
    bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    return is_letter || (byte >= '0' && byte <= '9');
}

size_t adb_server_word(uint8_t *target, const char *word) {
    memcpy(target, word, 4);
    return 4;
}

static void put_size(struct text_writer *writer, size_t size) {
    for (int shift = 12; shift >= 0; shift -= 4) {
        text_put_byte(writer, (uint8_t) "0123456789abcdef"[size >> shift & 15]);
    }
}

size_t adb_server_string(struct bytes text, uint8_t *target, size_t capacity) {
    struct text_writer writer = {.data = target, .capacity = capacity};
    if (text.size > ADB_SERVER_TEXT_MAX) {
        text.size = ADB_SERVER_TEXT_MAX;
    }
    put_size(&writer, text.size);
    text_put_bytes(&writer, text);
    return written(&writer);
}

size_t adb_server_fail(const char *error, uint8_t *target, size_t capacity) {
    if (capacity < 4) {
        return 0;
    }
    size_t word = adb_server_word(target, "FAIL");
    size_t size = adb_server_string(text_view(error), target + word, capacity - word);
    return size == 0 ? 0 : word + size;
}

const char *adb_server_state_name(enum adb_device_state state) {
    static const char *const state_names[] = {"device", "unauthorized", "offline"};
    check((size_t)state < array_count(state_names));
    return state_names[state];
}

static void put_field(struct text_writer *writer, const char *name, const char *value) {
    struct bytes bytes = text_view(value);
    if (bytes.size == 0) {
        return;
    }
    text_put(writer, " ");
    text_put(writer, name);
    for (size_t i = 0; i < bytes.size; i++) {
        text_put_byte(writer, is_plain(bytes.data[i]) ? bytes.data[i] : '_');
    }
}

static void put_long(struct text_writer *writer, const struct adb_device *device) {
    text_put(writer, device->serial);
    for (size_t i = text_size(device->serial); i < 22; i++) {
        text_put(writer, " ");
    }
    text_put(writer, " ");
    text_put(writer, adb_server_state_name(device->state));
    if (device->devpath[0] != '\0') {
        text_put(writer, " ");
        text_put(writer, device->devpath);
    }
    put_field(writer, "product:", device->product);
    put_field(writer, "model:", device->model);
    put_field(writer, "device:", device->device);
    text_put(writer, " transport_id:");
    text_put_number(writer, device->id);
    text_put(writer, "\n");
}

/* devices.proto: numbers of ConnectionState and ConnectionType. */
enum { PROTO_UNAUTHORIZED = 3, PROTO_OFFLINE = 6, PROTO_DEVICE = 8, PROTO_USB = 1, PROTO_SOCKET };

static uint8_t proto_state(const struct adb_device *device) {
    return device->state == ADB_DEVICE_ONLINE         ? PROTO_DEVICE
           : device->state == ADB_DEVICE_UNAUTHORIZED ? PROTO_UNAUTHORIZED
                                                      : PROTO_OFFLINE;
}

static void put_varint(struct text_writer *writer, uint64_t value) {
    while (value >= 0x80) {
        text_put_byte(writer, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    text_put_byte(writer, (uint8_t)value);
}

static void put_proto_text(struct text_writer *writer, uint8_t field, const char *text) {
    if (text[0] != '\0') { /* proto3: a default is left out */
        text_put_byte(writer, (uint8_t)(field << 3 | 2));
        put_varint(writer, text_size(text));
        text_put(writer, text);
    }
}

static void put_proto_number(struct text_writer *writer, uint8_t field, uint64_t number) {
    text_put_byte(writer, (uint8_t)(field << 3));
    put_varint(writer, number);
}

/* Devices.device; its length, under 16 KiB, takes two bytes or one. */
static void put_proto(struct text_writer *writer, const struct adb_device *device) {
    text_put_byte(writer, 1 << 3 | 2);
    size_t start = writer->size;
    text_put_bytes(writer, (struct bytes){(const uint8_t *)"\0", 2});
    put_proto_text(writer, 1, device->serial);
    put_proto_number(writer, 2, proto_state(device));
    put_proto_text(writer, 3, device->devpath);
    put_proto_text(writer, 4, device->product);
    put_proto_text(writer, 5, device->model);
    put_proto_text(writer, 6, device->device);
    put_proto_number(writer, 7, device->is_usb ? PROTO_USB : PROTO_SOCKET);
    put_proto_number(writer, 10, device->id);
    if (writer->is_full) {
        return;
    }
    size_t size = writer->size - start - 2;
    uint8_t *target = writer->data + start;
    if (size < 0x80) {
        memmove(target + 1, target + 2, size);
        target[0] = (uint8_t)size;
        writer->size -= 1;
    } else {
        target[0] = (uint8_t)(size | 0x80);
        target[1] = (uint8_t)(size >> 7);
    }
}

static void put_quoted(struct text_writer *writer, const char *name, const char *value) {
    if (value[0] != '\0') {
        text_put(writer, "  ");
        text_put(writer, name);
        text_put(writer, ": \"");
        text_put(writer, value);
        text_put(writer, "\"\n");
    }
}

static void put_proto_words(struct text_writer *writer, const struct adb_device *device) {
    uint8_t state = proto_state(device);
    text_put(writer, "device {\n");
    put_quoted(writer, "serial", device->serial);
    text_put(writer, state == PROTO_DEVICE         ? "  state: DEVICE\n"
                     : state == PROTO_UNAUTHORIZED ? "  state: UNAUTHORIZED\n"
                                                   : "  state: OFFLINE\n");
    put_quoted(writer, "bus_address", device->devpath);
    put_quoted(writer, "product", device->product);
    put_quoted(writer, "model", device->model);
    put_quoted(writer, "device", device->device);
    text_put(writer, device->is_usb ? "  connection_type: USB\n" : "  connection_type: SOCKET\n");
    text_put(writer, "  transport_id: ");
    text_put_number(writer, device->id);
    text_put(writer, "\n}\n");
}

size_t adb_server_list(struct adb_devices devices, enum adb_request_kind kind, uint8_t *target,
                       size_t capacity) {
    struct text_writer writer = {.data = target, .capacity = capacity};
    for (size_t i = 0; i < devices.count; i++) {
        const struct adb_device *device = &devices.list[i];
        if (kind == ADB_REQUEST_DEVICES_LONG || kind == ADB_REQUEST_TRACK_LONG) {
            put_long(&writer, device);
        } else if (kind == ADB_REQUEST_TRACK_PROTO) {
            put_proto(&writer, device);
        } else if (kind == ADB_REQUEST_TRACK_PROTO_TEXT) {
            put_proto_words(&writer, device);
        } else {
            text_put(&writer, device->serial);
            text_put(&writer, "\t");
            text_put(&writer, adb_server_state_name(device->state));
            text_put(&writer, "\n");
        }
    }
    return written(&writer);
}
