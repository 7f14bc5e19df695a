/* load_bench.c - rows P1 to P3: drives hubd's API, and says what disk and loopback can do at most.
 *
 *   load_bench enqueue PORT CLIENTS COUNT FIRST TOKEN CAPABILITY   each answered when durable
 *   load_bench empty PORT CLIENTS COUNT                            GET /healthz
 *   load_bench disk FILE BYTES SECONDS                             pwrite and fdatasync in a loop
 *
 * `disk` overwrites a file of 8 MiB that was written whole and synced before. */
#include "tests/bench/load.h"

#include "tests/bench/report.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DISK_FILE_BYTES = 8 << 20, DISK_CHUNK_MAX = 65536, BODY_BYTES = 1024 };

static struct load load;
static const char *token;
static const char *capability;
static uint32_t first_number;

static uint32_t put_empty(char *target, uint32_t number) {
    (void)number;
    return (uint32_t)snprintf(target, LOAD_BYTES, "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n");
}

static uint32_t put_enqueue(char *target, uint32_t number) {
    char body[BODY_BYTES];
    int size = snprintf(body, sizeof body,
                        "{\"capability\":\"%s\",\"mode\":\"manual\",\"target\":{\"routing\":"
                        "\"queue\"},\"inputs\":{},\"requested_by\":{\"system\":\"bench\"},"
                        "\"request_id\":\"bench-%u\"}",
                        capability, first_number + number);
    return (uint32_t)snprintf(target, LOAD_BYTES,
                              "POST /capability-requests/enqueue HTTP/1.1\r\nHost: hub\r\n"
                              "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                              "Content-Length: %d\r\n\r\n%s",
                              token, size, body);
}

static double quantile(uint32_t count, double share) {
    uint32_t samples = count < LOAD_SAMPLES_MAX ? count : LOAD_SAMPLES_MAX;
    return (double)load.latencies[(uint32_t)((samples - 1) * share)];
}

static void drive(char **argv, int wanted_status, load_request request) {
    load.port = (uint16_t)strtoul(argv[2], NULL, 10);
    load.client_count = (uint32_t)strtoul(argv[3], NULL, 10);
    load.request_count = (uint32_t)strtoul(argv[4], NULL, 10);
    load.wanted_status = wanted_status;
    load.request = request;
    load_run(&load);
    report("per_second", load.answered / load.seconds);
    report("p50_us", quantile(load.answered, 0.5));
    report("p99_us", quantile(load.answered, 0.99));
}

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
        must_write(file, chunk, bytes, (off_t)(count * bytes % (DISK_FILE_BYTES / 2)));
        must_sync(file);
        count += 1;
        now = report_wall_seconds();
    }
    report("syncs_per_second", count / (now - start));
    report("sync_us", (now - start) * 1e6 / count);
    close(file);
}

int main(int argc, char **argv) {
    if (argc == 5 && strcmp(argv[1], "disk") == 0) {
        disk(argv[2], strtoul(argv[3], NULL, 10), strtod(argv[4], NULL));
    } else if (argc == 5 && strcmp(argv[1], "empty") == 0) {
        drive(argv, 200, put_empty);
    } else if (argc == 8 && strcmp(argv[1], "enqueue") == 0) {
        first_number = (uint32_t)strtoul(argv[5], NULL, 10);
        token = argv[6];
        capability = argv[7];
        drive(argv, 202, put_enqueue);
    } else {
        fprintf(stderr, "usage: see the top of tests/bench/load_bench.c\n");
        return 2;
    }
    return 0;
}
