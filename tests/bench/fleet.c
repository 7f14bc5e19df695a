#include "tests/bench/fleet.h"

#include "tests/bench/report.h"

#include <netinet/in.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

enum { HTTP_HEAD_BYTES = 256, SMALL_BYTES = 1024, TURN_MS = 20, RESERVE = 64 };

/* A pusher's message stays in place until it is sent. */
static uint8_t push_memory[FLEET_PUSHERS_MAX][HTTP_HEAD_BYTES + FLEET_PUSH_BYTES];

__attribute__((noreturn)) static void give_up(const struct fleet_hub *hub, const char *what,
                                              const char *why) {
    fprintf(stderr, "bench: hub %u: %s: %s\n", hub->index, what, why);
    exit(1);
}

/* ---- messages ---- */

static struct sync_push head_of(const struct fleet_hub *hub, uint32_t wait_ms) {
    struct timespec wall;
    check(clock_gettime(CLOCK_REALTIME, &wall) == 0);
    struct sync_push push = {
        .epoch = 1,
        .now = record_time_of(1, loop_now_ms(),
                              (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000, 2),
        .cursor = hub->cursor,
        .first_seq = hub->cursor + 1,
        .is_hello = hub->state == FLEET_CONNECTING,
        .wait_ms = wait_ms,
    };
    memset(push.store_id, 0x5A, sizeof push.store_id);
    memcpy(push.store_id, &hub->index, sizeof hub->index);
    memcpy(push.chain, hub->chain, RECORD_CHAIN_BYTES);
    return push;
}

/* False: the group did not fit. */
static bool add_group(struct fleet_hub *hub, struct sync_writer *writer) {
    static uint8_t records[HUB_LOG_GROUP_BYTES];
    const struct hub_log *log = hub->fleet->log;
    const struct hub_log_group *from = &log->groups[hub->pushed_groups];
    struct sync_group group = {.record_count = from->record_count,
                               .records = {records, from->size}};
    struct bytes body;
    hub_log_copy(log, from, hub->index, records);
    sync_chain_next(hub->pushed_chain, &group, group.chain);
    sync_writer_group(writer, group.chain, group.record_count);
    while (sync_record_next(&group.records, &body)) {
        sync_writer_record(writer, body);
    }
    if (!sync_writer_group_end(writer)) {
        return false;
    }
    memcpy(hub->pushed_chain, group.chain, RECORD_CHAIN_BYTES);
    hub->pushed_seq += group.record_count;
    hub->pushed_groups += 1;
    return true;
}

static void add_groups(struct fleet_hub *hub, struct sync_writer *writer) {
    const struct fleet *fleet = hub->fleet;
    uint32_t end = hub->acked_groups + fleet->groups_max;
    end = end < fleet->log->group_count ? end : fleet->log->group_count;
    hub->pushed_groups = hub->acked_groups;
    hub->pushed_seq = hub->cursor;
    memcpy(hub->pushed_chain, hub->chain, RECORD_CHAIN_BYTES);
    while (hub->pushed_groups < end && add_group(hub, writer)) {
    }
}

/* A whole request, in `buffer`. */
static struct bytes build(struct fleet_hub *hub, uint32_t wait_ms, bool has_groups, uint8_t *buffer,
                          size_t capacity) {
    char head[HTTP_HEAD_BYTES];
    struct sync_writer writer;
    const struct sync_push push = head_of(hub, wait_ms);
    sync_writer_init(&writer, buffer + HTTP_HEAD_BYTES, capacity - HTTP_HEAD_BYTES);
    if (has_groups) {
        add_groups(hub, &writer);
    }
    struct bytes message = sync_writer_end(&writer, &push);
    int size = snprintf(head, sizeof head,
                        "POST /sync HTTP/1.1\r\nHost: upstream\r\n"
                        "Content-Type: application/cbor\r\nContent-Length: %zu\r\n\r\n",
                        message.size);
    uint8_t *start = buffer + (message.data - buffer) - size;
    memcpy(start, head, (size_t)size);
    return (struct bytes){start, message.size + (size_t)size};
}

/* ---- connections ---- */

static void forget_certificate(struct fleet_hub *hub) {
    if (hub->has_certificate) {
        mbedtls_x509_crt_free(&hub->certificate);
        hub->has_certificate = false;
    }
}

static void drop(struct fleet_hub *hub) {
    struct fleet *fleet = hub->fleet;
    fleet->connecting -= hub->state == FLEET_CONNECTING || hub->state == FLEET_HELLO;
    fleet->online -= hub->state == FLEET_ONLINE;
    fleet->counters.failed += hub->state != FLEET_ONLINE;
    fleet->counters.lost += hub->state == FLEET_ONLINE;
    loop_remove(&fleet->loop, &hub->source);
    hal_stream_close(&hub->tls.stream);
    mbedtls_ssl_config_free(&hub->config.ssl); /* its certificate list: the rest is the fleet's */
    forget_certificate(hub);
    hub->state = FLEET_OFF;
    hub->is_polling = hub->is_pushing = false;
    hub->output.size = 0;
    hub->input_size = 0;
}

static void wait_for(struct fleet_hub *hub, unsigned wants) {
    uint32_t events = ((wants & HAL_STREAM_READABLE) != 0 ? (uint32_t)EPOLLIN : 0) |
                      ((wants & HAL_STREAM_WRITABLE) != 0 ? (uint32_t)EPOLLOUT : 0);
    loop_change(&hub->fleet->loop, &hub->source, events);
}

/* False: the connection has ended. */
static bool flush(struct fleet_hub *hub) {
    enum status status = STATUS_OK;
    while (hub->output.size > 0 && status == STATUS_OK) {
        size_t size = 0;
        status = hal_stream_write(&hub->tls.stream, hub->output.data, hub->output.size, &size);
        hub->output = (struct bytes){hub->output.data + size, hub->output.size - size};
    }
    wait_for(hub, hub->output.size > 0 ? HAL_STREAM_READABLE | HAL_STREAM_WRITABLE
                                       : HAL_STREAM_READABLE);
    return status == STATUS_OK || status == STATUS_AGAIN;
}

/* What is short is sent at once, from memory that is nobody's. */
static bool send_small(struct fleet_hub *hub, uint32_t wait_ms) {
    uint8_t buffer[SMALL_BYTES];
    hub->output = build(hub, wait_ms, false, buffer, sizeof buffer);
    bool lives = flush(hub);
    if (lives && hub->output.size > 0) {
        give_up(hub, "a poll", "the socket took a part of it");
    }
    hub->output.size = 0;
    hub->is_polling = lives;
    return lives;
}

static bool send_push(struct fleet_hub *hub) {
    size_t capacity = HTTP_HEAD_BYTES + hub->fleet->push_bytes;
    hub->output = build(hub, 0, true, push_memory[hub->index], capacity);
    if (hub->pushed_groups == hub->acked_groups) {
        give_up(hub, "a push", "no group fits");
    }
    hub->is_pushing = true;
    hub->pushed_at = report_wall_seconds();
    return flush(hub);
}

static bool is_pusher(const struct fleet_hub *hub) {
    return hub->index < hub->fleet->pusher_count &&
           hub->acked_groups < hub->fleet->log->group_count;
}

/* Nothing is outstanding. */
static bool say_next(struct fleet_hub *hub) {
    return is_pusher(hub) ? send_push(hub) : send_small(hub, FLEET_WAIT_MS);
}

static void take_stored(struct fleet_hub *hub) {
    struct fleet *fleet = hub->fleet;
    fleet->counters.pushes += 1;
    for (; hub->acked_groups < hub->pushed_groups; hub->acked_groups++) {
        fleet->counters.records += fleet->log->groups[hub->acked_groups].record_count;
        fleet->counters.transitions += fleet->log->groups[hub->acked_groups].transitions;
    }
    hub->cursor = hub->pushed_seq;
    memcpy(hub->chain, hub->pushed_chain, RECORD_CHAIN_BYTES);
    hub->is_pushing = false;
    if (fleet->sample_count < FLEET_SAMPLES_MAX) {
        fleet->samples[fleet->sample_count++] = (float)(report_wall_seconds() - hub->pushed_at);
    }
}

/* False: the connection has ended. */
static bool take_reply(struct fleet_hub *hub, struct bytes body) {
    struct sync_reply reply;
    if (sync_reply_read(body, &reply) != STATUS_OK || reply.result != SYNC_OK) {
        give_up(hub, "upstream's answer", "it is no `stored`");
    }
    if (hub->is_polling) {
        hub->is_polling = false;
        hub->fleet->counters.polls += hub->state == FLEET_ONLINE;
    } else if (hub->is_pushing && reply.cursor == hub->pushed_seq) {
        take_stored(hub);
    } else {
        give_up(hub, "upstream's answer", "it is not to what was pushed");
    }
    if (hub->state == FLEET_HELLO) {
        hub->state = FLEET_ONLINE;
        hub->fleet->connecting -= 1;
        hub->fleet->online += 1;
    }
    return hub->is_pushing || say_next(hub);
}

/* Takes the answers that are whole. */
static bool take_input(struct fleet_hub *hub) {
    for (;;) {
        const uint8_t *end = memmem(hub->input, hub->input_size, "\r\n\r\n", 4);
        if (end == NULL) {
            return true;
        }
        hub->input[hub->input_size] = '\0'; /* there is room: see read_all() */
        const char *text = (const char *)hub->input;
        const char *length = strstr(text, "\r\nContent-Length:");
        size_t head = (size_t)(end - hub->input) + 4;
        size_t body = length == NULL ? 0 : strtoul(length + 17, NULL, 10);
        if (strncmp(text, "HTTP/1.1 200", 12) != 0 || head + body >= FLEET_INPUT_BYTES) {
            give_up(hub, "upstream's answer", text);
        }
        if (hub->input_size < head + body) {
            return true;
        }
        uint8_t answer[FLEET_INPUT_BYTES];
        memcpy(answer, hub->input + head, body);
        hub->input_size -= (uint32_t)(head + body);
        memmove(hub->input, hub->input + head + body, hub->input_size);
        if (!take_reply(hub, (struct bytes){answer, body})) {
            return false;
        }
    }
}

static bool read_all(struct fleet_hub *hub) {
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        size_t size = 0;
        status = hal_stream_read(&hub->tls.stream, hub->input + hub->input_size,
                                 FLEET_INPUT_BYTES - 1 - hub->input_size, &size);
        hub->input_size += (uint32_t)size;
        if (size > 0 && !take_input(hub)) {
            return false;
        }
    }
    return status == STATUS_AGAIN;
}

