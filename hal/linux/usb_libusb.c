#include "hal/linux/usb_libusb.h"

#include "hal/linux/arena.h"
#include "hal/linux/usb_sysfs.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

enum { MONITOR_STACK_BYTES = 128 * 1024, ID_BITS = 8 };
_Static_assert(USB_LIBUSB_DEVICES <= 1 << ID_BITS, "an entry's number fits an id");

static struct usb_libusb *bus_of(struct hal_usb *usb) {
    return (struct usb_libusb *)(void *)usb;
}

static enum status status_of(int error) {
    switch (error) {
    case LIBUSB_SUCCESS:
        return STATUS_OK;
    case LIBUSB_ERROR_ACCESS:
        return STATUS_DENIED;
    case LIBUSB_ERROR_BUSY:
        return STATUS_BUSY;
    case LIBUSB_ERROR_NO_DEVICE:
    case LIBUSB_ERROR_NOT_FOUND:
        return STATUS_UNPLUGGED;
    case LIBUSB_ERROR_NO_MEM:
        return STATUS_NO_MEMORY;
    case LIBUSB_ERROR_PIPE:
        return STATUS_STALLED;
    case LIBUSB_ERROR_TIMEOUT:
        return STATUS_TIMEOUT;
    default:
        return STATUS_IO;
    }
}

/* ---- devices ---- */

static uint32_t index_of(const struct usb_libusb *bus, const struct usb_libusb_device *device) {
    return (uint32_t)(device - bus->devices);
}

/* NULL: it has left, or was never there. */
static struct usb_libusb_device *find(struct usb_libusb *bus, uint32_t id) {
    struct usb_libusb_device *device = &bus->devices[id & ((1u << ID_BITS) - 1)];
    return device->native != NULL && device->known.id == id && !device->is_gone ? device : NULL;
}

static struct usb_libusb_device *find_native(struct usb_libusb *bus, const libusb_device *native) {
    for (size_t i = 0; i < USB_LIBUSB_DEVICES; i++) {
        if (bus->devices[i].native == native) {
            return &bus->devices[i];
        }
    }
    return NULL;
}

static enum hal_usb_speed speed_of(libusb_device *native) {
    static const enum hal_usb_speed speeds[] = {
        [LIBUSB_SPEED_UNKNOWN] = HAL_USB_SPEED_UNKNOWN,
        [LIBUSB_SPEED_LOW] = HAL_USB_SPEED_LOW,
        [LIBUSB_SPEED_FULL] = HAL_USB_SPEED_FULL,
        [LIBUSB_SPEED_HIGH] = HAL_USB_SPEED_HIGH,
        [LIBUSB_SPEED_SUPER] = HAL_USB_SPEED_SUPER,
        [LIBUSB_SPEED_SUPER_PLUS] = HAL_USB_SPEED_SUPER,
    };
    int speed = libusb_get_device_speed(native);
    return speed >= 0 && (size_t)speed < array_count(speeds) ? speeds[speed]
                                                             : HAL_USB_SPEED_UNKNOWN;
}

static void add(struct usb_libusb *bus, libusb_device *native) {
    if (find_native(bus, native) != NULL) {
        return;
    }
    struct usb_libusb_device *device = find_native(bus, NULL);
    if (device == NULL) {
        bus->is_incomplete = true;
        bus->missed_devices += 1;
        return;
    }
    uint32_t generation = device->generation + 1;
    memset(device, 0, offsetof(struct usb_libusb_device, descriptors));
    device->generation = generation;
    device->native = libusb_ref_device(native);
    device->interface = HAL_USB_NO_INTERFACE;
    device->known.id = generation << ID_BITS | index_of(bus, device);
    device->known.speed = speed_of(native);
    int depth = libusb_get_port_numbers(native, device->known.ports, HAL_USB_DEPTH);
    device->known.depth = (uint8_t)(depth < 0 ? 0 : depth);
    usb_sysfs_describe(&device->known, libusb_get_bus_number(native), device->descriptors);
    bus->count += 1;
}

