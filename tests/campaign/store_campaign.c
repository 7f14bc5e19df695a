/* store_campaign - loses power on the record store, by the million and on all cores.
 *
 *     store_campaign [--cuts N] [--seconds N] [--jobs N] [--stop 1] [--life N]
 *         everything, then random lives until N distinct cuts were looked at; --stop: ends with
 *         the first failure; --life: the lives begin with that number instead of 1
 *     store_campaign ID…
 *         exactly these cuts again
 *
 * One line for each workload and device; the last line counts, `N passed, N failed`. A failure
 * prints what is wrong and an id. */
#include "tests/firmware/store_cuts.h"
#include "tests/firmware/store_damage.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SEEN_BITS = 23, /* states that can be told from each other: more than are ever looked at */
    LIFE_LOSSES = 40,
    LIFE_CUTS_EACH = 8,
    JOB_SECONDS = 120, /* of processor time: one job that takes longer hangs */
    STOP_SECONDS = 20,
    PROCESSES_MAX = 16,
    JOBS_MAX = 200,
    HEADER_BYTES = 192, /* of a block whose every bit is flipped */
};

enum kind { KIND_CUTS, KIND_BYTES, KIND_BITS, KIND_BLOCKS, KIND_LIVES };

struct job {
    enum kind kind;
    enum store_cuts_plan plan;
    const struct store_workload *workload; /* of KIND_CUTS */
    uint32_t device;
};

struct result {
    uint64_t done;
    uint64_t distinct;
    uint64_t twice;
    uint64_t torn;
    uint64_t refused;
    uint64_t lives;
    uint64_t reported;
    uint64_t corrupt;
    uint32_t operations;
    bool has_ended;
    double seconds; /* of processor time */
    char failure[STORE_CUTS_ID + 96];
};

/* What the processes share. */
struct board {
    uint64_t seen[1u << SEEN_BITS];
    uint64_t seen_count;
    uint32_t next_job;
    uint32_t next_life;
    bool has_failed;
    struct result results[JOBS_MAX];
};

static struct board *board;
static struct store_cuts cuts;
static struct store_damage damage;
static struct result *now; /* of the job that this process works on */
static struct job jobs[JOBS_MAX];
static uint32_t job_count;
static uint64_t wanted_cuts = 1000000;
static uint32_t wanted_seconds = 600;
static uint32_t first_life = 1;
static bool stops; /* at the first failure */
static time_t began;

/* ---- counting what is distinct ---- */