/* ---- handshakes ---- */

static void handshake(struct fleet_hub *hub) {
    struct fleet *fleet = hub->fleet;
    enum status status = tls_stream_handshake(&hub->tls);
    if (status == STATUS_AGAIN) {
        wait_for(hub, hub->tls.stream.wants);
        return;
    }
    if (status != STATUS_OK) {
        if (status == STATUS_DENIED || status == STATUS_UNTRUSTED) {
            give_up(hub, "TLS", tls_stream_reason(&hub->tls));
        }
        drop(hub);
        return;
    }
    *(hub->tls.is_resumed ? &fleet->counters.resumed : &fleet->counters.full) += 1;
    forget_certificate(hub);
    if (!send_small(hub, 0)) {
        drop(hub);
        return;
    }
    hub->state = FLEET_HELLO;
}

static void hub_ready(struct loop_source *source, uint32_t events) {
    struct fleet_hub *hub = (struct fleet_hub *)(void *)source;
    (void)events;
    if (hub->state == FLEET_CONNECTING) {
        handshake(hub);
    } else if (!flush(hub) || !read_all(hub)) {
        drop(hub);
    }
}

static void begin_connect(struct fleet_hub *hub) {
    struct fleet *fleet = hub->fleet;
    hub->config = fleet->config;
    if (!hub->session.is_saved) {
        fleet_certify(fleet, hub->index, &hub->certificate);
        hub->has_certificate = true;
        check(mbedtls_ssl_conf_own_cert(&hub->config.ssl, &hub->certificate, &fleet->key) == 0);
    }
    enum status status = tcp_connect(&hub->tls.socket, &fleet->address);
    if (status == STATUS_OK) {
        status = tls_stream_open(&hub->tls, &hub->config, "127.0.0.1", &hub->session);
    }
    if (status == STATUS_OK) {
        status = loop_add(&fleet->loop, &hub->source, hub->tls.stream.handle, EPOLLOUT);
    }
    if (status != STATUS_OK) {
        give_up(hub, "connecting", hub->tls.reason);
    }
    hub->state = FLEET_CONNECTING;
    fleet->connecting += 1;
}