static int LIBUSB_CALL on_hotplug(libusb_context *context, libusb_device *native,
                                  libusb_hotplug_event event, void *owner) {
    struct usb_libusb *bus = owner;
    (void)context;
    if (event == LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED) {
        add(bus, native);
        return 0;
    }
    struct usb_libusb_device *device = find_native(bus, native);
    if (device != NULL) {
        device->is_gone = true;
    }
    return 0;
}

static void rescan(struct usb_libusb *bus) {
    libusb_device **list;
    ssize_t count = libusb_get_device_list(bus->context, &list);
    bus->is_incomplete = false;
    for (ssize_t i = 0; i < count; i++) {
        add(bus, list[i]);
    }
    if (count >= 0) {
        libusb_free_device_list(list, 1);
    }
}

static void shut(struct usb_libusb_device *device) {
    if (device->handle == NULL || device->in_flight > 0) {
        return;
    }
    if (device->interface != HAL_USB_NO_INTERFACE) {
        (void)libusb_release_interface(device->handle, device->interface);
    }
    libusb_close(device->handle);
    device->handle = NULL;
    device->is_closing = false;
}

static void release(struct usb_libusb *bus, struct usb_libusb_device *device) {
    libusb_unref_device(device->native);
    device->native = NULL;
    bus->count -= 1;
    if (bus->is_incomplete) {
        rescan(bus);
    }
}

static enum status open_device(struct hal_usb *usb, uint32_t id, int interface) {
    struct usb_libusb_device *device = find(bus_of(usb), id);
    if (device == NULL) {
        return STATUS_UNPLUGGED;
    }
    if (device->is_closing) {
        return STATUS_AGAIN;
    }
    check(device->handle == NULL);
    enum status status = status_of(libusb_open(device->native, &device->handle));
    if (status != STATUS_OK) {
        device->handle = NULL;
        return status;
    }
    device->interface = HAL_USB_NO_INTERFACE;
    if (interface != HAL_USB_NO_INTERFACE) {
        status = status_of(libusb_claim_interface(device->handle, interface));
        device->interface = status == STATUS_OK ? interface : HAL_USB_NO_INTERFACE;
    }
    if (status != STATUS_OK) {
        shut(device);
    }
    return status;
}

static void cancel_all(struct usb_libusb *bus, const struct usb_libusb_device *device) {
    for (size_t i = 0; i < USB_LIBUSB_TRANSFERS && device->in_flight > 0; i++) {
        struct usb_libusb_transfer *slot = &bus->transfers[i];
        if (slot->of != NULL && slot->of->device == device->known.id) {
            (void)libusb_cancel_transfer(slot->native);
        }
    }
}

static void close_device(struct hal_usb *usb, uint32_t id) {
    struct usb_libusb *bus = bus_of(usb);
    struct usb_libusb_device *device = find(bus, id);
    if (device == NULL || device->handle == NULL || device->is_closing) {
        return;
    }
    device->is_closing = true;
    cancel_all(bus, device);
    shut(device);
}

static struct usb_child *free_child(struct usb_libusb *bus) {
    for (size_t i = 0; i < USB_LIBUSB_CHILDREN; i++) {
        if (bus->children[i].device == 0) {
            return &bus->children[i];
        }
    }
    return NULL;
}

/* What was begun is heard of in the loop. */
static enum status watch_child(struct usb_libusb *bus, const struct usb_child *child,
                               enum status status) {
    if (status != STATUS_OK) {
        return status;
    }
    struct epoll_event event = {.events = EPOLLIN};
    (void)epoll_ctl(bus->usb.handle, EPOLL_CTL_ADD, child->handle, &event);
    return STATUS_AGAIN;
}

static enum status reset_device(struct hal_usb *usb, uint32_t id) {
    struct usb_libusb *bus = bus_of(usb);
    const struct usb_libusb_device *device = find(bus, id);
    struct usb_child *child = free_child(bus);
    if (device == NULL || child == NULL) {
        return device == NULL ? STATUS_UNPLUGGED : STATUS_FULL;
    }
    close_device(usb, id);
    return watch_child(bus, child,
                       usb_child_reset(child, id, libusb_get_bus_number(device->native),
                                       libusb_get_device_address(device->native)));
}

