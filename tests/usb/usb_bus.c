/* usb_bus - a USB bus with emulated phones on it, for programs that use libusb or usbfs.
 *
 * usage: umockdev-wrapper usb_bus
 *
 * Prints `bus FOLDER`; a program started with UMOCKDEV_DIR=FOLDER and umockdev's library preloaded
 * sees the bus in /sys and /dev. Then it takes commands on standard input, a line each:
 *
 *   attach PORT SERIAL [auth=never] [descriptor=BYTE:VALUE] [move=PORT]   answers `attached PORT
 * PATH` detach PORT                                       answers `detached PORT` detach-at PORT N
 * at the Nth transfer from now on, inside it fault PORT KIND      of link_usb.h, or stall, babble,
 * error, denied, busy count PORT           answers `count PORT TRANSFERS CLAIMS RESETS` wait
 * answers `ok`: all commands before it are done
 *
 * Ten ports make a hub: port 23 is 1-3.3. A descriptor is spoiled in what sysfs shows of it.
 *
 * The programs' calls come through usb_shim.so. A device's node is a pipe: with a byte in it, it is
 * not writable, as a usbfs node without a finished transfer. Transfers queue for each open file, as
 * in usbfs. */
#include "host/phonesim/link_usb.h"
#include "host/shared/loop.h"
#include "tests/usb/usb_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/usbdevice_fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <umockdev.h>

enum { PROGRAMS = 16, OPENS = 1024, SETUP_BYTES = 8 };
enum { PORTS = 128, HUB_PORTS = 10, TRANSFERS = 4096, PATH_BYTES = 256, STEP_MS = 5 };
enum { REPLUG_MS = 300, CONTROLLER = 1, NODES = 4096 };

enum bus_fault { BUS_GOOD, BUS_STALL, BUS_BABBLE, BUS_ERROR, BUS_DENIED, BUS_BUSY };

enum bus_cure { CURE_NONE, CURE_RESET, CURE_POWER };
enum hub_mode { HUB_EACH, HUB_GANGED, HUB_NEVER, HUB_LYING, HUB_REFUSING, HUB_LATE, HUB_KERNEL };

struct node;

/* A file that a program has opened. */
struct file {
    struct node *node; /* NULL: closed */
    int program;       /* its connection */
};

struct transfer {
    struct transfer *next;
    struct node *node; /* NULL: free */
    struct file *file;
    struct {
        unsigned char type, endpoint;
        unsigned flags;
        int buffer_length;
    } urb;
    uint64_t address; /* of the URB in the program */
    uint8_t *data;
    uint32_t moved;
    bool is_done;
    int status;
};

/* One attachment of a device; its node's name is never used again. */
struct node {
    struct port *port; /* a phone's */
    struct hub *hub;   /* a hub's; both NULL: it has left */
    int pipe;
    bool is_full; /* the pipe: nothing to reap */
    struct file *claimed_by;
    struct transfer *transfers;
    char name[PATH_BYTES];
    char sys[PATH_BYTES + 40];
};

struct hub {
    struct node *node; /* NULL: not there */
    enum hub_mode mode;
    unsigned long resets;
    bool is_off[HUB_PORTS + 1];
};

struct port {
    unsigned number;
    struct node *node; /* NULL: nothing is plugged in */
    struct phone phone;
    struct phone_options options;
    struct link_usb link;
    enum bus_fault fault;
    enum bus_cure cure;
    long detach_at; /* 0: never */
    unsigned long transfers, claims, resets;
    unsigned spoiled_byte, spoiled_value;
    bool is_spoiled;
    uint64_t replug_ms; /* 0: not by itself */
    bool is_waiting_for_power;
    bool is_used;
};

static UMockdevTestbed *testbed;
static char *root;
static struct port ports[PORTS + 1];
static struct node nodes[NODES];
static struct transfer pool[TRANSFERS];
static struct file files[OPENS];
static struct pollfd waiting[PROGRAMS + 2]; /* input, the listener, the programs */
static unsigned node_count;
static struct hub hubs[PORTS / HUB_PORTS + 2];

