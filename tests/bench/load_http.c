/* hubd's own API (docs/api.md), as who submits and as an external worker. */
#include "tests/bench/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_BYTES = 1024, PATH_BYTES = 256 };

/* As the bench writes them into hubd's files. */
#define CAPABILITY "bench"
#define HEAD "Host: hub\r\nAuthorization: Bearer bench-secret\r\n"

static uint32_t put(char *target, const char *method, const char *path, const char *body) {
    return (uint32_t)snprintf(target, LOAD_BYTES,
                              "%s %s HTTP/1.1\r\n" HEAD
                              "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                              method, path, strlen(body), body);
}

static uint32_t put_enqueue(const struct load_client *client, char *target) {
    char body[BODY_BYTES];
    snprintf(body, sizeof body,
             "{\"request_id\":\"bench-%u\",\"capability\":\"" CAPABILITY
             "\",\"mode\":\"manual\",\"target\":{\"routing\":\"queue\"},\"inputs\":%s,"
             "\"requested_by\":{\"system\":\"bench\"}}",
             client->number, load_payload);
    return put(target, "POST", "/capability-requests/enqueue", body);
}

static uint32_t put_update(const struct load_client *client, char *target) {
    char body[BODY_BYTES];
    char path[PATH_BYTES];
    bool is_start = client->step == LOAD_START;
    snprintf(path, sizeof path, "/api/internal/jobs/%s/%s", client->id,
             is_start ? "status" : "complete");
    snprintf(body, sizeof body, "{\"worker\":\"w%u\",\"lease_token\":\"%s\",%s}", client->index,
             client->token, is_start ? "\"status\":\"running\"" : "\"exitCode\":0");
    return put(target, is_start ? "PUT" : "POST", path, body);
}

static uint32_t request(const struct load_client *client, char *target) {
    switch (client->step) {
    case LOAD_ENQUEUE:
        return put_enqueue(client, target);
    case LOAD_CLAIM:
        return (uint32_t)snprintf(
            target, LOAD_BYTES,
            "GET /api/internal/jobs/queue?worker=w%u&batch=1&types=" CAPABILITY " HTTP/1.1\r\n" HEAD
            "\r\n",
            client->index);
    case LOAD_START:
    case LOAD_COMPLETE:
        return put_update(client, target);
    case LOAD_EMPTY:
    case LOAD_HELLO:
    default:
        return (uint32_t)snprintf(target, LOAD_BYTES, "GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n");
    }
}

static uint32_t whole(const struct load_client *client) {
    const char *end = strstr(client->answer, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }
    const char *length = strstr(client->answer, "\r\nContent-Length:");
    uint32_t body = length == NULL ? 0 : (uint32_t)strtoul(length + 17, NULL, 10);
    return (uint32_t)(end - client->answer) + 4 + body;
}

static bool take_text(const char *json, const char *name, char *target) {
    const char *at = strstr(json, name);
    const char *start = at == NULL ? NULL : at + strlen(name);
    const char *end = start == NULL ? NULL : strchr(start, '"');
    if (end == NULL || end - start >= LOAD_ID_BYTES) {
        return false;
    }
    memcpy(target, start, (size_t)(end - start));
    target[end - start] = '\0';
    return true;
}

static enum load_verdict judge(struct load_client *client) {
    long status = strtol(client->answer + sizeof "HTTP/1.1" - 1, NULL, 10);
    if (status != 200 && status != 202) {
        return LOAD_REFUSED;
    }
    if (client->step != LOAD_CLAIM) {
        return LOAD_DONE;
    }
    bool is_there = take_text(client->answer, "\"id\":\"", client->id) &&
                    take_text(client->answer, "\"lease_token\":\"", client->token);
    return is_there ? LOAD_DONE : LOAD_NOTHING_THERE;
}

const struct load_protocol load_http = {
    .name = "http", .request = request, .whole = whole, .judge = judge};