static enum status switch_port(struct hal_usb *usb, uint32_t id, uint8_t port, bool is_on) {
    struct usb_libusb *bus = bus_of(usb);
    const struct usb_libusb_device *device = find(bus, id);
    struct usb_child *child = free_child(bus);
    int file;
    if (device == NULL || child == NULL) {
        return device == NULL ? STATUS_UNPLUGGED : STATUS_FULL;
    }
    enum status status = usb_sysfs_open_port(&device->known, port, &file);
    return status != STATUS_OK
               ? status
               : watch_child(bus, child, usb_child_switch(child, id, file, is_on ? '0' : '1'));
}

/* ---- transfers ---- */

static enum status outcome_of(enum libusb_transfer_status status) {
    static const enum status outcomes[] = {
        [LIBUSB_TRANSFER_COMPLETED] = STATUS_OK,
        [LIBUSB_TRANSFER_ERROR] = STATUS_IO,
        [LIBUSB_TRANSFER_TIMED_OUT] = STATUS_TIMEOUT,
        [LIBUSB_TRANSFER_CANCELLED] = STATUS_CLOSED,
        [LIBUSB_TRANSFER_STALL] = STATUS_STALLED,
        [LIBUSB_TRANSFER_NO_DEVICE] = STATUS_UNPLUGGED,
        [LIBUSB_TRANSFER_OVERFLOW] = STATUS_TOO_LARGE,
    };
    return (size_t)status < array_count(outcomes) ? outcomes[status] : STATUS_IO;
}

static void put_back(struct usb_libusb *bus, struct usb_libusb_transfer *slot) {
    bus->used_bytes -= slot->of->size;
    slot->of = NULL;
    slot->next_free = bus->free_transfer;
    bus->free_transfer = (uint32_t)(slot - bus->transfers);
}

static void LIBUSB_CALL on_done(struct libusb_transfer *native) {
    struct usb_libusb_transfer *slot = native->user_data;
    struct usb_libusb *bus = slot->bus;
    struct hal_usb_transfer *transfer = slot->of;
    struct usb_libusb_device *device = &bus->devices[transfer->device & ((1u << ID_BITS) - 1)];
    check(device->known.id == transfer->device && device->in_flight > 0);
    device->in_flight -= 1;
    transfer->status = outcome_of(native->status);
    transfer->moved = (uint32_t)native->actual_length;
    transfer->next = NULL;
    put_back(bus, slot);
    if (bus->last_done == NULL) {
        bus->first_done = transfer;
    } else {
        bus->last_done->next = transfer;
    }
    bus->last_done = transfer;
}

static struct usb_libusb_transfer *take_slot(struct usb_libusb *bus) {
    if (bus->free_transfer == USB_LIBUSB_TRANSFERS) {
        return NULL;
    }
    struct usb_libusb_transfer *slot = &bus->transfers[bus->free_transfer];
    if (slot->native == NULL) {
        slot->native = libusb_alloc_transfer(0);
    }
    if (slot->native == NULL) {
        return NULL;
    }
    bus->free_transfer = slot->next_free;
    return slot;
}

