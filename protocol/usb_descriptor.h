/* usb_descriptor.h - what a USB device says it is: device, configuration and string descriptors.
 *
 * Source: USB 2.0 specification, section 9.6; Android's interfaces: AOSP adb.h and fastboot
 * usb_linux.cpp. The bytes are a device's own words: work and depth are bounded, nothing here
 * follows a length beyond what is there, and what is refused is refused with a reason in words. */
#ifndef PROTOCOL_USB_DESCRIPTOR_H
#define PROTOCOL_USB_DESCRIPTOR_H

#include "hal/base.h"

enum {
    USB_DEVICE_BYTES = 18,
    USB_CONFIGURATION_MAX = 4096, /* bytes of one configuration; real phones stay below 400 */
    USB_INTERFACES_MAX = 32,
    USB_STRING_MAX = 126 /* characters of a string descriptor */
};

enum { USB_CLASS_PER_INTERFACE = 0x00, USB_CLASS_HUB = 0x09, USB_CLASS_MISCELLANEOUS = 0xef };

struct usb_device {
    uint16_t usb; /* 0x0200: USB 2.0 */
    uint8_t device_class;
    uint16_t vendor;
    uint16_t product;
    uint16_t release;
    uint8_t serial_string; /* index; 0: it has none */
    uint8_t configurations;
};

/* An interface to look for, by class, subclass and protocol. */
struct usb_kind {
    uint8_t class_code, subclass, protocol;
};
extern const struct usb_kind usb_kind_adb;
extern const struct usb_kind usb_kind_fastboot;

struct usb_endpoint {
    uint8_t address; /* 0: there is none */
    uint16_t packet_bytes;
};

/* An interface with one bulk endpoint each way. */
struct usb_interface {
    uint8_t number;
    uint8_t alternate; /* always 0 */
    struct usb_endpoint in;
    struct usb_endpoint out;
};

/* Reads the device descriptor at the front of `descriptors`. MALFORMED: `reason` says why. */
must_check enum status usb_get_device(struct bytes descriptors, struct usb_device *device,
                                      const char **reason);

/* Finds the configuration of that value behind the device descriptor. NOT_FOUND: there is none.
 * MALFORMED: `reason` says why. */
must_check enum status usb_get_configuration(struct bytes descriptors, uint8_t value,
                                             struct bytes *configuration, const char **reason);

/* Judges a whole configuration and finds the first interface of a kind in it. NOT_FOUND: sound,
 * but without such an interface. MALFORMED: `reason` says why; nothing of it is to be used. */
must_check enum status usb_find_interface(struct bytes configuration, struct usb_kind kind,
                                          struct usb_interface *interface, const char **reason);

/* How many endpoints a host controller keeps for a device in this configuration: all that its
 * interfaces have, and endpoint 0. Of what is wrong, as far as it is right. */
unsigned usb_count_endpoints(struct bytes configuration);

/* Turns a string descriptor into UTF-8, cut to fit, with a NUL. MALFORMED: an odd or wrong length,
 * or a lone surrogate. `capacity` is at least 1. */
must_check enum status usb_get_string(struct bytes descriptor, char *text, size_t capacity);

#endif