_Noreturn static void die(const char *what) {
    fprintf(stderr, "usb_bus: %s\n", what);
    exit(1);
}

static bool is_gone(const struct node *node) {
    return node->port == NULL && node->hub == NULL;
}

/* ---- transfers ---- */

/* Writable exactly when something may be reaped, or the device has left. */
static void show(struct node *node) {
    bool has_done = is_gone(node);
    for (const struct transfer *t = node->transfers; t != NULL; t = t->next) {
        has_done = has_done || t->is_done;
    }
    char byte = 0;
    if (has_done && node->is_full) {
        node->is_full = read(node->pipe, &byte, 1) != 1;
    } else if (!has_done && !node->is_full) {
        node->is_full = write(node->pipe, &byte, 1) == 1;
    }
}

static void finish(struct transfer *transfer, int status) {
    transfer->status = status;
    transfer->is_done = true;
}

static void release(struct transfer *transfer) {
    struct transfer **at = &transfer->node->transfers;
    while (*at != transfer) {
        at = &(*at)->next;
    }
    *at = transfer->next;
    free(transfer->data);
    memset(transfer, 0, sizeof *transfer);
}

/* False: it waits for the phone. */
static bool move_out(struct port *port, struct transfer *transfer, uint64_t now_ms) {
    uint32_t size = (uint32_t)transfer->urb.buffer_length;
    const uint8_t *data = transfer->data;
    if (transfer->moved < size) {
        struct bytes rest = {data + transfer->moved, size - transfer->moved};
        transfer->moved += (uint32_t)link_usb_take(&port->link, rest, now_ms);
    }
    if (transfer->moved < size || port->link.fault == LINK_USB_SILENT) {
        return false;
    }
    if (size % port->link.packet_bytes != 0 || size == 0 ||
        (transfer->urb.flags & USBDEVFS_URB_ZERO_PACKET) != 0) {
        link_usb_take_end(&port->link, now_ms);
    }
    return true;
}

static bool move_in(struct port *port, struct transfer *transfer) {
    return link_usb_give(&port->link, transfer->data, (uint32_t)transfer->urb.buffer_length,
                         &transfer->moved);
}

static int spoiled_status(const struct port *port) {
    switch (port->fault) {
    case BUS_STALL:
        return -EPIPE;
    case BUS_BABBLE:
        return -EOVERFLOW;
    case BUS_ERROR:
        return -EPROTO;
    case BUS_GOOD:
    case BUS_DENIED:
    case BUS_BUSY:
    default:
        return 0;
    }
}

/* Moves what can move: each endpoint's transfers in their order. */
static void pump(struct node *node, uint64_t now_ms) {
    struct port *port = node->port;
    bool is_waiting[2] = {false, false};
    if (port == NULL || node->claimed_by == NULL || !port->phone.is_connected) {
        return;
    }
    for (unsigned round = 0; round < 3; round++) {
        phone_step(&port->phone, now_ms);
        is_waiting[0] = is_waiting[1] = false;
        for (struct transfer *t = node->transfers; t != NULL; t = t->next) {
            bool is_in = (t->urb.endpoint & 0x80) != 0;
            if (t->is_done || is_waiting[is_in]) {
                continue;
            }
            int status = spoiled_status(port);
            if (status != 0) {
                finish(t, status);
            } else if (is_in ? move_in(port, t) : move_out(port, t, now_ms)) {
                finish(t, 0);
            } else {
                is_waiting[is_in] = true;
            }
        }
    }
    show(node);
}

static void plug(struct port *port);
static void unplug(struct port *port);

/* ---- hubs ---- */

static void cure(struct port *port, enum bus_cure by) {
    if (port->cure == by) {
        port->fault = BUS_GOOD;
        port->link.fault = LINK_USB_GOOD;
    }
}

