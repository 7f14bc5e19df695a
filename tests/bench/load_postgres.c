/* PostgreSQL, protocol 3.0 by hand (so that a client is one socket in the loop like the others):
 * statements prepared once a connection, then one Bind, Execute and Sync for each step, which is
 * one transaction of its own. Trusts the server: user `bench`, database `postgres`. */
#include "tests/bench/load.h"

#include "hal/base.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

struct statement {
    const char *name;
    const char *sql;
};

static const struct statement statements[] = {
    [LOAD_ENQUEUE] = {"e", "INSERT INTO jobs (payload) VALUES ($1) RETURNING id"},
    [LOAD_CLAIM] = {"c", "UPDATE jobs SET state = 1, owner = $1, attempt = attempt + 1, "
                         "lease_until = now() + interval '60 s' WHERE id = (SELECT id FROM jobs "
                         "WHERE state = 0 ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) "
                         "RETURNING id"},
    [LOAD_START] = {"s", "UPDATE jobs SET state = 2, lease_until = now() + interval '60 s' "
                         "WHERE id = $1::bigint RETURNING id"},
    [LOAD_COMPLETE] = {"d", "UPDATE jobs SET state = 3 WHERE id = $1::bigint RETURNING id"},
};

/* A message under construction. */
struct message {
    char *data;
    uint32_t size;
    uint32_t length_at;
};

static void put32(struct message *message, uint32_t value) {
    uint32_t wire = htonl(value);
    memcpy(message->data + message->size, &wire, sizeof wire);
    message->size += 4;
}

static void put16(struct message *message, uint16_t value) {
    uint16_t wire = htons(value);
    memcpy(message->data + message->size, &wire, sizeof wire);
    message->size += 2;
}

static void put_text(struct message *message, const char *text) {
    size_t size = strlen(text) + 1;
    memcpy(message->data + message->size, text, size);
    message->size += (uint32_t)size;
}

static void begin(struct message *message, char type) {
    if (type != '\0') {
        message->data[message->size] = type;
        message->size += 1;
    }
    message->length_at = message->size;
    message->size += 4;
}

static void end(struct message *message) {
    uint32_t wire = htonl(message->size - message->length_at);
    memcpy(message->data + message->length_at, &wire, sizeof wire);
}

static void put_sync(struct message *message) {
    begin(message, 'S');
    end(message);
}

static void put_hello(struct message *message) {
    begin(message, '\0');
    put32(message, 196608); /* protocol 3.0 */
    put_text(message, "user");
    put_text(message, "bench");
    put_text(message, "database");
    put_text(message, "postgres");
    put_text(message, "");
    end(message);
    for (size_t i = 0; i < array_count(statements); i++) {
        begin(message, 'P');
        put_text(message, statements[i].name);
        put_text(message, statements[i].sql);
        put16(message, 0);
        end(message);
    }
    put_sync(message);
}

static uint32_t request(const struct load_client *client, char *target) {
    struct message message = {.data = target};
    if (client->step == LOAD_HELLO) {
        put_hello(&message);
        return message.size;
    }
    if (client->step == LOAD_EMPTY) {
        put_sync(&message);
        return message.size;
    }
    const char *parameters[] = {load_payload, "worker", client->id, client->id};
    const char *parameter = parameters[client->step];
    begin(&message, 'B');
    put_text(&message, "");
    put_text(&message, statements[client->step].name);
    put16(&message, 0); /* parameters are text */
    put16(&message, 1);
    put32(&message, (uint32_t)strlen(parameter));
    memcpy(message.data + message.size, parameter, strlen(parameter));
    message.size += (uint32_t)strlen(parameter);
    put16(&message, 0); /* so are results */
    end(&message);
    begin(&message, 'E');
    put_text(&message, "");
    put32(&message, 0);
    end(&message);
    put_sync(&message);
    return message.size;
}

static uint32_t length_at(const char *at) {
    uint32_t wire;
    memcpy(&wire, at, sizeof wire);
    return ntohl(wire);
}

/* Finds the first message of a type; 0: it is not there (or not whole). */
static uint32_t find(const struct load_client *client, char type, uint32_t *after) {
    uint32_t at = 0;
    while (at + 5 <= client->received) {
        uint32_t next = at + 1 + length_at(client->answer + at + 1);
        if (next > client->received) {
            return 0;
        }
        if (client->answer[at] == type) {
            *after = next;
            return at + 5;
        }
        at = next;
    }
    return 0;
}

/* During a hello there are two: after the start-up, and after the statements. */
static uint32_t whole(const struct load_client *client) {
    uint32_t after = 0;
    if (client->step == LOAD_HELLO && find(client, '1', &after) == 0 &&
        find(client, 'E', &after) == 0) {
        return 0;
    }
    bool is_ready = client->received >= 6 && client->answer[client->received - 6] == 'Z' &&
                    length_at(client->answer + client->received - 5) == 5;
    return is_ready ? client->received : 0;
}

static enum load_verdict judge(struct load_client *client) {
    uint32_t after = 0;
    if (find(client, 'E', &after) != 0) {
        return LOAD_REFUSED;
    }
    uint32_t row = find(client, 'D', &after);
    if (client->step != LOAD_CLAIM) {
        return row != 0 || client->step >= LOAD_EMPTY ? LOAD_DONE : LOAD_REFUSED;
    }
    if (row == 0) {
        return LOAD_NOTHING_THERE;
    }
    uint32_t size = length_at(client->answer + row + 2);
    if (size >= LOAD_ID_BYTES) {
        return LOAD_REFUSED;
    }
    memcpy(client->id, client->answer + row + 6, size);
    client->id[size] = '\0';
    return LOAD_DONE;
}

const struct load_protocol load_postgres = {
    .name = "postgres", .has_hello = true, .request = request, .whole = whole, .judge = judge};
