#include "image/line.h"

#include "hal/baremetal/uart.h"

#include <string.h>

enum { BYTES_A_STEP = 4096 }; /* taken from the port in one turn: a flood does not stop the hub */

void line_init(struct line *line, struct hub *hub, uintptr_t port) {
    line->hub = hub;
    line->port = port;
    line->state = LINE_AWAY;
    line->deadline_ms = 0;
    memcpy(&line->mark, hub->boot_id, sizeof line->mark); /* not that of the start before */
    hub_sync_init(&line->sync, hub, line->group_buffer, sizeof line->group_buffer);
    line->sync.reply_bytes_max = LINE_REPLY_MESSAGE;
    serial_frame_reader_init(&line->reader, line->input, sizeof line->input);
}

const char *line_state_name(enum line_state state) {
    static const char *const names[] = {"away", "online", "pushing", "forked"};
    _Static_assert(array_count(names) == LINE_STATE_COUNT, "every state has a name");
    check(state < LINE_STATE_COUNT);
    return names[state];
}

uint64_t line_deadline_ms(const struct line *line) {
    return line->deadline_ms;
}

/* ---- out ---- */

static void say(struct line *line, enum serial_frame_type type, struct bytes payload) {
    line->output_size = serial_frame_write((uint8_t)type, payload, line->output);
    line->output_sent = 0;
}

/* True: all of it is in the port. */
static bool flush(struct line *line) {
    while (line->output_sent < line->output_size) {
        if (!uart_write(line->port, line->output[line->output_sent])) {
            return false;
        }
        line->output_sent += 1;
    }
    return true;
}

static void say_hello(struct line *line, uint64_t now_ms) {
    const char *id = line->hub->hub_id;
    size_t size = 0;
    while (id[size] != '\0') {
        size += 1;
    }
    say(line, SERIAL_FRAME_HELLO, (struct bytes){(const uint8_t *)id, size});
    line->state = LINE_AWAY;
    line->deadline_ms = now_ms + LINE_HELLO_MS;
}

static void rest(struct line *line, enum line_state state, uint64_t until_ms) {
    line->state = state;
    line->deadline_ms = until_ms;
    line->not_before_ms = until_ms;
}

static void push(struct line *line, uint64_t now_ms) {
    struct bytes message;
    /* A log that cannot be read is the store's to report; here it only stays unsaid. */
    if (hub_sync_push(&line->sync, line->is_hello, line->push_buffer + SERIAL_FRAME_MARK,
                      LINE_PUSH_BYTES, &message) != STATUS_OK) {
        rest(line, LINE_ONLINE, now_ms + LINE_ALIVE_MS);
        return;
    }
    line->mark += 1;
    uint8_t *front = line->push_buffer + (message.data - line->push_buffer) - SERIAL_FRAME_MARK;
    memcpy(front, &line->mark, SERIAL_FRAME_MARK);
    say(line, SERIAL_FRAME_PUSH, (struct bytes){front, SERIAL_FRAME_MARK + message.size});
    line->counters.pushes += 1;
    line->state = LINE_PUSHING;
    line->deadline_ms = now_ms + LINE_ANSWER_MS;
}

/* ---- in ---- */

/* No way out of it. */
static void found_fork(struct line *line, uint64_t now_ms) {
    line->counters.forks += 1;
    rest(line, LINE_FORKED, now_ms + LINE_FORK_MS);
}

/* Goes on as soon as the new epoch is durable, or upstream was asked for one. */
static void take_epoch(struct line *line, const struct sync_reply *reply, uint64_t now_ms) {
    enum status status = hub_sync_fork(&line->sync, reply);
    if (status == STATUS_ILLEGAL) {
        found_fork(line, now_ms);
        return;
    }
    line->counters.forks += status == STATUS_OK;
    rest(line, LINE_ONLINE, now_ms + LINE_EPOCH_MS);
}