static struct port *port_behind(const struct hub *hub, unsigned number) {
    unsigned h = (unsigned)(hub - hubs);
    return h == 0 ? NULL : &ports[(h - 1) * HUB_PORTS + number];
}

static void set_power(struct hub *hub, unsigned number, bool is_on) {
    struct port *port = port_behind(hub, number);
    if (port == NULL || hub->is_off[number] != is_on) {
        return;
    }
    hub->is_off[number] = !is_on;
    if (port->node != NULL && (!is_on || hub->mode == HUB_LATE)) {
        cure(port, CURE_POWER);
        if (!is_on && hub->mode == HUB_LATE) {
            port->link.fault = LINK_USB_SILENT; /* without power, and not seen to leave yet */
            return;
        }
        unplug(port);
        port->is_waiting_for_power = true;
    }
    if (is_on && port->is_waiting_for_power) {
        port->is_waiting_for_power = false;
        port->link.fault = hub->mode == HUB_LATE ? LINK_USB_GOOD : port->link.fault;
        plug(port);
    }
}

static void switch_power(struct hub *hub, unsigned number, bool is_on) {
    if (hub->mode == HUB_LYING || hub->mode == HUB_KERNEL) {
        return;
    }
    for (unsigned k = 1; k <= HUB_PORTS; k++) {
        if (k == number || hub->mode == HUB_GANGED) {
            set_power(hub, k, is_on);
        }
    }
}

static void restart_hub(struct hub *hub) {
    hub->resets += 1;
    for (unsigned k = 1; k <= HUB_PORTS; k++) {
        struct port *port = port_behind(hub, k);
        if (port != NULL && port->node != NULL) {
            cure(port, CURE_POWER);
            unplug(port);
            plug(port);
        }
    }
}

/* The size of the answer; negative: stalled. */
static int hub_answer(struct hub *hub, const uint8_t *setup, uint8_t *data, size_t capacity) {
    unsigned number = setup[4];
    uint8_t switching = hub->mode == HUB_GANGED ? 0 : hub->mode == HUB_NEVER ? 2 : 1;
    const uint8_t descriptor[] = {11, 0x29, HUB_PORTS, switching, 0, 50, 100, 0, 0, 0xff, 0xff};
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
        bool has_phone = port != NULL && port->node != NULL && !hub->is_off[number];
        memset(data, 0, 4);
        data[0] = has_phone ? 3 : 0;
        data[1] = hub->is_off[number] ? 0 : has_phone ? 5 : 1;
        return 4;
    }
    if (setup[0] != 0x23 || setup[2] != 8 || hub->mode == HUB_REFUSING) {
        return -1;
    }
    switch_power(hub, number, setup[1] == 3);
    return 0;
}

/* ---- the programs' calls ---- */

static int submit(struct file *file, const struct shim_request *request, const uint8_t *payload) {
    struct transfer *transfer = pool;
    struct port *port = file->node->port;
    while (transfer < pool + TRANSFERS && transfer->node != NULL) {
        transfer++;
    }
    if (transfer == pool + TRANSFERS) {
        return -ENOMEM;
    }
    *transfer = (struct transfer){.node = file->node, .file = file, .address = request->address};
    const struct usbdevfs_urb *urb = (const struct usbdevfs_urb *)(const void *)payload;
    size_t sent = request->size - sizeof *urb;
    transfer->urb.type = urb->type;
    transfer->urb.endpoint = urb->endpoint;
    transfer->urb.flags = urb->flags;
    transfer->urb.buffer_length = urb->buffer_length;
    transfer->data = calloc(1, (size_t)transfer->urb.buffer_length + 1);
    memcpy(transfer->data, payload + sizeof *urb, sent);
    struct transfer **last = &file->node->transfers;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = transfer;
    if (file->node->hub != NULL) {
        int size = hub_answer(file->node->hub, transfer->data, transfer->data + SETUP_BYTES,
                              (size_t)transfer->urb.buffer_length - SETUP_BYTES);
        transfer->moved = size < 0 ? 0 : (uint32_t)size;
        finish(transfer, size < 0 ? -EPIPE : 0);
        show(file->node);
        return 0;
    }
    port->transfers += 1;
    if (port->detach_at > 0 && --port->detach_at == 0) {
        unplug(port);
        return 0;
    }
    if (transfer->urb.type == USBDEVFS_URB_TYPE_CONTROL) {
        int size =
            link_usb_answer(transfer->data, port->phone.state.serial, transfer->data + SETUP_BYTES,
                            (size_t)transfer->urb.buffer_length - SETUP_BYTES);
        transfer->moved = size < 0 ? 0 : (uint32_t)size;
        finish(transfer, size < 0 ? -EPIPE : 0);
        show(file->node);
    } else {
        pump(file->node, loop_now_ms());
    }
    return 0;
}

