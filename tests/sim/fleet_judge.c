/* Rules of grants and assignments (SPEC.md section 8), by what the simulator knows itself: when
 * each answer left, when each poll was sent, and who runs what. */
#include "tests/sim/sim.h"

#include <string.h>

enum { SLACK_MS = 1500, MARGIN_MS = 5000 };

static unsigned long long full(uint64_t number) {
    return (unsigned long long)number;
}

/* ---- upstream ---- */

void fleet_judge_offer(struct sim_world *world, const struct fleet_item *item, uint32_t hub) {
    struct fleet_truth *truth = &world->fleet.truth[fleet_slot(item->row.process)];
    bool is_elsewhere = truth->granted_hub != FLEET_NOBODY && truth->granted_hub != hub;
    if (truth->process != item->row.process || !is_elsewhere) {
        return;
    }
    fleet_count(world, FLEET_ELSEWHERE);
    uint64_t passed_ms = world->now_ms - truth->granted_ms;
    uint64_t least_ms = (uint64_t)truth->ttl_ms + truth->ttl_ms / 100 + MARGIN_MS;
    sim_require(world, truth->is_returned || passed_ms >= least_ms,
                "G1 process %llu is given to another hub %llu ms after its last grant",
                full(truth->process), full(passed_ms));
    bool is_sticky = item->row.is_once && !item->row.is_forced;
    sim_require(world, truth->is_returned || !is_sticky,
                "G2 process %llu has a once-only action, its hub has not answered",
                full(truth->process));
}

/* ---- what a hub has heard ---- */

static void hear_grant(struct sim_host *host, uint64_t process, uint32_t assignment,
                       uint64_t until_ms, bool is_renewal) {
    struct fleet_grant *grant = &host->world->fleet.grants[host->index][fleet_slot(process)];
    uint32_t boot = host->hub.image.boot;
    bool is_same =
        grant->process == process && grant->assignment == assignment && grant->boot == boot;
    if (!is_same) {
        *grant = (struct fleet_grant){.process = process, .assignment = assignment, .boot = boot};
    }
    grant->until_ms = until_ms > grant->until_ms ? until_ms : grant->until_ms;
    if (!is_renewal) {
        return;
    }
    for (uint32_t p = 0; p < SHADOW_PROCESSES; p++) {
        const struct shadow_process *of = &host->shadow.processes[p];
        const struct record_item *image = &of->items[0].image;
        bool is_it = of->number != 0 && of->origin.process == process && of->item_count == 1 &&
                     image->assignment == assignment && of->image.finished.boot == 0 &&
                     image->grant_from.boot == boot && image->stop == RECORD_STOP_NONE;
        if (is_it) { /* it has this part, and its grant is not void */
            grant->exact_life = host->life;
            grant->exact_ms = until_ms;
            grant->heard_ms = host->hub.clock.mono_ms;
            fleet_count(host->world, FLEET_RENEWED);
        }
    }
}

static void hear_command(struct sim_host *host, const struct sync_command *command,
                         uint64_t sent_ms) {
    struct sync_offer offer;
    struct sync_control control;
    if (command->kind == SYNC_OFFER && sync_offer_read(command, &offer) == STATUS_OK) {
        hear_grant(host, offer.process, offer.assignment, sent_ms + offer.ttl_ms, false);
    } else if (command->kind == SYNC_RETRY && sync_control_read(command, &control) == STATUS_OK &&
               control.owner == SYNC_OWN_HUB) {
        struct shadow_process *process = shadow_process_find(&host->shadow, control.process);
        if (process != NULL) {
            process->is_retry_asked = true;
            process->retry_seq = hub_head_seq(&host->hub);
        }
    }
}

void fleet_judge_reply(struct sim_host *host, const struct sync_reply *reply, uint64_t sent_ms) {
    struct bytes commands = reply->commands;
    struct bytes grants = reply->grants;
    struct sync_command command;
    struct sync_grant grant;
    while (sync_command_next(&commands, &command)) {
        hear_command(host, &command, sent_ms);
    }
    while (sync_grant_next(&grants, &grant)) {
        hear_grant(host, grant.process, grant.assignment, sent_ms + grant.ttl_ms, true);
    }
}

/* ---- leases ---- */

