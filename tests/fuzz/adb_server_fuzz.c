/* Any bytes from an adb client: the parser stays inside them, whatever it reads can be answered,
 * and every answer stays inside its room. The first byte says how many phones there are. */
#include "protocol/adb_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void check_failed(const char *condition, const char *file, unsigned line) {
    fprintf(stderr, "%s:%u: check failed: %s\n", file, line, condition);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct adb_device phones[] = {
    {"R58M", "usb:1-2", "oriole", "Pixel 6", "oriole", 1, ADB_DEVICE_ONLINE, true},
    {"a~tcp:127.0.0.1:5555", "", "", "", "", 2, ADB_DEVICE_UNAUTHORIZED, false},
    {"OFF", "", "p", "m", "d", 3, ADB_DEVICE_OFFLINE, false},
};

static bool is_inside(struct bytes part, struct bytes whole) {
    return part.size == 0 || (part.data >= whole.data && part.size <= whole.size &&
                              part.data + part.size <= whole.data + whole.size);
}

static void use(const struct adb_request *request, struct bytes text, struct adb_devices devices) {
    char error[ADB_SERVER_ERROR_SIZE];
    uint8_t answer[600];
    size_t found = 0;
    struct bytes local;
    struct bytes remote;
    uint16_t port;
    check(is_inside(request->text, text));
    check(is_inside(request->selector.serial, text));
    enum status status = adb_server_choose(&request->selector, devices, &found, error);
    check(status != STATUS_OK || found < devices.count);
    check(strlen(error) < sizeof error);
    check(adb_server_fail(error, answer, sizeof answer) == 8 + strlen(error));
    (void)!adb_server_awaited(request, devices, error);
    if (adb_server_forward(request->text, &local, &remote) == STATUS_OK) {
        check(is_inside(local, text) && is_inside(remote, text));
        (void)!adb_server_port(local, &port);
    }
    check(adb_server_list(devices, request->kind, answer, sizeof answer) <= sizeof answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct adb_devices devices = {phones, size > 0 ? data[0] % 4u : 0};
    struct bytes input = {data + (size > 0), size > 0 ? size - 1 : 0};
    struct bytes whole = input;
    struct bytes text;
    size_t wanted = 0;
    while (adb_server_next(&input, &text, &wanted) == STATUS_OK) {
        struct adb_request request;
        check(is_inside(text, whole));
        check(wanted == ADB_SERVER_LENGTH_SIZE + text.size);
        if (adb_server_parse(text, devices, &request) == STATUS_OK) {
            use(&request, text, devices);
        }
    }
    return 0;
}
