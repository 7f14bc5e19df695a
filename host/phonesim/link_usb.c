#include "host/phonesim/link_usb.h"

#include <string.h>

enum { CUT_HEADER = 10, LIE_BYTES = 4 };

void link_usb_connect(struct link_usb *link, struct phone *phone, uint16_t packet_bytes) {
    enum link_usb_fault fault = link->fault;
    memset(link, 0, offsetof(struct link_usb, rx));
    link->phone = phone;
    link->packet_bytes = packet_bytes;
    link->fault = fault;
    phone_connect(phone);
}

void link_usb_disconnect(struct link_usb *link) {
    if (link->phone != NULL && link->phone->is_connected) {
        phone_disconnect(link->phone);
    }
}

/* ---- from the host ---- */

static void pass_on(struct link_usb *link, uint64_t now_ms) {
    phone_receive(link->phone, &link->backlog, now_ms);
}

static void end_read(struct link_usb *link, uint64_t now_ms) {
    link->backlog = (struct bytes){link->rx, link->rx_size};
    link->rx_size = 0;
    pass_on(link, now_ms);
}

/* In the bootloader: data of a download is taken at once, a command when its packet has ended. */
static size_t take_packet(struct link_usb *link, struct bytes data, uint64_t now_ms) {
    size_t taken = phone_bootloader_data(&link->phone->bootloader, data, now_ms);
    bool is_data = taken > 0 || link->phone->bootloader.data_left > 0;
    size_t room = FASTBOOT_COMMAND_MAX - link->rx_size;
    size_t size = data.size < room ? data.size : room;
    if (is_data || link->phone->bootloader.is_hung) {
        return taken;
    }
    memcpy(link->rx + link->rx_size, data.data, size);
    link->rx_size += (uint32_t)size;
    return data.size;
}

size_t link_usb_take(struct link_usb *link, struct bytes data, uint64_t now_ms) {
    size_t taken = 0;
    if (link->fault == LINK_USB_SILENT) {
        return 0;
    }
    if (link->phone->is_in_bootloader) {
        return take_packet(link, data, now_ms);
    }
    if (link->backlog.size > 0) {
        pass_on(link, now_ms);
    }
    while (taken < data.size && link->backlog.size == 0) {
        size_t room = sizeof link->rx - link->rx_size;
        size_t count = data.size - taken < room ? data.size - taken : room;
        memcpy(link->rx + link->rx_size, data.data + taken, count);
        link->rx_size += (uint32_t)count;
        taken += count;
        if (link->rx_size == sizeof link->rx) {
            end_read(link, now_ms);
        }
    }
    return taken;
}

void link_usb_take_end(struct link_usb *link, uint64_t now_ms) {
    if (link->phone->is_in_bootloader && link->rx_size > 0) {
        struct bytes packet = {link->rx, link->rx_size};
        link->rx_size = 0;
        phone_bootloader_command(&link->phone->bootloader, packet, now_ms);
        return;
    }
    if (link->rx_size > 0 && link->backlog.size == 0) {
        end_read(link, now_ms);
    }
}

/* ---- to the host ---- */

static void put_u32(uint8_t *target, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) {
        target[i] = (uint8_t)(value >> (8 * i));
    }
}

/* Begins the next transfer when the phone has one. */
static bool begin_transfer(struct link_usb *link, struct bytes output) {
    struct adb_message message;
    if (link->payload_size > 0) {
        link->tx_size = link->payload_size;
        link->payload_size = 0;
    } else if (output.size >= ADB_HEADER_SIZE &&
               adb_decode(output, UINT32_MAX, &message) == STATUS_OK) {
        link->tx_size = ADB_HEADER_SIZE;
        link->payload_size = message.payload_size;
    } else if (output.size > 0) { /* a fault of the phone itself: garbage */
        link->tx_size = (uint32_t)output.size;
    } else {
        return false;
    }
    link->tx_left = link->tx_size;
    return true;
}