/* ---- the fleet ---- */

static void raise_descriptor_limit(uint32_t wanted) {
    struct rlimit limit;
    check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < wanted || setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        fprintf(stderr, "bench: %u hubs need as many open files; the limit is %llu\n", wanted,
                (unsigned long long)limit.rlim_max);
        exit(1);
    }
}

void fleet_open(struct fleet *fleet, const char *address, const struct fleet_files *files,
                const struct hub_log *log, uint32_t count) {
    const struct tls_settings tls = {.role = TLS_CLIENT, .ca_path = files->ca};
    raise_descriptor_limit(count + RESERVE);
    fleet->log = log;
    fleet->count = count;
    fleet->hubs = mmap(NULL, count * sizeof *fleet->hubs, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(fleet->hubs != MAP_FAILED);
    for (uint32_t i = 0; i < count; i++) {
        fleet->hubs[i].fleet = fleet;
        fleet->hubs[i].index = i;
        fleet->hubs[i].source = (struct loop_source){.ready = hub_ready, .fd = -1};
    }
    check(loop_open(&fleet->loop) == STATUS_OK);
    check(tcp_parse(address, &fleet->address) == STATUS_OK);
    if (tls_config_open(&fleet->config, &tls) != STATUS_OK) {
        fprintf(stderr, "bench: %s\n", fleet->config.reason);
        exit(1);
    }
    fleet_make_key(fleet, files);
}

static void begin_some(struct fleet *fleet, uint32_t window) {
    for (uint32_t looked = 0; looked < fleet->count && fleet->connecting < window; looked++) {
        struct fleet_hub *hub = &fleet->hubs[fleet->next];
        fleet->next = (fleet->next + 1) % fleet->count;
        if (hub->state == FLEET_OFF) {
            begin_connect(hub);
        }
    }
}

void fleet_connect(struct fleet *fleet, uint32_t window, double seconds) {
    double end = report_wall_seconds() + seconds;
    while (fleet->online < fleet->count) {
        if (fleet->online + fleet->connecting < fleet->count) {
            begin_some(fleet, window);
        }
        loop_step(&fleet->loop, TURN_MS);
        if (report_wall_seconds() > end) {
            fprintf(stderr, "bench: %u of %u hubs are connected after %.0f s\n", fleet->online,
                    fleet->count, seconds);
            exit(1);
        }
    }
}

void fleet_wait_lost(struct fleet *fleet, double seconds) {
    double end = report_wall_seconds() + seconds;
    while (fleet->online + fleet->connecting > 0) {
        loop_step(&fleet->loop, TURN_MS);
        if (report_wall_seconds() > end) {
            fprintf(stderr, "bench: %u hubs are still connected\n", fleet->online);
            exit(1);
        }
    }
}

void fleet_leave(struct fleet *fleet) {
    for (uint32_t i = 0; i < fleet->count; i++) {
        if (fleet->hubs[i].state != FLEET_OFF) {
            fleet->counters.lost -= fleet->hubs[i].state == FLEET_ONLINE; /* not by upstream */
            drop(&fleet->hubs[i]);
        }
    }
}

void fleet_hold(struct fleet *fleet, double seconds) {
    double end = report_wall_seconds() + seconds;
    while (report_wall_seconds() < end) {
        loop_step(&fleet->loop, TURN_MS);
    }
}

/* Those that wait behind a poll begin. */
static void begin_pushes(struct fleet *fleet, uint32_t hubs) {
    for (uint32_t i = 0; i < hubs; i++) {
        struct fleet_hub *hub = &fleet->hubs[i];
        if (hub->state == FLEET_ONLINE && !hub->is_pushing && is_pusher(hub) && !send_push(hub)) {
            drop(hub);
        }
    }
}

void fleet_push(struct fleet *fleet, const struct fleet_load *load) {
    check(load->hubs <= FLEET_PUSHERS_MAX && load->hubs <= fleet->count);
    check(load->bytes <= FLEET_PUSH_BYTES);
    fleet->pusher_count = load->hubs;
    fleet->groups_max = load->groups;
    fleet->push_bytes = load->bytes;
    begin_pushes(fleet, load->hubs);
    fleet_hold(fleet, load->seconds);
    fleet->pusher_count = 0;
    for (uint32_t i = 0; i < load->hubs; i++) {
        while (fleet->hubs[i].is_pushing) { /* what was sent counts when it is stored */
            loop_step(&fleet->loop, TURN_MS);
        }
    }
}

void fleet_ping(struct fleet *fleet, uint32_t times) {
    struct fleet_hub *hub = &fleet->hubs[0];
    fleet->groups_max = 1;
    fleet->push_bytes = FLEET_PUSH_BYTES;
    for (uint32_t i = 0; i < times; i++) {
        while (hub->is_pushing || !hub->is_polling) {
            loop_step(&fleet->loop, TURN_MS);
        }
        fleet_hold(fleet, 0.002); /* so that the poll is held */
        fleet->pusher_count = 1;
        begin_pushes(fleet, 1);
        fleet->pusher_count = 0;
    }
    while (hub->is_pushing) {
        loop_step(&fleet->loop, TURN_MS);
    }
}

uint64_t fleet_wire_bytes(const struct fleet *fleet, uint32_t hubs) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < hubs; i++) {
        struct tcp_info info = {0};
        socklen_t size = sizeof info;
        if (fleet->hubs[i].state == FLEET_ONLINE &&
            getsockopt(fleet->hubs[i].tls.stream.handle, IPPROTO_TCP, TCP_INFO, &info, &size) ==
                0) {
            sum += info.tcpi_bytes_sent + info.tcpi_bytes_received;
        }
    }
    return sum;
}
