#include "host/hubd/uplink.h"

#include "host/shared/log.h"
#include "host/shared/status_text.h"

#include <stdio.h>
#include <string.h>

static const struct backoff reconnect = {.base_ms = 500, .cap_ms = 30000, .factor = 2};

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
    ROW( ONLINE,     DUE,       PUSHING     ),
    ROW( ONLINE,     FAILED,    WAITING     ),

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

static void source_ready(struct loop_source *source, uint32_t events) {
    (void)source; /* the step of this turn of the loop does the work */
    (void)events;
}

void uplink_init(struct uplink *uplink, struct hub *hub, struct loop *loop, const char *url,
                 struct tls_config_pair *configs) {
    uplink->source = (struct loop_source){.ready = source_ready, .fd = -1};
    uplink->hub = hub;
    uplink->loop = loop;
    uplink->configs = configs;
    uplink->state = UPLINK_OFF;
    uplink->deadline_ms = TIMER_NEVER;
    uplink->push_bytes_max = UPLINK_PUSH_BYTES;
    uplink->jitter = hub->jitter;
    uplink->acknowledged_ms = hub->clock.mono_ms; /* lag counts from the start */
    if (url == NULL) {
        return;
    }
    check(strncmp(url, "https://", 8) == 0);
    check(tcp_parse(url + 8, &uplink->address) == STATUS_OK);
    snprintf(uplink->host, sizeof uplink->host, "%s", url + 8);
    snprintf(uplink->server_name, sizeof uplink->server_name, "%s", url + 8);
    char *colon = strrchr(uplink->server_name, ':');
    *colon = '\0';
    size_t size = strlen(uplink->server_name);
    if (uplink->server_name[0] == '[' && uplink->server_name[size - 1] == ']') {
        memmove(uplink->server_name, uplink->server_name + 1, size - 1);
        uplink->server_name[size - 2] = '\0';
    }
    uplink->state = UPLINK_WAITING;
    uplink->deadline_ms = 0;
}

static void disconnect(struct uplink *uplink) {
    loop_remove(uplink->loop, &uplink->source);
    if (hal_stream_is_open(&uplink->tls.stream)) {
        hal_stream_close(&uplink->tls.stream);
    }
}

static void fail(struct uplink *uplink, const char *what, const char *why) {
    disconnect(uplink);
    snprintf(uplink->reason, sizeof uplink->reason, "%.60s: %.160s", what, why);
    uplink->failures += 1;
    uplink->counters.failures += 1;
    uint64_t wait_ms = backoff_ms(&reconnect, uplink->failures, &uplink->jitter) + 100;
    uplink->deadline_ms = uplink->now_ms + wait_ms;
    log_warn("upstream_failed reason=%s retry_ms=%llu", uplink->reason,
             (unsigned long long)wait_ms);
    apply(uplink, UPLINK_ON_FAILED);
}

static void begin_connect(struct uplink *uplink) {
    apply(uplink, UPLINK_ON_DUE);
    uplink->deadline_ms = uplink->now_ms + UPLINK_TIMEOUT_MS;
    enum status status = tcp_connect(&uplink->tls.socket, &uplink->address);
    if (status == STATUS_OK) {
        status = tls_stream_open(&uplink->tls, tls_config_pair_current(uplink->configs),
                                 uplink->server_name, &uplink->session);
        if (status == STATUS_OK) {
            status = loop_add(uplink->loop, &uplink->source, uplink->tls.stream.handle, EPOLLOUT);
        }
    }
    if (status != STATUS_OK) {
        fail(uplink, "cannot connect", status_text(status));
    }
}

static void wait_for(struct uplink *uplink, unsigned wants) {
    uint32_t events = ((wants & HAL_STREAM_READABLE) != 0 ? (uint32_t)EPOLLIN : 0) |
                      ((wants & HAL_STREAM_WRITABLE) != 0 ? (uint32_t)EPOLLOUT : 0);
    loop_change(uplink->loop, &uplink->source, events);
}

/* ---- pushes ---- */

static void fill_push(struct uplink *uplink, struct sync_push *push) {
    const struct hub *hub = uplink->hub;
    *push = (struct sync_push){
        .epoch = hub->store.epoch,
        .now = record_time_of(hub->image.boot, hub->clock.mono_ms, hub->clock.wall_ms,
                              hub->clock.quality),
        .cursor = hub->store.acked_seq,
        .first_seq = uplink->cursor.seq + 1,
        .capacity = pool_free_count(&hub->item_pool),
        .phones = hub->phone_count,
        .command = hub->image.command,
        .is_hello = uplink->is_hello,
    };
    memcpy(push->store_id, hub->store.id, SYNC_STORE_ID_BYTES);
    memcpy(push->chain, hub->store.acked_chain, RECORD_CHAIN_BYTES);
}