/* One slot for each state, found by its hash; the processes race for it, and one wins. */
static bool is_new(void *owner, uint64_t state) {
    (void)owner;
    uint64_t wanted = state == 0 ? 1 : state;
    for (uint32_t probe = 0; probe < 1u << SEEN_BITS; probe++) {
        uint64_t *slot = &board->seen[(wanted + probe) & ((1u << SEEN_BITS) - 1)];
        uint64_t found = 0;
        if (__atomic_compare_exchange_n(slot, &found, wanted, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            __atomic_add_fetch(&board->seen_count, 1, __ATOMIC_RELAXED);
            return true;
        }
        if (found == wanted) {
            return false;
        }
    }
    return false;
}

/* ---- jobs ---- */

static void add_job(struct job job) {
    check(job_count < JOBS_MAX);
    jobs[job_count] = job;
    job_count += 1;
}

/* What counts as short was counted without a cut. */
static bool is_short(const struct store_workload *workload, uint32_t device) {
    cuts.plan = STORE_CUTS_ONE;
    store_cuts_run(&cuts, workload, &rig_tiny_geometries[device]);
    check(cuts.operations <= STORE_WORKLOAD_OPERATIONS);
    return cuts.operations <= STORE_WORKLOAD_FEW;
}

static void list_jobs(void) {
    for (uint32_t device = 0; device < RIG_DEVICES; device++) { /* the longest first */
        for (enum kind kind = KIND_BYTES; kind <= KIND_BLOCKS; kind++) {
            add_job((struct job){.kind = kind, .device = device});
        }
    }
    for (uint32_t w = 0; w < store_workload_count; w++) {
        for (uint32_t device = 0; device < RIG_DEVICES; device++) {
            struct job job = {KIND_CUTS, STORE_CUTS_SAMPLED, &store_workloads[w], device};
            add_job(job);
            job.plan = STORE_CUTS_EVERY_BYTE;
            if (is_short(job.workload, device)) {
                add_job(job);
                job.plan = STORE_CUTS_PAIRS;
                add_job(job);
            }
        }
    }
    for (uint32_t device = 0; device < RIG_DEVICES; device++) {
        add_job((struct job){KIND_LIVES, STORE_CUTS_RANDOM, NULL, device});
    }
}

static bool may_go_on(void) {
    return board->seen_count < wanted_cuts && !board->has_failed &&
           time(NULL) - began < (time_t)wanted_seconds;
}

static void finish(struct result *result, clock_t since) {
    result->done += cuts.done;
    result->distinct += cuts.distinct;
    result->twice += cuts.twice;
    result->torn += cuts.torn;
    result->refused += cuts.refused;
    result->operations = cuts.operations;
    result->seconds += (double)(clock() - since) / CLOCKS_PER_SEC;
    if (cuts.failure[0] != '\0') {
        memcpy(result->failure, cuts.failure, sizeof result->failure);
        board->has_failed = true;
    }
    result->has_ended = true;
}

static void start(struct result *result, enum store_cuts_plan plan) {
    memset(&cuts, 0, offsetof(struct store_cuts, worlds));
    cuts.plan = plan;
    cuts.is_new = is_new;
    cuts.cuts_each = LIFE_CUTS_EACH;
    now = result;
    const struct itimerval limit = {.it_value.tv_sec = stops ? STOP_SECONDS : JOB_SECONDS};
    (void)setitimer(ITIMER_VIRTUAL, &limit, NULL);
}

static void run_damage(const struct job *job) {
    store_damage_prepare(&damage, &rig_tiny_geometries[job->device]);
    if (job->kind == KIND_BYTES) {
        store_damage_flip_bytes(&damage);
    } else if (job->kind == KIND_BITS) {
        store_damage_flip_bits(&damage, HEADER_BYTES);
    } else {
        store_damage_blocks(&damage);
    }
    cuts.done = damage.done;
    now->reported = damage.reported;
    now->corrupt = damage.corrupt;
    memcpy(cuts.failure, damage.failure, sizeof damage.failure);
}

static void run_job(uint32_t i) {
    clock_t since = clock();
    start(&board->results[i], jobs[i].plan);
    if (jobs[i].kind == KIND_CUTS) {
        store_cuts_run(&cuts, jobs[i].workload, &rig_tiny_geometries[jobs[i].device]);
    } else {
        run_damage(&jobs[i]);
    }
    finish(now, since);
}

static void run_lives(uint32_t first_job) {
    while (may_go_on()) {
        uint32_t life = __atomic_add_fetch(&board->next_life, 1, __ATOMIC_RELAXED);
        uint32_t device = life % RIG_DEVICES;
        clock_t since = clock();
        start(&board->results[first_job + device], STORE_CUTS_RANDOM);
        store_cuts_live(&cuts, life, &rig_tiny_geometries[device], LIFE_LOSSES);
        now->lives += 1;
        finish(now, since);
    }
}

static void work(void) {
    uint32_t lives = job_count - RIG_DEVICES;
    for (uint32_t i; (i = __atomic_fetch_add(&board->next_job, 1, __ATOMIC_RELAXED)) < lives &&
                     !(stops && board->has_failed);) {
        run_job(i);
    }
    run_lives(lives);
}

/* ---- what must not happen ---- */

/* A check of the store's that fails, a crash or a hang: the id says where. */
static void die(int signal_number) {
    char first[SIM_FLASH_CUT_TEXT];
    char second[SIM_FLASH_CUT_TEXT];
    sim_flash_cut_text(&cuts.path[0], first);
    sim_flash_cut_text(&cuts.path[1], second);
    if (now != NULL) {
        snprintf(now->failure, sizeof now->failure, "signal %d: %s/%s/%s (or /%s)", signal_number,
                 cuts.workload, cuts.geometry != NULL ? cuts.geometry->name : "", first, second);
        board->has_failed = true;
    }
    _exit(1);
}

static void catch_signals(void) {
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGVTALRM};
    for (size_t i = 0; i < array_count(signals); i++) {
        (void)signal(signals[i], die);
    }
}

/* ---- output ---- */

static void print_damage(const struct job *job, const struct result *result) {
    static const char *const names[] = {[KIND_BYTES] = "every byte flipped",
                                        [KIND_BITS] = "every bit of headers",
                                        [KIND_BLOCKS] = "every block lost"};
    printf("%-21s %-6s %8llu cases %8llu reported %8llu objects corrupt", names[job->kind],
           rig_tiny_geometries[job->device].name, (unsigned long long)result->done,
           (unsigned long long)result->reported, (unsigned long long)result->corrupt);
}

