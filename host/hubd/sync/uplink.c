#include "host/hubd/sync/uplink.h"

#include "host/shared/log.h"
#include "host/shared/status_text.h"

#include <stdio.h>
#include <string.h>

enum { STEPS_MAX = 6 };

/* ---- the table ---- */

/* clang-format off */
#define ROW(from, on, to) [UPLINK_##from][UPLINK_ON_##on] = (UPLINK_##to + 1)

/* 0: not allowed; else the next state plus one. */
static const uint8_t table[UPLINK_STATE_COUNT][UPLINK_EVENT_COUNT] = {
    /*   from        on         to          */
    ROW( WAITING,    DUE,       CONNECTING  ),
    ROW( WAITING,    FAILED,    WAITING     ),

    ROW( CONNECTING, CONNECTED, PUSHING     ),
    ROW( CONNECTING, FAILED,    WAITING     ),

    ROW( PUSHING,    ANSWERED,  ONLINE      ),
    ROW( PUSHING,    MORE,      PUSHING     ),
    ROW( PUSHING,    LATER,     WAITING     ),
    ROW( PUSHING,    FAILED,    WAITING     ),
    ROW( PUSHING,    FORK,      FORKED      ),

    ROW( ONLINE,     RECORDS,   PUSHING     ),
    ROW( ONLINE,     DUE,       ONLINE      ),
    ROW( ONLINE,     ANSWERED,  ONLINE      ),
    ROW( ONLINE,     MORE,      PUSHING     ),
    ROW( ONLINE,     LATER,     WAITING     ),
    ROW( ONLINE,     FAILED,    WAITING     ),
    ROW( ONLINE,     FORK,      FORKED      ),

    ROW( FORKED,     DUE,       CONNECTING  ),
};
#undef ROW
/* clang-format on */

enum status uplink_apply(enum uplink_state *state, enum uplink_event event) {
    check(*state < UPLINK_STATE_COUNT);
    check(event < UPLINK_EVENT_COUNT);
    uint8_t next = table[*state][event];
    if (next == 0) {
        return STATUS_ILLEGAL;
    }
    *state = (enum uplink_state)(next - 1);
    return STATUS_OK;
}

const char *uplink_state_name(enum uplink_state state) {
    static const char *const names[] = {"off",     "waiting", "connecting",
                                        "pushing", "online",  "forked"};
    _Static_assert(array_count(names) == UPLINK_STATE_COUNT, "every state has a name");
    check(state < UPLINK_STATE_COUNT);
    return names[state];
}

const char *uplink_event_name(enum uplink_event event) {
    static const char *const names[] = {"due",  "connected", "records", "answered",
                                        "more", "later",     "failed",  "fork"};
    _Static_assert(array_count(names) == UPLINK_EVENT_COUNT, "every event has a name");
    check(event < UPLINK_EVENT_COUNT);
    return names[event];
}

static void apply(struct uplink *uplink, enum uplink_event event) {
    check(uplink_apply(&uplink->state, event) == STATUS_OK);
}

/* ---- connection ---- */

void uplink_init(struct uplink *uplink, struct hub *hub, struct loop *loop,
                 const struct upstream_urls *urls, struct tls_config_pair *configs) {
    uplink->hub = hub;
    hub_sync_init(&uplink->sync, hub, uplink->group_buffer, sizeof uplink->group_buffer);
    uplink->state = UPLINK_OFF;
    uplink->deadline_ms = TIMER_NEVER;
    uplink->push_bytes_max = UPLINK_PUSH_BYTES;
    uplink->acknowledged_ms = hub->clock.mono_ms; /* lag counts from the start */
    if (urls->count == 0) {
        return;
    }
    upstream_link_init(&uplink->link, loop, urls, configs, &hub->jitter);
    uplink->link.asks_time = true;
    uplink->state = UPLINK_WAITING;
    uplink->deadline_ms = 0;
}

static void fail(struct uplink *uplink, const char *what, const char *why) {
    uplink->is_polling = false;
    uplink->deadline_ms = uplink->now_ms + upstream_link_fail(&uplink->link, what, why);
    apply(uplink, UPLINK_ON_FAILED);
}

static void drop(struct uplink *uplink) {
    uplink->is_polling = false;
    upstream_link_close(&uplink->link);
}

