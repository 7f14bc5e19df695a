#include "protocol/usb_hub.h"

#include <string.h>

enum { TYPE_HUB = 0x29, TYPE_SUPER_HUB = 0x2a, DESCRIPTOR_MIN = 7, FEATURE_PORT_POWER = 8 };
enum { STATUS_CONNECTED = 0x0001, STATUS_ENABLED = 0x0002, STATUS_OVER_CURRENT = 0x0008 };
enum { STATUS_POWERED = 0x0100, STATUS_SUPER_POWERED = 0x0200 };

uint16_t usb_hub_put_setup(uint8_t setup[USB_HUB_SETUP_BYTES], enum usb_hub_request request,
                           uint8_t port, bool is_super) {
    static const struct {
        uint8_t type, request;
        uint16_t bytes;
    } rows[] = {
        [USB_HUB_GET_DESCRIPTOR] = {0xa0, 6, USB_HUB_DESCRIPTOR_MAX},
        [USB_HUB_GET_PORT_STATUS] = {0xa3, 0, USB_HUB_STATUS_BYTES},
        [USB_HUB_POWER_ON] = {0x23, 3, 0},
        [USB_HUB_POWER_OFF] = {0x23, 1, 0},
    };
    check((size_t)request < array_count(rows));
    bool is_descriptor = request == USB_HUB_GET_DESCRIPTOR;
    bool is_power = request == USB_HUB_POWER_ON || request == USB_HUB_POWER_OFF;
    memset(setup, 0, USB_HUB_SETUP_BYTES);
    setup[0] = rows[request].type;
    setup[1] = rows[request].request;
    setup[2] = is_power ? FEATURE_PORT_POWER : 0;
    setup[3] = !is_descriptor ? 0 : is_super ? TYPE_SUPER_HUB : TYPE_HUB;
    setup[4] = is_descriptor ? 0 : port;
    setup[6] = (uint8_t)rows[request].bytes;
    return rows[request].bytes;
}

enum status usb_hub_get(struct bytes descriptor, struct usb_hub *hub) {
    static const enum usb_hub_switching switchings[] = {USB_HUB_GANGED, USB_HUB_EACH, USB_HUB_NEVER,
                                                        USB_HUB_NEVER};
    const uint8_t *at = descriptor.data;
    if (descriptor.size < DESCRIPTOR_MIN || at[0] < DESCRIPTOR_MIN || at[0] > descriptor.size ||
        (at[1] != TYPE_HUB && at[1] != TYPE_SUPER_HUB) || at[2] == 0 || at[2] > USB_HUB_PORTS_MAX) {
        return STATUS_MALFORMED;
    }
    *hub = (struct usb_hub){.ports = at[2], .switching = switchings[at[3] & 3]};
    return STATUS_OK;
}

enum status usb_hub_get_port(struct bytes status, bool is_super, struct usb_hub_port *port) {
    if (status.size < USB_HUB_STATUS_BYTES) {
        return STATUS_MALFORMED;
    }
    unsigned bits = status.data[0] | (unsigned)status.data[1] << 8;
    *port = (struct usb_hub_port){
        .is_connected = (bits & STATUS_CONNECTED) != 0,
        .is_enabled = (bits & STATUS_ENABLED) != 0,
        .is_over_current = (bits & STATUS_OVER_CURRENT) != 0,
        .is_powered = (bits & (is_super ? STATUS_SUPER_POWERED : STATUS_POWERED)) != 0,
    };
    return STATUS_OK;
}
