/* load.h - a closed loop of clients on loopback, one thread, epoll: each keeps one connection and
 * one request in flight, and sends the next as soon as the answer is complete. The same loop drives
 * hubd and its peers; what differs is a struct load_protocol: bytes out, bytes in.
 *
 * A job is four requests, each answered when it is durable: enqueue, claim, start, complete. Every
 * step ends with an answer that the protocol has judged; a refusal ends the program. */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

enum { LOAD_CLIENTS_MAX = 256, LOAD_BYTES = 8192, LOAD_ID_BYTES = 64, LOAD_SAMPLES_MAX = 1 << 20 };

enum load_step { LOAD_ENQUEUE, LOAD_CLAIM, LOAD_START, LOAD_COMPLETE, LOAD_EMPTY, LOAD_HELLO };

struct load_client {
    int socket;
    uint32_t index;
    uint32_t number; /* of its present job, unique in the run */
    enum load_step step;
    double sent; /* when its request went out */
    uint32_t received;
    char id[LOAD_ID_BYTES];    /* of the job that it claimed */
    char token[LOAD_ID_BYTES]; /* of its lease, where the protocol has one */
    char answer[LOAD_BYTES];   /* ends with a NUL */
};

enum load_verdict { LOAD_DONE, LOAD_NOTHING_THERE, LOAD_REFUSED };

struct load_protocol {
    const char *name;
    bool has_hello; /* each connection begins with a LOAD_HELLO of its own */
    /* Writes the request of the client's step; at most LOAD_BYTES. Returns its size. */
    uint32_t (*request)(const struct load_client *client, char *target);
    /* Size of the answer at the front of client->answer; 0: not complete yet. */
    uint32_t (*whole)(const struct load_client *client);
    /* Judges a whole answer and keeps what later steps need. NOTHING_THERE: no job to claim. */
    enum load_verdict (*judge)(struct load_client *client);
};

extern const struct load_protocol load_http, load_redis, load_beanstalkd, load_postgres;

/* NULL: no such protocol. */
const struct load_protocol *load_protocol_named(const char *name);

enum { LOAD_PAYLOAD_BYTES = 64 };
extern const char load_payload[LOAD_PAYLOAD_BYTES + 1];

struct load {
    const struct load_protocol *protocol;
    uint16_t port;
    uint32_t client_count;
    enum load_step first_step, last_step; /* of each job */
    uint32_t first_number;
    uint32_t job_count; /* to be done; 0: until the time is over */
    double seconds;     /* when job_count is 0 */
    /* Results */
    uint32_t begun;
    uint32_t done;
    double took_seconds;
    uint32_t sample_count;
    int epoll;
    float latencies[LOAD_SAMPLES_MAX]; /* of one request, microseconds, sorted when it ends */
    struct load_client clients[LOAD_CLIENTS_MAX];
};

/* Ends the program with a message when a request is refused or a connection is lost. */
void load_run(struct load *load);

/* Connects and says hello, with blocking calls. False: nobody listens yet. */
bool load_connect(const struct load_protocol *protocol, uint16_t port, struct load_client *client);

/* One request and its answer, with blocking calls. False: the connection was lost. */
bool load_ask(const struct load_protocol *protocol, struct load_client *client,
              enum load_verdict *verdict);

#endif
