#include "hal/linux/usb_sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 192, LINK_BYTES = 512, NUMBER_BYTES = 24 };
enum { USBFS_MEMORY_MB = 16 }; /* Linux's default */

static size_t read_file(const char *path, void *target, size_t capacity) {
    size_t size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    while (size < capacity) {
        ssize_t got = read(fd, (uint8_t *)target + size, capacity - size);
        if (got <= 0) {
            break;
        }
        size += (size_t)got;
    }
    close(fd);
    return size;
}

/* An attribute's text without its line end; "" when there is none. */
static void read_attribute(const char *name, const char *attribute, char *text, size_t capacity) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/sys/bus/usb/devices/%s/%s", name, attribute);
    size_t size = read_file(path, text, capacity - 1);
    text[size] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

/* Where a link points to; "" when there is none. */
static void read_link(const char *path, char target[LINK_BYTES]) {
    ssize_t size = readlink(path, target, LINK_BYTES - 1);
    target[size < 0 ? 0 : size] = '\0';
}

/* The folder above a bus's root hub is its controller: `.../0000:00:14.0/usb1`. */
static void find_controller(unsigned bus, char *name, size_t capacity) {
    char path[PATH_BYTES];
    char target[LINK_BYTES];
    snprintf(path, sizeof path, "/sys/bus/usb/devices/usb%u", bus);
    read_link(path, target);
    char *end = strrchr(target, '/');
    if (end == NULL) {
        snprintf(name, capacity, "bus%u", bus);
        return;
    }
    *end = '\0';
    const char *start = strrchr(target, '/');
    snprintf(name, capacity, "%.*s", (int)(capacity - 1), start == NULL ? target : start + 1);
}

/* A USB 3 socket is a port of two buses, whose numbers may differ: the USB 2 one names it. */
static unsigned find_socket(unsigned bus, unsigned port) {
    char path[PATH_BYTES];
    char target[LINK_BYTES];
    snprintf(path, sizeof path, "/sys/bus/usb/devices/%u-0:1.0/usb%u-port%u/peer", bus, bus, port);
    read_link(path, target);
    const char *number = strrchr(target, '-');
    if (number == NULL || strncmp(number, "-port", 5) != 0) {
        return port;
    }
    unsigned long peer = strtoul(number + 5, NULL, 10);
    return peer > 0 && peer < 256 ? (unsigned)peer : port;
}

static void describe_place(struct hal_usb_device *device, unsigned bus) {
    char controller[32];
    int path_size = device->depth == 0 ? snprintf(device->path, sizeof device->path, "usb%u", bus)
                                       : snprintf(device->path, sizeof device->path, "%u", bus);
    find_controller(bus, controller, sizeof controller);
    int slot_size = snprintf(device->slot, sizeof device->slot, "usb:%s", controller);
    for (unsigned i = 0; i < device->depth; i++) {
        unsigned port = device->ports[i];
        bool is_socket = i == 0 && device->speed == HAL_USB_SPEED_SUPER;
        path_size += snprintf(device->path + path_size, sizeof device->path - (size_t)path_size,
                              "%c%u", i == 0 ? '-' : '.', port);
        slot_size +=
            snprintf(device->slot + slot_size, sizeof device->slot - (size_t)slot_size, "%c%u",
                     i == 0 ? '-' : '.', is_socket ? find_socket(bus, port) : port);
        check((size_t)path_size < sizeof device->path && (size_t)slot_size < sizeof device->slot);
    }
}

void usb_sysfs_describe(struct hal_usb_device *device, unsigned bus,
                        uint8_t memory[HAL_USB_DESCRIPTORS_MAX]) {
    char number[NUMBER_BYTES];
    char path[PATH_BYTES];
    describe_place(device, bus);
    read_attribute(device->path, "serial", device->serial, sizeof device->serial);
    read_attribute(device->path, "bConfigurationValue", number, sizeof number);
    device->configuration = (uint8_t)strtoul(number, NULL, 10);
    snprintf(path, sizeof path, "/sys/bus/usb/devices/%s/descriptors", device->path);
    device->descriptors.data = memory;
    device->descriptors.size = read_file(path, memory, HAL_USB_DESCRIPTORS_MAX);
}

enum status usb_sysfs_open_port(const struct hal_usb_device *hub, uint8_t port, int *file) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/sys/bus/usb/devices/%s/%s:%u.0/%s-port%u/disable", hub->path,
             hub->path, hub->configuration, hub->path, port);
    *file = open(path, O_WRONLY | O_CLOEXEC);
    return *file >= 0 ? STATUS_OK : errno == ENOENT ? STATUS_NOT_FOUND : STATUS_DENIED;
}

uint64_t usb_sysfs_memory_bytes(void) {
    char number[NUMBER_BYTES];
    size_t size =
        read_file("/sys/module/usbcore/parameters/usbfs_memory_mb", number, sizeof number - 1);
    number[size] = '\0';
    uint64_t megabytes = size == 0 ? USBFS_MEMORY_MB : strtoull(number, NULL, 10);
    return megabytes << 20;
}

const char *usb_sysfs_obstacle(void) {
    if (access("/sys/bus/usb/devices", F_OK) != 0) {
        return "this kernel has no USB support, or this container does not see it; load the USB "
               "modules, or set [phones] usb = off";
    }
    if (access("/dev/bus/usb", F_OK) != 0) {
        return "/dev/bus/usb is not there; mount /dev (a container: pass /dev/bus/usb in), or set "
               "[phones] usb = off";
    }
    return NULL;
}

const char *usb_sysfs_warning(void) {
    if (access("/run/udev/control", F_OK) != 0 && getenv("UMOCKDEV_DIR") == NULL) {
        return "udev is not running: phones that are plugged in from now on will not be seen; "
               "start "
               "systemd-udevd, then hubd again";
    }
    return NULL;
}
