#include "image/phones.h"

#include "protocol/text.h"
#include "protocol/usb_descriptor.h"

#include <string.h>

enum { NO_EVENT = PHONE_EVENT_COUNT, EVENTS_A_STEP = 8 };

void phones_init(struct phones *phones, struct hub *hub, struct hal_usb *usb) {
    phones->hub = hub;
    phones->usb = usb;
    for (uint32_t i = 0; i < PHONES_MAX; i++) {
        phones->lines[i].row = HUB_NONE;
    }
}

/* ---- the connection ---- */

static void read_on(struct phones *phones, struct phones_line *line) {
    if (line->device == 0 || line->in.is_in_flight || line->in_used != 0) {
        return;
    }
    line->in = (struct hal_usb_transfer){.device = line->device,
                                         .endpoint = line->endpoint_in,
                                         .data = line->in_data,
                                         .size = sizeof line->in_data,
                                         .owner = line};
    if (hal_usb_submit(phones->usb, &line->in) != STATUS_OK) {
        line->is_silent = true;
    }
}

static void write_on(struct phones *phones, struct phones_line *line) {
    struct bytes output = adb_connection_output(&line->adb);
    if (line->device == 0 || line->out.is_in_flight || output.size == 0) {
        return;
    }
    uint32_t size = output.size < sizeof line->out_data ? (uint32_t)output.size
                                                        : (uint32_t)sizeof line->out_data;
    memcpy(line->out_data, output.data, size);
    line->out = (struct hal_usb_transfer){.device = line->device,
                                          .endpoint = line->endpoint_out,
                                          .data = line->out_data,
                                          .size = size,
                                          .owner = line};
    if (hal_usb_submit(phones->usb, &line->out) == STATUS_OK) {
        adb_connection_sent(&line->adb, size);
    } else {
        line->is_silent = true;
    }
}

static struct phones_line *place_for(struct phones *phones, const struct hal_usb_device *device) {
    struct phones_line *free = NULL;
    for (uint32_t i = 0; i < PHONES_MAX; i++) {
        struct phones_line *line = &phones->lines[i];
        if (text_is(text_view(line->slot), text_view(device->slot))) {
            return line;
        }
        free = free == NULL && line->device == 0 && line->row == HUB_NONE ? line : free;
    }
    return free;
}

static void attached(struct phones *phones, const struct hal_usb_device *device) {
    static const struct adb_banner banner = {.peer = ADB_PEER_HOST,
                                             .features = ADB_FEATURE_SHELL_V2 | ADB_FEATURE_CMD};
    struct phones_line *line = place_for(phones, device);
    struct usb_interface adb;
    struct bytes configuration;
    const char *reason;
    if (line == NULL || line->device != 0 ||
        usb_get_configuration(device->descriptors, device->configuration, &configuration,
                              &reason) != STATUS_OK ||
        usb_find_interface(configuration, usb_kind_adb, &adb, &reason) != STATUS_OK ||
        hal_usb_open(phones->usb, device->id, adb.number) != STATUS_OK) {
        return; /* no phone, or none that we can serve */
    }
    line->device = device->id;
    line->endpoint_in = adb.in.address;
    line->endpoint_out = adb.out.address;
    line->is_here = true;
    line->is_online = false;
    line->is_silent = false;
    line->is_refused = false;
    line->in_used = 0;
    line->silent_ms = phones->now_ms + PHONES_SILENT_MS;
    memcpy(line->serial, device->serial, sizeof line->serial);
    memcpy(line->slot, device->slot, sizeof line->slot);
    adb_connection_init(&line->adb, ADB_CONNECTION_HOST, ADB_PAYLOAD_V1, line->output,
                        sizeof line->output);
    adb_connection_start(&line->adb, &banner);
    read_on(phones, line);
    write_on(phones, line);
}

static void detached(struct phones_line *line) {
    line->device = 0;
    line->is_here = false;
    line->is_online = false;
    line->was_lost = line->is_told_here;
    line->run.has_left = true;
}

static void react(struct phones_line *line, const struct adb_connection_event *event) {
    struct run *run = &line->run;
    bool is_ours = run->state == RUN_RUNNING && event->stream == run->stream;
    switch ((int)event->kind) {
    case ADB_EVENT_ONLINE:
        line->is_online = true;
        break;
    case ADB_EVENT_TOKEN:
        line->is_refused = true; /* it wants a key, and the board has none */
        break;
    case ADB_EVENT_DATA:
        if (is_ours) {
            run_take(run, event->data);
        }
        break;
    case ADB_EVENT_DATA_END:
        adb_connection_acknowledge(&line->adb, event->stream, 0);
        break;
    case ADB_EVENT_CLOSED:
        if (is_ours) {
            run_closed(run);
        }
        break;
    default:
        break;
    }
}

