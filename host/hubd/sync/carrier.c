#include "host/hubd/sync/carrier.h"

#include "host/shared/log.h"
#include "host/shared/status_text.h"

#include <string.h>

enum { READ_BYTES = 4096 };

bool carrier_is_up(const struct carrier *carrier) {
    return carrier->state == CARRIER_ONLINE || carrier->state == CARRIER_PUSHING;
}

/* ---- the line ---- */

static void line_ready(struct loop_source *source, uint32_t events) {
    (void)source; /* the step of this turn of the loop does the work */
    (void)events;
}

static void close_line(struct carrier *carrier, const char *why) {
    log_warn("carried_line_lost hub=%s port=%s reason=%s", carrier->settings->name,
             carrier->settings->port, why);
    loop_remove(carrier->loop, &carrier->line);
    hal_serial_close(&carrier->port.serial);
    carrier->is_known = false;
    carrier->reopen_ms = carrier->now_ms + CARRIER_RETRY_MS;
}

static void flush(struct carrier *carrier) {
    while (carrier->port.serial.is_open && carrier->output_sent < carrier->output_size) {
        size_t size = 0;
        const struct bytes rest = {carrier->output + carrier->output_sent,
                                   carrier->output_size - carrier->output_sent};
        enum status status = hal_serial_write(&carrier->port.serial, rest, &size);
        if (status == STATUS_AGAIN) {
            loop_change(carrier->loop, &carrier->line, EPOLLIN | EPOLLOUT);
            return;
        }
        if (status != STATUS_OK) {
            close_line(carrier, status_text(status));
            return;
        }
        carrier->output_sent += size;
    }
    carrier->output_size = 0;
    carrier->output_sent = 0;
    if (carrier->port.serial.is_open) {
        loop_change(carrier->loop, &carrier->line, EPOLLIN);
    }
}

/* A frame for which there is no room is as good as lost on the line. */
static void say(struct carrier *carrier, enum serial_frame_type type, struct bytes payload) {
    if (!carrier->port.serial.is_open) {
        return;
    }
    if (SERIAL_FRAME_SIZE(payload.size) > sizeof carrier->output - carrier->output_size) {
        carrier->dropped += 1;
        return;
    }
    carrier->output_size +=
        serial_frame_write((uint8_t)type, payload, carrier->output + carrier->output_size);
    flush(carrier);
}

static void say_where(struct carrier *carrier) {
    if (carrier->is_known) {
        say(carrier, carrier_is_up(carrier) ? SERIAL_FRAME_READY : SERIAL_FRAME_AWAY, bytes_of(""));
    }
}

static void open_line(struct carrier *carrier) {
    const struct carrier_settings *settings = carrier->settings;
    uint32_t baud = settings->baud == 0 ? SERIAL_FRAME_BAUD : (uint32_t)settings->baud;
    enum status status = hal_serial_open(&carrier->port.serial, settings->port, baud);
    if (status == STATUS_OK) {
        status = loop_add(carrier->loop, &carrier->line, carrier->port.serial.handle, EPOLLIN);
        if (status != STATUS_OK) {
            hal_serial_close(&carrier->port.serial);
        }
    }
    carrier->reopen_ms = carrier->now_ms + CARRIER_RETRY_MS;
    if (status != STATUS_OK) {
        if (status != carrier->obstacle) { /* once, not every two seconds */
            log_warn("carried_line_closed hub=%s port=%s reason=%s", settings->name, settings->port,
                     status_text(status));
        }
        carrier->obstacle = status;
        return;
    }
    carrier->obstacle = STATUS_OK;
    log_info("carried_line_open hub=%s port=%s", settings->name, settings->port);
    serial_frame_reader_restart(&carrier->reader);
    carrier->output_size = 0;
    carrier->output_sent = 0;
    carrier->is_known = false;
}

/* ---- upstream ---- */

static void lose(struct carrier *carrier, const char *what, const char *why) {
    carrier->deadline_ms = carrier->now_ms + upstream_link_fail(&carrier->link, what, why);
    carrier->state = CARRIER_WAITING;
    say_where(carrier);
}

