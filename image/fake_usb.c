#include "image/fake_usb.h"

#include "protocol/adb_shell.h"
#include "protocol/text.h"

#include <string.h>

/* A device and its one configuration, as a phone with ADB only says them. */
static const uint8_t descriptors[] = {
    18, 1, 0x00, 0x02, 0,    0, 0,    64,   0xd1, 0x18, 0xe7, 0x4e, 0x40, 0x04, 1,    2,    3,
    1,  9, 2,    32,   0,    1, 1,    0,    0x80, 250,  9,    4,    0,    0,    2,    0xff, 0x42,
    1,  0, 7,    5,    0x01, 2, 0x00, 0x02, 0,    7,    5,    0x81, 2,    0x00, 0x02, 0,
};
enum { ENDPOINT_IN = 0x81 };

static struct fake_usb *fake_usb(struct hal_usb *usb) {
    return (struct fake_usb *)(void *)usb;
}

static struct fake_phone *phone_of(struct fake_usb *bus, uint32_t device) {
    for (uint32_t i = 0; i < FAKE_USB_PHONES; i++) {
        if (bus->phones[i].is_plugged && bus->phones[i].device.id == device) {
            return &bus->phones[i];
        }
    }
    return NULL;
}

/* ---- transfers ---- */

static void done(struct fake_usb *bus, struct hal_usb_transfer *transfer, enum status status,
                 uint32_t moved) {
    transfer->status = status;
    transfer->moved = moved;
    transfer->next = NULL;
    if (bus->done_first == NULL) {
        bus->done_first = transfer;
    } else {
        bus->done_last->next = transfer;
    }
    bus->done_last = transfer;
}

static void give_back(struct fake_usb *bus, struct fake_phone *phone, enum status status) {
    for (uint32_t i = 0; i < phone->waiting_count; i++) {
        done(bus, phone->waiting[i], status, 0);
    }
    phone->waiting_count = 0;
}

static void take_out(struct fake_phone *phone, uint32_t place) {
    phone->waiting_count -= 1;
    for (uint32_t i = place; i < phone->waiting_count; i++) {
        phone->waiting[i] = phone->waiting[i + 1];
    }
}

static void deliver(struct fake_usb *bus, struct fake_phone *phone) {
    struct bytes output = adb_connection_output(&phone->adb);
    while (phone->waiting_count > 0 && output.size > 0 && !phone->is_hanging) {
        struct hal_usb_transfer *transfer = phone->waiting[0];
        uint32_t size = output.size < transfer->size ? (uint32_t)output.size : transfer->size;
        memcpy(transfer->data, output.data, size);
        adb_connection_sent(&phone->adb, size);
        take_out(phone, 0);
        done(bus, transfer, STATUS_OK, size);
        output = adb_connection_output(&phone->adb);
    }
}

/* ---- the device's side of ADB ---- */

static void restart(struct fake_phone *phone) {
    adb_connection_init(&phone->adb, ADB_CONNECTION_DEVICE, ADB_PAYLOAD_V1, phone->output,
                        sizeof phone->output);
    phone->stream = 0;
    phone->is_exiting = false;
}

static void unplug(struct fake_usb *bus, struct fake_phone *phone, uint64_t back_ms) {
    if (phone->is_plugged) {
        give_back(bus, phone, STATUS_UNPLUGGED);
        phone->is_plugged = false;
        phone->is_open = false;
        phone->owes_detach = !phone->owes_attach; /* who never heard of it needs no farewell */
        phone->owes_attach = false;
    }
    phone->back_ms = back_ms;
}

static void plug(struct fake_usb *bus, struct fake_phone *phone) {
    if (phone->is_plugged || phone->owes_detach) {
        return;
    }
    bus->id_count += 1;
    phone->device.id = bus->id_count;
    phone->is_plugged = true;
    phone->is_hanging = false;
    phone->owes_attach = true;
    phone->back_ms = 0;
    restart(phone);
}

static void opened(struct fake_usb *bus, struct fake_phone *phone,
                   const struct adb_connection_event *event) {
    struct bytes service = event->data;
    if (text_take(&service, "reboot:")) {
        adb_connection_accept_stream(&phone->adb, event->stream);
        adb_connection_close(&phone->adb, event->stream);
        unplug(bus, phone, bus->now_ms + FAKE_USB_REBOOT_MS);
    } else if (text_take(&service, "shell,v2") && phone->stream == 0) {
        adb_connection_accept_stream(&phone->adb, event->stream);
        phone->stream = event->stream;
        phone->is_exiting = false;
        phone->answer_ms = bus->now_ms + FAKE_USB_ANSWER_MS;
    } else {
        adb_connection_close(&phone->adb, event->stream);
    }
}

