#include "host/hubd/phones/serial_power.h"

#include "host/shared/log.h"

#include <string.h>

enum { READ_BYTES = 256 };

/* ---- the map ---- */

static uint8_t port_of(const struct serial_power_hub *hub, const char *slot) {
    for (unsigned i = 0; i < HUB_SERIAL_PORTS_MAX; i++) {
        if (strcmp(hub->settings->slots[i], slot) == 0) {
            return (uint8_t)(i + 1);
        }
    }
    return 0;
}

/* The first mapped port from this one on; more than HUB_SERIAL_PORTS_MAX: there is none. */
static uint8_t mapped_from(const struct serial_power_hub *hub, unsigned port) {
    while (port <= HUB_SERIAL_PORTS_MAX && hub->settings->slots[port - 1][0] == '\0') {
        port += 1;
    }
    return (uint8_t)port;
}

struct serial_power_hub *serial_power_of(struct serial_power *power, const char *slot) {
    for (uint32_t i = 0; i < power->count; i++) {
        if (port_of(&power->hubs[i], slot) != 0) {
            return &power->hubs[i];
        }
    }
    return NULL;
}

bool serial_power_is_offered(const struct serial_power_hub *hub) {
    return hub->obstacle == NULL && !hub->is_untrusted;
}

/* ---- one controller's line ---- */

static void end_switching(struct serial_power_hub *hub) {
    uint8_t port = hub->switching.port;
    const char *failure = hub->switching.failure;
    hub->is_switching = false;
    hub->is_off[port] = hub->switching.goal == PORT_POWER_LEAVE_OFF && failure == NULL;
    hub->power->ended(hub->owner, hub->settings->slots[port - 1], failure);
}

/* What was being switched is over; the port is brought to where it belongs once it answers. */
static void fail_switching(struct serial_power_hub *hub, const char *why) {
    if (hub->is_switching) {
        hub->switching.failure = why;
        hub->is_off[hub->switching.port] = false;
        end_switching(hub);
    }
}

static void begin_anew(struct serial_power_hub *hub) {
    hub->is_started = false;
    hub->is_asking = false;
    hub->must_set = false;
    hub->looked = 0;
    hub->poll_ms = 0;
}

static uint64_t backoff_of(const struct serial_power_hub *hub) {
    uint64_t wait_ms = SERIAL_POWER_RETRY_MS;
    for (uint32_t i = 1; i < hub->failed_opens && wait_ms < SERIAL_POWER_RETRY_MAX_MS; i++) {
        wait_ms *= 2;
    }
    return wait_ms < SERIAL_POWER_RETRY_MAX_MS ? wait_ms : SERIAL_POWER_RETRY_MAX_MS;
}

static void lose(struct serial_power_hub *hub, const char *why, uint64_t now_ms) {
    loop_remove(hub->power->loop, &hub->source);
    hal_serial_close(hub->serial);
    hub->failed_opens += 1;
    hub->failures += 1;
    hub->retry_ms = now_ms + backoff_of(hub);
    if (hub->obstacle == NULL || strcmp(hub->obstacle, why) != 0) {
        log_warn("hub_serial_lost name=%s port=%s reason=%s", hub->settings->name,
                 hub->settings->path, why);
    }
    hub->obstacle = why;
    begin_anew(hub);
    fail_switching(hub, why);
}

static const char *open_reason(enum status status) {
    switch ((int)status) {
    case STATUS_NOT_FOUND:
        return "there is no such serial port; is its adapter plugged in?";
    case STATUS_DENIED:
        return "hubd may not open the serial port; run it as root, or in the port's group";
    case STATUS_BUSY:
        return "another program holds the serial port";
    case STATUS_NO_MEMORY:
        return "the arena of libraries is too small for one more serial port";
    default:
        return "it is no serial port that can be set up";
    }
}

static void ready(struct loop_source *source, uint32_t events);