/* Adds one group; false: it did not fit, and the cursor stays before it. */
static bool add_group(struct uplink *uplink, struct sync_writer *writer,
                      struct store_cursor *cursor, enum status *status) {
    struct store_group group;
    struct store_cursor at = *cursor;
    *status = store_next_group(&uplink->hub->store, &at, uplink->group_buffer,
                               sizeof uplink->group_buffer, &group);
    if (*status != STATUS_OK) {
        return false;
    }
    struct bytes body;
    sync_writer_group(writer, group.chain, group.record_count);
    while (store_group_next(&group.records, &body)) {
        sync_writer_record(writer, body);
    }
    if (!sync_writer_group_end(writer)) {
        return false;
    }
    uplink->counters.records += group.record_count;
    memcpy(uplink->push_chain, group.chain, RECORD_CHAIN_BYTES);
    *cursor = at;
    return true;
}

static bool has_more(const struct uplink *uplink) {
    return uplink->hub->store.acked_seq < uplink->hub->store.durable_seq;
}

/* Everything durable behind the acknowledged cursor, as much as fits. */
static void begin_push(struct uplink *uplink) {
    struct sync_writer writer;
    struct sync_push push;
    enum status status = STATUS_OK;
    size_t capacity = uplink->push_bytes_max < sizeof uplink->push_buffer
                          ? uplink->push_bytes_max
                          : sizeof uplink->push_buffer;
    if (uplink->cursor.seq != uplink->hub->store.acked_seq) {
        uplink->cursor = (struct store_cursor){.seq = uplink->hub->store.acked_seq};
    }
    fill_push(uplink, &push);
    struct store_cursor cursor = uplink->cursor;
    sync_writer_init(&writer, uplink->push_buffer, capacity);
    while (add_group(uplink, &writer, &cursor, &status)) {
    }
    if (status != STATUS_OK && status != STATUS_AGAIN) {
        fail(uplink, "cannot read the log", status_text(status));
        return;
    }
    uplink->cursor = cursor;
    uplink->push_last_seq = cursor.seq;
    struct http_client_request request = {
        .method = "POST",
        .target = "/sync",
        .host = uplink->host,
        .content_type = "application/cbor",
        .body = sync_writer_end(&writer, &push),
    };
    struct http_client_sink sink = {.buffer = uplink->reply_buffer,
                                    .capacity = sizeof uplink->reply_buffer};
    uplink->deadline_ms = uplink->now_ms + UPLINK_TIMEOUT_MS;
    uplink->counters.pushes += 1;
    uplink->counters.bytes_sent += request.body.size;
    check(http_client_begin(&uplink->client, &request, &sink, uplink->deadline_ms) == STATUS_OK);
}

/* ---- replies ---- */

static void fork_found(struct uplink *uplink, const struct sync_reply *reply) {
    uplink->counters.forks += 1;
    snprintf(uplink->reason, sizeof uplink->reason, "fork: %.*s", (int)reply->text.size,
             (const char *)reply->text.data);
    log_error("upstream_fork reason=%s cursor=%llu upstream_cursor=%llu", uplink->reason,
              (unsigned long long)uplink->hub->store.acked_seq, (unsigned long long)reply->cursor);
    disconnect(uplink);
    apply(uplink, UPLINK_ON_FORK);
    uplink->deadline_ms = uplink->now_ms + 10 * reconnect.cap_ms;
}

/* Whether our own log has this chain hash at the end of group `seq`. After a restart upstream may
 * have stored more than our newest block header knows: then the log is read up to there. */
static bool has_chain(struct uplink *uplink, uint64_t seq, const uint8_t *chain) {
    struct store *store = &uplink->hub->store;
    if (seq == uplink->push_last_seq && seq > store->acked_seq) {
        return memcmp(chain, uplink->push_chain, RECORD_CHAIN_BYTES) == 0;
    }
    if (seq == store->acked_seq) {
        return memcmp(chain, store->acked_chain, RECORD_CHAIN_BYTES) == 0;
    }
    struct store_cursor cursor = {.seq = store->acked_seq};
    struct store_group group = {0};
    while (cursor.seq < seq) {
        if (store_next_group(store, &cursor, uplink->group_buffer, sizeof uplink->group_buffer,
                             &group) != STATUS_OK) {
            return false;
        }
    }
    return cursor.seq == seq && memcmp(chain, group.chain, RECORD_CHAIN_BYTES) == 0;
}

