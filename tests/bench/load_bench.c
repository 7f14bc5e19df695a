/* load_bench.c - rows P1 to P3: drives hubd and its peers, and says what the disk can do at most.
 *
 *   load_bench enqueue PROTOCOL PORT CLIENTS AMOUNT FIRST  jobs that are left waiting
 *   load_bench jobs PROTOCOL PORT CLIENTS AMOUNT FIRST     jobs taken from end to end
 *   load_bench empty PROTOCOL PORT CLIENTS AMOUNT FIRST    requests that change nothing
 *   load_bench restart PROTOCOL PORT STEP COMMAND...       starts a server; until its first answer
 *   load_bench disk FILE BYTES SECONDS                     pwrite and fdatasync in a loop
 *
 * PROTOCOL is http (hubd), redis, beanstalkd or postgres. AMOUNT is a number of jobs, or seconds
 * with an s behind it. FIRST is the number of the first job;
 * numbers are not to be used twice against one server. STEP is claim, or enqueue. `restart` leaves
 * the server running and reports its pid. `disk` overwrites a file of 8 MiB that was written whole
 * and synced before. */
#include "tests/bench/load.h"

#include "hal/base.h"
#include "tests/bench/report.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DISK_FILE_BYTES = 8 << 20, DISK_CHUNK_MAX = 65536, RESTART_SECONDS = 60 };

static struct load load;

static double quantile(double share) {
    return load.sample_count == 0
               ? 0
               : (double)load.latencies[(uint32_t)((load.sample_count - 1) * share)];
}

static void drive(char **argv, enum load_step first, enum load_step last) {
    bool is_time = strchr(argv[5], 's') != NULL;
    load.port = (uint16_t)strtoul(argv[3], NULL, 10);
    load.client_count = (uint32_t)strtoul(argv[4], NULL, 10);
    load.seconds = strtod(argv[5], NULL);
    load.job_count = is_time ? 0 : (uint32_t)strtoul(argv[5], NULL, 10);
    load.first_number = (uint32_t)strtoul(argv[6], NULL, 10);
    load.first_step = first;
    load.last_step = last;
    load_run(&load);
    report("per_second", load.done / load.took_seconds);
    report("done", load.done);
    report("p50_us", quantile(0.5));
    report("p99_us", quantile(0.99));
}

/* ---- the disk's limits ---- */

static void must_write(int file, const void *bytes, size_t size, off_t offset) {
    if (pwrite(file, bytes, size, offset) != (ssize_t)size) {
        perror("bench: writing");
        exit(1);
    }
}

static void must_sync(int file) {
    if (fdatasync(file) != 0) {
        perror("bench: fdatasync");
        exit(1);
    }
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a;
    float y = *(const float *)b;
    return (x > y) - (x < y);
}

static void disk(const char *path, size_t bytes, double seconds) {
    static char chunk[DISK_CHUNK_MAX];
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || bytes == 0 || bytes > DISK_CHUNK_MAX) {
        perror("bench: the file for the disk's limits");
        exit(1);
    }
    memset(chunk, 1, sizeof chunk);
    for (off_t at = 0; at < DISK_FILE_BYTES; at += DISK_CHUNK_MAX) {
        must_write(file, chunk, DISK_CHUNK_MAX, at);
    }
    (void)fsync(file);
    uint32_t count = 0;
    double start = report_wall_seconds();
    double now = start;
    while (now - start < seconds) {
        double before = now;
        must_write(file, chunk, bytes, (off_t)(count * bytes % (DISK_FILE_BYTES / 2)));
        must_sync(file);
        now = report_wall_seconds();
        load.latencies[count % LOAD_SAMPLES_MAX] = (float)((now - before) * 1e6);
        count += 1;
    }
    load.sample_count = count < LOAD_SAMPLES_MAX ? count : LOAD_SAMPLES_MAX;
    qsort(load.latencies, load.sample_count, sizeof load.latencies[0], compare);
    report("syncs_per_second", count / (now - start));
    report("mean_us", (now - start) * 1e6 / count);
    report("p50_us", quantile(0.5));
    report("p99_us", quantile(0.99));
    close(file);
}

/* ---- a restart ---- */

static pid_t start_server(char **command) {
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, STDOUT_FILENO);
        execvp(command[0], command);
        perror("bench: starting the server");
        _exit(127);
    }
    if (pid < 0) {
        perror("bench: fork");
        exit(1);
    }
    return pid;
}

/* A server that is coming up may refuse, hang up, or have nothing to hand out yet. */
static bool answers(struct load_client *client, enum load_step step, bool *is_connected) {
    enum load_verdict verdict = LOAD_REFUSED;
    if (!*is_connected) {
        *is_connected = load_connect(load.protocol, load.port, client);
    }
    client->step = step;
    if (*is_connected && !load_ask(load.protocol, client, &verdict)) {
        close(client->socket);
        *is_connected = false;
    }
    return *is_connected && verdict == LOAD_DONE;
}

static void restart(uint16_t port, enum load_step step, char **command) {
    const struct timespec pause = {.tv_nsec = 200000};
    struct load_client *client = &load.clients[0];
    client->number = UINT32_MAX; /* of no job that waits */
    bool is_connected = false;
    load.port = port;
    double start = report_wall_seconds();
    pid_t pid = start_server(command);
    while (!answers(client, step, &is_connected)) {
        if (report_wall_seconds() - start > RESTART_SECONDS) {
            fprintf(stderr, "bench: not served in %d s; the last answer was:\n%.500s\n",
                    RESTART_SECONDS, client->answer);
            break;
        }
        nanosleep(&pause, NULL);
    }
    report("milliseconds", (report_wall_seconds() - start) * 1e3);
    report("pid", pid);
}

static bool run(int argc, char **argv) {
    if (argc == 5 && strcmp(argv[1], "disk") == 0) {
        disk(argv[2], strtoul(argv[3], NULL, 10), strtod(argv[4], NULL));
        return true;
    }
    load.protocol = argc < 5 ? NULL : load_protocol_named(argv[2]);
    if (load.protocol == NULL) {
        return false;
    }
    if (argc == 7 && strcmp(argv[1], "enqueue") == 0) {
        drive(argv, LOAD_ENQUEUE, LOAD_ENQUEUE);
    } else if (argc == 7 && strcmp(argv[1], "jobs") == 0) {
        drive(argv, LOAD_ENQUEUE, LOAD_COMPLETE);
    } else if (argc == 7 && strcmp(argv[1], "empty") == 0) {
        drive(argv, LOAD_EMPTY, LOAD_EMPTY);
    } else if (argc > 5 && strcmp(argv[1], "restart") == 0) {
        bool is_claim = strcmp(argv[4], "claim") == 0;
        restart((uint16_t)strtoul(argv[3], NULL, 10), is_claim ? LOAD_CLAIM : LOAD_ENQUEUE,
                argv + 5);
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv) {
    if (!run(argc, argv)) {
        fprintf(stderr, "usage: see the top of tests/bench/load_bench.c\n");
        return 2;
    }
    return 0;
}