static void open_line(struct serial_power_hub *hub, uint64_t now_ms) {
    const struct serial_power_settings *settings = hub->settings;
    uint32_t baud = settings->baud == 0 ? settings->dialect->baud : (uint32_t)settings->baud;
    enum status status = hal_serial_open(hub->serial, settings->path, baud);
    hub->source = (struct loop_source){.ready = ready, .fd = -1};
    if (status == STATUS_OK) {
        status = loop_add(hub->power->loop, &hub->source, hub->serial->handle, EPOLLIN);
    }
    if (status != STATUS_OK) {
        lose(hub, open_reason(status), now_ms);
        return;
    }
    hub->opens += 1;
    hub->was_fatal = false;
    hub_serial_begin(&hub->dialogue, settings->dialect);
    begin_anew(hub);
}

/* ---- what it is told ---- */

/* What the port that is being switched is told next; AGAIN: nothing now. */
static enum status next_of_switching(struct serial_power_hub *hub, enum hub_serial_command *command,
                                     uint64_t now_ms) {
    struct port_power_request request;
    enum status status = port_power_next(&hub->switching, now_ms, &request);
    if (status == STATUS_OK && request.request == USB_HUB_GET_DESCRIPTOR) {
        port_power_answer_plainly(&hub->switching, STATUS_OK, false, now_ms);
        status = port_power_next(&hub->switching, now_ms, &request);
    }
    if (status == STATUS_CLOSED) {
        end_switching(hub);
        return STATUS_AGAIN;
    }
    if (status == STATUS_OK) {
        bool is_off = request.request == USB_HUB_POWER_OFF;
        bool is_state = request.request == USB_HUB_GET_PORT_STATUS;
        hub->is_off[request.port] = is_state ? hub->is_off[request.port] : is_off;
        *command = is_state ? HUB_SERIAL_STATE : is_off ? HUB_SERIAL_OFF : HUB_SERIAL_ON;
    }
    return status;
}

/* The next task: first what makes the controller usable, then what is wanted of it. */
static enum status choose(struct serial_power_hub *hub, enum hub_serial_command *command,
                          uint64_t now_ms) {
    uint8_t first = mapped_from(hub, 1);
    uint8_t port = mapped_from(hub, hub->looked + 1u);
    hub->asked_port = first;
    *command = HUB_SERIAL_STATE;
    if (!hub->is_started) {
        hub->task = SERIAL_POWER_STARTS;
        *command = HUB_SERIAL_START;
    } else if (port <= HUB_SERIAL_PORTS_MAX) {
        hub->task = hub->must_set ? SERIAL_POWER_SETS : SERIAL_POWER_LOOKS;
        hub->asked_port = port;
        *command = !hub->must_set      ? HUB_SERIAL_STATE
                   : hub->is_off[port] ? HUB_SERIAL_OFF
                                       : HUB_SERIAL_ON;
    } else if (hub->must_clear) {
        hub->task = SERIAL_POWER_CLEARS;
        *command = HUB_SERIAL_CLEAR;
    } else if (hub->is_switching) {
        hub->task = SERIAL_POWER_SWITCHES;
        hub->asked_port = hub->switching.port;
        return next_of_switching(hub, command, now_ms);
    } else if (now_ms >= hub->poll_ms) {
        hub->task = SERIAL_POWER_POLLS;
    } else {
        return STATUS_AGAIN;
    }
    return STATUS_OK;
}

/* ---- what it answers ---- */

/* It is as it was when it was switched on: every port has to be set again. */
static void note_restart(struct serial_power_hub *hub) {
    if (hub->dialogue.was_restarted && !hub->must_clear) {
        log_warn("hub_serial_restarted name=%s", hub->settings->name);
        hub->restarts += 1;
        hub->must_clear = true;
        hub->is_started = hub->task == SERIAL_POWER_STARTS;
        hub->looked = 0;
    }
}

static void pass_port(struct serial_power_hub *hub) {
    hub->must_set = false;
    hub->looked = hub->asked_port;
}

