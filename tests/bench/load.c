#include "tests/bench/load.h"

#include "hal/base.h"
#include "tests/bench/report.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

const char load_payload[LOAD_PAYLOAD_BYTES + 1] =
    "{\"package\":\"com.example.app\",\"apk\":\"app-release-1.2.3.apk\"}     ";

static const char *const step_names[] = {"enqueue", "claim", "start", "complete", "empty", "hello"};

const struct load_protocol *load_protocol_named(const char *name) {
    static const struct load_protocol *const all[] = {&load_http, &load_redis, &load_beanstalkd,
                                                      &load_postgres};
    for (size_t i = 0; i < array_count(all); i++) {
        if (strcmp(all[i]->name, name) == 0) {
            return all[i];
        }
    }
    return NULL;
}

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static _Noreturn void refused(const struct load_client *client) {
    fprintf(stderr, "bench: %s was refused:\n%.2000s\n", step_names[client->step], client->answer);
    exit(1);
}

/* ---- one client ---- */

static bool send_request(const struct load_protocol *protocol, struct load_client *client) {
    static char request[LOAD_BYTES];
    uint32_t size = protocol->request(client, request);
    check(size <= LOAD_BYTES);
    client->received = 0;
    client->sent = report_wall_seconds();
    return send(client->socket, request, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* 0: the answer is not whole yet; < 0: the connection is lost. */
static int receive(const struct load_protocol *protocol, struct load_client *client) {
    char *target = client->answer + client->received;
    ssize_t size = recv(client->socket, target, LOAD_BYTES - 1 - client->received, 0);
    if (size <= 0) {
        return -1;
    }
    client->received += (uint32_t)size;
    client->answer[client->received] = '\0';
    uint32_t whole = protocol->whole(client);
    return whole > 0 && client->received >= whole ? 1 : 0;
}

bool load_ask(const struct load_protocol *protocol, struct load_client *client,
              enum load_verdict *verdict) {
    int state = send_request(protocol, client) ? 0 : -1;
    while (state == 0) {
        state = receive(protocol, client);
    }
    if (state > 0) {
        *verdict = protocol->judge(client);
    }
    return state > 0;
}

bool load_connect(const struct load_protocol *protocol, uint16_t port, struct load_client *client) {
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int on = 1;
    enum load_verdict verdict = LOAD_DONE;
    client->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr *to = (const struct sockaddr *)(const void *)&address;
    if (client->socket < 0) {
        fail("a socket");
    }
    (void)setsockopt(client->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bool is_connected = connect(client->socket, to, sizeof address) == 0;
    if (is_connected && protocol->has_hello) {
        client->step = LOAD_HELLO;
        is_connected = load_ask(protocol, client, &verdict);
    }
    if (!is_connected) {
        close(client->socket);
        return false;
    }
    if (verdict != LOAD_DONE) {
        refused(client);
    }
    return true;
}

/* ---- the loop ---- */

static bool may_begin(const struct load *load, double start) {
    return load->job_count > 0 ? load->begun < load->job_count
                               : report_wall_seconds() - start < load->seconds;
}

static void begin_job(struct load *load, struct load_client *client, double start) {
    if (!may_begin(load, start)) {
        return;
    }
    client->number = load->first_number + load->begun;
    client->step = load->first_step;
    load->begun += 1;
    if (!send_request(load->protocol, client)) {
        fail("sending");
    }
}

static void go_on(struct load *load, struct load_client *client, double start) {
    enum load_verdict verdict = load->protocol->judge(client);
    if (verdict == LOAD_REFUSED) {
        refused(client);
    }
    if (load->sample_count < LOAD_SAMPLES_MAX) {
        load->latencies[load->sample_count] = (float)((report_wall_seconds() - client->sent) * 1e6);
        load->sample_count += 1;
    }
    if (client->step == load->last_step) {
        load->done += 1;
        begin_job(load, client, start);
        return;
    }
    if (verdict == LOAD_DONE) {
        client->step += 1;
    }
    if (!send_request(load->protocol, client)) {
        fail("sending");
    }
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a;
    float y = *(const float *)b;
    return (x > y) - (x < y);
}

static void connect_all(struct load *load) {
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < load->client_count; i++) {
        struct load_client *client = &load->clients[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        client->index = i;
        if (!load_connect(load->protocol, load->port, client) ||
            epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->socket, &event) != 0) {
            fail("connecting");
        }
    }
}

void load_run(struct load *load) {
    struct epoll_event events[LOAD_CLIENTS_MAX];
    check(load->client_count > 0 && load->client_count <= LOAD_CLIENTS_MAX);
    connect_all(load);
    double start = report_wall_seconds();
    for (uint32_t i = 0; i < load->client_count; i++) {
        begin_job(load, &load->clients[i], start);
    }
    while (load->done < load->begun) {
        int count = epoll_wait(load->epoll, events, LOAD_CLIENTS_MAX, 30000);
        if (count <= 0) {
            fail("no answer in 30 s");
        }
        for (int i = 0; i < count; i++) {
            struct load_client *client = events[i].data.ptr;
            int state = receive(load->protocol, client);
            if (state < 0) {
                fail("receiving");
            }
            if (state > 0) {
                go_on(load, client, start);
            }
        }
    }
    load->took_seconds = report_wall_seconds() - start;
    qsort(load->latencies, load->sample_count, sizeof load->latencies[0], compare);
}
