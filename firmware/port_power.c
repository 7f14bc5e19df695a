#include "firmware/port_power.h"

/* 0: not allowed; else the next state plus one. */
/* clang-format off */
#define ROW(from, on, to) [PORT_POWER_##from][PORT_POWER_ON_##on] = (PORT_POWER_##to + 1)

static const uint8_t table[PORT_POWER_STATE_COUNT][PORT_POWER_EVENT_COUNT] = {
    /*   from           on       to             */
    ROW( IDLE,          START,   DESCRIBING     ),

    ROW( DESCRIBING,    HALF,    DESCRIBING     ),
    ROW( DESCRIBING,    ANSWER,  SWITCHING_OFF  ),
    ROW( DESCRIBING,    STRAIGHT, SWITCHING_ON  ),
    ROW( DESCRIBING,    GIVE_UP, IDLE           ),

    ROW( SWITCHING_OFF, ANSWER,  READING_OFF    ),
    ROW( SWITCHING_OFF, GIVE_UP, SWITCHING_ON   ),

    ROW( READING_OFF,   HALF,    SWITCHING_OFF  ),
    ROW( READING_OFF,   AGAIN,   SWITCHING_OFF  ),
    ROW( READING_OFF,   ANSWER,  RESTING        ),
    ROW( READING_OFF,   GIVE_UP, SWITCHING_ON   ),

    ROW( RESTING,       RESTED,  SWITCHING_ON   ),
    ROW( RESTING,       STAY,    IDLE           ),

    ROW( SWITCHING_ON,  ANSWER,  READING_ON     ),
    ROW( SWITCHING_ON,  HALF,    SWITCHING_ON   ),
    ROW( SWITCHING_ON,  GIVE_UP, IDLE           ),

    ROW( READING_ON,    HALF,    SWITCHING_ON   ),
    ROW( READING_ON,    AGAIN,   SWITCHING_ON   ),
    ROW( READING_ON,    ANSWER,  IDLE           ),
    ROW( READING_ON,    GIVE_UP, IDLE           ),
};
#undef ROW
/* clang-format on */

enum status port_power_apply(uint8_t *state, enum port_power_event event) {
    check(*state < PORT_POWER_STATE_COUNT);
    check(event < PORT_POWER_EVENT_COUNT);
    uint8_t next = table[*state][event];
    if (next == 0) {
        return STATUS_ILLEGAL;
    }
    *state = next - 1;
    return STATUS_OK;
}

static void apply(struct port_power *power, enum port_power_event event) {
    check(port_power_apply(&power->state, event) == STATUS_OK);
}

void port_power_start(struct port_power *power, uint8_t port, uint8_t half_count,
                      const bool supers[PORT_POWER_HALVES], uint32_t rest_ms) {
    check(power->state == PORT_POWER_IDLE);
    check(port > 0 && half_count > 0 && half_count <= PORT_POWER_HALVES);
    *power = (struct port_power){.port = port,
                                 .half_count = half_count,
                                 .rest_ms = rest_ms,
                                 .goal = power->goal,
                                 .may_gang = power->may_gang};
    for (unsigned i = 0; i < half_count; i++) {
        power->supers[i] = supers[i];
    }
    apply(power, PORT_POWER_ON_START);
}

enum status port_power_next(struct port_power *power, uint64_t now_ms,
                            struct port_power_request *request) {
    static const enum usb_hub_request requests[PORT_POWER_STATE_COUNT] = {
        [PORT_POWER_DESCRIBING] = USB_HUB_GET_DESCRIPTOR,
        [PORT_POWER_SWITCHING_OFF] = USB_HUB_POWER_OFF,
        [PORT_POWER_READING_OFF] = USB_HUB_GET_PORT_STATUS,
        [PORT_POWER_SWITCHING_ON] = USB_HUB_POWER_ON,
        [PORT_POWER_READING_ON] = USB_HUB_GET_PORT_STATUS,
    };
    if (power->state == PORT_POWER_RESTING && power->goal == PORT_POWER_LEAVE_OFF) {
        apply(power, PORT_POWER_ON_STAY);
    } else if (power->state == PORT_POWER_RESTING) {
        if (now_ms < power->rested_ms) {
            return STATUS_AGAIN;
        }
        apply(power, PORT_POWER_ON_RESTED);
    }
    if (power->state == PORT_POWER_IDLE) {
        return STATUS_CLOSED;
    }
    *request = (struct port_power_request){
        .half = power->half,
        .port = power->port,
        .is_super = power->supers[power->half],
        .request = requests[power->state],
    };
    return STATUS_OK;
}