static void take_answer(struct serial_power_hub *hub, enum status status, uint64_t now_ms) {
    const struct hub_serial *dialogue = &hub->dialogue;
    bool is_wrong = dialogue->is_on == hub->is_off[hub->asked_port];
    hub->answers += 1;
    switch (hub->task) {
    case SERIAL_POWER_STARTS:
        hub->is_started = true;
        break;
    case SERIAL_POWER_LOOKS:
        hub->must_set = status == STATUS_OK && (is_wrong || hub->must_clear);
        if (!hub->must_set) {
            pass_port(hub);
        }
        break;
    case SERIAL_POWER_SETS:
        pass_port(hub);
        break;
    case SERIAL_POWER_CLEARS:
        hub->must_clear = false;
        hub->dialogue.was_restarted = false; /* also when it does not let us say so */
        break;
    case SERIAL_POWER_SWITCHES:
        if (hub->is_switching) {
            port_power_answer_plainly(&hub->switching, status, dialogue->is_on, now_ms);
        }
        break;
    case SERIAL_POWER_POLLS:
    default:
        break;
    }
    hub->poll_ms = now_ms + SERIAL_POWER_POLL_MS;
}

/* A command has ended. */
static void conclude(struct serial_power_hub *hub, enum status status, uint64_t now_ms) {
    hub->is_asking = false;
    if (status == STATUS_TIMEOUT) {
        lose(hub, "its hub does not answer", now_ms);
        return;
    }
    if (status == STATUS_CLOSED) {
        return; /* take_fatal() says the rest */
    }
    if (status == STATUS_DENIED) {
        log_warn("hub_serial_refused name=%s port=%u answer=%s", hub->settings->name,
                 (unsigned)hub->asked_port, hub->dialogue.detail);
        hub->failures += 1;
    }
    if (status == STATUS_DENIED && hub->task == SERIAL_POWER_STARTS) {
        lose(hub, "its hub refuses to be started", now_ms);
        return;
    }
    take_answer(hub, status, now_ms);
    note_restart(hub);
    bool is_ready = hub->is_started && mapped_from(hub, hub->looked + 1u) > HUB_SERIAL_PORTS_MAX;
    if (is_ready && hub->obstacle != NULL) {
        log_info("hub_serial_ready name=%s port=%s", hub->settings->name, hub->settings->path);
        hub->obstacle = NULL;
        hub->failed_opens = 0;
    }
}

/* After a fatal error nothing may be sent until it has restarted. */
static void take_fatal(struct serial_power_hub *hub) {
    bool is_fatal = hub->dialogue.state == HUB_SERIAL_FATAL;
    if (is_fatal && !hub->was_fatal) {
        log_error("hub_serial_failed name=%s answer=%s", hub->settings->name, hub->dialogue.detail);
        hub->failures += 1;
        hub->obstacle = "its hub has failed and restarts";
        begin_anew(hub);
        fail_switching(hub, hub->obstacle);
    }
    hub->was_fatal = is_fatal;
}

/* ---- the loop ---- */

