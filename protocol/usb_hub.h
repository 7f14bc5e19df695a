/* usb_hub.h - what is asked of a USB hub about the power of its ports.
 *
 * Source: USB 2.0 specification, section 11.24 (requests) and 11.23.2.1 (descriptor); USB 3.2
 * specification, 10.16. What a hub answers is its own word: hubs that switch nothing may say they
 * do, so whoever switches reads the port's status back. */
#ifndef PROTOCOL_USB_HUB_H
#define PROTOCOL_USB_HUB_H

#include "hal/base.h"

enum {
    USB_HUB_SETUP_BYTES = 8,
    USB_HUB_DESCRIPTOR_MAX = 71, /* of 255 ports */
    USB_HUB_STATUS_BYTES = 4,
    USB_HUB_PORTS_MAX = 31 /* more than any hub has; more is a lie */
};

enum usb_hub_request {
    USB_HUB_GET_DESCRIPTOR,
    USB_HUB_GET_PORT_STATUS,
    USB_HUB_POWER_ON,
    USB_HUB_POWER_OFF
};

enum usb_hub_switching {
    USB_HUB_GANGED, /* all ports together */
    USB_HUB_EACH,
    USB_HUB_NEVER
};

struct usb_hub {
    uint8_t ports;
    enum usb_hub_switching switching;
};

struct usb_hub_port {
    bool is_connected;
    bool is_enabled;
    bool is_over_current;
    bool is_powered;
};

/* Writes the setup packet of a request. `is_super`: the USB 3 half. Returns how many bytes of data
 * the hub is asked for. */
uint16_t usb_hub_put_setup(uint8_t setup[USB_HUB_SETUP_BYTES], enum usb_hub_request request,
                           uint8_t port, bool is_super);

/* MALFORMED: too short, of another type, no port, or more than USB_HUB_PORTS_MAX. */
must_check enum status usb_hub_get(struct bytes descriptor, struct usb_hub *hub);

/* MALFORMED: too short. */
must_check enum status usb_hub_get_port(struct bytes status, bool is_super,
                                        struct usb_hub_port *port);

#endif
