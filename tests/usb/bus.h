/* bus.h - the emulated bus of usb_bus, shared by its parts: ports with phones, hubs, the open files
 * of the programs, their transfers. One process, one thread; all of it is static. */
#ifndef TESTS_USB_BUS_H
#define TESTS_USB_BUS_H

#include "host/phonesim/link_usb.h"

#include <poll.h>
#include <stdint.h>

enum { PROGRAMS = 16, OPENS = 1024, SETUP_BYTES = 8 };
enum { PORTS = 128, HUB_PORTS = 10, TRANSFERS = 4096, PATH_BYTES = 256, STEP_MS = 5 };
enum { REPLUG_MS = 300, CONTROLLER = 1, NODES = 4096 };

enum bus_fault { BUS_GOOD, BUS_STALL, BUS_BABBLE, BUS_ERROR, BUS_DENIED, BUS_BUSY };

enum bus_cure { CURE_NONE, CURE_RESET, CURE_POWER, CURE_REBOOT };
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
    bool is_super;     /* of a hub: its USB 3 half */
    int pipe;
    bool is_full; /* the pipe: nothing to reap */
    struct file *claimed_by;
    struct transfer *transfers;
    uint8_t descriptors[LINK_USB_DESCRIPTORS]; /* what its file holds */
    uint32_t descriptors_size;
    char name[PATH_BYTES];
    char sys[PATH_BYTES + 40];
};

enum { HALVES = 2 };

struct hub {
    struct node *node; /* NULL: not there */
    bool has_super;    /* it has a USB 3 half, whose ports have switches of their own */
    enum hub_mode mode;
    unsigned long resets;
    unsigned long offs[HALVES]; /* how often a half was told to switch off */
    bool is_half_off[HALVES][HUB_PORTS + 1];
    char place[32]; /* such as 1-4 */
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
    uint32_t reset_ms;     /* how long a reset takes */
    uint64_t reset_due_ms; /* of the one that is under way; 0: none */
    int reset_program;
    unsigned spoiled_byte, spoiled_value;
    bool is_spoiled;
    bool is_unconfigured;
    bool is_bootloop;   /* its bootloader boots nothing but itself */
    bool is_two_faced;  /* whoever asks for its descriptors again gets others */
    uint64_t replug_ms; /* 0: not by itself */
    bool is_waiting_for_power;
    bool is_used;
};

extern struct port bus_ports[PORTS + 1];
extern struct node bus_nodes[NODES];
extern struct hub bus_hubs[PORTS / HUB_PORTS + 2];
extern struct pollfd bus_waiting[PROGRAMS + 2]; /* input, the listener, the programs */
extern const char *bus_root;                    /* the folder that the programs take for / */

_Noreturn void bus_die(const char *what);
bool bus_is_gone(const struct node *node);

/* ---- bus_transfer.c ---- */

struct transfer *bus_transfer_new(struct file *file);
void bus_transfer_finish(struct transfer *transfer, int status);
void bus_transfer_release(struct transfer *transfer);
/* Makes the node writable exactly when something may be reaped, or the device has left. */
void bus_show(struct node *node);
/* Moves what can move: each endpoint's transfers in their order. */
void bus_pump(struct node *node, uint64_t now_ms);

/* ---- bus_hub.c ---- */

void bus_cure(struct port *port, enum bus_cure by);
/* Cuts or restores a port's power, whatever the hub says of itself. */
void bus_set_power(struct hub *hub, unsigned number, bool is_on);
void bus_restart_hub(struct hub *hub);
/* The answer to a control request: its size; negative: stalled. */
int bus_hub_answer(const struct node *node, const uint8_t *setup, uint8_t *data, size_t capacity);
void bus_set_hub_mode(unsigned hub, const char *mode);
/* Takes what was written to the `disable` files of hubs that have them. */
void bus_step_hubs(void);

/* ---- bus_program.c ---- */

void bus_listen(void);
void bus_welcome(void);
void bus_hear(struct pollfd *from);
/* Answers a reset whose time is over. */
void bus_step_reset(struct port *port, uint64_t now_ms);

/* ---- bus_plug.c ---- */

void bus_start(void);
void bus_end(void);
void bus_plug(struct port *port);
void bus_unplug(struct port *port);
/* A hub, at its place; harmless when it is there. */
void bus_plug_hub(struct hub *hub);

#endif