static void begin_connect(struct uplink *uplink) {
    apply(uplink, UPLINK_ON_DUE);
    uplink->deadline_ms = uplink->now_ms + UPSTREAM_LINK_TIMEOUT_MS;
    if (upstream_link_connect(&uplink->link) != STATUS_OK) {
        fail(uplink, "cannot connect", uplink->link.reason);
    }
}

/* ---- pushes ---- */

/* True: `message` is built. */
static bool build(struct uplink *uplink, uint8_t *buffer, size_t capacity, struct bytes *message) {
    enum status status = hub_sync_push(&uplink->sync, uplink->is_hello, buffer, capacity, message);
    if (status != STATUS_OK) {
        uplink->counters.unreadable += status == STATUS_CORRUPT;
        fail(uplink, "cannot read the log", status_text(status));
        return false;
    }
    uplink->counters.pushes += 1;
    uplink->counters.records += uplink->sync.push_records;
    uplink->counters.bytes_sent += message->size;
    return true;
}

static void post(struct uplink *uplink, struct bytes message, uint32_t wait_ms) {
    uint64_t deadline_ms = uplink->now_ms + wait_ms;
    upstream_link_post(&uplink->link, message, uplink->reply_buffer, sizeof uplink->reply_buffer,
                       deadline_ms);
    if (!uplink->is_polling || deadline_ms < uplink->deadline_ms) {
        uplink->deadline_ms = deadline_ms;
    }
}

/* Everything durable behind the acknowledged cursor, as much as fits: no group does while only the
 * time is asked for. */
static void begin_push(struct uplink *uplink) {
    size_t capacity = uplink->push_bytes_max < sizeof uplink->push_buffer
                          ? uplink->push_bytes_max
                          : sizeof uplink->push_buffer;
    capacity = uplink->link.tls.is_time_unset ? SYNC_PUSH_HEAD_MAX : capacity;
    struct bytes message;
    uplink->sync.wait_ms = 0;
    if (build(uplink, uplink->push_buffer, capacity, &message)) {
        uplink->push_sent_ms = uplink->sync.sent_ms;
        post(uplink, message, UPSTREAM_LINK_TIMEOUT_MS);
    }
}

/* Nothing but that we live; upstream answers when it has something to say. */
static void begin_poll(struct uplink *uplink) {
    struct bytes message;
    uplink->sync.wait_ms = UPLINK_WAIT_MS;
    if (build(uplink, uplink->poll_buffer, sizeof uplink->poll_buffer, &message)) {
        uplink->counters.polls += 1;
        uplink->poll_sent_ms = uplink->sync.sent_ms;
        post(uplink, message, UPLINK_WAIT_MS + UPLINK_OVERDUE_MS);
        uplink->is_polling = true;
    }
}

/* ---- replies ---- */

static void fork_found(struct uplink *uplink, const struct sync_reply *reply) {
    uplink->counters.forks += 1;
    snprintf(uplink->link.reason, sizeof uplink->link.reason, "fork: %.*s", (int)reply->text.size,
             (const char *)reply->text.data);
    log_error("upstream_fork reason=%s cursor=%llu upstream_cursor=%llu", uplink->link.reason,
              (unsigned long long)uplink->hub->store.acked_seq, (unsigned long long)reply->cursor);
    drop(uplink);
    apply(uplink, UPLINK_ON_FORK);
    uplink->deadline_ms = uplink->now_ms + (uint64_t)10 * UPSTREAM_LINK_PAUSE_MAX_MS;
}

/* There is a way out: goes on as soon as the new epoch is durable, or upstream was asked for one.
 */
static void begin_again(struct uplink *uplink) {
    drop(uplink);
    apply(uplink, UPLINK_ON_LATER);
    uplink->deadline_ms = uplink->now_ms + UPLINK_FORK_MS;
}

static void take_epoch(struct uplink *uplink, const struct sync_reply *reply) {
    enum status status = hub_sync_fork(&uplink->sync, reply);
    if (status == STATUS_ILLEGAL) {
        fork_found(uplink, reply);
        return;
    }
    if (status == STATUS_OK) {
        uplink->counters.forks += 1;
        log_error("upstream_fork reason=%.*s new_epoch=%u cursor=%llu upstream_cursor=%llu",
                  (int)reply->text.size, (const char *)reply->text.data, reply->epoch,
                  (unsigned long long)uplink->hub->store.acked_seq,
                  (unsigned long long)reply->cursor);
    }
    begin_again(uplink);
}