/* The half did what was wanted: the other half's turn, or the next stage with the first one. */
static void pass(struct port_power *power, bool is_stage_over, uint64_t now_ms) {
    if (!is_stage_over) {
        apply(power, PORT_POWER_ON_ANSWER);
        return;
    }
    power->tries = 0;
    if (power->half + 1 < power->half_count) {
        power->half = (uint8_t)(power->half + 1);
        apply(power, PORT_POWER_ON_HALF);
        return;
    }
    bool is_straight = power->state == PORT_POWER_DESCRIBING && power->goal == PORT_POWER_LEAVE_ON;
    power->half = 0;
    apply(power, is_straight ? PORT_POWER_ON_STRAIGHT : PORT_POWER_ON_ANSWER);
    power->rested_ms = now_ms + power->rest_ms;
}

/* On the way off both halves are turned on again; on the way on the other half still gets its
 * turn. */
static void give_up(struct port_power *power, const char *why, uint64_t now_ms) {
    bool is_on_way =
        power->state == PORT_POWER_SWITCHING_ON || power->state == PORT_POWER_READING_ON;
    power->failure = power->failure == NULL ? why : power->failure;
    power->tries = 0;
    if (is_on_way && power->half + 1 < power->half_count) {
        pass(power, true, now_ms);
        return;
    }
    power->half = 0;
    apply(power, PORT_POWER_ON_GIVE_UP);
}

static void take_descriptor(struct port_power *power, struct bytes data, uint64_t now_ms) {
    struct usb_hub hub;
    if (usb_hub_get(data, &hub) != STATUS_OK) {
        give_up(power, "its hub describes itself wrongly", now_ms);
    } else if (power->port > hub.ports) {
        give_up(power, "its hub says that it has no such port", now_ms);
    } else if (hub.switching == USB_HUB_NEVER) {
        give_up(power, "its hub cannot switch ports", now_ms);
    } else if (hub.switching == USB_HUB_GANGED && !power->may_gang) {
        give_up(power, "its hub switches all its ports together, and others are in use", now_ms);
    } else {
        pass(power, true, now_ms);
    }
}

static bool is_reading(const struct port_power *power) {
    return power->state == PORT_POWER_READING_OFF || power->state == PORT_POWER_READING_ON;
}

static void take_power(struct port_power *power, bool is_on, uint64_t now_ms) {
    bool is_wanted_on = power->state == PORT_POWER_READING_ON;
    if (is_on == is_wanted_on) {
        pass(power, true, now_ms);
    } else if (power->tries + 1 < PORT_POWER_TRIES) {
        power->tries = (uint8_t)(power->tries + 1);
        apply(power, PORT_POWER_ON_AGAIN);
    } else {
        give_up(power,
                is_wanted_on ? "its port stays without power"
                             : "its hub says that it switches ports, and does not",
                now_ms);
    }
}

static void take_status(struct port_power *power, struct bytes data, uint64_t now_ms) {
    struct usb_hub_port port;
    if (usb_hub_get_port(data, power->supers[power->half], &port) != STATUS_OK) {
        give_up(power, "its hub does not say whether the port has power", now_ms);
    } else {
        take_power(power, port.is_powered, now_ms);
    }
}

static const char *reason_of(enum status status) {
    switch ((int)status) {
    case STATUS_UNPLUGGED:
        return "its hub was unplugged";
    case STATUS_TIMEOUT:
        return "its hub does not answer";
    case STATUS_CLOSED:
        return "its hub has failed and restarts";
    default:
        return "its hub refused a request";
    }
}

void port_power_answer(struct port_power *power, enum status status, struct bytes data,
                       uint64_t now_ms) {
    check(power->state != PORT_POWER_IDLE && power->state != PORT_POWER_RESTING);
    if (status != STATUS_OK) {
        give_up(power, reason_of(status), now_ms);
    } else if (power->state == PORT_POWER_DESCRIBING) {
        take_descriptor(power, data, now_ms);
    } else if (is_reading(power)) {
        take_status(power, data, now_ms);
    } else {
        pass(power, false, now_ms);
    }
}

void port_power_answer_plainly(struct port_power *power, enum status status, bool is_on,
                               uint64_t now_ms) {
    check(power->state != PORT_POWER_IDLE && power->state != PORT_POWER_RESTING);
    if (status != STATUS_OK) {
        give_up(power, reason_of(status), now_ms);
    } else if (is_reading(power)) {
        take_power(power, is_on, now_ms);
    } else {
        pass(power, power->state == PORT_POWER_DESCRIBING, now_ms);
    }
}

const char *port_power_state_name(enum port_power_state state) {
    static const char *const names[] = {"idle",    "describing",   "switching_off", "reading_off",
                                        "resting", "switching_on", "reading_on"};
    _Static_assert(array_count(names) == PORT_POWER_STATE_COUNT, "every state has a name");
    check(state < PORT_POWER_STATE_COUNT);
    return names[state];
}

const char *port_power_event_name(enum port_power_event event) {
    static const char *const names[] = {"start",   "answer", "again", "half",
                                        "give_up", "rested", "stay",  "straight"};
    _Static_assert(array_count(names) == PORT_POWER_EVENT_COUNT, "every event has a name");
    check(event < PORT_POWER_EVENT_COUNT);
    return names[event];
}
