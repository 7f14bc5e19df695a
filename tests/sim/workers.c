/* External workers: they claim items, start, renew, end or give them back; they vanish, come too
 * late, repeat a claim whose answer was lost, and say wrong names and tokens. They run elsewhere: a
 * daemon that dies does not stop them. */
#include "tests/sim/sim.h"

#include <string.h>

enum { BATCH_MAX = 3, CLAIM_DIGITS = 6, WRONG = 1 << 30 };

static const char *const names[SIM_WORKERS] = {"worker-a", "worker-b"};

static struct bytes text(const char *of) {
    return (struct bytes){(const uint8_t *)of, strlen(of)};
}

static uint32_t roll(struct sim_host *host, uint32_t sides) {
    return sim_dice_roll(&host->world->dice, sides);
}

static struct shadow_item *shadow_of(struct sim_host *host, const struct sim_job *job) {
    struct shadow_process *process = shadow_process_find(&host->shadow, job->process);
    return process == NULL || job->number > process->item_count ? NULL
                                                                : &process->items[job->number - 1];
}

/* Of a word that was taken. */
static struct shadow_item *item_of(struct sim_host *host, const struct sim_job *job) {
    struct shadow_item *item = shadow_of(host, job);
    sim_require(host->world, item != NULL, "I15 a worker's word about an item that is not durable");
    return item;
}

/* By what is durable, the lease is this job's. */
static bool is_leased(struct sim_host *host, const struct sim_job *job) {
    const struct shadow_item *item = shadow_of(host, job);
    return item != NULL && item->image.token == job->token &&
           (item->image.state == RECORD_LEASED || item->image.state == RECORD_RUNNING);
}

static bool is_still(const struct sim_host *host) {
    return host->shadow.seq == hub_head_seq(&host->hub);
}

/* ---- claims ---- */

static bool is_external(const struct sim_host *host, uint32_t item) {
    uint32_t process = host->hub.items[item].process;
    return host->hub.capabilities[host->hub.processes[process].capability].is_external;
}

/* A claim that is repeated gives what is still held of it, and nothing else. */
static void judge_repeated(struct sim_host *host, const struct sim_worker *worker,
                           const struct hub_claimed *claimed, uint64_t head) {
    struct sim_world *world = host->world;
    uint32_t held = 0;
    for (uint32_t j = 0; j < SIM_JOBS; j++) {
        const struct sim_job *job = &worker->jobs[j];
        held += job->is_held && job->claim == worker->claims && is_leased(host, job);
    }
    sim_require(world, claimed->is_repeated || held == 0 || !is_still(host),
                "I34 a claim that is held was given anew");
    sim_require(world, !claimed->is_repeated || head == hub_head_seq(&host->hub),
                "I34 a repeated claim changed something");
}

static void note_claimed(struct sim_host *host, struct sim_worker *worker,
                         const struct hub_claimed *claimed) {
    worker->claimed_count = claimed->count;
    worker->claimed_seq = hub_head_seq(&host->hub);
    for (uint32_t i = 0; i < claimed->count; i++) {
        const struct hub_item *item = &host->hub.items[claimed->items[i]];
        sim_require(host->world, is_external(host, claimed->items[i]),
                    "I13 a worker was given what the hub runs itself");
        worker->claimed[i] = (struct sim_job){
            .is_held = true,
            .is_started = item->image.state == RECORD_RUNNING, /* a repeated claim says so */
            .item = claimed->items[i],
            .token = item->image.token,
            .process = host->hub.processes[item->process].number,
            .number = item->number,
            .claim = worker->claims,
            .is_once = host->hub.processes[item->process].capability == SIM_EXTERNAL_ONCE,
        };
    }
}

