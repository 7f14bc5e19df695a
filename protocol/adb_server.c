#include "protocol/adb_server.h"

#include "protocol/text.h"

#include <string.h>

static int hex_value(uint8_t digit) {
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    uint8_t lower = digit | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* ---- requests ---- */

enum status adb_server_next(struct bytes *input, struct bytes *text, size_t *wanted) {
    size_t size = 0;
    *wanted = ADB_SERVER_LENGTH_SIZE;
    for (size_t i = 0; i < ADB_SERVER_LENGTH_SIZE && i < input->size; i++) {
        int value = hex_value(input->data[i]);
        if (value < 0) {
            return STATUS_MALFORMED;
        }
        size = size * 16 + (size_t)value;
    }
    if (input->size < ADB_SERVER_LENGTH_SIZE) {
        return STATUS_MORE;
    }
    if (size == 0) {
        return STATUS_MALFORMED;
    }
    *wanted = ADB_SERVER_LENGTH_SIZE + size;
    if (input->size < *wanted) {
        return STATUS_MORE;
    }
    *text = (struct bytes){input->data + ADB_SERVER_LENGTH_SIZE, size};
    input->data += *wanted;
    input->size -= *wanted;
    return STATUS_OK;
}

/* What may follow host:, host-serial:S:, host-transport-id:N:, host-usb: and host-local:. */
static const struct {
    const char *name;
    bool has_more; /* `name` is only the front */
    enum adb_request_kind kind;
} services[] = {
    {"version", false, ADB_REQUEST_VERSION},
    {"kill", false, ADB_REQUEST_KILL},
    {"devices", false, ADB_REQUEST_DEVICES},
    {"devices-l", false, ADB_REQUEST_DEVICES_LONG},
    {"track-devices", false, ADB_REQUEST_TRACK},
    {"track-devices-l", false, ADB_REQUEST_TRACK_LONG},
    {"track-devices-proto-binary", false, ADB_REQUEST_TRACK_PROTO},
    {"track-devices-proto-text", false, ADB_REQUEST_TRACK_PROTO_TEXT},
    {"features", false, ADB_REQUEST_FEATURES},
    {"host-features", false, ADB_REQUEST_HOST_FEATURES},
    {"get-state", false, ADB_REQUEST_GET_STATE},
    {"get-serialno", false, ADB_REQUEST_GET_SERIALNO},
    {"get-devpath", false, ADB_REQUEST_GET_DEVPATH},
    {"forward:norebind:", true, ADB_REQUEST_FORWARD_ONCE},
    {"forward:", true, ADB_REQUEST_FORWARD},
    {"killforward:", true, ADB_REQUEST_KILL_FORWARD},
    {"killforward-all", false, ADB_REQUEST_KILL_FORWARD_ALL},
    {"list-forward", false, ADB_REQUEST_LIST_FORWARD},
    {"reconnect-offline", false, ADB_REQUEST_RECONNECT_OFFLINE},
    {"reconnect", false, ADB_REQUEST_OPERATOR},
    {"attach", false, ADB_REQUEST_OPERATOR},
    {"detach", false, ADB_REQUEST_OPERATOR},
    {"connect:", true, ADB_REQUEST_OPERATOR},
    {"disconnect:", true, ADB_REQUEST_OPERATOR},
    {"pair:", true, ADB_REQUEST_OPERATOR},
    {"emulator:", true, ADB_REQUEST_OPERATOR},
};

static enum adb_request_kind find_service(struct bytes *text) {
    for (size_t i = 0; i < array_count(services); i++) {
        bool is_exact = !services[i].has_more && text_is(*text, text_view(services[i].name));
        if (is_exact || (services[i].has_more && text_take(text, services[i].name))) {
            return services[i].kind;
        }
    }
    return ADB_REQUEST_UNKNOWN;
}

/* The byte count of the serial in SERIAL:command, as AOSP's parse_host_service finds it: an
 * address may bring a port, and some prefixes belong to the serial. */
static size_t serial_size(struct bytes text) {
    static const char *const prefixes[] = {"usb:", "product:", "model:", "device:"};
    struct bytes rest = text;
    for (size_t i = 0; i < array_count(prefixes); i++) {
        if (text_take(&rest, prefixes[i])) {
            return text.size - rest.size + text_up_to(rest, ':');
        }
    }
    (void)(text_take(&rest, "tcp:") || text_take(&rest, "udp:"));
    size_t size = text.size - rest.size;
    if (rest.size > 0 && rest.data[0] == '[') {
        size_t bracket = text_up_to(rest, ']');
        size_t inside = bracket < rest.size ? bracket + 1 : rest.size;
        size += inside;
        rest = (struct bytes){rest.data + inside, rest.size - inside};
    }
    size_t host = text_up_to(rest, ':');
    size += host;
    if (host == rest.size) {
        return size;
    }
    rest = (struct bytes){rest.data + host + 1, rest.size - host - 1};
    size_t port = text_up_to(rest, ':');
    bool is_port = port < rest.size;
    for (size_t i = 0; i < port; i++) {
        is_port = is_port && rest.data[i] >= '0' && rest.data[i] <= '9';
    }
    return is_port ? size + 1 + port : size;
}

/* Takes `SERIAL:` off the front: a known one if it fits, for it may hold any number of colons. */
static bool take_serial(struct bytes *text, struct adb_devices devices, struct bytes *serial) {
    size_t size = 0;
    for (size_t i = 0; i < 2 * devices.count && size == 0; i++) {
        const struct adb_device *device = &devices.list[i / 2];
        const char *name = i % 2 == 0 ? device->serial : device->devpath;
        size_t own = text_size(name);
        bool is_it = own > 0 && text->size > own && text->data[own] == ':' &&
                     memcmp(text->data, name, own) == 0;
        size = is_it ? own : 0;
    }
    size = size > 0 ? size : serial_size(*text);
    if (size == 0 || size + 1 >= text->size) {
        return false;
    }
    *serial = (struct bytes){text->data, size};
    text->data += size + 1;
    text->size -= size + 1;
    return true;
}

static enum status read_transport(struct bytes text, struct adb_request *request) {
    struct adb_selector *selector = &request->selector;
    request->kind = ADB_REQUEST_TRANSPORT;
    if (text_take(&text, "-id:")) {
        selector->kind = ADB_SELECT_ID;
        if (!text_take_number(&text, &selector->id) || text.size > 0) {
            selector->id = 0; /* which no phone has */
        }
    } else if (text_take(&text, ":")) {
        selector->kind = ADB_SELECT_SERIAL;
        selector->serial = text;
    } else if (text_is(text, bytes_of("-usb"))) {
        selector->kind = ADB_SELECT_USB;
    } else if (text_is(text, bytes_of("-local"))) {
        selector->kind = ADB_SELECT_LOCAL;
    } else if (text_is(text, bytes_of("-any"))) {
        selector->kind = ADB_SELECT_ANY;
    } else {
        request->kind = ADB_REQUEST_UNKNOWN;
    }
    return STATUS_OK;
}

/* What is none of these means any phone, as in AOSP. */
static enum status read_tport(struct bytes text, struct adb_request *request) {
    struct adb_selector *selector = &request->selector;
    request->kind = ADB_REQUEST_TPORT;
    if (text_take(&text, "serial:")) {
        selector->kind = ADB_SELECT_SERIAL;
        selector->serial = text;
    } else if (text_is(text, bytes_of("usb"))) {
        selector->kind = ADB_SELECT_USB;
    } else if (text_is(text, bytes_of("local"))) {
        selector->kind = ADB_SELECT_LOCAL;
    }
    return STATUS_OK;
}

/* `usb|local|any` `-` state. The transport is that of the request unless it narrows it. */
static enum status read_wait(struct bytes text, struct adb_request *request) {
    static const struct {
        const char *name;
        enum adb_wait wait;
    } states[] = {
        {"device", ADB_WAIT_DEVICE},         {"any", ADB_WAIT_ANY},
        {"disconnect", ADB_WAIT_DISCONNECT}, {"recovery", ADB_WAIT_OTHER_MODE},
        {"rescue", ADB_WAIT_OTHER_MODE},     {"sideload", ADB_WAIT_OTHER_MODE},
        {"bootloader", ADB_WAIT_OTHER_MODE},
    };
    enum adb_selector_kind kind = ADB_SELECT_ANY;
    request->kind = ADB_REQUEST_UNKNOWN;
    if (text_take(&text, "usb-")) {
        kind = ADB_SELECT_USB;
    } else if (text_take(&text, "local-")) {
        kind = ADB_SELECT_LOCAL;
    } else if (!text_take(&text, "any-")) {
        return STATUS_OK;
    }
    if (request->selector.kind == ADB_SELECT_ANY) {
        request->selector.kind = kind;
    }
    for (size_t i = 0; i < array_count(states); i++) {
        if (text_is(text, text_view(states[i].name))) {
            request->kind = ADB_REQUEST_WAIT_FOR;
            request->wait = states[i].wait;
        }
    }
    return STATUS_OK;
}

enum status adb_server_parse(struct bytes text, struct adb_devices devices,
                             struct adb_request *request) {
    *request = (struct adb_request){.kind = ADB_REQUEST_DEVICE, .text = text};
    struct adb_selector *selector = &request->selector;
    if (text_take(&text, "host-serial:")) {
        selector->kind = ADB_SELECT_SERIAL;
        if (!take_serial(&text, devices, &selector->serial)) {
            return STATUS_MALFORMED;
        }
    } else if (text_take(&text, "host-transport-id:")) {
        selector->kind = ADB_SELECT_ID;
        if (!text_take_number(&text, &selector->id) || !text_take(&text, ":")) {
            return STATUS_MALFORMED;
        }
    } else if (text_take(&text, "host-usb:")) {
        selector->kind = ADB_SELECT_USB;
    } else if (text_take(&text, "host-local:")) {
        selector->kind = ADB_SELECT_LOCAL;
    } else if (!text_take(&text, "host:")) {
        return STATUS_OK;
    }
    if (text_take(&text, "transport")) {
        return read_transport(text, request);
    }
    if (text_take(&text, "tport:")) {
        return read_tport(text, request);
    }
    if (text_take(&text, "wait-for-")) {
        return read_wait(text, request);
    }
    request->kind = find_service(&text);
    request->text = text;
    return STATUS_OK;
}

/* ---- which phone ---- */

static bool is_plain(uint8_t byte) {
    bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    return is_letter || (byte >= '0' && byte <= '9');
}

/* Whether `wanted` names `value`, whose odd characters clients see as underscores. */
static bool names(struct bytes wanted, const char *value) {
    struct bytes own = text_view(value);
    if (own.size == 0 || own.size != wanted.size) {
        return false;
    }
    for (size_t i = 0; i < own.size; i++) {
        uint8_t shown = is_plain(own.data[i]) ? own.data[i] : '_';
        if (wanted.data[i] != own.data[i] && wanted.data[i] != shown) {
            return false;
        }
    }
    return true;
}

static bool matches(const struct adb_selector *selector, const struct adb_device *device) {
    struct bytes serial = selector->serial;
    switch (selector->kind) {
    case ADB_SELECT_ID:
        return device->id == selector->id;
    case ADB_SELECT_USB:
        return device->is_usb;
    case ADB_SELECT_LOCAL:
        return !device->is_usb;
    case ADB_SELECT_SERIAL:
        if (text_is(serial, text_view(device->serial)) ||
            (device->devpath[0] != '\0' && text_is(serial, text_view(device->devpath)))) {
            return true;
        }
        return text_take(&serial, "product:")  ? names(serial, device->product)
               : text_take(&serial, "model:")  ? names(serial, device->model)
               : text_take(&serial, "device:") ? names(serial, device->device)
                                               : false;
    case ADB_SELECT_ANY:
        break;
    }
    return true;
}

static void say_missing(const struct adb_selector *selector, struct text_writer *error) {
    switch (selector->kind) {
    case ADB_SELECT_SERIAL:
        text_put(error, "device '");
        text_put_bytes(error,
                       (struct bytes){selector->serial.data,
                                      selector->serial.size < 128 ? selector->serial.size : 128});
        text_put(error, "' not found");
        break;
    case ADB_SELECT_ID:
        text_put(error, "no device with transport id '");
        text_put_number(error, selector->id);
        text_put(error, "'");
        break;
    case ADB_SELECT_USB:
        text_put(error, "no devices found");
        break;
    case ADB_SELECT_LOCAL:
        text_put(error, "no emulators found");
        break;
    case ADB_SELECT_ANY:
        text_put(error, "no devices/emulators found");
        break;
    }
}

static void say_many(const struct adb_selector *selector, struct text_writer *error) {
    text_put(error, selector->kind == ADB_SELECT_USB     ? "more than one device"
                    : selector->kind == ADB_SELECT_LOCAL ? "more than one emulator"
                                                         : "more than one device/emulator");
}

enum status adb_server_choose(const struct adb_selector *selector, struct adb_devices devices,
                              size_t *found, char error[ADB_SERVER_ERROR_SIZE]) {
    struct text_writer text = {.data = (uint8_t *)error, .capacity = ADB_SERVER_ERROR_SIZE - 1};
    enum status status = STATUS_NOT_FOUND;
    for (size_t i = 0; i < devices.count; i++) {
        if (!matches(selector, &devices.list[i])) {
            continue;
        }
        *found = status == STATUS_NOT_FOUND ? i : *found;
        status = status == STATUS_NOT_FOUND ? STATUS_OK : STATUS_FULL;
    }
    if (status == STATUS_NOT_FOUND) {
        say_missing(selector, &text);
    } else if (status == STATUS_FULL) {
        say_many(selector, &text);
    } else if (devices.list[*found].state == ADB_DEVICE_UNAUTHORIZED) {
        text_put(&text, "device unauthorized.\nIts user has not accepted the key of this hub yet.");
        status = STATUS_DENIED;
    } else if (devices.list[*found].state == ADB_DEVICE_OFFLINE) {
        text_put(&text, "device offline");
        status = STATUS_CLOSED;
    }
    error[text.size] = '\0';
    return status;
}

enum status adb_server_awaited(const struct adb_request *request, struct adb_devices devices,
                               char error[ADB_SERVER_ERROR_SIZE]) {
    size_t found = 0;
    enum status status = adb_server_choose(&request->selector, devices, &found, error);
    if (status == STATUS_FULL) {
        return STATUS_FULL;
    }
    bool is_done = (request->wait == ADB_WAIT_DEVICE && status == STATUS_OK) ||
                   (request->wait == ADB_WAIT_ANY && status != STATUS_NOT_FOUND) ||
                   (request->wait == ADB_WAIT_DISCONNECT && status == STATUS_NOT_FOUND);
    return is_done ? STATUS_OK : STATUS_AGAIN;
}

/* ---- forwards ---- */

enum status adb_server_forward(struct bytes text, struct bytes *local, struct bytes *remote) {
    size_t size = text_up_to(text, ';');
    if (size == 0 || size + 1 >= text.size) {
        return STATUS_MALFORMED;
    }
    struct bytes rest = {text.data + size + 1, text.size - size - 1};
    if (text_up_to(rest, ';') != rest.size || rest.data[0] == '*') {
        return STATUS_MALFORMED;
    }
    *local = (struct bytes){text.data, size};
    *remote = rest;
    return STATUS_OK;
}

enum status adb_server_port(struct bytes address, uint16_t *port) {
    uint64_t number = 0;
    if (!text_take(&address, "tcp:")) {
        return STATUS_MALFORMED;
    }
    (void)(text_take(&address, "localhost:") || text_take(&address, "127.0.0.1:"));
    if (!text_take_number(&address, &number) || address.size > 0 || number > UINT16_MAX) {
        return STATUS_MALFORMED;
    }
    *port = (uint16_t)number;
    return STATUS_OK;
}
