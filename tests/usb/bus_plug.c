/* Plugging: what sysfs shows of a device, its node, and the events of its coming and going. */
#include "host/shared/loop.h"
#include "tests/usb/bus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <umockdev.h>

#define CONTROLLER_SYS "/devices/pci0000:00/0000:00:14.0"

static UMockdevTestbed *testbed;
static unsigned node_count;

static void add_hex(char *text, size_t capacity, const uint8_t *data, size_t size) {
    size_t at = strlen(text);
    for (size_t i = 0; i < size && at + 3 < capacity; i++) {
        at += (size_t)snprintf(text + at, capacity - at, "%02X", data[i]);
    }
}

struct shown {
    const char *sys; /* below /sys */
    const char *serial;
    struct bytes descriptors;
    bool is_super; /* on bus 2 */
    bool is_unconfigured;
};

/* Its node's number counts over both buses. */
static struct node *add_device(const struct shown *shown) {
    char text[4096];
    char hex[2048] = "";
    unsigned bus = shown->is_super ? 2 : 1;
    const char *serial = shown->serial;
    if (node_count + 1 == NODES) {
        bus_die("too many attachments");
    }
    node_count += 1;
    unsigned number = node_count;
    add_hex(hex, sizeof hex, shown->descriptors.data, shown->descriptors.size);
    snprintf(text, sizeof text,
             "P: %s\nN: bus/usb/%03u/%03u=%s\nE: DEVTYPE=usb_device\nE: SUBSYSTEM=usb\n"
             "E: DEVNAME=/dev/bus/usb/%03u/%03u\nE: BUSNUM=%03u\nE: DEVNUM=%03u\nE: MAJOR=189\n"
             "E: MINOR=%u\nA: busnum=%u\\n\nA: devnum=%u\\n\nA: speed=%u\\n\n"
             "A: bConfigurationValue=%s\\n\n%s%s%sH: descriptors=%s\n",
             shown->sys, bus, number, hex, bus, number, bus, number, number, bus, number,
             shown->is_super ? 5000u : 480u, shown->is_unconfigured ? "" : "1",
             serial[0] != '\0' ? "A: serial=" : "", serial, serial[0] != '\0' ? "\\n\n" : "", hex);
    GError *error = NULL;
    if (!umockdev_testbed_add_from_string(testbed, text, &error)) {
        bus_die(error->message);
    }
    struct node *node = &bus_nodes[number];
    snprintf(node->name, sizeof node->name, "/dev/bus/usb/%03u/%03u", bus, number);
    snprintf(node->sys, sizeof node->sys, "%s", shown->sys);
    node->is_super = shown->is_super;
    return node;
}

/* The node as usbfs shows it: nothing to reap yet. */
static void open_pipe(struct node *node) {
    char path[PATH_BYTES * 2];
    snprintf(path, sizeof path, "%s%s", bus_root, node->name);
    unlink(path);
    if (mkfifo(path, 0666) != 0) {
        bus_die("cannot make a device node");
    }
    node->pipe = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (node->pipe < 0 || fcntl(node->pipe, F_SETPIPE_SZ, 4096) < 0) {
        bus_die("cannot open a device node");
    }
    node->is_full = false;
    bus_show(node);
}

static struct node *add_hub(struct hub *hub, const char *sys, bool is_super) {
    static const uint8_t descriptors[] = {18, 1, 0, 2, 9, 0,  1, 64, 9,    4, 0xaa, 0x55, 0, 1, 0,
                                          0,  0, 1, 9, 2, 25, 0, 1,  1,    0, 0xe0, 0,    9, 4, 0,
                                          0,  1, 9, 0, 0, 0,  7, 5,  0x81, 3, 2,    0,    12};
    struct node *node =
        add_device(&(struct shown){sys, "", {descriptors, sizeof descriptors}, is_super, false});
    node->hub = hub;
    open_pipe(node);
    return node;
}