static void write_all(int program, const void *data, size_t size) {
    size_t at = 0;
    while (at < size) {
        ssize_t count = write(program, (const char *)data + at, size - at);
        if (count <= 0) {
            return; /* it has ended; poll() will say so */
        }
        at += (size_t)count;
    }
}

/* True: something was reaped, and the answer is sent. */
static bool reap(struct file *file) {
    for (struct transfer *t = file->node->transfers; t != NULL; t = t->next) {
        if (!t->is_done || t->file != file) {
            continue;
        }
        bool is_control = t->urb.type == USBDEVFS_URB_TYPE_CONTROL;
        bool is_in = ((is_control ? t->data[0] : t->urb.endpoint) & 0x80) != 0;
        struct shim_answer answer;
        memset(&answer, 0, sizeof answer);
        answer.status = t->status;
        answer.moved = t->moved;
        answer.size = is_in ? t->moved : 0;
        answer.address = t->address;
        write_all(file->program, &answer, sizeof answer);
        write_all(file->program, t->data + (is_control ? SETUP_BYTES : 0), answer.size);
        release(t);
        show(file->node);
        return true;
    }
    return false;
}

static int discard(const struct file *file, uint64_t address) {
    for (struct transfer *t = file->node->transfers; t != NULL; t = t->next) {
        if (!t->is_done && t->file == file && t->address == address) {
            finish(t, -ENOENT);
            show(file->node);
            return 0;
        }
    }
    return -EINVAL;
}

static void give_back(struct file *file) {
    struct node *node = file->node;
    if (node->claimed_by == file) {
        node->claimed_by = NULL;
        if (node->port != NULL) {
            link_usb_disconnect(&node->port->link);
        }
    }
}

static void close_file(struct file *file) {
    struct node *node = file->node;
    for (struct transfer *t = node->transfers; t != NULL;) {
        struct transfer *following = t->next;
        if (t->file == file) {
            release(t);
        }
        t = following;
    }
    give_back(file);
    file->node = NULL;
    show(node);
}

static int claim(struct file *file) {
    struct port *port = file->node->port;
    if (port->fault == BUS_BUSY || file->node->claimed_by != NULL) {
        return -EBUSY;
    }
    file->node->claimed_by = file;
    port->claims += 1;
    link_usb_connect(&port->link, &port->phone, 512);
    return 0;
}