static void accept(struct line *line, const struct sync_reply *reply, uint64_t now_ms) {
    bool has_asked = line->sync.asks_epoch;
    if (hub_sync_accept(&line->sync, reply)) {
        hub_sync_take(&line->sync, reply, line->sync.sent_ms);
        line->is_hello = false;
        line->state = LINE_ONLINE;
        line->not_before_ms = now_ms + reply->retry_after_ms;
        line->deadline_ms =
            now_ms + (reply->retry_after_ms > 0 ? reply->retry_after_ms : LINE_POLL_MS);
    } else if (has_asked) {
        found_fork(line, now_ms); /* it knows of no epochs */
    } else {
        rest(line, LINE_ONLINE, now_ms + LINE_EPOCH_MS);
    }
}

/* Also when it does not take the gap in this hub's history. */
static bool is_refusal(const struct line *line, const struct sync_reply *reply) {
    bool is_stuck = reply->result == SYNC_GAP && reply->cursor <= line->hub->store.acked_seq;
    return reply->result == SYNC_REFUSED || is_stuck;
}

static void take_reply(struct line *line, struct bytes payload, uint64_t now_ms) {
    struct sync_reply reply;
    bool is_awaited = line->state == LINE_PUSHING && payload.size >= SERIAL_FRAME_MARK &&
                      memcmp(payload.data, &line->mark, SERIAL_FRAME_MARK) == 0;
    if (!is_awaited) {
        line->counters.late += 1;
        return;
    }
    payload.data += SERIAL_FRAME_MARK;
    payload.size -= SERIAL_FRAME_MARK;
    line->counters.replies += 1;
    if (sync_reply_read(payload, &reply) != STATUS_OK || is_refusal(line, &reply)) {
        line->counters.refusals += 1;
        rest(line, LINE_ONLINE, now_ms + LINE_ALIVE_MS);
    } else if (reply.result == SYNC_FORK) {
        take_epoch(line, &reply, now_ms);
    } else {
        accept(line, &reply, now_ms);
    }
}

static void take_frame(struct line *line, const struct serial_frame *frame, uint64_t now_ms) {
    switch (frame->type) {
    case SERIAL_FRAME_READY:
        line->is_hello = true;
        line->state = LINE_ONLINE;
        line->deadline_ms = now_ms; /* says at once that it is here */
        break;
    case SERIAL_FRAME_AWAY:
        line->state = LINE_AWAY;
        line->deadline_ms = now_ms + LINE_HELLO_MS;
        break;
    case SERIAL_FRAME_REPLY:
        take_reply(line, frame->payload, now_ms);
        break;
    default:
        line->counters.unknown += 1;
        break;
    }
}

static void receive(struct line *line, uint64_t now_ms) {
    struct serial_frame frame;
    uint8_t byte;
    for (uint32_t i = 0; i < BYTES_A_STEP && uart_read(line->port, &byte); i++) {
        if (serial_frame_take(&line->reader, byte, &frame)) {
            take_frame(line, &frame, now_ms);
        }
    }
}

bool line_step(struct line *line, uint64_t now_ms) {
    receive(line, now_ms);
    if (!flush(line)) {
        return true;
    }
    bool is_due = now_ms >= line->deadline_ms;
    bool is_early = now_ms >= line->not_before_ms && hub_sync_has_more(&line->sync);
    switch (line->state) {
    case LINE_AWAY:
    case LINE_FORKED:
        if (is_due) {
            say_hello(line, now_ms);
        }
        break;
    case LINE_PUSHING:
        if (is_due) { /* the carrier, or the line, has lost it */
            line->counters.timeouts += 1;
            say_hello(line, now_ms);
        }
        break;
    case LINE_ONLINE:
    case LINE_STATE_COUNT:
        if (is_due && hub_fork_is_taking(line->hub)) {
            line->deadline_ms = now_ms + LINE_EPOCH_MS; /* the new epoch is not durable yet */
        } else if (is_due || is_early) {
            push(line, now_ms);
        }
        break;
    }
    return !flush(line);
}