static void print_cuts(const struct job *job, const struct result *result) {
    static const char *const plans[] = {"each operation", "every byte", "pairs", "random", "one"};
    char what[32];
    snprintf(what, sizeof what, "%s of %u", plans[job->plan], (unsigned)result->operations);
    if (job->kind == KIND_LIVES) {
        snprintf(what, sizeof what, "%llu lives", (unsigned long long)result->lives);
    }
    printf("%-11s %-6s %-20s %8llu cuts %7llu distinct, %6llu twice, %6llu torn frames",
           job->workload != NULL ? job->workload->name : "random",
           rig_tiny_geometries[job->device].name, what, (unsigned long long)result->done,
           (unsigned long long)result->distinct, (unsigned long long)result->twice,
           (unsigned long long)result->torn);
}

static void print_result(const struct job *job, const struct result *result) {
    bool is_cuts = job->kind == KIND_CUTS || job->kind == KIND_LIVES;
    (is_cuts ? print_cuts : print_damage)(job, result);
    printf(" %5.1f s\n", result->seconds);
    if (result->refused > 0) {
        printf("note: in %llu of them a bad block was the last spare one: refused, and readable\n",
               (unsigned long long)result->refused);
    }
    if (result->failure[0] != '\0') {
        printf("FAILED  %s\n", result->failure);
    }
}

static int print_all(double seconds) {
    uint32_t failed = 0;
    uint32_t passed = 0;
    uint64_t cases = 0;
    for (uint32_t i = 0; i < job_count; i++) {
        const struct result *result = &board->results[i];
        if (result->has_ended || result->failure[0] != '\0' || !stops) {
            print_result(&jobs[i], result);
        }
        failed += result->failure[0] != '\0' || !result->has_ended;
        passed += result->failure[0] == '\0' && result->has_ended;
        cases += result->done;
    }
    bool is_enough = board->seen_count >= wanted_cuts;
    printf("%llu cases in %.0f s\n", (unsigned long long)cases, seconds);
    printf("note: the store: %llu distinct power cuts, of %llu wanted\n",
           (unsigned long long)board->seen_count, (unsigned long long)wanted_cuts);
    failed += !is_enough && failed == 0;
    printf("%u passed, %u failed\n", (unsigned)passed, (unsigned)failed);
    return failed > 0;
}

static int replay(int count, char **ids) {
    uint32_t failed = 0;
    for (int i = 0; i < count; i++) {
        start(&board->results[0], STORE_CUTS_ONE);
        bool is_damage = store_damage_replay(&damage, ids[i]);
        if (is_damage) {
            cuts.done = damage.done;
            memcpy(cuts.failure, damage.failure, sizeof damage.failure);
        } else if (!store_cuts_replay(&cuts, ids[i])) {
            fprintf(stderr, "not an id: %s\n", ids[i]);
            return 2;
        }
        printf("%s %s (%llu cuts)\n", cuts.failure[0] != '\0' ? "FAILED " : "ok     ",
               cuts.failure[0] != '\0' ? cuts.failure : ids[i], (unsigned long long)cuts.done);
        failed += cuts.failure[0] != '\0' || cuts.done == 0;
    }
    return failed > 0;
}

static int run_all(uint32_t processes) {
    list_jobs();
    fflush(NULL);
    for (uint32_t i = 0; i < processes; i++) {
        if (fork() == 0) {
            work();
            _exit(0);
        }
    }
    while (wait(NULL) > 0) {
    }
    return print_all((double)(time(NULL) - began));
}

int main(int argc, char **argv) {
    uint32_t processes = 2;
    int at = 1;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        uint64_t number = strtoull(argv[at + 1], NULL, 10);
        if (strcmp(argv[at], "--cuts") == 0) {
            wanted_cuts = number;
        } else if (strcmp(argv[at], "--seconds") == 0) {
            wanted_seconds = (uint32_t)number;
        } else if (strcmp(argv[at], "--stop") == 0) {
            stops = number != 0;
        } else if (strcmp(argv[at], "--life") == 0 && number > 0 && number < UINT32_MAX) {
            first_life = (uint32_t)number;
        } else if (strcmp(argv[at], "--jobs") == 0 && number > 0 && number <= PROCESSES_MAX) {
            processes = (uint32_t)number;
        } else {
            fprintf(
                stderr,
                "store_campaign [--cuts N] [--seconds N] [--jobs N] [--stop 1] [--life N] [ID…]\n");
            return 2;
        }
    }
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED) {
        perror("store_campaign");
        return 3;
    }
    board->next_life = first_life - 1;
    began = time(NULL);
    catch_signals();
    return at < argc ? replay(argc - at, argv + at) : run_all(processes);
}
