/* usb_bus - a USB bus with emulated phones on it, for programs that use libusb or usbfs.
 *
 * usage: umockdev-wrapper usb_bus
 *
 * Prints `bus FOLDER`; a program started with UMOCKDEV_DIR=FOLDER and umockdev's library preloaded
 * sees the bus in /sys and /dev. Then it takes commands on standard input, a line each:
 *
 * - attach PORT SERIAL [auth=never] [descriptor=BYTE:VALUE] [partitions=FOLDER] [download=BYTES]
 *   [blank-bootloader] [battery=LEVEL:MILLIPERCENT_A_SECOND] [two-faced] [unconfigured]: answers
 * `attached PORT PATH`; with a folder the phone has a bootloader, whose partitions are files there
 * - detach PORT: answers `detached PORT`
 * - detach-at PORT N: at the Nth transfer from now on, inside it
 * - fault PORT KIND: of link_usb.h, of phone_fault.h when it has an @, or stall, babble, error,
 *   denied, busy; good takes it away
 * - boot PORT bootloader: somebody holds its keys; it leaves and comes back there
 * - bootloop PORT: from now on its bootloader boots nothing but itself
 * - cure PORT reset|power|reboot|none: what will take the fault away
 * - hub N MODE: how a hub switches: each, ganged, never, lying, refusing, late, kernel
 * - super N: the hub, not attached yet, has a USB 3 half
 * - nest N PLACE: plugs the hub in at another place than 1-N, such as 1-1.4
 * - offs N: answers `offs N USB2 USB3`, how often each half was told to switch off
 * - say PORT HEX [COUNT]: the phone sends these bytes, a transfer, before its next message
 * - slow-reset PORT MS: how long a reset of the port takes
 * - power PORT on|off: somebody who is not the hub switches the port
 * - count PORT: answers `count PORT TRANSFERS CLAIMS RESETS`
 * - wait: answers `ok`: all commands before it are done
 *
 * Ten ports make a hub: port 23 is 1-3.3. A descriptor is spoiled in what sysfs shows of it.
 *
 * The programs' calls come through usb_shim.so. A device's node is a pipe: with a byte in it, it is
 * not writable, as a usbfs node without a finished transfer. Transfers queue for each open file, as
 * in usbfs. */
#include "host/shared/loop.h"
#include "tests/usb/bus.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct port bus_ports[PORTS + 1];
struct node bus_nodes[NODES];
struct hub bus_hubs[PORTS / HUB_PORTS + 2];
struct pollfd bus_waiting[PROGRAMS + 2];
const char *bus_root;

_Noreturn void bus_die(const char *what) {
    fprintf(stderr, "usb_bus: %s\n", what);
    exit(1);
}

bool bus_is_gone(const struct node *node) {
    return node->port == NULL && node->hub == NULL;
}

static const char *option(char *words, const char *name) {
    char *at = words == NULL ? NULL : strstr(words, name);
    return at == NULL ? NULL : at + strlen(name);
}

static void command_attach(struct port *port, const char *serial, char *words) {
    const char *auth = option(words, "auth=");
    const char *spoiled = option(words, "descriptor=");
    if (port->node != NULL) {
        bus_die("that port is taken");
    }
    if (!port->is_used || strcmp(port->phone.state.serial, serial) != 0) {
        port->options = (struct phone_options){.accept_ms = 100, .reboot_ms = 1500, .seed = 1};
        phone_init(&port->phone, &port->options, serial, port->number, loop_now_ms());
        port->is_used = true;
    }
    const char *battery = option(words, "battery=");
    int level, milli_s;
    if (battery != NULL && sscanf(battery, "%d:%d", &level, &milli_s) == 2) {
        phone_state_set_battery(&port->phone.state, level, milli_s, loop_now_ms());
    }
    const char *folder = option(words, "partitions=");
    const char *limit = option(words, "download=");
    if (folder != NULL) {
        snprintf(port->options.bootloader.folder, sizeof port->options.bootloader.folder, "%.*s",
                 (int)strcspn(folder, " \n"), folder);
    }
    port->options.bootloader.download_bytes = limit == NULL ? 0 : (uint32_t)strtoul(limit, NULL, 0);
    port->options.bootloader.has_no_serial = option(words, "blank-bootloader") != NULL;
    port->options.auth = auth == NULL                     ? PHONE_AUTH_OFF
                         : strncmp(auth, "never", 5) == 0 ? PHONE_AUTH_NEVER
                                                          : PHONE_AUTH_ACCEPT;
    port->is_unconfigured = option(words, "unconfigured") != NULL;
    port->is_two_faced = option(words, "two-faced") != NULL;
    port->is_spoiled =
        spoiled != NULL && sscanf(spoiled, "%u:%u", &port->spoiled_byte, &port->spoiled_value) == 2;
    bus_plug(port);
}

