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

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void connect_one(struct load *load, uint32_t i) {
    struct load_client *client = &load->clients[i];
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(load->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int on = 1;
    client->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr *to = (const struct sockaddr *)(const void *)&address;
    if (client->socket < 0 || connect(client->socket, to, sizeof address) != 0) {
        fail("connecting");
    }
    (void)setsockopt(client->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->socket, &event) != 0) {
        fail("epoll");
    }
}

static void send_next(struct load *load, struct load_client *client) {
    static char request[LOAD_BYTES];
    if (load->sent == load->request_count) {
        return;
    }
    uint32_t size = load->request(request, load->sent);
    check(size <= LOAD_BYTES);
    load->sent += 1;
    client->received = 0;
    client->sent = report_wall_seconds();
    if (send(client->socket, request, size, MSG_NOSIGNAL) != (ssize_t)size) {
        fail("sending");
    }
}

/* Bytes of the whole answer; 0: its head is not complete yet. */
static uint32_t answer_bytes(const struct load_client *client) {
    const char *end = strstr(client->answer, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }
    const char *length = strcasestr(client->answer, "\r\ncontent-length:");
    uint32_t body = length == NULL ? 0 : (uint32_t)strtoul(length + 17, NULL, 10);
    return (uint32_t)(end - client->answer) + 4 + body;
}

static void finish_answer(struct load *load, struct load_client *client) {
    if (strtol(client->answer + sizeof "HTTP/1.1" - 1, NULL, 10) != load->wanted_status) {
        fprintf(stderr, "bench: a request was refused:\n%s\n", client->answer);
        exit(1);
    }
    double seconds = report_wall_seconds() - client->sent;
    if (load->answered < LOAD_SAMPLES_MAX) {
        load->latencies[load->answered] = (float)(seconds * 1e6);
    }
    load->answered += 1;
    send_next(load, client);
}

static void receive(struct load *load, struct load_client *client) {
    char *target = client->answer + client->received;
    ssize_t size = recv(client->socket, target, LOAD_BYTES - 1 - client->received, 0);
    if (size <= 0) {
        fail("receiving");
    }
    client->received += (uint32_t)size;
    client->answer[client->received] = '\0';
    uint32_t whole = answer_bytes(client);
    if (whole > LOAD_BYTES - 1) {
        errno = EMSGSIZE;
        fail("an answer");
    }
    if (whole > 0 && client->received >= whole) {
        finish_answer(load, client);
    }
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a;
    float y = *(const float *)b;
    return (x > y) - (x < y);
}

void load_run(struct load *load) {
    struct epoll_event events[LOAD_CLIENTS_MAX];
    check(load->client_count > 0 && load->client_count <= LOAD_CLIENTS_MAX);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < load->client_count; i++) {
        connect_one(load, i);
    }
    double start = report_wall_seconds();
    for (uint32_t i = 0; i < load->client_count; i++) {
        send_next(load, &load->clients[i]);
    }
    while (load->answered < load->request_count) {
        int count = epoll_wait(load->epoll, events, LOAD_CLIENTS_MAX, 30000);
        if (count <= 0) {
            fail("no answer in 30 s");
        }
        for (int i = 0; i < count; i++) {
            receive(load, &load->clients[events[i].data.u32]);
        }
    }
    load->seconds = report_wall_seconds() - start;
    uint32_t samples = load->answered < LOAD_SAMPLES_MAX ? load->answered : LOAD_SAMPLES_MAX;
    qsort(load->latencies, samples, sizeof load->latencies[0], compare);
}