/* Everything is said: when to poll. An endpoint that answers polls at once, with nothing, holds
 * none: it gets one now and then. */
static void rest(struct uplink *uplink) {
    bool is_held = uplink->brief_polls < UPLINK_BRIEF_MAX;
    uplink->deadline_ms = is_held ? uplink->now_ms : uplink->now_ms + UPLINK_ALIVE_MS;
}

/* After an answer that was taken. `was_poll`: to the poll. */
static void go_on(struct uplink *uplink, const struct sync_reply *reply, bool was_poll) {
    bool is_pushing = uplink->state == UPLINK_PUSHING && was_poll;
    bool is_more = hub_sync_has_more(&uplink->sync);
    if (reply->retry_after_ms > 0 || (!is_pushing && !uplink->link.client.is_reusable)) {
        bool is_asked = reply->retry_after_ms > 0;
        drop(uplink);
        apply(uplink, UPLINK_ON_LATER);
        uplink->deadline_ms = uplink->now_ms + (is_asked ? reply->retry_after_ms : UPLINK_HELD_MS);
    } else if (is_pushing) {
        uplink->deadline_ms = uplink->push_sent_ms + UPSTREAM_LINK_TIMEOUT_MS;
    } else if (is_more) {
        apply(uplink, UPLINK_ON_MORE);
        begin_push(uplink);
    } else {
        apply(uplink, UPLINK_ON_ANSWERED);
        rest(uplink);
    }
}

static void accept_reply(struct uplink *uplink, const struct sync_reply *reply, bool was_poll) {
    struct hub *hub = uplink->hub;
    uint64_t acked_seq = hub->store.acked_seq;
    bool has_asked = uplink->sync.asks_epoch;
    if (!hub_sync_accept(&uplink->sync, reply)) {
        if (has_asked) {
            fork_found(uplink, reply); /* it knows of no epochs */
        } else {
            begin_again(uplink);
        }
        return;
    }
    hub_sync_take(&uplink->sync, reply, was_poll ? uplink->poll_sent_ms : uplink->push_sent_ms);
    if (hub->store.acked_seq > acked_seq) {
        uplink->acknowledged_ms = uplink->now_ms;
    }
    uplink->link.failures_in_row = 0;
    uplink->is_hello = false;
    uplink->link.reason[0] = '\0';
    if (reply->push_bytes_max >= SYNC_PUSH_HEAD_MAX + hub->board->frame_bytes) {
        uplink->push_bytes_max = reply->push_bytes_max;
    }
    go_on(uplink, reply, was_poll);
}

/* A poll that ended early without a reason was not held. */
static void judge_poll(struct uplink *uplink, const struct sync_reply *reply) {
    uint64_t held_ms = uplink->now_ms - uplink->poll_sent_ms;
    if (held_ms >= UPLINK_HELD_MS) {
        uplink->brief_polls = 0;
    } else if (reply->command_count + reply->grant_count == 0 && uplink->state == UPLINK_ONLINE) {
        uplink->brief_polls += uplink->brief_polls < UPLINK_BRIEF_MAX;
    }
}

/* The connection was made without knowing the time: whatever else upstream says does not count. The
 * next one is judged by this time. */
static void take_time(struct uplink *uplink, const struct sync_reply *reply) {
    if (!wall_clock_tell(uplink->clock, reply->server_ms)) {
        fail(uplink, "upstream's clock", "it is behind what this hub knows");
        return;
    }
    log_info("clock_told host=%s wall_ms=%llu", uplink->link.host,
             (unsigned long long)reply->server_ms);
    begin_again(uplink);
}

