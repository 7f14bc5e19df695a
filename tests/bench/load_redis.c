/* Redis: a hash a job, a list of those that wait, a sorted set of leases; each step is one call of
 * a function on the server, so that it is one durable change. */
#include "tests/bench/load.h"

#include "hal/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char library[] =
    "#!lua name=bench\n"
    "redis.register_function('enqueue', function(k, a) "
    "redis.call('HSET', 'job:' .. a[1], 'state', 'ready', 'payload', a[2]); "
    "redis.call('LPUSH', 'ready', a[1]); return 1 end)\n"
    "redis.register_function('claim', function(k, a) "
    "local id = redis.call('RPOP', 'ready'); if not id then return '' end; "
    "redis.call('HSET', 'job:' .. id, 'state', 'leased', 'owner', a[1]); "
    "redis.call('ZADD', 'leases', a[2], id); return id end)\n"
    "redis.register_function('start', function(k, a) "
    "redis.call('HSET', 'job:' .. a[1], 'state', 'running'); "
    "redis.call('ZADD', 'leases', a[2], a[1]); return 1 end)\n"
    "redis.register_function('complete', function(k, a) "
    "redis.call('HSET', 'job:' .. a[1], 'state', 'completed'); "
    "redis.call('ZREM', 'leases', a[1]); return 1 end)\n";

static uint32_t put_array(char *target, const char *const *words, int count) {
    uint32_t size = (uint32_t)sprintf(target, "*%d\r\n", count);
    for (int i = 0; i < count; i++) {
        size += (uint32_t)sprintf(target + size, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
    }
    return size;
}

static uint32_t request(const struct load_client *client, char *target) {
    char number[16];
    snprintf(number, sizeof number, "%u", client->number);
    switch (client->step) {
    case LOAD_ENQUEUE:
        return put_array(target, (const char *[]){"FCALL", "enqueue", "0", number, load_payload},
                         5);
    case LOAD_CLAIM:
        return put_array(target, (const char *[]){"FCALL", "claim", "0", "worker", number}, 5);
    case LOAD_START:
        return put_array(target, (const char *[]){"FCALL", "start", "0", client->id, number}, 5);
    case LOAD_COMPLETE:
        return put_array(target, (const char *[]){"FCALL", "complete", "0", client->id}, 4);
    case LOAD_HELLO:
        return put_array(target, (const char *[]){"FUNCTION", "LOAD", "REPLACE", library}, 4);
    case LOAD_EMPTY:
    default:
        return put_array(target, (const char *[]){"PING"}, 1);
    }
}

static uint32_t whole(const struct load_client *client) {
    const char *end = strstr(client->answer, "\r\n");
    if (end == NULL) {
        return 0;
    }
    uint32_t size = (uint32_t)(end - client->answer) + 2;
    long bulk = client->answer[0] == '$' ? strtol(client->answer + 1, NULL, 10) : -1;
    return bulk < 0 ? size : size + (uint32_t)bulk + 2;
}

static enum load_verdict judge(struct load_client *client) {
    if (client->answer[0] == '-') {
        return LOAD_REFUSED;
    }
    if (client->step != LOAD_CLAIM) {
        return LOAD_DONE;
    }
    long size = strtol(client->answer + 1, NULL, 10);
    if (size <= 0 || size >= LOAD_ID_BYTES) {
        return LOAD_NOTHING_THERE;
    }
    memcpy(client->id, strstr(client->answer, "\r\n") + 2, (size_t)size);
    client->id[size] = '\0';
    return LOAD_DONE;
}

const struct load_protocol load_redis = {
    .name = "redis", .has_hello = true, .request = request, .whole = whole, .judge = judge};