static void post(struct carrier *carrier, struct bytes payload) {
    memcpy(carrier->reply, payload.data, SERIAL_FRAME_MARK);
    carrier->push_bytes = payload.size - SERIAL_FRAME_MARK;
    memcpy(carrier->push, payload.data + SERIAL_FRAME_MARK, carrier->push_bytes);
    carrier->pushes += 1;
    carrier->state = CARRIER_PUSHING;
    carrier->deadline_ms = carrier->now_ms + UPSTREAM_LINK_TIMEOUT_MS;
    upstream_link_post(&carrier->link, (struct bytes){carrier->push, carrier->push_bytes},
                       carrier->reply + SERIAL_FRAME_MARK, CARRIER_REPLY_BYTES,
                       carrier->deadline_ms);
}

static void take_answer(struct carrier *carrier) {
    const struct http_client *client = &carrier->link.client;
    if (client->status != 200) {
        lose(carrier, "upstream refused a push",
             client->status == 403 ? "HTTP status 403" : "its HTTP status");
        return;
    }
    carrier->link.failures_in_row = 0;
    carrier->link.reason[0] = '\0';
    carrier->replies += 1;
    carrier->state = CARRIER_ONLINE;
    say(carrier, SERIAL_FRAME_REPLY,
        (struct bytes){carrier->reply, SERIAL_FRAME_MARK + client->answer.size});
    if (client->is_reusable) {
        upstream_link_wait(&carrier->link);
    } else {
        lose(carrier, "upstream", "it ends the connection with its answer");
    }
}

static void begin_connect(struct carrier *carrier) {
    carrier->state = CARRIER_CONNECTING;
    carrier->deadline_ms = carrier->now_ms + UPSTREAM_LINK_TIMEOUT_MS;
    if (upstream_link_connect(&carrier->link) != STATUS_OK) {
        lose(carrier, "cannot connect", carrier->link.reason);
    }
}

static void step_connecting(struct carrier *carrier, bool is_due) {
    enum status status = upstream_link_handshake(&carrier->link);
    if (status == STATUS_OK) {
        carrier->state = CARRIER_ONLINE;
        say_where(carrier);
    } else if (status != STATUS_AGAIN || is_due) {
        lose(carrier, "TLS", is_due ? "no answer in time" : carrier->link.reason);
    }
}

static void step_pushing(struct carrier *carrier) {
    enum status status = upstream_link_answer(&carrier->link, carrier->now_ms);
    if (status == STATUS_OK) {
        take_answer(carrier);
    } else if (status != STATUS_AGAIN) {
        lose(carrier, "push", status_text(status));
    }
}

static void step_online(struct carrier *carrier) {
    enum status status = upstream_link_listen(&carrier->link);
    if (status != STATUS_AGAIN) {
        lose(carrier, "idle connection", status_text(status));
    }
}

static void step_upstream(struct carrier *carrier) {
    bool is_due = carrier->now_ms >= carrier->deadline_ms;
    switch (carrier->state) {
    case CARRIER_WAITING:
        if (is_due && carrier->is_known) {
            begin_connect(carrier);
        }
        break;
    case CARRIER_CONNECTING:
        step_connecting(carrier, is_due);
        break;
    case CARRIER_PUSHING:
        step_pushing(carrier);
        break;
    case CARRIER_ONLINE:
    case CARRIER_STATE_COUNT:
        step_online(carrier);
        break;
    }
}

/* ---- frames ---- */

static void take_hello(struct carrier *carrier, struct bytes id) {
    const char *name = carrier->settings->name;
    bool is_right = id.size == strlen(name) && memcmp(id.data, name, id.size) == 0;
    if (!is_right) {
        carrier->strangers += 1;
        carrier->is_known = false;
        say(carrier, SERIAL_FRAME_AWAY, bytes_of(""));
        if (carrier->is_stranger) {
            return; /* it says so every two seconds */
        }
        carrier->is_stranger = true;
        log_error("carried_hub_wrong expected=%s got=%.*s", name,
                  (int)(id.size <= RECORD_ID_MAX ? id.size : RECORD_ID_MAX), (const char *)id.data);
        return;
    }
    carrier->is_known = true;
    carrier->is_stranger = false;
    say_where(carrier);
}