static void spoil_header(const struct link_usb *link, uint8_t *header) {
    if (link->fault == LINK_USB_NOISE) {
        header[20] ^= 0x55;
    }
    if (link->fault == LINK_USB_LYING_HEADER && link->payload_size > LIE_BYTES) {
        put_u32(header + 12, link->payload_size - LIE_BYTES);
    }
}

static bool end_transfer(struct link_usb *link) {
    bool is_short = link->tx_size % link->packet_bytes != 0;
    link->owes_empty = link->fault == LINK_USB_EMPTY_BEHIND && link->tx_size > ADB_HEADER_SIZE;
    return is_short;
}

/* One answer of the bootloader is one transfer. */
static bool give_answer(struct phone_bootloader *bootloader, uint8_t *target, uint32_t size,
                        uint32_t *moved, uint64_t now_ms) {
    struct bytes answer = phone_bootloader_answer(bootloader, now_ms);
    if (answer.size == 0) {
        return false;
    }
    *moved = answer.size < size ? (uint32_t)answer.size : size;
    memcpy(target, answer.data, *moved);
    phone_bootloader_answered(bootloader);
    return true;
}

bool link_usb_is_stalled(const struct link_usb *link) {
    return link->phone->is_in_bootloader && link->phone->bootloader.is_stalled;
}

enum status link_usb_say(struct link_usb *link, struct bytes data, uint32_t count) {
    if (link->raw_count == LINK_USB_RAWS) {
        return STATUS_FULL;
    }
    if (data.size > LINK_USB_RAW_BYTES) {
        return STATUS_TOO_LARGE;
    }
    struct link_usb_raw *raw = &link->raws[link->raw_count];
    *raw = (struct link_usb_raw){.size = (uint32_t)data.size, .count = count};
    memcpy(raw->data, data.data, data.size);
    link->raw_count += 1;
    return STATUS_OK;
}

/* A transfer that is too small for it gets its beginning. */
static void give_raw(struct link_usb *link, uint8_t *target, uint32_t size, uint32_t *moved) {
    struct link_usb_raw *raw = &link->raws[0];
    *moved = raw->size < size ? raw->size : size;
    memcpy(target, raw->data, *moved);
    raw->count -= 1;
    if (raw->count == 0) {
        link->raw_count -= 1;
        memmove(raw, raw + 1, link->raw_count * sizeof *raw);
    }
}

bool link_usb_give(struct link_usb *link, uint8_t *target, uint32_t size, uint32_t *moved,
                   uint64_t now_ms) {
    if (link->fault == LINK_USB_SILENT) {
        return false;
    }
    if (link->phone->is_in_bootloader) {
        return give_answer(&link->phone->bootloader, target, size, moved, now_ms);
    }
    if (*moved == 0 && link->tx_left == 0 && link->raw_count > 0) {
        give_raw(link, target, size, moved);
        return true;
    }
    while (*moved < size) {
        struct bytes output = phone_output(link->phone);
        if (*moved == 0 && link->tx_left == 0 &&
            (link->owes_empty || link->fault == LINK_USB_EMPTY_FLOOD)) {
            link->owes_empty = false;
            return true;
        }
        if (link->tx_left == 0 && !begin_transfer(link, output)) {
            return false;
        }
        bool is_header = link->tx_size == ADB_HEADER_SIZE && link->tx_left == ADB_HEADER_SIZE;
        uint32_t count = link->tx_left < size - *moved ? link->tx_left : size - *moved;
        count = output.size < count ? (uint32_t)output.size : count;
        if (count == 0) {
            return false;
        }
        memcpy(target + *moved, output.data, count);
        phone_sent(link->phone, count);
        link->tx_left -= count;
        if (is_header && count == ADB_HEADER_SIZE) {
            spoil_header(link, target + *moved);
        }
        *moved += count;
        if (is_header && link->fault == LINK_USB_SHORT_HEADER) {
            *moved = *moved < CUT_HEADER ? *moved : CUT_HEADER;
            return true;
        }
        if (link->tx_left == 0 && end_transfer(link)) {
            return true;
        }
    }
    return true;
}

