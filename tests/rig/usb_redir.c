/* usb_redir - emulated phones as QEMU's usb-redir devices: the USB host end of the usbredir
 * protocol, over the same phones and transfers as every other carrier (host/phonesim/link_usb.h).
 *
 * usage: usb_redir FOLDER SERIAL...
 *
 * Listens on FOLDER/phone1, FOLDER/phone2, … before it prints `ready`; their partitions are files
 * FOLDER/SERIAL.PARTITION. Takes commands on standard input, a line each, phones counted from 1:
 *
 * - fault N KIND: of link_usb.h, or of phone_fault.h when it has an @; good takes it away
 * - detach N, attach N: plugs the phone out and in
 * - reset N: what a phone forgets when its port has lost power
 *
 * QEMU's hubs are of full speed, so packets have 64 bytes. */
#include "host/phonesim/link_usb.h"
#include "host/shared/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <usbredirparser.h>

enum { PHONES = 24, WAITING = 64, PACKET_BYTES = 64, STEP_MS = 2, REPLUG_MS = 300, SETUP = 8 };

/* A bulk transfer that the phone has not finished. */
struct waiting {
    bool is_used;
    bool is_in;
    uint64_t id;
    struct usb_redir_bulk_packet_header header;
    uint8_t *data;
    uint32_t size, moved;
    struct waiting *next; /* in its endpoint's order */
};

struct device {
    unsigned number; /* from 1 */
    struct phone phone;
    struct phone_options options;
    struct link_usb link;
    struct usbredirparser *parser; /* NULL: QEMU is not there */
    int listener, connection;
    bool is_attached, is_configured;
    uint64_t replug_ms; /* 0: not by itself */
    struct waiting pool[WAITING];
    struct waiting *first[2]; /* OUT, IN */
};

static struct device devices[PHONES];
static unsigned device_count;