static void react(struct fake_usb *bus, struct fake_phone *phone,
                  const struct adb_connection_event *event) {
    const struct adb_banner banner = {.peer = ADB_PEER_DEVICE,
                                      .product = bytes_of("fake"),
                                      .model = bytes_of("Fake_One"),
                                      .device = bytes_of("fake"),
                                      .features = ADB_FEATURE_SHELL_V2 | ADB_FEATURE_CMD};
    switch ((int)event->kind) {
    case ADB_EVENT_CONNECT:
        phone->stream = 0;
        check(adb_connection_accept(&phone->adb, &banner) == STATUS_OK);
        break;
    case ADB_EVENT_OPEN:
        opened(bus, phone, event);
        break;
    case ADB_EVENT_DATA_END:
        adb_connection_acknowledge(&phone->adb, event->stream, 0);
        break;
    case ADB_EVENT_WRITABLE:
        if (phone->is_exiting && event->stream == phone->stream) {
            adb_connection_close(&phone->adb, phone->stream);
            phone->stream = 0;
        }
        break;
    case ADB_EVENT_CLOSED:
        phone->stream = event->stream == phone->stream ? 0 : phone->stream;
        break;
    default:
        break;
    }
}

/* What the host has written. False: it broke the protocol. */
static bool hear(struct fake_usb *bus, struct fake_phone *phone, struct bytes input) {
    struct adb_connection_event event;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && phone->is_plugged) {
        status = adb_connection_receive(&phone->adb, &input, &event);
        if (status == STATUS_OK) {
            react(bus, phone, &event);
        }
    }
    return status == STATUS_MORE || !phone->is_plugged;
}

/* Some output, and exit status 0, in one message. */
static void answer(struct fake_phone *phone) {
    static const char text[] = "level: 57\nstatus: 2\n";
    const size_t size = (size_t)2 * ADB_SHELL_HEADER_SIZE + sizeof text - 1 + 1;
    size_t capacity;
    uint8_t *room = adb_connection_room(&phone->adb, phone->stream, size, &capacity);
    if (room == NULL) {
        return;
    }
    adb_shell_write_header(room, ADB_SHELL_STDOUT, sizeof text - 1);
    memcpy(room + ADB_SHELL_HEADER_SIZE, text, sizeof text - 1);
    room += ADB_SHELL_HEADER_SIZE + sizeof text - 1;
    adb_shell_write_header(room, ADB_SHELL_EXIT, 1);
    room[ADB_SHELL_HEADER_SIZE] = 0;
    adb_connection_write_built(&phone->adb, phone->stream, size);
    phone->is_exiting = true;
    phone->served += 1;
}

/* ---- the bus ---- */

static bool tell(struct hal_usb_event *event, enum hal_usb_kind kind,
                 const struct hal_usb_device *device) {
    *event = (struct hal_usb_event){.kind = kind, .device = device};
    return true;
}

static bool bus_next(struct hal_usb *usb, struct hal_usb_event *event) {
    struct fake_usb *bus = fake_usb(usb);
    struct hal_usb_transfer *transfer = bus->done_first;
    if (transfer != NULL) {
        bus->done_first = transfer->next;
        transfer->is_in_flight = false;
        *event = (struct hal_usb_event){.kind = HAL_USB_TRANSFERRED, .transfer = transfer};
        return true;
    }
    for (uint32_t i = 0; i < FAKE_USB_PHONES; i++) {
        struct fake_phone *phone = &bus->phones[i];
        if (phone->owes_detach) {
            phone->owes_detach = false;
            return tell(event, HAL_USB_DETACHED, &phone->device);
        }
        if (phone->owes_attach) {
            phone->owes_attach = false;
            return tell(event, HAL_USB_ATTACHED, &phone->device);
        }
    }
    return false;
}

static enum status bus_open(struct hal_usb *usb, uint32_t device, int interface) {
    struct fake_phone *phone = phone_of(fake_usb(usb), device);
    (void)interface;
    if (phone == NULL) {
        return STATUS_UNPLUGGED;
    }
    phone->is_open = true;
    restart(phone);
    return STATUS_OK;
}

static void bus_close(struct hal_usb *usb, uint32_t device) {
    struct fake_usb *bus = fake_usb(usb);
    struct fake_phone *phone = phone_of(bus, device);
    if (phone != NULL) {
        give_back(bus, phone, STATUS_CLOSED);
        phone->is_open = false;
    }
}