static enum status submit(struct hal_usb *usb, struct hal_usb_transfer *transfer) {
    struct usb_libusb *bus = bus_of(usb);
    struct usb_libusb_device *device = find(bus, transfer->device);
    if (device == NULL) {
        return STATUS_UNPLUGGED;
    }
    if (device->handle == NULL || device->is_closing) {
        return STATUS_ILLEGAL;
    }
    bool is_over = bus->memory_bytes != 0 && bus->used_bytes + transfer->size > bus->memory_bytes;
    struct usb_libusb_transfer *slot = is_over ? NULL : take_slot(bus);
    if (slot == NULL) {
        bus->refused_transfers += 1;
        return STATUS_FULL;
    }
    slot->bus = bus;
    slot->of = transfer;
    bus->used_bytes += transfer->size;
    if (transfer->endpoint == 0) {
        libusb_fill_control_transfer(slot->native, device->handle, transfer->data, on_done, slot,
                                     transfer->timeout_ms);
    } else {
        libusb_fill_bulk_transfer(slot->native, device->handle, transfer->endpoint, transfer->data,
                                  (int)transfer->size, on_done, slot, transfer->timeout_ms);
    }
    slot->native->flags = transfer->ends_with_zero ? LIBUSB_TRANSFER_ADD_ZERO_PACKET : 0;
    int error = libusb_submit_transfer(slot->native);
    if (error != LIBUSB_SUCCESS) {
        put_back(bus, slot);
        bus->refused_transfers += error == LIBUSB_ERROR_NO_MEM ? 1 : 0;
        return error == LIBUSB_ERROR_NO_MEM ? STATUS_FULL : status_of(error);
    }
    device->in_flight += 1;
    transfer->is_in_flight = true;
    transfer->slot = (uint32_t)(slot - bus->transfers);
    return STATUS_OK;
}

static void cancel(struct hal_usb *usb, struct hal_usb_transfer *transfer) {
    struct usb_libusb_transfer *slot = &bus_of(usb)->transfers[transfer->slot];
    if (slot->of == transfer) { /* else it is done, and its event is on its way */
        (void)libusb_cancel_transfer(slot->native);
    }
}

/* ---- events ---- */

static bool next_done(struct usb_libusb *bus, struct hal_usb_event *event) {
    struct hal_usb_transfer *transfer = bus->first_done;
    if (transfer == NULL) {
        return false;
    }
    bus->first_done = transfer->next;
    bus->last_done = bus->first_done == NULL ? NULL : bus->last_done;
    transfer->is_in_flight = false;
    *event = (struct hal_usb_event){.kind = HAL_USB_TRANSFERRED, .transfer = transfer};
    return true;
}

/* Arrivals and departures that the owner does not know yet; one that came and left never was. */
static bool next_change(struct usb_libusb *bus, struct hal_usb_event *event) {
    for (size_t i = 0; i < USB_LIBUSB_DEVICES; i++) {
        struct usb_libusb_device *device = &bus->devices[i];
        if (device->native == NULL) {
            continue;
        }
        if (device->is_closing) {
            shut(device);
        }
        if (device->is_gone && !device->was_told) {
            release(bus, device);
        } else if (device->is_gone && device->in_flight == 0) {
            shut(device);
            bus->released = (uint32_t)i + 1;
            *event = (struct hal_usb_event){.kind = HAL_USB_DETACHED, .device = &device->known};
            return true;
        } else if (!device->is_gone && !device->was_told) {
            device->was_told = true;
            *event = (struct hal_usb_event){.kind = HAL_USB_ATTACHED, .device = &device->known};
            return true;
        }
    }
    return false;
}

static bool next_child(struct usb_libusb *bus, struct hal_usb_event *event) {
    for (size_t i = 0; i < USB_LIBUSB_CHILDREN; i++) {
        struct usb_child *child = &bus->children[i];
        uint32_t device = child->device;
        enum status status = device == 0 ? STATUS_AGAIN : usb_child_poll(child);
        if (status != STATUS_AGAIN) {
            *event =
                (struct hal_usb_event){.kind = child->is_switch ? HAL_USB_SWITCHED : HAL_USB_RESET,
                                       .id = device,
                                       .status = status};
            return true;
        }
    }
    return false;
}

static bool next(struct hal_usb *usb, struct hal_usb_event *event) {
    struct usb_libusb *bus = bus_of(usb);
    struct timeval now = {0};
    if (bus->released != 0) {
        release(bus, &bus->devices[bus->released - 1]);
        bus->released = 0;
    }
    if (next_done(bus, event) || next_change(bus, event)) {
        return true;
    }
    (void)libusb_handle_events_timeout_completed(bus->context, &now, NULL);
    return next_done(bus, event) || next_change(bus, event) || next_child(bus, event);
}

static const struct hal_usb_ops ops = {
    .next = next,
    .open = open_device,
    .close = close_device,
    .submit = submit,
    .cancel = cancel,
    .reset = reset_device,
    .switch_port = switch_port,
};