static void take_reply(struct uplink *uplink) {
    struct sync_reply reply;
    char text[64];
    bool was_poll = uplink->is_polling;
    uplink->is_polling = false;
    if (uplink->link.client.status != 200) {
        snprintf(text, sizeof text, "HTTP status %u", uplink->link.client.status);
        fail(uplink, "upstream refused the push", text);
        return;
    }
    if (sync_reply_read(uplink->link.client.answer, &reply) != STATUS_OK) {
        fail(uplink, "upstream's reply", "not a message of this version");
    } else if (uplink->link.tls.is_time_unset) {
        take_time(uplink, &reply);
    } else if (reply.result == SYNC_FORK) {
        take_epoch(uplink, &reply);
    } else if (reply.result == SYNC_REFUSED) {
        snprintf(text, sizeof text, "%.*s", (int)reply.text.size, (const char *)reply.text.data);
        fail(uplink, "upstream refused the push", text);
    } else if (reply.result == SYNC_GAP && reply.cursor <= uplink->hub->store.acked_seq) {
        fail(uplink, "upstream", "it does not take the gap in this hub's history");
    } else {
        if (was_poll) {
            judge_poll(uplink, &reply);
        }
        accept_reply(uplink, &reply, was_poll);
    }
}

/* ---- steps ---- */

static void step_connecting(struct uplink *uplink) {
    enum status status = upstream_link_handshake(&uplink->link);
    if (status == STATUS_AGAIN) {
        return;
    }
    if (status != STATUS_OK) {
        fail(uplink, "TLS", uplink->link.reason);
        return;
    }
    uplink->is_hello = true;
    uplink->brief_polls = 0;
    apply(uplink, UPLINK_ON_CONNECTED);
    begin_push(uplink);
}

static void step_outstanding(struct uplink *uplink) {
    enum status status = upstream_link_answer(&uplink->link, uplink->now_ms);
    bool is_late = uplink->state == UPLINK_PUSHING &&
                   uplink->now_ms >= uplink->push_sent_ms + UPSTREAM_LINK_TIMEOUT_MS;
    if (status == STATUS_AGAIN && is_late) {
        status = STATUS_TIMEOUT; /* though the poll in front of the push may wait for longer */
    }
    if (status == STATUS_OK) {
        take_reply(uplink);
    } else if (status != STATUS_AGAIN) {
        bool is_ours = status == STATUS_DENIED || status == STATUS_UNTRUSTED;
        fail(uplink, uplink->state == UPLINK_ONLINE ? "poll" : "push",
             is_ours ? tls_stream_reason(&uplink->link.tls) : status_text(status));
    }
}

/* What became durable does not wait for the poll's end. */
static void step_online(struct uplink *uplink) {
    bool is_free = !uplink->is_polling || !upstream_link_is_sending(&uplink->link);
    if (hub_sync_has_more(&uplink->sync) && is_free) {
        apply(uplink, UPLINK_ON_RECORDS);
        begin_push(uplink);
    } else if (uplink->is_polling) {
        step_outstanding(uplink);
    } else if (uplink->now_ms >= uplink->deadline_ms) {
        apply(uplink, UPLINK_ON_DUE);
        begin_poll(uplink);
    } else {
        enum status status = upstream_link_listen(&uplink->link);
        if (status != STATUS_AGAIN) {
            fail(uplink, "idle connection", status_text(status));
        }
    }
}

void uplink_step(struct uplink *uplink, uint64_t now_ms) {
    uplink->now_ms = now_ms;
    bool is_due = now_ms >= uplink->deadline_ms;
    bool is_idle = uplink->state == UPLINK_WAITING || uplink->state == UPLINK_FORKED;
    if (is_idle && is_due) {
        begin_connect(uplink);
    }
    if (uplink->state == UPLINK_CONNECTING) {
        if (is_due && !is_idle) {
            fail(uplink, "connecting", "no answer in time");
        } else {
            step_connecting(uplink);
        }
    }
    /* A push may be answered, and the next one begun, within one step. */
    for (int i = 0; i < STEPS_MAX; i++) {
        if (uplink->state == UPLINK_ONLINE) {
            step_online(uplink);
        } else if (uplink->state == UPLINK_PUSHING) {
            step_outstanding(uplink);
        }
    }
    if (uplink->state == UPLINK_ONLINE || uplink->state == UPLINK_PUSHING) {
        upstream_link_wait(&uplink->link);
    }
}

uint64_t uplink_deadline_ms(const struct uplink *uplink) {
    return uplink->deadline_ms;
}

void uplink_reconnect(struct uplink *uplink) {
    if (uplink->state == UPLINK_OFF || uplink->state == UPLINK_FORKED) {
        return;
    }
    drop(uplink);
    apply(uplink, UPLINK_ON_FAILED);
    uplink->deadline_ms = uplink->now_ms;
}
