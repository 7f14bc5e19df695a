/* serial_power.h - hub controllers on serial lines as power switches for the slots that the
 * configuration maps to their ports.
 *
 * Each controller has one line and one conversation (protocol/hub_serial.h): a command, its answer,
 * the next. When its line is opened, and again whenever the controller says that it has restarted,
 * every mapped port is brought to the power it should have, so that none stays off because this
 * program or the controller died in between. A controller that does not answer is closed, opened
 * again with backoff, and asked for nothing meanwhile: what is not known is not switched. */
#ifndef HOST_HUBD_SERIAL_POWER_H
#define HOST_HUBD_SERIAL_POWER_H

#include "boards/hub_dialects.h"
#include "firmware/port_power.h"
#include "hal/serial.h"
#include "hal/usb.h"
#include "host/shared/loop.h"

enum {
    SERIAL_POWER_HUBS = 8,
    SERIAL_POWER_NAME_SIZE = 40,
    SERIAL_POWER_PATH_SIZE = 256,
    SERIAL_POWER_REST_MS = 2000,
    SERIAL_POWER_POLL_MS = 60000, /* an idle controller: is it still there, has it restarted? */
    SERIAL_POWER_RETRY_MS = 1000, /* doubled up to the next */
    SERIAL_POWER_RETRY_MAX_MS = 30000
};

/* What the configuration says of one controller; must outlive it. */
struct serial_power_settings {
    char name[SERIAL_POWER_NAME_SIZE];
    char path[SERIAL_POWER_PATH_SIZE];
    const struct hub_serial_dialect *dialect;
    uint64_t baud;                                       /* 0: the dialect's */
    char slots[HUB_SERIAL_PORTS_MAX][HAL_USB_SLOT_SIZE]; /* of port 1 first; "": not mapped */
};

enum serial_power_task {
    SERIAL_POWER_STARTS,
    SERIAL_POWER_LOOKS,  /* whether a port has the power it should have */
    SERIAL_POWER_SETS,   /* that port */
    SERIAL_POWER_CLEARS, /* the controller's note that it has restarted */
    SERIAL_POWER_SWITCHES,
    SERIAL_POWER_POLLS
};

struct serial_power;

struct serial_power_hub {
    struct loop_source source; /* first: the loop gives it back */
    struct serial_power *power;
    const struct serial_power_settings *settings;
    struct hal_serial *serial;
    struct hub_serial dialogue;
    const char *obstacle; /* why nothing can be switched now; NULL: nothing is in the way */
    bool has_input, is_started, is_asking, was_fatal;
    bool is_untrusted; /* it switches other slots than the configuration says */
    enum serial_power_task task;
    uint8_t asked_port;
    uint8_t looked; /* ports whose power was looked at, or set */
    bool must_set;  /* the one that is looked at */
    bool must_clear;
    bool is_off[HUB_SERIAL_PORTS_MAX + 1]; /* by port: should be */
    uint64_t retry_ms, poll_ms;
    uint32_t failed_opens;                       /* in a row */
    uint64_t answers, failures, restarts, opens; /* ever */
    /* The operation under way. */
    bool is_switching;
    struct port_power switching;
    void *owner;
};

struct serial_power {
    struct loop *loop;
    /* `failure`: NULL when the port did what was wanted. */
    void (*ended)(void *owner, const char *slot, const char *failure);
    struct serial_power_hub hubs[SERIAL_POWER_HUBS];
    uint32_t count;
};

/* Adds a controller; its line is opened by the next step. FULL. */
must_check enum status serial_power_add(struct serial_power *power,
                                        const struct serial_power_settings *settings,
                                        struct hal_serial *serial);

/* The controller that a slot is mapped to; NULL: none. */
struct serial_power_hub *serial_power_of(struct serial_power *power, const char *slot);

/* Whether a slot's controller answers and may be used. */
bool serial_power_is_offered(const struct serial_power_hub *hub);

/* Switches a slot; `ended` will be called, from a step or from the loop. DENIED: see `obstacle`.
 * BUSY: another of its ports is being switched. */
must_check enum status serial_power_switch(struct serial_power_hub *hub, const char *slot,
                                           enum port_power_goal goal, void *owner);

void serial_power_step(struct serial_power *power, uint64_t now_ms);
uint64_t serial_power_deadline_ms(const struct serial_power *power, uint64_t now_ms);
void serial_power_close(struct serial_power *power);

#endif