static void claim(struct sim_host *host, struct sim_worker *worker, struct bytes name) {
    char id[CLAIM_DIGITS + 1] = "";
    uint32_t only = SIM_EXTERNAL + roll(host, 2);
    bool is_again = worker->claims > 0 && roll(host, 5) == 0;
    worker->claims += is_again ? 0 : 1;
    for (uint32_t i = 0, rest = worker->claims; i < CLAIM_DIGITS; i++, rest /= 10) {
        id[i] = (char)('0' + rest % 10);
    }
    const uint32_t newest = roll(host, 6);
    const struct hub_claim order = {
        .worker = name,
        .claim_id = text(id),
        .capabilities = roll(host, 3) == 0 ? &only : NULL,
        .capability_count = 1,
        .process = roll(host, 8) == 0 && host->shadow.process_number > newest
                       ? host->shadow.process_number - newest
                       : 0,
        .batch = 1 + roll(host, BATCH_MAX),
    };
    struct hub_claimed claimed = {0};
    uint64_t head = hub_head_seq(&host->hub);
    enum status status = sim_seen(host, SIM_ANSWER_CLAIM, hub_claim(&host->hub, &order, &claimed));
    if (status == STATUS_AGAIN) {
        return;
    }
    sim_require(host->world, status == STATUS_OK, "I36 a claim is answered with %d", status);
    sim_require(host->world, claimed.is_repeated ? is_again : claimed.count <= order.batch,
                "I34 a claim of %u gave %u", order.batch, claimed.count);
    if (is_again) {
        judge_repeated(host, worker, &claimed, head);
    }
    host->world->counts.claimed += claimed.count;
    worker->has_nothing = claimed.count == 0;
    note_claimed(host, worker, &claimed);
    sim_lines_watch(host);
}

/* ---- words about a lease ---- */

static void judge_word(struct sim_host *host, const struct sim_job *job, enum status status,
                       bool was_leased) {
    struct sim_world *world = host->world;
    bool is_known = status == STATUS_OK || status == STATUS_AGAIN || status == STATUS_ILLEGAL ||
                    status == STATUS_STALE_LEASE;
    sim_require(world, is_known, "I36 a worker's word is answered with %d", status);
    sim_require(world, status != STATUS_OK || was_leased,
                "I15 a worker's word under token %llx was taken", (unsigned long long)job->token);
    sim_require(world, status != STATUS_STALE_LEASE || !was_leased || !is_still(host),
                "I15 a worker's lease, token %llx, is denied", (unsigned long long)job->token);
}

static void renewed(struct sim_host *host, const struct sim_job *job, bool is_record) {
    struct shadow_item *item = item_of(host, job);
    sim_trace(host->world, host, "a worker renews %llu.%u", (unsigned long long)job->process,
              job->number);
    item->renewed_life = host->life;
    item->renewed_ms = host->hub.clock.mono_ms;
    if (!is_record) {
        host->world->counts.item_edges[item->image.state][ITEM_ON_RENEW] += 1;
    }
}

/* What its worker says of itself is wrong, or older than what it said before. */
static void speak_falsely(struct sim_host *host, const struct sim_job *job, struct bytes name) {
    struct hub_heartbeat answer;
    struct hub_worker word = {.item = job->item, .name = name, .token = job->token};
    enum status wanted = STATUS_STALE_LEASE;
    uint32_t lie = roll(host, 3);
    bool was_leased = is_leased(host, job) && is_still(host);
    if (lie == 0) {
        word.token += WRONG;
    } else if (lie == 1) {
        word.name = text("worker-x");
    } else {
        bool was_said = job->sent_life == host->life && job->sent_ms > 1;
        wanted = was_leased && was_said ? STATUS_BUSY : STATUS_STALE_LEASE;
        word.sent_ms = was_said ? job->sent_ms - 1 : 0;
        word.token += wanted == STATUS_BUSY ? 0 : WRONG;
    }
    enum status status = sim_seen(host, SIM_ANSWER_HEARTBEAT,
                                  hub_worker_heartbeat(&host->hub, &word, UINT32_MAX, &answer));
    sim_require(host->world, status == wanted, "I15 a worker's lie is answered with %d, not %d",
                status, wanted);
}

static void heartbeat(struct sim_host *host, struct sim_job *job, const struct hub_worker *word) {
    struct hub_heartbeat answer = {0};
    bool was_leased = is_leased(host, job);
    enum status status = sim_seen(host, SIM_ANSWER_HEARTBEAT,
                                  hub_worker_heartbeat(&host->hub, word, roll(host, 101), &answer));
    judge_word(host, job, status, was_leased);
    if (status != STATUS_OK) {
        job->is_held = status != STATUS_STALE_LEASE;
        return;
    }
    const struct record_item *image = &item_of(host, job)->image;
    job->sent_ms = word->sent_ms;
    job->sent_life = host->life;
    renewed(host, job, false);
    sim_require(host->world, answer.expires_in_ms <= sim_lease_ms(host->world) || answer.stop != 0,
                "L1 a lease is renewed for %llu ms", (unsigned long long)answer.expires_in_ms);
    sim_require(host->world, !is_still(host) || answer.stop == image->stop,
                "I36 a heartbeat says stop %u, the item's record %u", answer.stop, image->stop);
    job->is_told_to_stop = answer.stop != RECORD_STOP_NONE;
}