/* ---- start and end ---- */

static void LIBUSB_CALL add_descriptor(int fd, short events, void *owner) {
    const struct usb_libusb *bus = owner;
    struct epoll_event event = {.events = ((events & POLLIN) != 0 ? EPOLLIN : 0u) |
                                          ((events & POLLOUT) != 0 ? EPOLLOUT : 0u)};
    (void)epoll_ctl(bus->usb.handle, EPOLL_CTL_ADD, fd, &event);
}

static void LIBUSB_CALL remove_descriptor(int fd, void *owner) {
    const struct usb_libusb *bus = owner;
    (void)epoll_ctl(bus->usb.handle, EPOLL_CTL_DEL, fd, NULL);
}

static void watch(struct usb_libusb *bus) {
    libusb_set_pollfd_notifiers(bus->context, add_descriptor, remove_descriptor, bus);
    const struct libusb_pollfd **list = libusb_get_pollfds(bus->context);
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        add_descriptor(list[i]->fd, list[i]->events, bus);
    }
    libusb_free_pollfds(list);
}

/* The monitor thread would otherwise reserve 8 MiB. */
static void shrink_stacks(void) {
    pthread_attr_t attributes;
    check(pthread_attr_init(&attributes) == 0);
    check(pthread_attr_setstacksize(&attributes, MONITOR_STACK_BYTES) == 0);
    check(pthread_setattr_default_np(&attributes) == 0);
    pthread_attr_destroy(&attributes);
}

static enum status start(struct usb_libusb *bus, const char **reason) {
    uint64_t failures = arena_stats().failures;
    shrink_stacks();
    if (libusb_init(&bus->context) != LIBUSB_SUCCESS) {
        bus->context = NULL;
        *reason = "libusb did not start; is this system short of memory, or of file descriptors?";
        return STATUS_IO;
    }
    watch(bus);
    int events = LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED | LIBUSB_HOTPLUG_EVENT_DEVICE_LEFT;
    int error = libusb_hotplug_register_callback(bus->context, events, LIBUSB_HOTPLUG_ENUMERATE,
                                                 LIBUSB_HOTPLUG_MATCH_ANY, LIBUSB_HOTPLUG_MATCH_ANY,
                                                 LIBUSB_HOTPLUG_MATCH_ANY, on_hotplug, bus, NULL);
    /* A scan that lacked memory leaves devices out without a word. */
    if (error != LIBUSB_SUCCESS || arena_stats().failures != failures) {
        *reason = "the arena of libraries is too small for the devices of this host";
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

enum status usb_libusb_open(struct usb_libusb *bus, const char **reason) {
    *reason = usb_sysfs_obstacle();
    if (*reason != NULL) {
        return STATUS_NOT_FOUND;
    }
    for (uint32_t i = 0; i < USB_LIBUSB_TRANSFERS; i++) {
        bus->transfers[i].next_free = i + 1;
    }
    bus->memory_bytes = usb_sysfs_memory_bytes();
    bus->usb.handle = epoll_create1(EPOLL_CLOEXEC);
    if (bus->usb.handle < 0) {
        *reason = "no file descriptor is free";
        return STATUS_IO;
    }
    enum status status = start(bus, reason);
    if (status != STATUS_OK) {
        usb_libusb_close(bus);
        return status;
    }
    bus->usb.ops = &ops;
    return STATUS_OK;
}

void usb_libusb_close(struct usb_libusb *bus) {
    for (size_t i = 0; i < USB_LIBUSB_DEVICES; i++) {
        check(bus->devices[i].handle == NULL);
        if (bus->devices[i].native != NULL) {
            libusb_unref_device(bus->devices[i].native);
            bus->devices[i].native = NULL;
        }
    }
    if (bus->context != NULL) {
        libusb_exit(bus->context);
        bus->context = NULL;
    }
    close(bus->usb.handle);
    bus->usb.ops = NULL;
    bus->count = 0;
    bus->is_incomplete = false;
}