static enum status bus_submit(struct hal_usb *usb, struct hal_usb_transfer *transfer) {
    struct fake_usb *bus = fake_usb(usb);
    struct fake_phone *phone = phone_of(bus, transfer->device);
    if (phone == NULL || !phone->is_open) {
        return phone == NULL ? STATUS_UNPLUGGED : STATUS_ILLEGAL;
    }
    if (transfer->endpoint == ENDPOINT_IN) {
        if (phone->waiting_count == FAKE_USB_TRANSFERS) {
            return STATUS_FULL;
        }
        transfer->is_in_flight = true;
        phone->waiting[phone->waiting_count] = transfer;
        phone->waiting_count += 1;
        deliver(bus, phone);
        return STATUS_OK;
    }
    transfer->is_in_flight = true;
    bool is_sound =
        phone->is_hanging || hear(bus, phone, (struct bytes){transfer->data, transfer->size});
    done(bus, transfer, is_sound ? STATUS_OK : STATUS_STALLED, is_sound ? transfer->size : 0);
    if (phone->is_plugged) {
        deliver(bus, phone);
    }
    return STATUS_OK;
}

static void bus_cancel(struct hal_usb *usb, struct hal_usb_transfer *transfer) {
    struct fake_usb *bus = fake_usb(usb);
    struct fake_phone *phone = phone_of(bus, transfer->device);
    for (uint32_t i = 0; phone != NULL && i < phone->waiting_count; i++) {
        if (phone->waiting[i] == transfer) {
            take_out(phone, i);
            done(bus, transfer, STATUS_CLOSED, 0);
            return;
        }
    }
}

/* A reset is a phone that leaves and comes again at once. */
static enum status bus_reset(struct hal_usb *usb, uint32_t device) {
    struct fake_usb *bus = fake_usb(usb);
    struct fake_phone *phone = phone_of(bus, device);
    if (phone == NULL) {
        return STATUS_UNPLUGGED;
    }
    unplug(bus, phone, bus->now_ms + 1);
    return STATUS_OK;
}

static enum status bus_switch_port(struct hal_usb *usb, uint32_t device, uint8_t port, bool is_on) {
    (void)usb;
    (void)device;
    (void)port;
    (void)is_on;
    return STATUS_NOT_FOUND;
}

void fake_usb_open(struct fake_usb *bus) {
    static const struct hal_usb_ops ops = {
        .next = bus_next,
        .open = bus_open,
        .close = bus_close,
        .submit = bus_submit,
        .cancel = bus_cancel,
        .reset = bus_reset,
        .switch_port = bus_switch_port,
    };
    bus->usb = (struct hal_usb){.ops = &ops, .handle = -1};
    for (uint32_t i = 0; i < FAKE_USB_PHONES; i++) {
        struct hal_usb_device *device = &bus->phones[i].device;
        *device = (struct hal_usb_device){
            .speed = HAL_USB_SPEED_HIGH,
            .configuration = 1,
            .depth = 1,
            .ports = {(uint8_t)(i + 1)},
            .slot = "usb:fake-1",
            .path = "1-1",
            .serial = "FAKE1",
            .descriptors = {descriptors, sizeof descriptors},
        };
        device->slot[9] = (char)('1' + i);
        device->path[2] = (char)('1' + i);
        device->serial[4] = (char)('1' + i);
        plug(bus, &bus->phones[i]);
    }
}

static void step_phone(struct fake_usb *bus, struct fake_phone *phone) {
    if (!phone->is_plugged && phone->back_ms != 0 && bus->now_ms >= phone->back_ms) {
        plug(bus, phone);
    }
    bool is_due = phone->is_plugged && phone->stream != 0 && !phone->is_exiting;
    if (is_due && bus->now_ms >= phone->answer_ms) {
        answer(phone);
    }
    if (phone->is_plugged && phone->is_open) {
        deliver(bus, phone);
    }
}

void fake_usb_step(struct fake_usb *bus, uint64_t now_ms) {
    bus->now_ms = now_ms;
    for (uint32_t i = 0; i < FAKE_USB_PHONES; i++) {
        step_phone(bus, &bus->phones[i]);
    }
}

uint64_t fake_usb_deadline_ms(const struct fake_usb *bus) {
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < FAKE_USB_PHONES; i++) {
        const struct fake_phone *phone = &bus->phones[i];
        uint64_t due = UINT64_MAX;
        if (phone->is_plugged && phone->stream != 0 && !phone->is_exiting) {
            due = phone->answer_ms;
        } else if (!phone->is_plugged && phone->back_ms != 0) {
            due = phone->back_ms;
        }
        next = due < next ? due : next;
    }
    return next;
}

void fake_usb_plug(struct fake_usb *bus, uint32_t phone, bool is_in) {
    check(phone < FAKE_USB_PHONES);
    if (is_in) {
        plug(bus, &bus->phones[phone]);
    } else {
        unplug(bus, &bus->phones[phone], 0);
    }
}

void fake_usb_hang(struct fake_usb *bus, uint32_t phone) {
    check(phone < FAKE_USB_PHONES);
    bus->phones[phone].is_hanging = true;
}