/* ---- what it says it is ---- */

void link_usb_describe(const struct phone *phone, uint16_t packet_bytes,
                       uint8_t target[LINK_USB_DESCRIPTORS]) {
    static const uint8_t usual[LINK_USB_DESCRIPTORS] = {
        18,   1,    0x00, 0x02, 0,    0,    0,    64,   0xd1,
        0x18, 0xe7, 0x4e, 0x40, 0x04, 1,    2,    3,    1,   /* device */
        9,    2,    32,   0,    1,    1,    0,    0x80, 250, /* configuration */
        9,    4,    0,    0,    2,    0xff, 0x42, 1,    0,   /* interface */
        7,    5,    0x81, 2,    0,    2,    0,               /* bulk in */
        7,    5,    0x01, 2,    0,    2,    0,               /* bulk out */
    };
    memcpy(target, usual, sizeof usual);
    if (phone->is_in_bootloader) { /* 18d1:4ee0, ff/42/03 */
        target[10] = 0xe0;
        target[18 + 9 + 7] = FASTBOOT_USB_PROTOCOL;
    }
    target[16] = link_usb_serial(phone)[0] == '\0' ? 0 : 3;
    for (unsigned i = 18 + 9 + 9 + 4; i < LINK_USB_DESCRIPTORS; i += 7) {
        target[i] = (uint8_t)(packet_bytes & 0xff);
        target[i + 1] = (uint8_t)(packet_bytes >> 8);
    }
}

const char *link_usb_serial(const struct phone *phone) {
    bool is_blank = phone->is_in_bootloader && phone->options->bootloader.has_no_serial;
    return is_blank ? "" : phone->state.serial;
}

static size_t put_string(const char *text, uint8_t target[255]) {
    size_t size = 2;
    for (; *text != '\0' && size + 2 < 255; text++) {
        target[size] = (uint8_t)*text;
        target[size + 1] = 0;
        size += 2;
    }
    target[0] = (uint8_t)size;
    target[1] = 3;
    return size;
}

int link_usb_answer(const uint8_t setup[8], const struct phone *phone, uint16_t packet_bytes,
                    uint8_t *target, size_t capacity) {
    static const uint8_t languages[] = {4, 3, 0x09, 0x04};
    static const char *const names[] = {"", "phonesim", "Phone"};
    uint8_t all[255];
    size_t size = 0;
    if (setup[0] != 0x80 || setup[1] != 6) {
        return -1;
    }
    uint8_t index = setup[2];
    if (setup[3] == 1 || setup[3] == 2) {
        uint8_t both[LINK_USB_DESCRIPTORS];
        link_usb_describe(phone, packet_bytes, both);
        size_t from = setup[3] == 1 ? 0 : 18;
        size = setup[3] == 1 ? 18 : sizeof both - 18;
        memcpy(all, both + from, size);
    } else if (setup[3] == 3 && index == 0) {
        size = sizeof languages;
        memcpy(all, languages, size);
    } else if (setup[3] == 3 && index <= 3) {
        size = put_string(index == 3 ? link_usb_serial(phone) : names[index], all);
    } else {
        return -1;
    }
    size = size < capacity ? size : capacity;
    memcpy(target, all, size);
    return (int)size;
}

const char *link_usb_fault_name(enum link_usb_fault fault) {
    static const char *const names[] = {"good",         "short-header", "noise", "lying-header",
                                        "empty-behind", "empty-flood",  "silent"};
    _Static_assert(array_count(names) == LINK_USB_FAULT_COUNT, "every fault has a name");
    check((size_t)fault < array_count(names));
    return names[fault];
}