_Noreturn static void die(const char *what) {
    fprintf(stderr, "usb_redir: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- plugging ---- */

static void drop_waiting(struct device *device, struct waiting *one) {
    struct waiting **at = &device->first[one->is_in];
    while (*at != one) {
        at = &(*at)->next;
    }
    *at = one->next;
    free(one->data);
    *one = (struct waiting){0};
}

static void drop_all(struct device *device) {
    while (device->first[0] != NULL) {
        drop_waiting(device, device->first[0]);
    }
    while (device->first[1] != NULL) {
        drop_waiting(device, device->first[1]);
    }
}

static void unconfigure(struct device *device) {
    drop_all(device);
    link_usb_disconnect(&device->link);
    device->is_configured = false;
}

static void attach(struct device *device) {
    uint8_t descriptors[LINK_USB_DESCRIPTORS];
    struct usb_redir_ep_info_header endpoints = {0};
    struct usb_redir_interface_info_header interfaces = {.interface_count = 1};
    struct usb_redir_device_connect_header connect = {.speed = usb_redir_speed_full};
    if (device->parser == NULL || device->is_attached) {
        return;
    }
    phone_reset(&device->phone);
    link_usb_describe(&device->phone, PACKET_BYTES, descriptors);
    memset(endpoints.type, usb_redir_type_invalid, sizeof endpoints.type);
    endpoints.type[0] = endpoints.type[16] = usb_redir_type_control;
    endpoints.type[1] = endpoints.type[17] = usb_redir_type_bulk;
    endpoints.max_packet_size[0] = endpoints.max_packet_size[16] = PACKET_BYTES;
    endpoints.max_packet_size[1] = endpoints.max_packet_size[17] = PACKET_BYTES;
    interfaces.interface_class[0] = 0xff;
    interfaces.interface_subclass[0] = 0x42;
    interfaces.interface_protocol[0] = descriptors[18 + 9 + 7];
    connect.vendor_id = (uint16_t)(descriptors[8] | descriptors[9] << 8);
    connect.product_id = (uint16_t)(descriptors[10] | descriptors[11] << 8);
    connect.device_version_bcd = (uint16_t)(descriptors[12] | descriptors[13] << 8);
    usbredirparser_send_ep_info(device->parser, &endpoints);
    usbredirparser_send_interface_info(device->parser, &interfaces);
    usbredirparser_send_device_connect(device->parser, &connect);
    device->is_attached = true;
    device->replug_ms = 0;
}

static void detach(struct device *device) {
    if (device->is_attached) {
        device->is_attached = false;
        unconfigure(device);
        usbredirparser_send_device_disconnect(device->parser);
    }
}

/* ---- what QEMU asks ---- */

static void on_log(void *owner, int level, const char *text) {
    (void)owner;
    if (level == usbredirparser_error) {
        fprintf(stderr, "usb_redir: %s\n", text);
    }
}

static int on_read(void *owner, uint8_t *data, int size) {
    const struct device *device = owner;
    ssize_t count = recv(device->connection, data, (size_t)size, MSG_DONTWAIT);
    return count > 0 ? (int)count : count < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static int on_write(void *owner, uint8_t *data, int size) {
    const struct device *device = owner;
    ssize_t count = send(device->connection, data, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
    return count >= 0 ? (int)count : errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static void on_hello(void *owner, struct usb_redir_hello_header *hello) {
    (void)hello;
    attach(owner);
}

/* Also when the system enumerates it after its port was off. */
static void on_reset(void *owner) {
    struct device *device = owner;
    unconfigure(device);
    phone_reset(&device->phone);
}

static void on_set_configuration(void *owner, uint64_t id,
                                 struct usb_redir_set_configuration_header *set) {
    struct device *device = owner;
    struct usb_redir_configuration_status_header status = {.status = usb_redir_success,
                                                           .configuration = set->configuration};
    unconfigure(device);
    if (set->configuration != 0) {
        link_usb_connect(&device->link, &device->phone, PACKET_BYTES);
        device->is_configured = true;
    }
    usbredirparser_send_configuration_status(device->parser, id, &status);
}

static void on_get_configuration(void *owner, uint64_t id) {
    const struct device *device = owner;
    struct usb_redir_configuration_status_header status = {.configuration = 1};
    usbredirparser_send_configuration_status(device->parser, id, &status);
}

static void on_set_alternate(void *owner, uint64_t id,
                             struct usb_redir_set_alt_setting_header *set) {
    const struct device *device = owner;
    struct usb_redir_alt_setting_status_header status = {.interface = set->interface,
                                                         .alt = set->alt};
    usbredirparser_send_alt_setting_status(device->parser, id, &status);
}

static void on_get_alternate(void *owner, uint64_t id,
                             struct usb_redir_get_alt_setting_header *get) {
    const struct device *device = owner;
    struct usb_redir_alt_setting_status_header status = {.interface = get->interface};
    usbredirparser_send_alt_setting_status(device->parser, id, &status);
}

static void on_control(void *owner, uint64_t id, struct usb_redir_control_packet_header *header,
                       uint8_t *data, int size) {
    struct device *device = owner;
    uint8_t answer[512];
    const uint8_t setup[SETUP] = {header->requesttype,     header->request,
                                  (uint8_t)header->value,  (uint8_t)(header->value >> 8),
                                  (uint8_t)header->index,  (uint8_t)(header->index >> 8),
                                  (uint8_t)header->length, (uint8_t)(header->length >> 8)};
    size_t room = header->length < sizeof answer ? header->length : sizeof answer;
    bool clears_halt = header->requesttype == 0x02 && header->request == 1;
    int count =
        clears_halt ? 0 : link_usb_answer(setup, &device->phone, PACKET_BYTES, answer, room);
    (void)size;
    header->status = count < 0 ? usb_redir_stall : usb_redir_success;
    header->length = (uint16_t)(count < 0 ? 0 : count);
    usbredirparser_send_control_packet(device->parser, id, header,
                                       header->length > 0 ? answer : NULL, header->length);
    usbredirparser_free_packet_data(device->parser, data);
}

static void on_bulk(void *owner, uint64_t id, struct usb_redir_bulk_packet_header *header,
                    uint8_t *data, int size) {
    struct device *device = owner;
    for (unsigned i = 0; i < WAITING; i++) {
        struct waiting *one = &device->pool[i];
        if (one->is_used) {
            continue;
        }
        bool is_in = (header->endpoint & 0x80) != 0;
        uint32_t length = header->length | (uint32_t)header->length_high << 16;
        *one = (struct waiting){.is_used = true, .is_in = is_in, .id = id, .header = *header};
        one->size = is_in ? length : (uint32_t)size;
        one->data = calloc(1, one->size + 1);
        if (!is_in && size > 0) {
            memcpy(one->data, data, (size_t)size);
        }
        struct waiting **last = &device->first[is_in];
        while (*last != NULL) {
            last = &(*last)->next;
        }
        *last = one;
        usbredirparser_free_packet_data(device->parser, data);
        return;
    }
    die("too many transfers");
}

static void answer(struct device *device, struct waiting *one, uint8_t status) {
    uint32_t moved = status == usb_redir_success ? one->moved : 0;
    one->header.status = status;
    one->header.length = (uint16_t)moved;
    one->header.length_high = (uint16_t)(moved >> 16);
    bool has_data = one->is_in && moved > 0; /* the parser refuses data that is not to come */
    usbredirparser_send_bulk_packet(device->parser, one->id, &one->header,
                                    has_data ? one->data : NULL, has_data ? (int)moved : 0);
    drop_waiting(device, one);
}

static void on_cancel(void *owner, uint64_t id) {
    struct device *device = owner;
    for (unsigned i = 0; i < WAITING; i++) {
        struct waiting *one = &device->pool[i];
        if (one->is_used && one->id == id) {
            answer(device, one, usb_redir_cancelled);
        }
    }
}

/* ---- transfers ---- */

/* True: it is done. */
static bool move_out(struct device *device, struct waiting *one, uint64_t now_ms) {
    if (one->moved < one->size) {
        struct bytes rest = {one->data + one->moved, one->size - one->moved};
        one->moved += (uint32_t)link_usb_take(&device->link, rest, now_ms);
    }
    bool is_done = one->moved == one->size && device->link.fault != LINK_USB_SILENT;
    if (is_done && (one->size % PACKET_BYTES != 0 || one->size == 0)) {
        link_usb_take_end(&device->link, now_ms);
    }
    return is_done;
}

/* Moves one transfer of an endpoint; false: none can. */
static bool move_first(struct device *device, bool is_in, uint64_t now_ms) {
    struct waiting *one = device->first[is_in];
    if (one == NULL) {
        return false;
    }
    if (link_usb_is_stalled(&device->link)) {
        answer(device, one, usb_redir_stall);
        return true;
    }
    bool is_done = is_in ? link_usb_give(&device->link, one->data, one->size, &one->moved, now_ms)
                         : move_out(device, one, now_ms);
    if (is_done) {
        answer(device, one, usb_redir_success);
    }
    return is_done;
}

static void pump(struct device *device, uint64_t now_ms) {
    for (bool has_moved = true; has_moved && device->is_configured;) {
        phone_step(&device->phone, now_ms);
        has_moved = move_first(device, false, now_ms);
        has_moved = move_first(device, true, now_ms) || has_moved;
    }
}

/* A phone that reboots leaves the bus and comes back. */
static void step(struct device *device, uint64_t now_ms) {
    if (device->parser == NULL) {
        return;
    }
    if (!device->is_attached) {
        if (device->replug_ms != 0 && now_ms >= device->replug_ms &&
            phone_is_free(&device->phone, now_ms)) {
            attach(device);
        }
        return;
    }
    if (!device->is_configured) {
        return;
    }
    pump(device, now_ms);
    if (phone_is_leaving(&device->phone) && phone_output(&device->phone).size == 0) {
        uint64_t back_ms = device->phone.back_ms;
        detach(device);
        device->replug_ms = (back_ms > now_ms ? back_ms : now_ms) + REPLUG_MS;
    }
}

/* ---- QEMU comes and goes ---- */

static void welcome(struct device *device) {
    uint32_t capabilities[USB_REDIR_CAPS_SIZE] = {0};
    device->connection = accept(device->listener, NULL, NULL);
    if (device->connection < 0) {
        return;
    }
    struct usbredirparser *parser = usbredirparser_create();
    parser->priv = device;
    parser->log_func = on_log;
    parser->read_func = on_read;
    parser->write_func = on_write;
    parser->hello_func = on_hello;
    parser->reset_func = on_reset;
    parser->set_configuration_func = on_set_configuration;
    parser->get_configuration_func = on_get_configuration;
    parser->set_alt_setting_func = on_set_alternate;
    parser->get_alt_setting_func = on_get_alternate;
    parser->control_packet_func = on_control;
    parser->bulk_packet_func = on_bulk;
    parser->cancel_data_packet_func = on_cancel;
    usbredirparser_caps_set_cap(capabilities, usb_redir_cap_connect_device_version);
    usbredirparser_caps_set_cap(capabilities, usb_redir_cap_ep_info_max_packet_size);
    usbredirparser_caps_set_cap(capabilities, usb_redir_cap_64bits_ids);
    usbredirparser_caps_set_cap(capabilities, usb_redir_cap_32bits_bulk_length);
    usbredirparser_init(parser, "phonesim", capabilities, USB_REDIR_CAPS_SIZE,
                        usbredirparser_fl_usb_host);
    device->parser = parser;
}

static void hear(struct device *device) {
    if (usbredirparser_do_read(device->parser) != 0) {
        exit(0); /* QEMU has ended */
    }
}

static void open_device(struct device *device, const char *folder, const char *serial) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    device_count += 1;
    device->number = device_count;
    device->options = (struct phone_options){.accept_ms = 100, .reboot_ms = 1500, .seed = 1};
    snprintf(device->options.bootloader.folder, sizeof device->options.bootloader.folder, "%s",
             folder);
    device->options.bootloader.download_bytes = 1 << 20;
    device->options.bootloader.has_no_serial = device->number == 2;
    phone_init(&device->phone, &device->options, serial, device->number, loop_now_ms());
    device->connection = -1;
    device->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/phone%u", folder, device->number);
    if (bind(device->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(device->listener, 1) != 0) {
        die(address.sun_path);
    }
}

/* ---- commands ---- */

static void set_fault(struct device *device, const char *name) {
    device->link.fault = LINK_USB_GOOD;
    device->options.faults.count = 0;
    if (strchr(name, '@') != NULL && phone_fault_add(&device->options.faults, name) != STATUS_OK) {
        die(name);
    }
    for (unsigned i = 0; i < LINK_USB_FAULT_COUNT; i++) {
        if (strcmp(name, link_usb_fault_name((enum link_usb_fault)i)) == 0) {
            device->link.fault = (enum link_usb_fault)i;
        }
    }
}

static void obey(char *line) {
    char *rest = NULL;
    const char *verb = strtok_r(line, " \n", &rest);
    const char *number = strtok_r(NULL, " \n", &rest);
    const char *word = strtok_r(NULL, " \n", &rest);
    unsigned long at = number == NULL ? 0 : strtoul(number, NULL, 10);
    if (verb == NULL || at < 1 || at > device_count) {
        die("a command without the number of a phone");
    }
    struct device *device = &devices[at - 1];
    if (strcmp(verb, "fault") == 0 && word != NULL) {
        set_fault(device, word);
    } else if (strcmp(verb, "detach") == 0) {
        detach(device);
    } else if (strcmp(verb, "attach") == 0) {
        attach(device);
    } else if (strcmp(verb, "reset") == 0) {
        phone_reset(&device->phone);
    } else {
        die("unknown command");
    }
}

static void wait_for_events(struct pollfd *on) {
    on[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    for (unsigned i = 0; i < device_count; i++) {
        bool is_there = devices[i].parser != NULL;
        bool has_output = is_there && usbredirparser_has_data_to_write(devices[i].parser) > 0;
        on[i + 1] = (struct pollfd){
            .fd = is_there ? devices[i].connection : devices[i].listener,
            .events = (short)(POLLIN | (has_output ? POLLOUT : 0)),
        };
    }
    (void)poll(on, device_count + 1, STEP_MS);
}

int main(int count, char **arguments) {
    char line[256];
    struct pollfd on[PHONES + 1];
    if (count < 3 || count > PHONES + 2) {
        fprintf(stderr, "usage: usb_redir FOLDER SERIAL...\n");
        return 2;
    }
    for (int i = 2; i < count; i++) {
        open_device(&devices[i - 2], arguments[1], arguments[i]);
    }
    setvbuf(stdin, NULL, _IONBF, 0); /* poll() must see every line */
    puts("ready");
    fflush(stdout);
    while (true) {
        wait_for_events(on);
        if (on[0].revents != 0) {
            if (fgets(line, sizeof line, stdin) == NULL) {
                return 0;
            }
            obey(line);
        }
        for (unsigned i = 0; i < device_count; i++) {
            struct device *device = &devices[i];
            if (device->parser == NULL && on[i + 1].revents != 0) {
                welcome(device);
            } else if (device->parser != NULL && (on[i + 1].revents & (POLLIN | POLLHUP)) != 0) {
                hear(device);
            }
            step(device, loop_now_ms());
            if (device->parser != NULL && usbredirparser_has_data_to_write(device->parser) > 0 &&
                usbredirparser_do_write(device->parser) != 0) {
                return 0;
            }
        }
    }
}