static void flush(struct serial_power_hub *hub, uint64_t now_ms) {
    struct bytes output = hub_serial_output(&hub->dialogue);
    enum status status = STATUS_OK;
    while (output.size > 0 && status == STATUS_OK) {
        size_t size = 0;
        status = hal_serial_write(hub->serial, output, &size);
        hub_serial_sent(&hub->dialogue, status == STATUS_OK ? size : 0);
        output = hub_serial_output(&hub->dialogue);
    }
    if (status != STATUS_OK && status != STATUS_AGAIN) {
        lose(hub, "its serial adapter was unplugged", now_ms);
        return;
    }
    loop_change(hub->power->loop, &hub->source, output.size > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void go_on(struct serial_power_hub *hub, uint64_t now_ms) {
    enum hub_serial_command command;
    while (hub->serial->is_open && !hub->is_asking && hub->dialogue.state == HUB_SERIAL_READY &&
           choose(hub, &command, now_ms) == STATUS_OK) {
        enum status status = hub_serial_ask(&hub->dialogue, command, hub->asked_port, now_ms);
        if (status == STATUS_OK) {
            hub->is_asking = true;
        } else {
            check(status == STATUS_NOT_FOUND);
            conclude(hub, STATUS_OK, now_ms); /* this dialect needs no such command */
        }
    }
    if (hub->serial->is_open) {
        flush(hub, now_ms);
    }
}

static void read_line(struct serial_power_hub *hub, uint64_t now_ms) {
    uint8_t memory[READ_BYTES];
    size_t size = 0;
    enum status status = hal_serial_read(hub->serial, memory, sizeof memory, &size);
    if (status == STATUS_OK) {
        bool has_ended = hub_serial_receive(&hub->dialogue, (struct bytes){memory, size}, now_ms);
        if (has_ended && hub->is_asking) {
            conclude(hub, hub->dialogue.status, now_ms);
        }
        take_fatal(hub);
    } else if (status != STATUS_AGAIN) {
        lose(hub, "its serial adapter was unplugged", now_ms);
    }
}

/* It is read by the step that follows in the same turn, which knows the time. */
static void ready(struct loop_source *source, uint32_t events) {
    struct serial_power_hub *hub = (struct serial_power_hub *)(void *)source;
    hub->has_input = hub->has_input || (events & ~(uint32_t)EPOLLOUT) != 0;
}

static void step(struct serial_power_hub *hub, uint64_t now_ms) {
    if (!hub->serial->is_open && now_ms >= hub->retry_ms) {
        open_line(hub, now_ms);
    }
    if (!hub->serial->is_open) {
        return;
    }
    if (hub->has_input) {
        hub->has_input = false;
        read_line(hub, now_ms);
    }
    if (!hub->serial->is_open) {
        return;
    }
    if (hub_serial_step(&hub->dialogue, now_ms) && hub->is_asking) {
        conclude(hub, hub->dialogue.status, now_ms);
    }
    take_fatal(hub);
    go_on(hub, now_ms);
}

void serial_power_step(struct serial_power *power, uint64_t now_ms) {
    for (uint32_t i = 0; i < power->count; i++) {
        step(&power->hubs[i], now_ms);
    }
}

uint64_t serial_power_deadline_ms(const struct serial_power *power, uint64_t now_ms) {
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < power->count; i++) {
        const struct serial_power_hub *hub = &power->hubs[i];
        uint64_t due = !hub->serial->is_open                        ? hub->retry_ms
                       : hub->dialogue.state != HUB_SERIAL_READY    ? hub->dialogue.due_ms
                       : !hub->is_switching                         ? hub->poll_ms
                       : hub->switching.state == PORT_POWER_RESTING ? hub->switching.rested_ms
                                                                    : now_ms;
        next = due < next ? due : next;
    }
    return next;
}

/* ---- for others ---- */

enum status serial_power_add(struct serial_power *power,
                             const struct serial_power_settings *settings,
                             struct hal_serial *serial) {
    if (power->count == SERIAL_POWER_HUBS) {
        return STATUS_FULL;
    }
    power->hubs[power->count] = (struct serial_power_hub){
        .source = {.fd = -1},
        .power = power,
        .settings = settings,
        .serial = serial,
        .obstacle = "its hub was not reached yet",
    };
    power->count += 1;
    return STATUS_OK;
}

enum status serial_power_switch(struct serial_power_hub *hub, const char *slot,
                                enum port_power_goal goal, void *owner) {
    static const bool supers[PORT_POWER_HALVES] = {false, false};
    uint8_t port = port_of(hub, slot);
    check(port != 0);
    if (!serial_power_is_offered(hub)) {
        return STATUS_DENIED;
    }
    if (hub->is_switching) {
        return STATUS_BUSY;
    }
    hub->is_switching = true;
    hub->owner = owner;
    hub->switching.goal = (uint8_t)goal;
    hub->switching.state = PORT_POWER_IDLE;
    port_power_start(&hub->switching, port, 1, supers, SERIAL_POWER_REST_MS);
    return STATUS_OK;
}

void serial_power_close(struct serial_power *power) {
    for (uint32_t i = 0; i < power->count; i++) {
        loop_remove(power->loop, &power->hubs[i].source);
        hal_serial_close(power->hubs[i].serial);
    }
}
