/* The hubs of the emulated bus: what they answer, and the power of their ports. */
#include "tests/usb/bus.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- bus_hubs ---- */

void bus_cure(struct port *port, enum bus_cure by) {
    if (port->cure == by) {
        port->fault = BUS_GOOD;
        port->link.fault = LINK_USB_GOOD;
        port->options.faults.count = 0;
    }
}

static struct port *port_behind(const struct hub *hub, unsigned number) {
    unsigned h = (unsigned)(hub - bus_hubs);
    return h == 0 ? NULL : &bus_ports[(h - 1) * HUB_PORTS + number];
}

void bus_set_power(struct hub *hub, unsigned number, bool is_on) {
    struct port *port = port_behind(hub, number);
    if (port == NULL || hub->is_off[number] != is_on) {
        return;
    }
    hub->is_off[number] = !is_on;
    if (port->node != NULL && (!is_on || hub->mode == HUB_LATE)) {
        bus_cure(port, CURE_POWER);
        if (!is_on && hub->mode == HUB_LATE) {
            port->link.fault = LINK_USB_SILENT; /* without power, and not seen to leave yet */
            return;
        }
        bus_unplug(port);
        port->is_waiting_for_power = true;
    }
    if (is_on && port->is_waiting_for_power) {
        port->is_waiting_for_power = false;
        port->link.fault = hub->mode == HUB_LATE ? LINK_USB_GOOD : port->link.fault;
        bus_plug(port);
    }
}

/* A port has power as long as one half gives it some. */
static void switch_half(struct hub *hub, bool is_super, unsigned number, bool is_on) {
    hub->is_half_off[is_super][number] = !is_on;
    bool has_other = hub->has_super && !hub->is_half_off[!is_super][number];
    bus_set_power(hub, number, is_on || has_other);
}

static void switch_power(struct hub *hub, bool is_super, unsigned number, bool is_on) {
    hub->offs[is_super] += is_on ? 0 : 1;
    if (hub->mode == HUB_LYING || hub->mode == HUB_KERNEL) {
        return;
    }
    for (unsigned k = 1; k <= HUB_PORTS; k++) {
        if (k == number || hub->mode == HUB_GANGED) {
            switch_half(hub, is_super, k, is_on);
        }
    }
}

void bus_restart_hub(struct hub *hub) {
    hub->resets += 1;
    for (unsigned k = 1; k <= HUB_PORTS; k++) {
        struct port *port = port_behind(hub, k);
        if (port != NULL && port->node != NULL) {
            bus_cure(port, CURE_POWER);
            bus_unplug(port);
            bus_plug(port);
        }
    }
}

/* The size of the answer; negative: stalled. */
int bus_hub_answer(const struct node *node, const uint8_t *setup, uint8_t *data, size_t capacity) {
    struct hub *hub = node->hub;
    bool is_super = node->is_super;
    unsigned number = setup[4];
    uint8_t switching = hub->mode == HUB_GANGED ? 0 : hub->mode == HUB_NEVER ? 2 : 1;
    uint8_t type = is_super ? 0x2a : 0x29;
    const uint8_t descriptor[] = {11, type, HUB_PORTS, switching, 0, 50, 100, 0, 0, 0xff, 0xff};
    if (setup[0] == 0xa0 && setup[1] == 6) {
        size_t size = capacity < sizeof descriptor ? capacity : sizeof descriptor;
        memcpy(data, descriptor, size);
        return (int)size;
    }
    if (number < 1 || number > HUB_PORTS) {
        return -1;
    }
    if (setup[0] == 0xa3 && setup[1] == 0 && capacity >= 4) {
        const struct port *port = port_behind(hub, number);
        bool is_off = hub->is_off[number] || hub->is_half_off[is_super][number];
        bool has_phone = port != NULL && port->node != NULL && !is_off && !is_super;
        memset(data, 0, 4);
        data[0] = has_phone ? 3 : 0;
        data[1] = is_off ? 0 : is_super ? 2 : has_phone ? 5 : 1;
        return 4;
    }
    if (setup[0] != 0x23 || setup[2] != 8 || hub->mode == HUB_REFUSING) {
        return -1;
    }
    switch_power(hub, is_super, number, setup[1] == 3);
    return 0;
}

static void disable_path(unsigned hub, unsigned number, char path[PATH_BYTES * 2]) {
    snprintf(path, PATH_BYTES * 2,
             "%s/sys/devices/pci0000:00/0000:00:14.0/usb1/1-%u/1-%u:1.0/1-%u-port%u/disable",
             bus_root, hub, hub, hub, number);
}

/* Makes the files that newer kernels have. */
static void make_disable_files(unsigned hub) {
    char path[PATH_BYTES * 2];
    for (unsigned k = 1; k <= HUB_PORTS; k++) {
        disable_path(hub, k, path);
        for (char *at = strchr(path + strlen(bus_root) + 1, '/'); at != NULL;
             at = strchr(at + 1, '/')) {
            *at = '\0';
            (void)mkdir(path, 0755);
            *at = '/';
        }
        FILE *file = fopen(path, "w");
        if (file == NULL || fputs("0", file) < 0 || fclose(file) != 0) {
            bus_die("cannot make a port's files");
        }
    }
}

static void read_disable_files(unsigned hub) {
    char path[PATH_BYTES * 2];
    for (unsigned k = 1; k <= HUB_PORTS; k++) {
        disable_path(hub, k, path);
        FILE *file = fopen(path, "r");
        int value = file == NULL ? '0' : fgetc(file);
        if (file != NULL) {
            fclose(file);
        }
        if (value == '0' || value == '1') {
            bus_set_power(&bus_hubs[hub], k, value == '0');
        }
    }
}

void bus_set_hub_mode(unsigned number, const char *mode) {
    static const char *const modes[] = {"each",     "ganged", "never", "lying",
                                        "refusing", "late",   "kernel"};
    if (number >= array_count(bus_hubs)) {
        bus_die("there is no such hub");
    }
    for (unsigned i = 0; i < array_count(modes); i++) {
        bus_hubs[number].mode =
            strcmp(mode, modes[i]) == 0 ? (enum hub_mode)i : bus_hubs[number].mode;
    }
    if (bus_hubs[number].mode == HUB_KERNEL) {
        make_disable_files(number);
    }
}

void bus_step_hubs(void) {
    for (unsigned i = 1; i < array_count(bus_hubs); i++) {
        if (bus_hubs[i].mode == HUB_KERNEL) {
            read_disable_files(i);
        }
    }
}