static void acknowledge(struct sim_host *host, struct sim_job *job, const struct hub_worker *word) {
    bool was_leased = is_leased(host, job);
    enum status status =
        sim_seen(host, SIM_ANSWER_ACKNOWLEDGE, hub_worker_acknowledge(&host->hub, word));
    judge_word(host, job, status, was_leased);
    if (status == STATUS_OK) {
        job->sent_ms = word->sent_ms;
        job->sent_life = host->life;
        renewed(host, job, false);
    }
}

static void start(struct sim_host *host, struct sim_job *job, const struct hub_worker *word) {
    bool was_leased = is_leased(host, job);
    uint64_t head = hub_head_seq(&host->hub);
    enum status status = sim_seen(host, SIM_ANSWER_BEGIN, hub_worker_start(&host->hub, word));
    judge_word(host, job, status, was_leased);
    if (status == STATUS_OK) {
        job->sent_ms = word->sent_ms;
        job->sent_life = host->life;
        job->waits = SIM_JOB_STARTS;
        job->seq = hub_head_seq(&host->hub);
        if (job->seq > head) { /* else it runs already, and its time goes on */
            renewed(host, job, true);
        }
    }
}

static void release(struct sim_host *host, struct sim_job *job, const struct hub_worker *word) {
    bool was_leased = is_leased(host, job);
    enum status status = sim_seen(host, SIM_ANSWER_RELEASE, hub_worker_release(&host->hub, word));
    judge_word(host, job, status, was_leased);
    if (status == STATUS_OK) {
        item_of(host, job)->is_released = true;
        job->is_held = false;
        sim_lines_watch(host);
    }
}

static void end(struct sim_host *host, struct sim_job *job, const struct hub_worker *word) {
    bool is_quiet = host->world->is_quiet;
    uint32_t how = is_quiet && !job->is_told_to_stop ? 5 : roll(host, 8);
    struct record_attempt image = {
        .outcome = how >= 3 ? RECORD_SUCCESS : RECORD_FAILURE,
        .category = how >= 3   ? RECORD_CATEGORY_NONE
                    : how == 0 ? RECORD_CATEGORY_CAPABILITY
                               : RECORD_CATEGORY_EXIT_CODE,
        .code = bytes_of("code"),
        .message = bytes_of("as its worker says"),
        .result = bytes_of("{}"),
    };
    enum hub_retryable retryable = how == 0   ? HUB_RETRYABLE_NO
                                   : how == 1 ? HUB_RETRYABLE_YES
                                              : HUB_RETRYABLE_BY_POLICY;
    bool was_leased = is_leased(host, job);
    enum status status =
        sim_seen(host, SIM_ANSWER_COMPLETE, hub_worker_end(&host->hub, word, &image, retryable));
    judge_word(host, job, status, was_leased);
    if (status == STATUS_OK) {
        job->waits = SIM_JOB_ENDS;
        item_of(host, job)->effects = 0; /* how it ended is known: it may be tried again */
        fleet_keep(host, job->process, item_of(host, job));
        job->seq = hub_head_seq(&host->hub);
        sim_lines_watch(host);
    } else if (status == STATUS_STALE_LEASE) {
        host->world->counts.stale += 1;
        job->is_held = false;
    }
}

/* ---- acts ---- */

static void work(struct sim_host *host, struct sim_job *job, struct bytes name) {
    const struct hub_worker word = {
        .item = job->item, .name = name, .token = job->token, .sent_ms = host->world->now_ms};
    bool is_quiet = host->world->is_quiet;
    uint32_t act = roll(host, 12);
    bool is_idle = host->world->plan.are_workers_idle && !is_quiet && roll(host, 4) != 0;
    if (act == 0 && !is_quiet) {
        job->is_held = false; /* it is never heard of again */
    } else if (act == 1 && !is_quiet) {
        speak_falsely(host, job, name);
    } else if (job->is_started && (act < 6 || job->is_told_to_stop)) {
        end(host, job, &word);
    } else if (act == 7) {
        release(host, job, &word); /* perhaps of what runs */
    } else if (act == 4 || act == 8) {
        acknowledge(host, job, &word);
    } else if (job->is_started || act == 2) {
        heartbeat(host, job, &word);
    } else if (act == 3 || is_idle) {
        release(host, job, &word);
    } else if (act == 5 && !is_quiet) {
        end(host, job, &word); /* of what it has never started */
    } else {
        start(host, job, &word);
    }
}