static void take_push(struct carrier *carrier, struct bytes payload) {
    bool fits = payload.size > SERIAL_FRAME_MARK &&
                payload.size - SERIAL_FRAME_MARK <= sizeof carrier->push;
    if (fits && carrier->is_known && carrier->state == CARRIER_ONLINE) {
        post(carrier, payload);
        return;
    }
    carrier->dropped += 1; /* also the same once more, while upstream has not answered */
    if (!carrier_is_up(carrier)) {
        say_where(carrier);
    }
}

static void take_frame(struct carrier *carrier, const struct serial_frame *frame) {
    if (frame->type == SERIAL_FRAME_HELLO) {
        take_hello(carrier, frame->payload);
    } else if (frame->type == SERIAL_FRAME_PUSH) {
        take_push(carrier, frame->payload);
    } else {
        carrier->dropped += 1;
    }
}

static void read_line(struct carrier *carrier) {
    uint8_t buffer[READ_BYTES];
    struct serial_frame frame;
    size_t size = 0;
    enum status status = hal_serial_read(&carrier->port.serial, buffer, sizeof buffer, &size);
    if (status != STATUS_OK) {
        if (status != STATUS_AGAIN) {
            close_line(carrier, status_text(status));
        }
        return;
    }
    for (size_t i = 0; i < size; i++) {
        if (serial_frame_take(&carrier->reader, buffer[i], &frame)) {
            take_frame(carrier, &frame);
        }
    }
}

/* ---- life ---- */

void carriers_add(struct carriers *carriers, const struct carrier_settings *settings,
                  struct loop *loop, const struct upstream_urls *urls,
                  const struct jitter *jitter) {
    check(carriers->count < CARRIER_MAX);
    struct carrier *carrier = &carriers->rows[carriers->count];
    carriers->count += 1;
    carrier->line = (struct loop_source){.ready = line_ready, .fd = -1};
    carrier->settings = settings;
    carrier->loop = loop;
    serial_port_init(&carrier->port);
    serial_frame_reader_init(&carrier->reader, carrier->input, sizeof carrier->input);
    upstream_link_init(&carrier->link, loop, urls, &carrier->configs, jitter);
    carrier->state = CARRIER_WAITING;
}

static void step(struct carrier *carrier, uint64_t now_ms) {
    carrier->now_ms = now_ms;
    if (!carrier->port.serial.is_open && now_ms >= carrier->reopen_ms) {
        open_line(carrier);
    }
    if (carrier->port.serial.is_open) {
        read_line(carrier);
    }
    flush(carrier);
    step_upstream(carrier);
}

void carriers_step(struct carriers *carriers, uint64_t now_ms) {
    for (uint32_t i = 0; i < carriers->count; i++) {
        step(&carriers->rows[i], now_ms);
    }
}

static uint64_t deadline_of(const struct carrier *carrier) {
    uint64_t next = carrier->port.serial.is_open ? UINT64_MAX : carrier->reopen_ms;
    bool is_timed = carrier->state != CARRIER_ONLINE &&
                    (carrier->state != CARRIER_WAITING || carrier->is_known);
    return is_timed && carrier->deadline_ms < next ? carrier->deadline_ms : next;
}

uint64_t carriers_deadline_ms(const struct carriers *carriers) {
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < carriers->count; i++) {
        uint64_t due = deadline_of(&carriers->rows[i]);
        next = due < next ? due : next;
    }
    return next;
}

void carriers_reconnect(struct carriers *carriers) {
    for (uint32_t i = 0; i < carriers->count; i++) {
        struct carrier *carrier = &carriers->rows[i];
        if (carrier->state != CARRIER_WAITING) {
            upstream_link_close(&carrier->link);
            carrier->state = CARRIER_WAITING;
            carrier->deadline_ms = carrier->now_ms;
            say_where(carrier);
        }
    }
}

void carriers_close(struct carriers *carriers) {
    for (uint32_t i = 0; i < carriers->count; i++) {
        struct carrier *carrier = &carriers->rows[i];
        upstream_link_close(&carrier->link);
        loop_remove(carrier->loop, &carrier->line);
        hal_serial_close(&carrier->port.serial);
    }
}
