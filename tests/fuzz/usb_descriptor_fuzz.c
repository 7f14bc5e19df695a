/* Any bytes as the descriptors of a device: judged without leaving them; what is found is usable.
 */
#include "protocol/usb_descriptor.h"
#include "protocol/usb_hub.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *condition, const char *file, unsigned line) {
    fprintf(stderr, "%s:%u: check failed: %s\n", file, line, condition);
    abort();
}

static void judge(struct bytes configuration, struct usb_kind kind) {
    struct usb_interface found;
    const char *reason = NULL;
    enum status status = usb_find_interface(configuration, kind, &found, &reason);
    check(status != STATUS_MALFORMED || reason != NULL);
    if (status == STATUS_OK) {
        check((found.in.address & 0x8f) > 0x80 && found.in.packet_bytes <= 1024);
        check((found.out.address & 0x8f) > 0 && (found.out.address & 0x80) == 0);
        check(found.out.packet_bytes >= 8 && found.alternate == 0);
    }
}

/* The same bytes as a hub's own descriptor and its answers. */
static void judge_hub(struct bytes input) {
    struct usb_hub hub;
    struct usb_hub_port port;
    if (usb_hub_get(input, &hub) == STATUS_OK) {
        check(hub.ports > 0 && hub.ports <= USB_HUB_PORTS_MAX && hub.switching <= USB_HUB_NEVER);
    }
    check((usb_hub_get_port(input, false, &port) == STATUS_OK) == (input.size >= 4));
    (void)!usb_hub_get_port(input, true, &port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes input = {data, size};
    struct bytes configuration;
    const char *reason = NULL;
    char text[USB_STRING_MAX * 3 + 1];
    (void)!usb_get_string(input, text, sizeof text);
    (void)!usb_get_string(input, text, 5);
    judge_hub(input);
    judge(input, usb_kind_adb);
    if (size > 0 && usb_get_configuration((struct bytes){data + 1, size - 1}, data[0],
                                          &configuration, &reason) == STATUS_OK) {
        check(configuration.size <= size);
        judge(configuration, usb_kind_adb);
        judge(configuration, usb_kind_fastboot);
    }
    return 0;
}
