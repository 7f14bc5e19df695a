#include "protocol/usb_descriptor.h"

#include <string.h>

enum {
    TYPE_DEVICE = 1,
    TYPE_CONFIGURATION = 2,
    TYPE_STRING = 3,
    TYPE_INTERFACE = 4,
    TYPE_ENDPOINT = 5
};
enum { HEAD_BYTES = 2, CONFIGURATION_BYTES = 9, INTERFACE_BYTES = 9, ENDPOINT_BYTES = 7 };
enum { DIRECTION_IN = 0x80, ENDPOINT_NUMBER = 0x0f, TRANSFER_TYPE = 0x03, TRANSFER_BULK = 2 };

const struct usb_kind usb_kind_adb = {0xff, 0x42, 0x01};
const struct usb_kind usb_kind_fastboot = {0xff, 0x42, 0x03};

static uint16_t get_u16(const uint8_t *at) {
    return (uint16_t)(at[0] | at[1] << 8);
}

static enum status refuse(const char **reason, const char *why) {
    *reason = why;
    return STATUS_MALFORMED;
}

enum status usb_get_device(struct bytes descriptors, struct usb_device *device,
                           const char **reason) {
    const uint8_t *at = descriptors.data;
    if (descriptors.size < USB_DEVICE_BYTES) {
        return refuse(reason, "the device descriptor is cut short");
    }
    if (at[0] != USB_DEVICE_BYTES || at[1] != TYPE_DEVICE) {
        return refuse(reason, "there is no device descriptor");
    }
    if (at[17] == 0) {
        return refuse(reason, "the device has no configuration");
    }
    *device = (struct usb_device){
        .usb = get_u16(at + 2),
        .device_class = at[4],
        .vendor = get_u16(at + 8),
        .product = get_u16(at + 10),
        .release = get_u16(at + 12),
        .serial_string = at[16],
        .configurations = at[17],
    };
    return STATUS_OK;
}

enum status usb_get_configuration(struct bytes descriptors, uint8_t value,
                                  struct bytes *configuration, const char **reason) {
    struct usb_device device;
    if (usb_get_device(descriptors, &device, reason) != STATUS_OK) {
        return STATUS_MALFORMED;
    }
    struct bytes rest = {descriptors.data + USB_DEVICE_BYTES, descriptors.size - USB_DEVICE_BYTES};
    for (uint8_t i = 0; i < device.configurations; i++) {
        if (rest.size < CONFIGURATION_BYTES || rest.data[0] < CONFIGURATION_BYTES ||
            rest.data[1] != TYPE_CONFIGURATION) {
            return refuse(reason, "fewer configurations than the device descriptor says");
        }
        size_t size = get_u16(rest.data + 2);
        if (size < CONFIGURATION_BYTES || size > USB_CONFIGURATION_MAX || size > rest.size) {
            return refuse(reason, "a configuration's total length is wrong");
        }
        if (rest.data[5] == value) {
            *configuration = (struct bytes){rest.data, size};
            return STATUS_OK;
        }
        rest = (struct bytes){rest.data + size, rest.size - size};
    }
    return STATUS_NOT_FOUND;
}

/* ---- one walk over a configuration ---- */

struct walk {
    struct usb_kind kind;
    struct usb_interface *interface;
    uint32_t interfaces[8]; /* a bit for each interface number that was seen */
    unsigned seen;          /* alternates included */
    unsigned endpoints_left;
    bool is_wanted; /* the interface we are in */
    bool is_found;
    uint8_t bulk_ins, bulk_outs; /* of the wanted one */
};

/* What must hold when an interface ends. */
static const char *end_interface(struct walk *walk) {
    if (walk->endpoints_left > 0) {
        return "an interface has fewer endpoints than it says";
    }
    if (!walk->is_wanted) {
        return NULL;
    }
    walk->is_wanted = false;
    if (walk->bulk_ins != 1 || walk->bulk_outs != 1) {
        return "its interface does not have one bulk endpoint each way";
    }
    walk->is_found = true;
    return NULL;
}

static const char *begin_interface(struct walk *walk, const uint8_t *at, size_t size) {
    if (size < INTERFACE_BYTES) {
        return "an interface descriptor is cut short";
    }
    const char *wrong = end_interface(walk);
    if (wrong != NULL) {
        return wrong;
    }
    walk->seen += 1;
    if (walk->seen > USB_INTERFACES_MAX) {
        return "it has more interfaces than any phone";
    }
    uint32_t bit = (uint32_t)1 << (at[2] % 32);
    bool is_repeated = (walk->interfaces[at[2] / 32] & bit) != 0;
    walk->interfaces[at[2] / 32] |= bit;
    if (at[3] == 0 && is_repeated) {
        return "two interfaces have one number";
    }
    walk->endpoints_left = at[4];
    walk->is_wanted = !walk->is_found && at[3] == 0 && at[5] == walk->kind.class_code &&
                      at[6] == walk->kind.subclass && at[7] == walk->kind.protocol;
    if (walk->is_wanted) {
        *walk->interface = (struct usb_interface){.number = at[2]};
        walk->bulk_ins = 0;
        walk->bulk_outs = 0;
    }
    return NULL;
}

static bool is_packet_size(uint16_t bytes) {
    return bytes == 8 || bytes == 16 || bytes == 32 || bytes == 64 || bytes == 512 || bytes == 1024;
}

