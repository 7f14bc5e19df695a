/* sim - runs the farm simulator.
 *
 *   sim --hours N [--first SEED] [--jobs N]   a campaign: seeds from SEED on, N hub-hours in all
 *   sim --seed N [--trace]                    one seed; --trace tells all of it
 *   sim --shrink N                            a failing seed with fewer faults and less time
 *   sim --hashes COUNT [--first SEED]         one line a seed: what a second build must print too
 *
 * --without A,B leaves kinds of faults out; --minutes, --hubs make a seed's world smaller. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 16, TRACE_MS = 120000 };

static struct sim_world world;

_Noreturn void check_failed(const char *condition, const char *file, unsigned line) {
    sim_fail(&world, "P8 check failed: %s at %s:%u", condition, file, line);
}

struct options {
    struct sim_setting setting;
    uint64_t first;
    uint64_t seeds; /* 0: as many as the hours take */
    uint64_t hub_hours;
    uint32_t jobs;
    bool is_shrink, is_hashes, is_one, is_whole;
};

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- one seed ---- */

static bool run(const struct sim_setting *setting) {
    return sim_world_run(&world, setting);
}

static void print_setting(const struct sim_setting *setting) {
    printf("sim --seed %llu", (unsigned long long)setting->seed);
    if (setting->minutes > 0) {
        printf(" --minutes %u", setting->minutes);
    }
    if (setting->hubs > 0) {
        printf(" --hubs %u", setting->hubs);
    }
    const char *before = " --without ";
    for (uint32_t fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        if ((setting->bans >> fault & 1u) != 0) {
            printf("%s%s", before, sim_fault_name((enum sim_fault)fault));
            before = ",";
        }
    }
    putchar('\n');
}

/* Fails with the same rule as before. */
static bool still_fails(const struct sim_setting *setting, const char *rule) {
    return !run(setting) && strncmp(world.why, rule, strlen(rule)) == 0;
}

static int shrink(struct sim_setting setting) {
    char rule[8] = "";
    if (run(&setting)) {
        printf("seed %llu does not fail\n", (unsigned long long)setting.seed);
        return 0;
    }
    size_t size = strcspn(world.why, " ");
    memcpy(rule, world.why, size < sizeof rule - 1 ? size : sizeof rule - 1);
    printf("it fails at %llu s: %s\n", (unsigned long long)world.now_ms / 1000, world.why);
    for (uint32_t fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        struct sim_setting fewer = setting;
        fewer.bans |= UINT64_C(1) << fault;
        setting = still_fails(&fewer, rule) ? fewer : setting;
    }
    for (uint32_t hubs = 1; hubs < SIM_HUBS && setting.hubs == 0; hubs++) {
        struct sim_setting fewer = setting;
        fewer.hubs = hubs;
        setting = still_fails(&fewer, rule) ? fewer : setting;
    }
    (void)run(&setting);
    uint32_t minutes = (uint32_t)(world.now_ms / 60000) + 1;
    for (uint32_t step = minutes; step > 0; step /= 2) {
        struct sim_setting shorter = setting;
        shorter.minutes = minutes > step ? minutes - step : 1;
        if (still_fails(&shorter, rule)) {
            setting = shorter;
            minutes = shorter.minutes;
        }
    }
    (void)run(&setting);
    setting.trace_from_ms = world.now_ms > TRACE_MS ? world.now_ms - TRACE_MS : 0;
    setting.is_traced = true;
    (void)run(&setting);
    print_setting(&setting);
    printf("%s\n", world.why);
    return 1;
}

static int run_one(struct sim_setting setting) {
    bool is_traced = setting.is_traced;
    bool is_good = run(&setting);
    if (!is_good && !is_traced) {
        setting.trace_from_ms = world.now_ms > TRACE_MS ? world.now_ms - TRACE_MS : 0;
        setting.is_traced = true;
        (void)run(&setting);
        printf("seed %llu FAILED at %llu s: %s\n", (unsigned long long)setting.seed,
               (unsigned long long)world.now_ms / 1000, world.why);
        return 1;
    }
    if (is_good) {
        sim_counts_print(&world.counts);
    }
    printf("seed %llu hash %016llx %s\n", (unsigned long long)setting.seed,
           (unsigned long long)world.hash, is_good ? "good" : world.why);
    return is_good ? 0 : 1;
}

static int print_hashes(const struct options *options) {
    for (uint64_t seed = options->first; seed < options->first + options->seeds; seed++) {
        struct sim_setting setting = options->setting;
        setting.seed = seed;
        bool is_good = run(&setting);
        printf("%llu %016llx %llu %s\n", (unsigned long long)seed, (unsigned long long)world.hash,
               (unsigned long long)world.events, is_good ? "good" : world.why);
    }
    return 0;
}

/* ---- a campaign ---- */

struct result {
    struct sim_counts counts;
    uint64_t failed_seed;
    uint64_t seeds; /* tried */
    bool has_failed;
    char why[256];
};

