/* One hub's connection to upstream, after host/hubd/sync/uplink.c, over a network that loses,
 * delays and repeats what it carries. */
#include "tests/sim/sim.h"

#include <string.h>

enum { TIMEOUT_MS = 30000, ALIVE_MS = 20000, FORK_MS = 300000, RETRY_CAP_MS = 30000 };

static uint8_t group_buffer[SIM_GROUP_BYTES];
static uint8_t push_buffer[SIM_PUSH_BYTES];

static void plan_due(struct sim_host *host, uint64_t after_ms) {
    struct sim_link *link = &host->link;
    link->stamp += 1;
    link->due_ms = host->world->now_ms + after_ms;
    const struct sim_event event = {
        .kind = SIM_EV_LINK, .hub = (uint16_t)host->index, .stamp = link->stamp};
    sim_plan_event(host->world, &event, after_ms);
}

void sim_link_reset(struct sim_host *host) {
    struct sim_link *link = &host->link;
    const struct sim_link old = *link;
    *link = (struct sim_link){.connection = old.connection + 1, .stamp = old.stamp + 1};
    hub_sync_init(&link->sync, &host->hub, group_buffer, sizeof group_buffer);
    if (host->world->plan.has_upstream) {
        plan_due(host, 1);
    }
}

bool sim_link_is_dead(const struct sim_host *host) {
    return host->is_cut_off || (host->may_fork && (host->link.is_forked || host->was_replaced));
}

static void fail(struct sim_host *host) {
    struct sim_link *link = &host->link;
    uint32_t shift = link->failures < 6 ? link->failures : 6;
    uint32_t limit_ms = 500u << shift < RETRY_CAP_MS ? 500u << shift : RETRY_CAP_MS;
    link->is_waiting = false;
    link->connection += 1;
    link->failures += 1;
    plan_due(host, 100 + sim_dice_roll(&host->world->dice, limit_ms));
}

/* ---- pushes ---- */

static struct bytes write_push(struct sim_host *host) {
    struct bytes message;
    enum status status =
        hub_sync_push(&host->link.sync, false, push_buffer, sizeof push_buffer, &message);
    sim_require(host->world, status == STATUS_OK,
                "I2 the log cannot be read for upstream: status %d", status);
    return message;
}

static void send(struct sim_host *host, enum sim_net_way way, struct bytes message) {
    struct sim_world *world = host->world;
    struct sim_net_copy copies[2];
    uint64_t lost = host->net.lost;
    uint64_t late = host->net.late;
    uint64_t twice = host->net.duplicated;
    uint32_t count = sim_net_send(&host->net, way, host->link.connection, message, copies);
    world->counts.faults[SIM_FAULT_NET_LOSS] += host->net.lost - lost;
    world->counts.faults[SIM_FAULT_NET_LATE] += host->net.late - late;
    world->counts.faults[SIM_FAULT_NET_DUPLICATE] += host->net.duplicated - twice;
    for (uint32_t i = 0; i < count; i++) {
        const struct sim_event event = {
            .kind = SIM_EV_NET, .hub = (uint16_t)host->index, .index = copies[i].index};
        sim_plan_event(world, &event, copies[i].after_ms);
    }
}

static void push(struct sim_host *host) {
    host->world->counts.pushes += 1;
    host->link.is_waiting = true;
    host->link.connection +=
        1; /* a stream repeats nothing: what comes twice comes from an old one */
    sim_host_clock(host);
    host->link.sent_ms = host->hub.clock.mono_ms;
    send(host, SIM_NET_UP, write_push(host));
    plan_due(host, TIMEOUT_MS);
}

void sim_link_step(struct sim_host *host) {
    const struct sim_link *link = &host->link;
    bool is_idle = host->world->plan.has_upstream && !link->is_waiting && !link->is_forked;
    if (is_idle && link->failures == 0 && hub_sync_has_more(&link->sync)) {
        push(host);
    }
}

void sim_link_due(struct sim_host *host, uint32_t stamp) {
    struct sim_link *link = &host->link;
    if (stamp != link->stamp) {
        return;
    }
    if (!sim_host_runs(host)) {
        if (host->is_frozen) {
            plan_due(host, 1000);
        }
        return;
    }
    link->is_forked = false;
    if (link->is_waiting) {
        fail(host);
    } else {
        push(host);
    }
}

/* ---- replies ---- */

static void fork_found(struct sim_host *host) {
    struct sim_world *world = host->world;
    sim_trace(world, host, "upstream holds another history");
    sim_require(world, host->may_fork, "I33 hub and upstream fork, and nothing explains it");
    host->link.is_waiting = false;
    host->link.is_forked = true;
    host->link.connection += 1;
    plan_due(host, FORK_MS);
}

static void accept(struct sim_host *host, const struct sync_reply *reply) {
    struct store *store = &host->hub.store;
    struct sim_link *link = &host->link;
    if (reply->result == SYNC_FORK || !hub_sync_accept(&link->sync, reply)) {
        fork_found(host);
        return;
    }
    sim_host_clock(host);
    fleet_judge_reply(host, reply, link->sent_ms);
    hub_sync_take(&link->sync, reply, link->sync.sent_ms);
    sim_lines_watch(host);
    sim_require(host->world, store->acked_seq <= host->shadow.acked,
                "I32 %llu count as acknowledged, upstream never had more than %llu",
                (unsigned long long)store->acked_seq, (unsigned long long)host->shadow.acked);
    link->failures = 0;
    link->is_waiting = false;
    plan_due(host, ALIVE_MS);
    sim_host_turn(host);
}

static void take_reply(struct sim_host *host, const struct sim_net_message *message) {
    struct sync_reply reply;
    struct sim_link *link = &host->link;
    bool is_mine = message->connection == link->connection && link->is_waiting;
    if (!is_mine || !sim_host_runs(host)) {
        return; /* its connection is closed */
    }
    enum status status = sync_reply_read((struct bytes){message->bytes, message->size}, &reply);
    (void)sim_seen(host, SIM_ANSWER_REPLY, status);
    if (status != STATUS_OK || reply.result == SYNC_REFUSED) {
        fail(host);
    } else {
        accept(host, &reply);
    }
}

void sim_link_arrived(struct sim_host *host, uint32_t index) {
    struct sim_net_message *message = &host->net.messages[index];
    uint8_t buffer[512 + FLEET_WORDS_BYTES];
    struct cbor_writer writer;
    cbor_writer_init(&writer, buffer, sizeof buffer);
    if (message->way == SIM_NET_DOWN) {
        take_reply(host, message);
        sim_net_free(&host->net, index);
        return;
    }
    uint32_t connection = message->connection;
    bool has_reply = sim_upstream_take(host->world, host->index,
                                       (struct bytes){message->bytes, message->size}, &writer);
    sim_net_free(&host->net, index);
    if (has_reply && connection == host->link.connection) {
        send(host, SIM_NET_DOWN, (struct bytes){writer.data, writer.size});
    }
}