/* Who found nothing waits longer. */
static void plan_next(struct sim_host *host, uint32_t index) {
    uint32_t mean_ms = host->world->is_quiet ? 2000 : host->world->plan.worker_ms;
    mean_ms = host->workers[index].has_nothing ? 4 * mean_ms : mean_ms;
    const struct sim_event next = {
        .kind = SIM_EV_WORKER, .hub = (uint16_t)host->index, .index = index};
    sim_plan_event(host->world, &next, 500 + sim_dice_wait(&host->world->dice, mean_ms));
}

void sim_workers_begin(struct sim_host *host) {
    memset(host->workers, 0, sizeof host->workers);
    for (uint32_t w = 0; w < SIM_WORKERS; w++) {
        plan_next(host, w);
    }
}

void sim_worker_acts(struct sim_host *host, uint32_t index) {
    struct sim_worker *worker = &host->workers[index];
    struct sim_job *job = &worker->jobs[roll(host, SIM_JOBS)];
    bool may_speak = sim_host_runs(host) && worker->claimed_count == 0;
    plan_next(host, index);
    sim_host_clock(host);
    if (may_speak && job->is_held && job->waits == SIM_JOB_RESTS) {
        work(host, job, text(names[index]));
    } else if (may_speak && !job->is_held) {
        claim(host, worker, text(names[index]));
    }
    sim_host_turn(host);
}

/* ---- answers ---- */

/* From now on it believes that its attempt runs, and touches the phone, if it is let. */
static void begun(struct sim_host *host, struct sim_job *job) {
    struct shadow_item *item = shadow_of(host, job);
    bool is_let = item != NULL && is_leased(host, job) && item->image.state == RECORD_RUNNING;
    if (job->is_once && !job->is_started && is_let) {
        shadow_judge_once(host, job->process, job->number, item);
    }
    if (!job->is_started && is_let) {
        fleet_judge_start(host, job->process, job->token);
    }
    job->is_started = true;
    host->world->counts.effects += is_let;
}

static void answer_job(struct sim_host *host, struct sim_job *job) {
    uint8_t waits = job->waits;
    job->waits = SIM_JOB_RESTS;
    if (waits == SIM_JOB_STARTS) {
        begun(host, job);
    } else if (waits == SIM_JOB_ENDS) {
        job->is_held = false;
    }
}

/* What finds no room in its hands is never heard of again. */
static void answer_claim(struct sim_worker *worker) {
    uint32_t next = 0;
    for (uint32_t j = 0; j < SIM_JOBS && next < worker->claimed_count; j++) {
        bool is_known = false;
        for (uint32_t other = 0; other < SIM_JOBS; other++) {
            is_known = is_known || (worker->jobs[other].is_held &&
                                    worker->jobs[other].token == worker->claimed[next].token);
        }
        if (is_known) {
            next += 1;
        } else if (!worker->jobs[j].is_held) {
            worker->jobs[j] = worker->claimed[next];
            next += 1;
        }
    }
    worker->claimed_count = 0;
}

void sim_workers_release(struct sim_host *host) {
    uint64_t durable = hub_durable_seq(&host->hub);
    for (uint32_t w = 0; w < SIM_WORKERS; w++) {
        struct sim_worker *worker = &host->workers[w];
        if (worker->claimed_count > 0 && worker->claimed_seq <= durable) {
            answer_claim(worker);
        }
        for (uint32_t j = 0; j < SIM_JOBS; j++) {
            struct sim_job *job = &worker->jobs[j];
            if (job->is_held && job->waits != SIM_JOB_RESTS && job->seq <= durable) {
                answer_job(host, job);
            }
        }
    }
}

/* The daemon has died: whoever waits for an answer gets none, and may ask again. */
void sim_workers_forget(struct sim_host *host) {
    for (uint32_t w = 0; w < SIM_WORKERS; w++) {
        host->workers[w].claimed_count = 0;
        for (uint32_t j = 0; j < SIM_JOBS; j++) {
            host->workers[w].jobs[j].waits = SIM_JOB_RESTS;
        }
    }
}