/* A number, or minus an error; what the argument is to become is in `target`. */
static int serve(struct file *file, const struct shim_request *request, const uint8_t *payload,
                 struct shim_answer *answer, uint32_t *target) {
    struct port *port = file->node->port;
    if (request->request == (uint32_t)USBDEVFS_REAPURBNDELAY) {
        return is_gone(file->node) ? -ENODEV : -EAGAIN;
    }
    if (request->request == (uint32_t)USBDEVFS_DISCARDURB) {
        return discard(file, request->address);
    }
    if (is_gone(file->node)) {
        return -ENODEV;
    }
    switch (request->request) {
    case (uint32_t)USBDEVFS_GET_CAPABILITIES:
        *target = USBDEVFS_CAP_ZERO_PACKET | USBDEVFS_CAP_BULK_CONTINUATION |
                  USBDEVFS_CAP_NO_PACKET_SIZE_LIM | USBDEVFS_CAP_REAP_AFTER_DISCONNECT;
        answer->size = sizeof *target;
        return 0;
    case (uint32_t)USBDEVFS_SUBMITURB:
        return submit(file, request, payload);
    case (uint32_t)USBDEVFS_CLAIMINTERFACE:
        return port == NULL ? 0 : claim(file);
    case (uint32_t)USBDEVFS_RELEASEINTERFACE:
        give_back(file);
        return 0;
    case (uint32_t)USBDEVFS_RESET:
        if (port == NULL) {
            restart_hub(file->node->hub);
            return 0;
        }
        port->resets += 1;
        cure(port, CURE_RESET);
        return 0;
    case (uint32_t)USBDEVFS_CLEAR_HALT:
    case (uint32_t)USBDEVFS_SETCONFIGURATION:
    case (uint32_t)USBDEVFS_SETINTERFACE:
        return 0;
    case (uint32_t)USBDEVFS_GETDRIVER:
        return -ENODATA;
    default:
        return -ENOTTY;
    }
}

static int open_file(int program, uint32_t number) {
    if (number >= NODES || is_gone(&nodes[number])) {
        return -ENODEV;
    }
    if (nodes[number].port != NULL && nodes[number].port->fault == BUS_DENIED) {
        return -EACCES;
    }
    for (unsigned i = 1; i < OPENS; i++) {
        if (files[i].node == NULL) {
            files[i] = (struct file){.node = &nodes[number], .program = program};
            return (int)i;
        }
    }
    return -EMFILE;
}

static void answer_call(int program, const struct shim_request *request, const uint8_t *payload) {
    struct shim_answer answer;
    uint32_t target = 0;
    int result = -EBADF;
    memset(&answer, 0, sizeof answer);
    if (request->call == SHIM_OPEN) {
        result = open_file(program, request->handle);
    } else if (request->handle < OPENS && files[request->handle].node != NULL) {
        struct file *file = &files[request->handle];
        if (request->call == SHIM_CLOSE) {
            close_file(file);
            result = 0;
        } else if (request->request == (uint32_t)USBDEVFS_REAPURBNDELAY && reap(file)) {
            return;
        } else {
            result = serve(file, request, payload, &answer, &target);
        }
    }
    answer.result = result < 0 ? -1 : result;
    answer.error = result < 0 ? -result : 0;
    write_all(program, &answer, sizeof answer);
    write_all(program, &target, answer.size);
}

static bool read_all(int program, void *data, size_t size) {
    size_t at = 0;
    while (at < size) {
        ssize_t count = read(program, (char *)data + at, size - at);
        if (count <= 0) {
            return false;
        }
        at += (size_t)count;
    }
    return true;
}

static void hear(struct pollfd *from) {
    static _Alignas(16) uint8_t payload[(2 << 20) + 64];
    struct shim_request request;
    int program = from->fd;
    if (read_all(program, &request, sizeof request) && request.size <= sizeof payload &&
        read_all(program, payload, request.size)) {
        answer_call(program, &request, payload);
        return;
    }
    for (unsigned i = 1; i < OPENS; i++) {
        if (files[i].node != NULL && files[i].program == program) {
            close_file(&files[i]);
        }
    }
    close(program);
    from->fd = -1;
}

static void welcome(void) {
    int program = accept4(waiting[1].fd, NULL, NULL, SOCK_CLOEXEC);
    for (unsigned i = 2; i < PROGRAMS + 2; i++) {
        if (waiting[i].fd < 0) {
            waiting[i].fd = program;
            return;
        }
    }
    die("too many programs");
}