static void hear(struct phones *phones, struct phones_line *line) {
    struct adb_connection_event event;
    struct bytes input = {line->in_data, line->in_used};
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        status = adb_connection_receive(&line->adb, &input, &event);
        if (status == STATUS_OK) {
            react(line, &event);
        }
    }
    memmove(line->in_data, input.data, input.size);
    line->in_used = input.size;
    if (status == STATUS_MALFORMED) {
        line->is_online = false;
        line->is_silent = true;
    }
    write_on(phones, line);
    read_on(phones, line);
}

static void transferred(struct phones *phones, struct hal_usb_transfer *transfer) {
    struct phones_line *line = transfer->owner;
    if (transfer->device != line->device) {
        return; /* of one that has left */
    }
    if (transfer->status != STATUS_OK) {
        line->is_silent |= transfer->status != STATUS_UNPLUGGED;
        line->is_online = false;
        return;
    }
    if (transfer == &line->in) {
        line->in_used = transfer->moved;
    }
    hear(phones, line);
}

static void left(struct phones *phones, uint32_t device) {
    for (uint32_t i = 0; i < PHONES_MAX; i++) {
        if (phones->lines[i].device == device) {
            detached(&phones->lines[i]);
        }
    }
}

static void take_events(struct phones *phones) {
    struct hal_usb_event event;
    while (hal_usb_next(phones->usb, &event)) {
        if (event.kind == HAL_USB_TRANSFERRED) {
            transferred(phones, event.transfer);
        } else if (event.kind == HAL_USB_ATTACHED) {
            attached(phones, event.device);
        } else {
            left(phones, event.device->id);
        }
    }
}

/* ---- what the core has not heard of ---- */

static uint32_t plug_event(const struct phones_line *line) {
    if (line->is_told_here && (line->was_lost || !line->is_here)) {
        return PHONE_ON_DETACHED;
    }
    return !line->is_told_here && line->is_here ? PHONE_ON_ATTACHED : NO_EVENT;
}

static uint32_t event_when_connected(const struct phones_line *line, uint8_t state) {
    bool waits = state == RECORD_PHONE_CONNECTING || state == RECORD_PHONE_UNAUTHORIZED;
    if (line->was_lost || !line->is_here) {
        return PHONE_ON_DETACHED;
    }
    if (line->is_refused) {
        return state == RECORD_PHONE_UNAUTHORIZED ? NO_EVENT : PHONE_ON_KEY_REFUSED;
    }
    if (line->is_online) {
        return waits ? PHONE_ON_HANDSHAKE : NO_EVENT;
    }
    return line->is_silent && state != RECORD_PHONE_UNAUTHORIZED ? PHONE_ON_SILENT : NO_EVENT;
}

static uint32_t event_when_away(const struct phones *phones, const struct phones_line *line) {
    uint32_t event = plug_event(line);
    if (event == NO_EVENT && phones->now_ms >= line->since_ms + PHONES_AWAY_MS) {
        event = PHONE_ON_WINDOW_OVER;
    } else if (event == NO_EVENT && line->is_told_here && line->is_online && line->run.has_left) {
        event = PHONE_ON_BACK;
    }
    return event;
}

static uint32_t event_when_recovering(const struct phones *phones, const struct phones_line *line) {
    uint32_t event = plug_event(line);
    if (event == NO_EVENT && line->is_told_here && (line->is_online || line->is_refused)) {
        event = line->is_refused ? PHONE_ON_KEY_REFUSED : PHONE_ON_HEALTHY;
    } else if (event == NO_EVENT && phones->now_ms >= line->since_ms + PHONES_RECOVERY_MS) {
        event = line->is_here ? PHONE_ON_SPENT_ATTACHED : PHONE_ON_SPENT_GONE;
    }
    return event;
}

static uint32_t missing_event(const struct phones *phones, const struct phones_line *line) {
    uint8_t state = phones->hub->phones[line->row].state;
    switch ((int)state) {
    case RECORD_PHONE_ABSENT:
        return line->is_here ? PHONE_ON_ATTACHED : NO_EVENT;
    case RECORD_PHONE_AWAY:
        return event_when_away(phones, line);
    case RECORD_PHONE_RECOVERING:
        return event_when_recovering(phones, line);
    case RECORD_PHONE_QUARANTINED:
        return plug_event(line);
    default:
        return event_when_connected(line, state);
    }
}

