/* beanstalkd: put, reserve, touch, delete. Only put and delete reach its journal. */
#include "tests/bench/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t request(const struct load_client *client, char *target) {
    switch (client->step) {
    case LOAD_ENQUEUE:
        return (uint32_t)sprintf(target, "put 0 0 60 %d\r\n%s\r\n", LOAD_PAYLOAD_BYTES,
                                 load_payload);
    case LOAD_CLAIM:
        return (uint32_t)sprintf(target, "reserve-with-timeout 0\r\n");
    case LOAD_START:
        return (uint32_t)sprintf(target, "touch %s\r\n", client->id);
    case LOAD_COMPLETE:
        return (uint32_t)sprintf(target, "delete %s\r\n", client->id);
    case LOAD_EMPTY:
    case LOAD_HELLO:
    default:
        return (uint32_t)sprintf(target, "use default\r\n");
    }
}

static uint32_t whole(const struct load_client *client) {
    const char *end = strstr(client->answer, "\r\n");
    if (end == NULL) {
        return 0;
    }
    uint32_t size = (uint32_t)(end - client->answer) + 2;
    bool has_body = strncmp(client->answer, "RESERVED ", 9) == 0;
    return has_body ? size + LOAD_PAYLOAD_BYTES + 2 : size;
}

static enum load_verdict judge(struct load_client *client) {
    static const char *const good[] = {"INSERTED", "RESERVED", "TOUCHED", "DELETED", "USING"};
    const char *wanted = good[client->step];
    if (client->step == LOAD_CLAIM && strncmp(client->answer, "TIMED_OUT", 9) == 0) {
        return LOAD_NOTHING_THERE;
    }
    if (strncmp(client->answer, wanted, strlen(wanted)) != 0) {
        return LOAD_REFUSED;
    }
    if (client->step == LOAD_CLAIM) {
        snprintf(client->id, sizeof client->id, "%lu", strtoul(client->answer + 9, NULL, 10));
    }
    return LOAD_DONE;
}

const struct load_protocol load_beanstalkd = {
    .name = "beanstalkd", .request = request, .whole = whole, .judge = judge};