static void listen_for_programs(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/usb.sock", root);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, PROGRAMS) != 0) {
        die("cannot listen");
    }
    waiting[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    waiting[1] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (unsigned i = 2; i < PROGRAMS + 2; i++) {
        waiting[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    }
}

/* ---- plugging ---- */

static void add_hex(char *text, size_t capacity, const uint8_t *data, size_t size) {
    size_t at = strlen(text);
    for (size_t i = 0; i < size && at + 3 < capacity; i++) {
        at += (size_t)snprintf(text + at, capacity - at, "%02X", data[i]);
    }
}

/* `sys` is the path below /sys, `name` its last part. */
static void add_device(const char *sys, const char *name, unsigned number, const char *serial,
                       struct bytes descriptors) {
    char text[4096];
    char hex[2048] = "";
    (void)name;
    add_hex(hex, sizeof hex, descriptors.data, descriptors.size);
    snprintf(text, sizeof text,
             "P: %s\nN: bus/usb/001/%03u=%s\nE: DEVTYPE=usb_device\nE: SUBSYSTEM=usb\n"
             "E: DEVNAME=/dev/bus/usb/001/%03u\nE: BUSNUM=001\nE: DEVNUM=%03u\nE: MAJOR=189\n"
             "E: MINOR=%u\nA: busnum=1\\n\nA: devnum=%u\\n\nA: speed=480\\n\n"
             "A: bConfigurationValue=1\\n\n%s%s%sH: descriptors=%s\n",
             sys, number, hex, number, number, number, number,
             serial[0] != '\0' ? "A: serial=" : "", serial, serial[0] != '\0' ? "\\n\n" : "", hex);
    GError *error = NULL;
    if (!umockdev_testbed_add_from_string(testbed, text, &error)) {
        die(error->message);
    }
}

/* The node as usbfs shows it: nothing to reap yet. */
static void open_pipe(struct node *node) {
    char path[PATH_BYTES * 2];
    snprintf(path, sizeof path, "%s%s", root, node->name);
    unlink(path);
    if (mkfifo(path, 0666) != 0) {
        die("cannot make a device node");
    }
    node->pipe = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (node->pipe < 0 || fcntl(node->pipe, F_SETPIPE_SZ, 4096) < 0) {
        die("cannot open a device node");
    }
    node->is_full = false;
    show(node);
}

static void add_hub(struct hub *hub, const char *sys, const char *name) {
    static const uint8_t descriptors[] = {18, 1, 0, 2, 9, 0,  1, 64, 9,    4, 0xaa, 0x55, 0, 1, 0,
                                          0,  0, 1, 9, 2, 25, 0, 1,  1,    0, 0xe0, 0,    9, 4, 0,
                                          0,  1, 9, 0, 0, 0,  7, 5,  0x81, 3, 2,    0,    12};
    node_count += 1;
    struct node *node = &nodes[node_count];
    snprintf(node->name, sizeof node->name, "/dev/bus/usb/001/%03u", node_count);
    add_device(sys, name, node_count, "", (struct bytes){descriptors, sizeof descriptors});
    node->hub = hub;
    hub->node = node;
    open_pipe(node);
}

static void plug(struct port *port) {
    char hub[PATH_BYTES];
    char name[32];
    uint8_t descriptors[LINK_USB_DESCRIPTORS];
    unsigned h = (port->number - 1) / HUB_PORTS + 1;
    snprintf(hub, sizeof hub, "/devices/pci0000:00/0000:00:14.0/usb1/1-%u", h);
    if (hubs[h].node == NULL) {
        add_hub(&hubs[h], hub, "hub");
    }
    if (node_count + 1 == NODES) {
        die("too many attachments");
    }
    node_count += 1;
    struct node *node = &nodes[node_count];
    snprintf(name, sizeof name, "1-%u.%u", h, (port->number - 1) % HUB_PORTS + 1);
    snprintf(node->name, sizeof node->name, "/dev/bus/usb/001/%03u", node_count);
    snprintf(node->sys, sizeof node->sys, "%s/%s", hub, name);
    node->port = port;
    port->node = node;
    port->replug_ms = 0;
    link_usb_describe(1, descriptors);
    if (port->is_spoiled) {
        descriptors[port->spoiled_byte % sizeof descriptors] = (uint8_t)port->spoiled_value;
    }
    add_device(node->sys, name, node_count, port->phone.state.serial,
               (struct bytes){descriptors, sizeof descriptors});
    open_pipe(node);
    printf("attached %u %s\n", port->number, name);
}

static void unplug(struct port *port) {
    struct node *node = port->node;
    char sys[PATH_BYTES + 48];
    if (node == NULL) {
        return;
    }
    link_usb_disconnect(&port->link);
    for (struct transfer *t = node->transfers; t != NULL; t = t->next) {
        if (!t->is_done) {
            finish(t, -ESHUTDOWN);
        }
    }
    node->port = NULL;
    node->claimed_by = NULL;
    port->node = NULL;
    port->detach_at = 0;
    show(node);
    snprintf(sys, sizeof sys, "/sys%s", node->sys);
    umockdev_testbed_uevent(testbed, sys, "remove");
    umockdev_testbed_remove_device(testbed, sys);
    printf("detached %u\n", port->number);
    fflush(stdout);
}

/* ---- commands ---- */

static const char *option(char *words, const char *name) {
    char *at = words == NULL ? NULL : strstr(words, name);
    return at == NULL ? NULL : at + strlen(name);
}

static void command_attach(struct port *port, const char *serial, char *words) {
    const char *auth = option(words, "auth=");
    const char *spoiled = option(words, "descriptor=");
    if (port->node != NULL) {
        die("that port is taken");
    }
    if (!port->is_used || strcmp(port->phone.state.serial, serial) != 0) {
        port->options = (struct phone_options){.accept_ms = 100, .reboot_ms = 1500, .seed = 1};
        phone_init(&port->phone, &port->options, serial, port->number, loop_now_ms());
        port->is_used = true;
    }
    port->options.auth = auth == NULL                     ? PHONE_AUTH_OFF
                         : strncmp(auth, "never", 5) == 0 ? PHONE_AUTH_NEVER
                                                          : PHONE_AUTH_ACCEPT;
    port->is_spoiled =
        spoiled != NULL && sscanf(spoiled, "%u:%u", &port->spoiled_byte, &port->spoiled_value) == 2;
    plug(port);
}

static void command_fault(struct port *port, const char *name) {
    static const char *const kinds[] = {"good", "stall", "babble", "error", "denied", "busy"};
    port->fault = BUS_GOOD;
    port->link.fault = LINK_USB_GOOD;
    for (unsigned i = 0; i < array_count(kinds); i++) {
        port->fault = strcmp(name, kinds[i]) == 0 ? (enum bus_fault)i : port->fault;
    }
    for (unsigned i = 0; i < LINK_USB_FAULT_COUNT; i++) {
        if (strcmp(name, link_usb_fault_name((enum link_usb_fault)i)) == 0) {
            port->link.fault = (enum link_usb_fault)i;
        }
    }
    if (port->node != NULL) {
        pump(port->node, loop_now_ms());
    }
}

static void disable_path(unsigned hub, unsigned number, char path[PATH_BYTES * 2]) {
    snprintf(path, PATH_BYTES * 2,
             "%s/sys/devices/pci0000:00/0000:00:14.0/usb1/1-%u/1-%u:1.0/1-%u-port%u/disable", root,
             hub, hub, hub, number);
}

/* Makes the files that newer kernels have. */
static void make_disable_files(unsigned hub) {
    char path[PATH_BYTES * 2];
    for (unsigned k = 1; k <= HUB_PORTS; k++) {
        disable_path(hub, k, path);
        for (char *at = strchr(path + strlen(root) + 1, '/'); at != NULL;
             at = strchr(at + 1, '/')) {
            *at = '\0';
            (void)mkdir(path, 0755);
            *at = '/';
        }
        FILE *file = fopen(path, "w");
        if (file == NULL || fputs("0", file) < 0 || fclose(file) != 0) {
            die("cannot make a port's files");
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
            set_power(&hubs[hub], k, value == '0');
        }
    }
}

static void command_hub(unsigned long number, const char *mode) {
    static const char *const modes[] = {"each",     "ganged", "never", "lying",
                                        "refusing", "late",   "kernel"};
    if (number >= array_count(hubs)) {
        die("there is no such hub");
    }
    for (unsigned i = 0; i < array_count(modes); i++) {
        hubs[number].mode = strcmp(mode, modes[i]) == 0 ? (enum hub_mode)i : hubs[number].mode;
    }
    if (hubs[number].mode == HUB_KERNEL) {
        make_disable_files((unsigned)number);
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
        die("a port is a number from 1 to 128");
    }
    struct port *port = &ports[port_number];
    port->number = (unsigned)port_number;
    if (strcmp(verb, "attach") == 0) {
        bool is_blank = word == NULL || strcmp(word, "-") == 0;
        command_attach(port, is_blank ? "" : word, rest);
    } else if (strcmp(verb, "detach") == 0) {
        port->replug_ms = 0;
        unplug(port);
    } else if (strcmp(verb, "detach-at") == 0 && word != NULL) {
        port->detach_at = strtol(word, NULL, 10);
    } else if (strcmp(verb, "fault") == 0 && word != NULL) {
        command_fault(port, word);
    } else if (strcmp(verb, "cure") == 0 && word != NULL) {
        port->cure = strcmp(word, "reset") == 0   ? CURE_RESET
                     : strcmp(word, "power") == 0 ? CURE_POWER
                                                  : CURE_NONE;
    } else if (strcmp(verb, "hub") == 0 && word != NULL) {
        command_hub(port_number, word);
    } else if (strcmp(verb, "count") == 0) {
        printf("count %u %lu %lu %lu\n", port->number, port->transfers, port->claims, port->resets);
    } else {
        die("unknown command");
    }
}

/* A phone that reboots, or drops its connection, leaves the bus and comes back. */
static void step(struct port *port, uint64_t now_ms) {
    if (port->node == NULL) {
        if (port->replug_ms != 0 && now_ms >= port->replug_ms &&
            phone_is_free(&port->phone, now_ms)) {
            plug(port);
        }
        return;
    }
    if (!port->phone.is_connected) {
        return;
    }
    pump(port->node, now_ms);
    if (phone_is_leaving(&port->phone) && phone_output(&port->phone).size == 0) {
        uint64_t back_ms = port->phone.back_ms;
        unplug(port);
        port->replug_ms = (back_ms > now_ms ? back_ms : now_ms) + REPLUG_MS;
    }
}

int main(void) {
    char line[512];
    testbed = umockdev_testbed_new();
    root = umockdev_testbed_get_root_dir(testbed);
    if (!umockdev_in_mock_environment()) {
        die("start it through umockdev-wrapper");
    }
    setvbuf(stdin, NULL, _IONBF, 0); /* poll() must see every line */
    add_hub(&hubs[0], "/devices/pci0000:00/0000:00:14.0/usb1", "usb1");
    listen_for_programs();
    printf("bus %s\n", root);
    fflush(stdout);
    while (true) {
        (void)poll(waiting, array_count(waiting), STEP_MS);
        if (waiting[0].revents != 0) {
            if (fgets(line, sizeof line, stdin) == NULL) {
                break;
            }
            obey(line);
        }
        if (waiting[1].revents != 0) {
            welcome();
        }
        for (unsigned i = 2; i < PROGRAMS + 2; i++) {
            if (waiting[i].fd >= 0 && waiting[i].revents != 0) {
                hear(&waiting[i]);
            }
        }
        for (unsigned i = 1; i <= PORTS; i++) {
            if (ports[i].is_used) {
                step(&ports[i], loop_now_ms());
            }
        }
        for (unsigned i = 1; i < array_count(hubs); i++) {
            if (hubs[i].mode == HUB_KERNEL) {
                read_disable_files(i);
            }
        }
        fflush(stdout);
    }
    g_object_unref(testbed);
    return 0;
}
