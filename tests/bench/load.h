/* load.h - a closed loop of HTTP clients on loopback: each keeps one connection and one request in
 * flight, and sends the next as soon as the answer is complete. One thread, epoll. */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

enum { LOAD_CLIENTS_MAX = 256, LOAD_BYTES = 4096, LOAD_SAMPLES_MAX = 1 << 20 };

struct load_client {
    int socket;
    double sent; /* when its request went out */
    uint32_t received;
    char answer[LOAD_BYTES];
};

/* Writes the number-th request and returns its size, at most LOAD_BYTES. */
typedef uint32_t (*load_request)(char *target, uint32_t number);

struct load {
    uint16_t port;
    uint32_t client_count;
    uint32_t request_count; /* to be answered in all */
    int wanted_status;
    load_request request;
    /* Results */
    uint32_t sent;
    uint32_t answered;
    double seconds;
    int epoll;
    float latencies[LOAD_SAMPLES_MAX]; /* microseconds, sorted when it ends */
    struct load_client clients[LOAD_CLIENTS_MAX];
};

/* Ends the program with a message when a request is refused or a connection is lost. */
void load_run(struct load *load);

#endif