/* Every part of a place is a folder: 1-1.4 is usb1/1-1/1-1.4. */
static void put_path(char path[PATH_BYTES], unsigned bus, const char *place) {
    size_t at = (size_t)snprintf(path, PATH_BYTES, CONTROLLER_SYS "/usb%u", bus);
    for (size_t i = 1; i <= strlen(place); i++) {
        if (place[i] == '.' || place[i] == '\0') {
            at +=
                (size_t)snprintf(path + at, PATH_BYTES - at, "/%u%.*s", bus, (int)i - 1, place + 1);
        }
    }
}

void bus_plug_hub(struct hub *hub) {
    static bool has_super_root;
    char path[PATH_BYTES];
    if (hub->node != NULL) {
        return;
    }
    if (hub->place[0] == '\0') {
        snprintf(hub->place, sizeof hub->place, "1-%u", (unsigned)(hub - bus_hubs));
    }
    put_path(path, 1, hub->place);
    hub->node = add_hub(hub, path, false);
    if (hub->has_super && !has_super_root) {
        has_super_root = true;
        (void)add_hub(&bus_hubs[0], CONTROLLER_SYS "/usb2", true);
    }
    if (hub->has_super) {
        put_path(path, 2, hub->place);
        (void)add_hub(hub, path, true);
    }
}

void bus_plug(struct port *port) {
    char place[64];
    char path[PATH_BYTES];
    uint8_t descriptors[LINK_USB_DESCRIPTORS];
    struct hub *hub = &bus_hubs[(port->number - 1) / HUB_PORTS + 1];
    bus_plug_hub(hub);
    snprintf(place, sizeof place, "%s.%u", hub->place, (port->number - 1) % HUB_PORTS + 1);
    put_path(path, 1, place);
    phone_reset(&port->phone);
    link_usb_describe(&port->phone, 512, descriptors);
    if (port->is_spoiled) {
        descriptors[port->spoiled_byte % sizeof descriptors] = (uint8_t)port->spoiled_value;
    }
    struct node *node = add_device(&(struct shown){path,
                                                   link_usb_serial(&port->phone),
                                                   {descriptors, sizeof descriptors},
                                                   false,
                                                   port->is_unconfigured});
    node->port = port;
    port->node = node;
    port->replug_ms = 0;
    phone_state_set_power(&port->phone.state, true, loop_now_ms());
    memcpy(node->descriptors, descriptors, sizeof descriptors);
    node->descriptors_size = sizeof descriptors;
    open_pipe(node);
    printf("attached %u %s\n", port->number, place);
}

void bus_unplug(struct port *port) {
    struct node *node = port->node;
    char sys[PATH_BYTES + 48];
    if (node == NULL) {
        return;
    }
    link_usb_disconnect(&port->link);
    for (struct transfer *t = node->transfers; t != NULL; t = t->next) {
        if (!t->is_done) {
            bus_transfer_finish(t, -ESHUTDOWN);
        }
    }
    node->port = NULL;
    node->claimed_by = NULL;
    port->node = NULL;
    port->detach_at = 0;
    bus_show(node);
    phone_state_set_power(&port->phone.state, false, loop_now_ms());
    snprintf(sys, sizeof sys, "/sys%s", node->sys);
    umockdev_testbed_uevent(testbed, sys, "remove");
    umockdev_testbed_remove_device(testbed, sys);
    printf("detached %u\n", port->number);
    fflush(stdout);
}

void bus_start(void) {
    testbed = umockdev_testbed_new();
    bus_root = umockdev_testbed_get_root_dir(testbed);
    if (!umockdev_in_mock_environment()) {
        bus_die("start it through umockdev-wrapper");
    }
    bus_hubs[0].node = add_hub(&bus_hubs[0], CONTROLLER_SYS "/usb1", false);
}

void bus_end(void) {
    g_object_unref(testbed);
}