static void work(const struct options *options, uint32_t job, int pipe) {
    static struct result result;
    uint64_t share_ms = options->hub_hours * SIM_HOUR_MS / options->jobs;
    for (uint64_t n = job; options->seeds == 0 || n < options->seeds; n += options->jobs) {
        struct sim_setting setting = options->setting;
        setting.seed = options->first + n;
        result.seeds += 1;
        if (!run(&setting)) {
            result.has_failed = true;
            result.failed_seed = setting.seed;
            memcpy(result.why, world.why, sizeof result.why);
            break;
        }
        sim_counts_add(&result.counts, &world.counts);
        if (options->seeds == 0 && result.counts.hub_ms >= share_ms) {
            break;
        }
    }
    const uint8_t *from = (const uint8_t *)&result;
    for (size_t done = 0; done < sizeof result;) {
        ssize_t size = write(pipe, from + done, sizeof result - done);
        if (size <= 0) {
            _exit(2);
        }
        done += (size_t)size;
    }
    _exit(0);
}

static bool collect(int pipe, struct result *result) {
    uint8_t *to = (uint8_t *)result;
    size_t done = 0;
    while (done < sizeof *result) {
        ssize_t size = read(pipe, to + done, sizeof *result - done);
        if (size <= 0) {
            return false;
        }
        done += (size_t)size;
    }
    return true;
}

static int campaign(const struct options *options) {
    static struct result result;
    static struct sim_counts sum;
    int pipes[JOBS_MAX];
    double start_s = now_s();
    bool is_good = true;
    for (uint32_t job = 0; job < options->jobs; job++) {
        int ends[2];
        if (pipe(ends) != 0) {
            return 2;
        }
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            work(options, job, ends[1]);
        }
        close(ends[1]);
        pipes[job] = ends[0];
    }
    for (uint32_t job = 0; job < options->jobs; job++) {
        if (!collect(pipes[job], &result)) {
            printf("FAILED: a process of the campaign died\n");
            is_good = false;
            continue;
        }
        sim_counts_add(&sum, &result.counts);
        if (result.has_failed) {
            printf("FAILED seed %llu: %s (after %llu seeds)\n",
                   (unsigned long long)result.failed_seed, result.why,
                   (unsigned long long)result.seeds * options->jobs);
            is_good = false;
        }
    }
    while (wait(NULL) > 0) {
    }
    if (!is_good) {
        return 1;
    }
    double passed_s = now_s() - start_s;
    sim_counts_print(&sum);
    double hours = (double)sum.hub_ms / SIM_HOUR_MS;
    printf("note: %.0f hub-hours in %.1f s (%.0f a second), %llu seeds, %llu events\n", hours,
           passed_s, hours / passed_s, (unsigned long long)sum.seeds,
           (unsigned long long)sum.events);
    return !options->is_whole || sim_counts_whole(&sum) ? 0 : 1;
}

/* ---- options ---- */

static void parse_without(struct sim_setting *setting, const char *text) {
    while (*text != '\0') {
        size_t size = strcspn(text, ",");
        for (uint32_t fault = 0; fault < SIM_FAULT_COUNT; fault++) {
            const char *name = sim_fault_name((enum sim_fault)fault);
            if (strlen(name) == size && strncmp(name, text, size) == 0) {
                setting->bans |= UINT64_C(1) << fault;
            }
        }
        text += size + (text[size] == ',' ? 1 : 0);
    }
}

/* False: not an option with a value. */
static bool take_value(struct options *options, const char *name, const char *value) {
    uint64_t number = strtoull(value, NULL, 0);
    if (strcmp(name, "--seed") == 0 || strcmp(name, "--shrink") == 0) {
        options->setting.seed = number;
        options->is_one = true;
        options->is_shrink = name[3] == 'h';
    } else if (strcmp(name, "--first") == 0) {
        options->first = number;
    } else if (strcmp(name, "--seeds") == 0 || strcmp(name, "--hashes") == 0) {
        options->seeds = number;
        options->is_hashes = name[2] == 'h';
    } else if (strcmp(name, "--hours") == 0) {
        options->hub_hours = number;
    } else if (strcmp(name, "--jobs") == 0) {
        options->jobs = number < 1 ? 1 : number > JOBS_MAX ? JOBS_MAX : (uint32_t)number;
    } else if (strcmp(name, "--minutes") == 0) {
        options->setting.minutes = (uint32_t)number;
    } else if (strcmp(name, "--hubs") == 0) {
        options->setting.hubs = number > SIM_HUBS ? SIM_HUBS : (uint32_t)number;
    } else if (strcmp(name, "--without") == 0) {
        parse_without(&options->setting, value);
    } else {
        return false;
    }
    return true;
}

static bool parse(int count, char **arguments, struct options *options) {
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--trace") == 0) {
            options->setting.is_traced = true;
        } else if (strcmp(arguments[i], "--whole") == 0) {
            options->is_whole = true;
        } else if (i + 1 < count && take_value(options, arguments[i], arguments[i + 1])) {
            i += 1;
        } else {
            fprintf(stderr, "sim: %s is no option\n", arguments[i]);
            return false;
        }
    }
    return true;
}

int main(int count, char **arguments) {
    struct options options = {.first = 1, .jobs = 1, .hub_hours = 100};
    if (!parse(count, arguments, &options)) {
        return 2;
    }
    if (options.is_shrink) {
        return shrink(options.setting);
    }
    if (options.is_one) {
        return run_one(options.setting);
    }
    return options.is_hashes ? print_hashes(&options) : campaign(&options);
}