static void accept_reply(struct uplink *uplink, const struct sync_reply *reply) {
    struct hub *hub = uplink->hub;
    bool is_behind = reply->cursor < hub->store.acked_seq; /* upstream was restored */
    if (is_behind || reply->cursor > hub->store.durable_seq ||
        !has_chain(uplink, reply->cursor, reply->chain)) {
        fork_found(uplink, reply);
        return;
    }
    if (reply->cursor > hub->store.acked_seq) {
        store_acknowledge(&hub->store, reply->cursor, reply->chain);
        uplink->acknowledged_ms = uplink->now_ms;
    }
    uplink->failures = 0;
    uplink->is_hello = false;
    uplink->reason[0] = '\0';
    if (reply->push_bytes_max >= SYNC_PUSH_HEAD_MAX + hub->board->frame_bytes) {
        uplink->push_bytes_max = reply->push_bytes_max;
    }
    if (reply->retry_after_ms > 0) {
        disconnect(uplink);
        apply(uplink, UPLINK_ON_LATER);
        uplink->deadline_ms = uplink->now_ms + reply->retry_after_ms;
    } else if (has_more(uplink)) {
        apply(uplink, UPLINK_ON_MORE);
        begin_push(uplink);
    } else {
        apply(uplink, UPLINK_ON_ANSWERED);
        uplink->deadline_ms = uplink->now_ms + UPLINK_ALIVE_MS;
        wait_for(uplink, HAL_STREAM_READABLE);
    }
}

static void take_reply(struct uplink *uplink) {
    struct sync_reply reply;
    char text[64];
    if (uplink->client.status != 200) {
        snprintf(text, sizeof text, "HTTP status %u", uplink->client.status);
        fail(uplink, "upstream refused the push", text);
        return;
    }
    if (sync_reply_read(uplink->client.answer, &reply) != STATUS_OK) {
        fail(uplink, "upstream's reply", "not a message of this version");
    } else if (reply.result == SYNC_FORK) {
        fork_found(uplink, &reply);
    } else if (reply.result == SYNC_REFUSED) {
        snprintf(text, sizeof text, "%.*s", (int)reply.text.size, (const char *)reply.text.data);
        fail(uplink, "upstream refused the push", text);
    } else {
        accept_reply(uplink, &reply);
    }
}

/* ---- steps ---- */

static void step_connecting(struct uplink *uplink) {
    enum status status = tls_stream_handshake(&uplink->tls);
    if (status == STATUS_AGAIN) {
        wait_for(uplink, uplink->tls.stream.wants);
        return;
    }
    if (status != STATUS_OK) {
        char reason[TLS_REASON_SIZE];
        snprintf(reason, sizeof reason, "%s", tls_stream_reason(&uplink->tls));
        fail(uplink, "TLS", reason);
        return;
    }
    uplink->counters.connects += 1;
    uplink->counters.resumed += uplink->tls.is_resumed;
    uplink->is_hello = true;
    http_client_init(&uplink->client, &uplink->tls.stream);
    log_info("upstream_connected host=%s resumed=%d", uplink->host, uplink->tls.is_resumed);
    apply(uplink, UPLINK_ON_CONNECTED);
    begin_push(uplink);
}

static void step_pushing(struct uplink *uplink) {
    enum status status = http_client_step(&uplink->client, uplink->now_ms);
    if (status == STATUS_AGAIN) {
        wait_for(uplink, http_client_wants(&uplink->client));
    } else if (status != STATUS_OK) {
        fail(uplink, "push", status_text(status));
    } else {
        take_reply(uplink);
    }
}

/* An idle connection says something only when it ends. */
static void step_online(struct uplink *uplink) {
    bool is_due = uplink->now_ms >= uplink->deadline_ms;
    if (has_more(uplink) || is_due) {
        apply(uplink, has_more(uplink) ? UPLINK_ON_RECORDS : UPLINK_ON_DUE);
        begin_push(uplink);
        return;
    }
    uint8_t byte;
    size_t size;
    enum status status = hal_stream_read(&uplink->tls.stream, &byte, 1, &size);
    if (status != STATUS_AGAIN) {
        fail(uplink, "idle connection",
             status == STATUS_OK ? "upstream spoke out of turn" : status_text(status));
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
    if (uplink->state == UPLINK_ONLINE) {
        step_online(uplink);
    }
    for (int i = 0; i < 4 && uplink->state == UPLINK_PUSHING; i++) {
        step_pushing(uplink);
    }
}

uint64_t uplink_deadline_ms(const struct uplink *uplink) {
    return uplink->deadline_ms;
}

void uplink_reconnect(struct uplink *uplink) {
    if (uplink->state == UPLINK_OFF || uplink->state == UPLINK_FORKED) {
        return;
    }
    disconnect(uplink);
    apply(uplink, UPLINK_ON_FAILED);
    uplink->deadline_ms = uplink->now_ms;
}