static void identify(struct phones *phones, struct phones_line *line) {
    const char *id = line->serial[0] == '\0' ? line->slot : line->serial;
    uint32_t row;
    if (line->row == HUB_NONE && line->is_here &&
        hub_phone_identify(phones->hub, text_view(id), text_view(line->slot), bytes_of(""), &row) ==
            STATUS_OK) {
        line->row = row;
        line->is_told_here = false;
        line->was_lost = false;
        line->state_seen = phones->hub->phones[row].state;
    }
}

static void look_at_state(struct phones *phones, struct phones_line *line) {
    uint8_t state = phones->hub->phones[line->row].state;
    if (state != line->state_seen) {
        line->state_seen = state;
        line->since_ms = phones->now_ms;
    }
}

static void tell(struct phones *phones, struct phones_line *line) {
    for (uint32_t i = 0; i < EVENTS_A_STEP; i++) {
        look_at_state(phones, line);
        uint32_t event = missing_event(phones, line);
        if (event == NO_EVENT || hub_phone_event(phones->hub, line->row, (enum phone_event)event,
                                                 "seen on the bus") != STATUS_OK) {
            return;
        }
        line->is_told_here = event == PHONE_ON_ATTACHED || line->is_told_here;
        if (event == PHONE_ON_ATTACHED || event == PHONE_ON_DETACHED) {
            line->was_lost = false;
            line->is_told_here = event == PHONE_ON_ATTACHED;
        }
    }
}

/* A silent phone is reset now and then, while the core still hopes for it. */
static void nurse(struct phones *phones, struct phones_line *line) {
    if (!line->is_here || line->is_online || line->is_refused || phones->now_ms < line->silent_ms) {
        return;
    }
    line->is_silent = true;
    line->silent_ms = phones->now_ms + PHONES_RETRY_MS;
    bool is_hoped_for =
        line->row != HUB_NONE && phones->hub->phones[line->row].state == RECORD_PHONE_RECOVERING;
    if (is_hoped_for && hal_usb_reset(phones->usb, line->device) != STATUS_OK) {
        line->is_silent = true;
    }
}

/* ---- runs ---- */

static struct phones_line *line_of(struct phones *phones, uint32_t row) {
    for (uint32_t i = 0; i < PHONES_MAX; i++) {
        if (phones->lines[i].row == row) {
            return &phones->lines[i];
        }
    }
    return NULL;
}

static void take_starts(struct phones *phones) {
    struct hub_start start;
    uint32_t row;
    while (hub_next_start(phones->hub, &start)) {
        struct phones_line *line = line_of(phones, start.phone);
        if (line != NULL) { /* else it has just left, and the core will judge that */
            run_begin(&line->run, &start);
        }
    }
    while (hub_next_stop(phones->hub, &row)) {
        struct phones_line *line = line_of(phones, row);
        if (line != NULL) {
            run_stop(&line->run, &line->adb);
        }
    }
}

/* Who has left for good gives its place away. */
static void forget(struct phones *phones, struct phones_line *line) {
    bool is_gone = line->row != HUB_NONE && !line->is_here && !line->is_told_here &&
                   line->run.state == RUN_IDLE && !line->in.is_in_flight &&
                   !line->out.is_in_flight && phones->hub->phones[line->row].item == HUB_NONE &&
                   phones->hub->phones[line->row].state == RECORD_PHONE_ABSENT;
    if (is_gone) {
        line->row = HUB_NONE;
        line->slot[0] = '\0';
    }
}

void phones_step(struct phones *phones, uint64_t now_ms) {
    phones->now_ms = now_ms;
    take_events(phones);
    take_starts(phones);
    for (uint32_t i = 0; i < PHONES_MAX; i++) {
        struct phones_line *line = &phones->lines[i];
        nurse(phones, line);
        identify(phones, line);
        if (line->row == HUB_NONE) {
            continue;
        }
        tell(phones, line);
        run_step(&line->run, phones->hub, &line->adb, line->is_online);
        if (line->device != 0) {
            write_on(phones, line);
        }
        forget(phones, line);
    }
}

uint64_t phones_deadline_ms(const struct phones *phones) {
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < PHONES_MAX; i++) {
        const struct phones_line *line = &phones->lines[i];
        if (line->is_here && !line->is_online && !line->is_refused && line->silent_ms < next) {
            next = line->silent_ms;
        }
    }
    return next;
}