static void command_fault(struct port *port, const char *name) {
    static const char *const kinds[] = {"good", "stall", "babble", "error", "denied", "busy"};
    port->fault = BUS_GOOD;
    port->link.fault = LINK_USB_GOOD;
    port->options.faults.count = 0;
    if (strchr(name, '@') != NULL && phone_fault_add(&port->options.faults, name) != STATUS_OK) {
        bus_die("unknown fault");
    }
    for (unsigned i = 0; i < array_count(kinds); i++) {
        port->fault = strcmp(name, kinds[i]) == 0 ? (enum bus_fault)i : port->fault;
    }
    for (unsigned i = 0; i < LINK_USB_FAULT_COUNT; i++) {
        if (strcmp(name, link_usb_fault_name((enum link_usb_fault)i)) == 0) {
            port->link.fault = (enum link_usb_fault)i;
        }
    }
    if (port->node != NULL) {
        bus_pump(port->node, loop_now_ms());
    }
}

static void command_say(struct port *port, const char *hex, const char *count) {
    uint8_t data[LINK_USB_RAW_BYTES];
    unsigned value;
    size_t size = 0;
    while (size < sizeof data && sscanf(hex + size * 2, "%2x", &value) == 1) {
        data[size] = (uint8_t)value;
        size += 1;
    }
    unsigned long times = count == NULL ? 1 : strtoul(count, NULL, 10);
    if (link_usb_say(&port->link, (struct bytes){data, size}, times == 0 ? 1 : (uint32_t)times) !=
        STATUS_OK) {
        bus_die("it has too much to say");
    }
    if (port->node != NULL) {
        bus_pump(port->node, loop_now_ms());
    }
}