/* When a part's leases end by all that its hub was told; 0: it has no grant of this boot. */
static uint64_t lease_until_ms(const struct sim_host *host, const struct shadow_process *process,
                               uint32_t assignment) {
    uint64_t upstream = process->origin.process;
    const struct fleet_grant *grant = &host->world->fleet.grants[host->index][fleet_slot(upstream)];
    uint64_t grace_ms = host->world->plan.stop_grace_ms;
    bool is_its = grant->process == upstream && grant->assignment == assignment &&
                  grant->boot == host->hub.image.boot;
    return is_its && grant->until_ms > grace_ms ? grant->until_ms - grace_ms : 0;
}

static bool is_now(const struct sim_host *host, const struct record_time *at) {
    return at->boot == host->hub.image.boot && at->mono_ms >= host->load_ms;
}

void fleet_judge_lease(struct sim_host *host, const struct shadow_process *process,
                       const struct record_item *after, const struct record_time *at) {
    if (process->origin.process != 0 && is_now(host, at)) {
        uint64_t until_ms = lease_until_ms(host, process, after->assignment);
        sim_require(host->world, at->mono_ms < until_ms,
                    "G3 upstream's process %llu gets a phone %llu ms behind its grant",
                    full(process->origin.process), full(at->mono_ms - until_ms));
    }
}

void fleet_judge_running(struct sim_host *host, const struct shadow_process *process,
                         const struct shadow_item *item) {
    const struct record_item *image = &item->image;
    bool counts = process->origin.process != 0 && image->phone != 0 &&
                  image->stop == RECORD_STOP_NONE && item->entered.boot == host->hub.image.boot;
    uint64_t until_ms = lease_until_ms(host, process, image->assignment);
    sim_require(host->world, !counts || host->hub.clock.mono_ms <= until_ms + SLACK_MS,
                "G3 upstream's process %llu holds a phone %llu ms behind its grant",
                full(process->origin.process), full(host->hub.clock.mono_ms - until_ms));
}

void fleet_judge_expiry(struct sim_host *host, const struct shadow_process *process,
                        const struct record_time *at, bool is_attempt) {
    uint64_t upstream = process->origin.process;
    const struct fleet_grant *grant = &host->world->fleet.grants[host->index][fleet_slot(upstream)];
    bool is_known = upstream != 0 && grant->process == upstream && is_now(host, at) &&
                    grant->boot == host->hub.image.boot && grant->exact_life == host->life &&
                    at->mono_ms > grant->heard_ms;
    if (upstream == 0) {
        return;
    }
    host->world->counts.fleet[FLEET_EXPIRED] += is_attempt;
    sim_require(host->world,
                !is_known || at->mono_ms + host->world->plan.stop_grace_ms >= grant->exact_ms,
                "G4 upstream's process %llu, %llu here, is %s %llu ms before its grant ends",
                full(upstream), full(process->number), is_attempt ? "stopped" : "returned",
                full(grant->exact_ms - host->world->plan.stop_grace_ms - at->mono_ms));
}

/* ---- one hub at a time ---- */

static struct fleet_truth *truth_of(struct sim_host *host, uint64_t local) {
    const struct shadow_process *process = shadow_process_find(&host->shadow, local);
    uint64_t upstream = process == NULL ? 0 : process->origin.process;
    struct fleet_truth *truth = &host->world->fleet.truth[fleet_slot(upstream)];
    return upstream != 0 && truth->process == upstream ? truth : NULL;
}

void fleet_bring(struct sim_host *host, const struct shadow_process *process,
                 struct shadow_item *item) {
    const struct fleet_truth *truth = truth_of(host, process->number);
    if (truth != NULL) {
        item->effects = truth->effects;
        item->orders = truth->orders;
        item->is_reviewed = truth->is_reviewed;
    }
}

void fleet_keep(struct sim_host *host, uint64_t local, const struct shadow_item *item) {
    struct fleet_truth *truth = truth_of(host, local);
    if (truth != NULL) {
        truth->effects = item->effects;
        truth->orders = item->orders;
        truth->is_reviewed = item->is_reviewed;
    }
}

void fleet_judge_start(struct sim_host *host, uint64_t local, uint64_t token) {
    struct fleet_truth *truth = truth_of(host, local);
    if (truth != NULL) {
        truth->runner = (uint8_t)host->index;
        truth->token = token;
        fleet_count(host->world, FLEET_STARTED);
    }
}