static const char *take_endpoint(struct walk *walk, const uint8_t *at, size_t size) {
    if (size < ENDPOINT_BYTES) {
        return "an endpoint descriptor is cut short";
    }
    if (walk->endpoints_left == 0) {
        return "an interface has more endpoints than it says";
    }
    walk->endpoints_left -= 1;
    if ((at[2] & ENDPOINT_NUMBER) == 0) {
        return "an endpoint has number 0";
    }
    if (!walk->is_wanted || (at[3] & TRANSFER_TYPE) != TRANSFER_BULK) {
        return NULL;
    }
    struct usb_endpoint endpoint = {at[2], get_u16(at + 4)};
    if (!is_packet_size(endpoint.packet_bytes)) {
        return "a bulk endpoint has a packet size that USB does not know";
    }
    bool is_in = (at[2] & DIRECTION_IN) != 0;
    *(is_in ? &walk->interface->in : &walk->interface->out) = endpoint;
    walk->bulk_ins = (uint8_t)(walk->bulk_ins + (is_in ? 1 : 0));
    walk->bulk_outs = (uint8_t)(walk->bulk_outs + (is_in ? 0 : 1));
    return NULL;
}

enum status usb_find_interface(struct bytes configuration, struct usb_kind kind,
                               struct usb_interface *interface, const char **reason) {
    struct usb_interface found = {0};
    struct walk walk = {.kind = kind, .interface = &found};
    struct bytes rest = configuration;
    if (rest.size < CONFIGURATION_BYTES || get_u16(rest.data + 2) != rest.size) {
        return refuse(reason, "a configuration's total length is wrong");
    }
    while (rest.size > 0) {
        size_t size = rest.data[0];
        if (size < HEAD_BYTES || size > rest.size) {
            return refuse(reason, "a descriptor's length is wrong");
        }
        const char *wrong = NULL;
        if (rest.data[1] == TYPE_INTERFACE) {
            wrong = begin_interface(&walk, rest.data, size);
        } else if (rest.data[1] == TYPE_ENDPOINT) {
            wrong = take_endpoint(&walk, rest.data, size);
        }
        if (wrong != NULL) {
            return refuse(reason, wrong);
        }
        rest = (struct bytes){rest.data + size, rest.size - size};
    }
    const char *wrong = end_interface(&walk);
    if (wrong != NULL) {
        return refuse(reason, wrong);
    }
    if (!walk.is_found) {
        return STATUS_NOT_FOUND;
    }
    *interface = found;
    return STATUS_OK;
}

unsigned usb_count_endpoints(struct bytes configuration) {
    struct bytes rest = configuration;
    uint32_t seen = 0; /* a bit for each number and direction */
    unsigned count = 1;
    while (rest.size >= HEAD_BYTES && rest.data[0] >= HEAD_BYTES && rest.data[0] <= rest.size) {
        if (rest.data[1] == TYPE_ENDPOINT && rest.data[0] > 2) {
            uint32_t bit = UINT32_C(1) << ((rest.data[2] & 0x0fu) + (rest.data[2] >> 7) * 16u);
            count += (seen & bit) == 0 ? 1 : 0;
            seen |= bit;
        }
        rest = (struct bytes){rest.data + rest.data[0], rest.size - rest.data[0]};
    }
    return count;
}

/* ---- strings ---- */

static size_t put_utf8(uint32_t code, uint8_t target[4]) {
    if (code < 0x80) {
        target[0] = (uint8_t)code;
        return 1;
    }
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size - 1; i > 0; i--) {
        target[i] = (uint8_t)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    target[0] = (uint8_t)(heads[size] | code);
    return size;
}

/* One character; moves `at`. False: a surrogate without its other half. */
static bool next_code(struct bytes units, size_t *at, uint32_t *code) {
    uint32_t first = get_u16(units.data + *at);
    *at += 2;
    *code = first;
    if (first < 0xd800 || first > 0xdfff) {
        return true;
    }
    if (first > 0xdbff || *at + 2 > units.size) {
        return false;
    }
    uint32_t second = get_u16(units.data + *at);
    *at += 2;
    *code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    return second >= 0xdc00 && second <= 0xdfff;
}

enum status usb_get_string(struct bytes descriptor, char *text, size_t capacity) {
    check(capacity > 0);
    text[0] = '\0';
    if (descriptor.size < HEAD_BYTES || descriptor.data[1] != TYPE_STRING ||
        descriptor.data[0] < HEAD_BYTES || descriptor.data[0] > descriptor.size ||
        descriptor.data[0] % 2 != 0) {
        return STATUS_MALFORMED;
    }
    struct bytes units = {descriptor.data + HEAD_BYTES, (size_t)descriptor.data[0] - HEAD_BYTES};
    size_t size = 0;
    for (size_t at = 0; at < units.size;) {
        uint32_t code;
        uint8_t bytes[4];
        if (!next_code(units, &at, &code) || code == 0) {
            text[0] = '\0';
            return STATUS_MALFORMED;
        }
        size_t more = put_utf8(code, bytes);
        if (size + more >= capacity) {
            break;
        }
        memcpy(text + size, bytes, more);
        size += more;
    }
    text[size] = '\0';
    return STATUS_OK;
}