static void obey(char *line) {
    char *rest = NULL;
    char *verb = strtok_r(line, " \n", &rest);
    char *number = strtok_r(NULL, " \n", &rest);
    char *word = strtok_r(NULL, " \n", &rest);
    if (verb == NULL || strcmp(verb, "wait") == 0) {
        puts("ok");
        return;
    }
    unsigned long port_number = number == NULL ? 0 : strtoul(number, NULL, 10);
    if (port_number < 1 || port_number > PORTS) {
        bus_die("a port is a number from 1 to 128");
    }
    struct port *port = &bus_ports[port_number];
    port->number = (unsigned)port_number;
    if (strcmp(verb, "attach") == 0) {
        bool is_blank = word == NULL || strcmp(word, "-") == 0;
        command_attach(port, is_blank ? "" : word, rest);
    } else if (strcmp(verb, "detach") == 0) {
        port->replug_ms = 0;
        bus_unplug(port);
    } else if (strcmp(verb, "detach-at") == 0 && word != NULL) {
        port->detach_at = strtol(word, NULL, 10);
    } else if (strcmp(verb, "fault") == 0 && word != NULL) {
        command_fault(port, word);
    } else if (strcmp(verb, "cure") == 0 && word != NULL) {
        port->cure = strcmp(word, "reset") == 0    ? CURE_RESET
                     : strcmp(word, "power") == 0  ? CURE_POWER
                     : strcmp(word, "reboot") == 0 ? CURE_REBOOT
                                                   : CURE_NONE;
    } else if (strcmp(verb, "boot") == 0 && word != NULL) {
        port->phone.state.wants_reboot = true;
        port->phone.state.wants_bootloader = strcmp(word, "bootloader") == 0;
    } else if (strcmp(verb, "bootloop") == 0) {
        port->is_bootloop = true;
    } else if (strcmp(verb, "super") == 0 && port_number < array_count(bus_hubs)) {
        bus_hubs[port_number].has_super = true;
    } else if (strcmp(verb, "nest") == 0 && word != NULL && port_number < array_count(bus_hubs)) {
        snprintf(bus_hubs[port_number].place, sizeof bus_hubs[0].place, "%.31s", word);
        bus_plug_hub(&bus_hubs[port_number]);
    } else if (strcmp(verb, "offs") == 0 && port_number < array_count(bus_hubs)) {
        printf("offs %lu %lu %lu\n", port_number, bus_hubs[port_number].offs[0],
               bus_hubs[port_number].offs[1]);
    } else if (strcmp(verb, "say") == 0 && word != NULL) {
        command_say(port, word, rest);
    } else if (strcmp(verb, "slow-reset") == 0 && word != NULL) {
        port->reset_ms = (uint32_t)strtoul(word, NULL, 10);
    } else if (strcmp(verb, "hub") == 0 && word != NULL) {
        bus_set_hub_mode((unsigned)port_number, word);
    } else if (strcmp(verb, "power") == 0 && word != NULL) {
        unsigned index = port->number - 1;
        bus_set_power(&bus_hubs[index / HUB_PORTS + 1], index % HUB_PORTS + 1,
                      strcmp(word, "on") == 0);
    } else if (strcmp(verb, "count") == 0) {
        printf("count %u %lu %lu %lu\n", port->number, port->transfers, port->claims, port->resets);
    } else {
        bus_die("unknown command");
    }
}

/* A phone that reboots, or drops its connection, leaves the bus and comes back. */
static void step(struct port *port, uint64_t now_ms) {
    bus_step_reset(port, now_ms);
    if (port->node == NULL) {
        if (port->replug_ms != 0 && now_ms >= port->replug_ms &&
            phone_is_free(&port->phone, now_ms)) {
            bus_plug(port);
        }
        return;
    }
    if (!port->phone.is_connected) {
        return;
    }
    if (port->is_bootloop && port->phone.bootloader.is_leaving) {
        port->phone.bootloader.boots = PHONE_BOOT_BOOTLOADER;
    }
    bus_pump(port->node, now_ms);
    if (phone_is_leaving(&port->phone) && phone_output(&port->phone).size == 0) {
        uint64_t back_ms = port->phone.back_ms;
        bus_unplug(port);
        if (back_ms > now_ms) {
            bus_cure(port, CURE_REBOOT);
        }
        port->replug_ms = (back_ms > now_ms ? back_ms : now_ms) + REPLUG_MS;
    }
}

int main(void) {
    char line[512];
    bus_start();
    setvbuf(stdin, NULL, _IONBF, 0); /* poll() must see every line */
    bus_listen();
    printf("bus %s\n", bus_root);
    fflush(stdout);
    while (true) {
        (void)poll(bus_waiting, array_count(bus_waiting), STEP_MS);
        if (bus_waiting[0].revents != 0) {
            if (fgets(line, sizeof line, stdin) == NULL) {
                break;
            }
            obey(line);
        }
        if (bus_waiting[1].revents != 0) {
            bus_welcome();
        }
        for (unsigned i = 2; i < PROGRAMS + 2; i++) {
            if (bus_waiting[i].fd >= 0 && bus_waiting[i].revents != 0) {
                bus_hear(&bus_waiting[i]);
            }
        }
        for (unsigned i = 1; i <= PORTS; i++) {
            if (bus_ports[i].is_used) {
                step(&bus_ports[i], loop_now_ms());
            }
        }
        bus_step_hubs();
        fflush(stdout);
    }
    bus_end();
    return 0;
}