void fleet_judge_effect(struct sim_host *host, uint64_t local, uint64_t token) {
    const struct fleet_truth *truth = truth_of(host, local);
    bool is_its = truth == NULL || (truth->runner == host->index && truth->token == token);
    sim_require(host->world, is_its || host->world->has_bad_clock,
                "G5 process %llu acts at two hubs at once: token %llx here, hub %u began %llx",
                full(truth->process), full(token), truth->runner, full(truth->token));
}

/* ---- at the end ---- */

static bool is_cut_off(const struct sim_world *world, uint32_t hub) {
    return sim_link_is_dead(&world->hosts[hub]);
}

/* Nobody can reach a hub that has a healthy phone of this name. */
static bool is_phone_lost(const struct sim_world *world, const struct db_item *row) {
    uint32_t hub = fleet_phone_hub(&world->fleet.db, row);
    if (hub == FLEET_NOBODY || is_cut_off(world, hub)) {
        return true;
    }
    const struct sim_host *host = &world->hosts[hub];
    struct bytes id = {(const uint8_t *)row->phone, strlen(row->phone)};
    uint32_t phone = hub_phone_find(&host->hub, id);
    uint32_t line = phone == HUB_NONE ? SIM_NONE : sim_line_of(host, phone);
    return line == SIM_NONE || host->phones[line].is_broken;
}

/* Its hub cannot say what became of it, and nobody else may have it. */
static bool is_stuck(const struct sim_world *world, const struct db_item *row) {
    uint32_t hub = row->hub[0] == '\0' ? FLEET_NOBODY : (uint32_t)(row->hub[4] - '0');
    return hub != FLEET_NOBODY && is_cut_off(world, hub) &&
           (row->is_once || row->state == RECORD_SUSPENDED ||
            row->suspension == RECORD_SUSPEND_REVIEW);
}

/* Every hub that may have it is full of what cannot end. */
static bool is_crowded_out(const struct sim_world *world, const struct fleet_item *item) {
    return item->row.refusals > world->host_count &&
           item->refusal == RECORD_ANSWER_CAPACITY_EXHAUSTED && world->counts.excused > 0;
}

static bool is_excused(const struct sim_world *world, const struct fleet_item *item) {
    const struct db_item *row = &item->row;
    bool is_reachable = false;
    for (uint32_t h = 0; h < world->host_count; h++) {
        is_reachable = is_reachable || !is_cut_off(world, h);
    }
    return !is_reachable || is_stuck(world, row) || is_crowded_out(world, item) ||
           (row->phone[0] != '\0' && is_phone_lost(world, row));
}

static bool is_open(const struct db_item *row) {
    return row->process != 0 && row->phase != DB_PHASE_ENDED;
}

bool fleet_all_ended(struct sim_world *world) {
    for (uint32_t i = 0; i < FLEET_ITEMS; i++) {
        const struct db_item *row = &world->fleet.db.items[i].row;
        if (is_open(row) && !is_excused(world, &world->fleet.db.items[i])) {
            return false;
        }
    }
    return true;
}

static void judge_orders(struct sim_world *world, uint32_t hub) {
    for (uint32_t i = 0; i < FLEET_ORDERS; i++) {
        const struct fleet_order *order = &world->fleet.db.hubs[hub].orders[i];
        sim_require(world, order->number == 0 || is_cut_off(world, hub),
                    "I34 hub %u never answers command %llu of kind %u", hub, full(order->number),
                    order->kind);
    }
}

void fleet_judge_end(struct sim_world *world) {
    for (uint32_t i = 0; i < FLEET_ITEMS; i++) {
        const struct db_item *row = &world->fleet.db.items[i].row;
        if (!is_open(row)) {
            continue;
        }
        sim_require(world, is_excused(world, &world->fleet.db.items[i]),
                    "L2 upstream's process %llu does not end: phase %u, state %u, hub %s, phone %s",
                    full(row->process), row->phase, row->state, row->hub, row->phone);
        world->counts.excused += 1;
    }
    for (uint32_t h = 0; h < world->host_count; h++) {
        judge_orders(world, h);
    }
}
