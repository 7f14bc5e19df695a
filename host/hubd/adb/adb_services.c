#include "host/hubd/adb/adb_services.h"

#include "host/hubd/adb/adb_forward.h"
#include "protocol/text.h"

#include <stdio.h>
#include <string.h>

static struct bytes text_of(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void answer_string(struct adb_client *client, struct bytes text) {
    adb_client_say(client, "OKAY");
    adb_client_say_string(client, text);
    adb_client_finish(client);
}

static void answer_list(struct adb_client *client, enum adb_request_kind kind) {
    static uint8_t list[ADB_SERVER_TEXT_MAX + 1];
    struct adb_devices devices = adb_endpoint_devices(client->endpoint);
    answer_string(client, (struct bytes){list, adb_server_list(devices, kind, list, sizeof list)});
}

static void answer_host_features(struct adb_client *client) {
    uint8_t text[PHONE_LINK_FEATURES_SIZE];
    struct text_writer writer = {.data = text, .capacity = sizeof text};
    text_put(&writer, "push_sync,");
    writer.size +=
        adb_features_write(ADB_FEATURES_PASSED_ON, text + writer.size, sizeof text - writer.size);
    answer_string(client, (struct bytes){text, writer.size});
}

/* The phone a request means; NULL: it was said why there is none. The error texts are those of
 * AOSP; a state is told also for a phone that cannot be used. */
static const struct adb_device *choose(struct adb_client *client,
                                       const struct adb_request *request) {
    char error[ADB_SERVER_ERROR_SIZE];
    size_t found = 0;
    struct adb_devices devices = adb_endpoint_devices(client->endpoint);
    enum status status = adb_server_choose(&request->selector, devices, &found, error);
    if (status != STATUS_OK) {
        adb_client_fail(client, error);
        return NULL;
    }
    return &client->endpoint->host->devices[found]; /* where the list is */
}

static void choose_transport(struct adb_client *client, const struct adb_request *request) {
    const struct adb_device *device = choose(client, request);
    if (device == NULL) {
        return;
    }
    client->chosen_id = device->id;
    adb_client_say(client, "OKAY");
    if (request->kind == ADB_REQUEST_TPORT) {
        char id[sizeof device->id];
        for (size_t i = 0; i < sizeof id; i++) {
            id[i] = (char)(device->id >> (8 * i));
        }
        adb_client_say_bytes(client, (struct bytes){(const uint8_t *)id, sizeof id});
    }
    if (client->end != client->begin) { /* it asks without ever reading */
        adb_client_end(client);
    }
}

static void answer_of_phone(struct adb_client *client, const struct adb_request *request) {
    const struct adb_device *device = choose(client, request);
    struct phone_line *line =
        device != NULL ? adb_endpoint_line(client->endpoint, device->id) : NULL;
    if (device == NULL) {
        return;
    }
    if (request->kind == ADB_REQUEST_FEATURES) {
        answer_string(client, text_of(line != NULL ? line->link.features_text : ""));
    } else if (request->kind == ADB_REQUEST_GET_STATE) {
        answer_string(client, text_of(adb_server_state_name(device->state)));
    } else if (request->kind == ADB_REQUEST_GET_SERIALNO) {
        answer_string(client, text_of(device->serial));
    } else {
        answer_string(client, text_of(device->devpath[0] != '\0' ? device->devpath : "unknown"));
    }
}

/* ---- forwards ---- */

static void add_forward(struct adb_client *client, const struct adb_request *request) {
    const struct adb_device *device = choose(client, request);
    struct adb_forward_order order = {.is_once = request->kind == ADB_REQUEST_FORWARD_ONCE};
    char error[ADB_SERVER_ERROR_SIZE];
    uint16_t chosen = 0;
    if (device == NULL) {
        return;
    }
    if (adb_server_forward(request->text, &order.local, &order.remote) != STATUS_OK) {
        snprintf(error, sizeof error, "bad forward: %.*s",
                 (int)(request->text.size < 128 ? request->text.size : 128),
                 (const char *)request->text.data);
        adb_client_fail(client, error);
        return;
    }
    order.phone = (uint32_t)(device->id - 1);
    if (adb_forward_add(client->endpoint, &order, &chosen, error) != STATUS_OK) {
        adb_client_fail(client, error);
        return;
    }
    adb_client_say(client, "OKAYOKAY");
    if (chosen != 0) {
        char port[8];
        snprintf(port, sizeof port, "%u", chosen);
        adb_client_say_string(client, text_of(port));
    }
    adb_client_finish(client);
}

static void end_forward(struct adb_client *client, const struct adb_request *request) {
    char error[ADB_SERVER_ERROR_SIZE];
    int size = (int)(request->text.size < 128 ? request->text.size : 128);
    if (choose(client, request) == NULL) {
        return;
    }
    if (request->kind == ADB_REQUEST_KILL_FORWARD_ALL) {
        adb_forward_close_all(client->endpoint);
    } else if (!adb_forward_remove(client->endpoint, request->text)) {
        snprintf(error, sizeof error, "listener '%.*s' not found", size,
                 (const char *)request->text.data);
        adb_client_fail(client, error);
        return;
    }
    adb_client_say(client, "OKAYOKAY");
    adb_client_finish(client);
}

static void list_forwards(struct adb_client *client, const struct adb_request *request) {
    if (choose(client, request) != NULL) {
        static char list[ADB_FORWARDS_MAX * 2 * ADB_ADDRESS_SIZE];
        answer_string(client,
                      (struct bytes){(const uint8_t *)list,
                                     adb_forward_list(client->endpoint, list, sizeof list)});
    }
}

/* ---- services of the phone ---- */

/* Whoever asks for a reboot over a lease gets the phone back when it returns. */
static void note_reboot(struct adb_client *client, struct bytes service) {
    struct adb_endpoint *endpoint = client->endpoint;
    if (text_take(&service, "reboot:") && client->chosen_id != 0) {
        (void)!hub_phone_event(endpoint->host->hub, endpoint->phone, PHONE_ON_AWAY,
                               "its lease asked for a reboot");
    }
}

static void open_service(struct adb_client *client) {
    struct bytes service = {client->buffer + client->begin, client->end - client->begin};
    if (client->endpoint->scope == ADB_SCOPE_OPERATORS) {
        client->end = client->begin;
        adb_client_fail(client, "this socket only shows phones; lease one to use it");
        return;
    }
    if (client->chosen_id == 0) {
        client->end = client->begin;
        adb_client_fail(client, "device offline (no transport)");
        return;
    }
    note_reboot(client, service);
    adb_client_open(client, client->chosen_id);
}

/* ---- answers that need no phone ---- */

static void answer_version(struct adb_client *client, const struct adb_request *request) {
    (void)request;
    answer_string(client, bytes_of("0029"));
}

static void refuse_kill(struct adb_client *client, const struct adb_request *request) {
    (void)request;
    adb_client_fail(client, "kill-server rejected by remote server");
}

static void list_devices(struct adb_client *client, const struct adb_request *request) {
    answer_list(client, request->kind);
}

static void track_devices(struct adb_client *client, const struct adb_request *request) {
    adb_client_begin_watch(client, ADB_CLIENT_TRACKING, request);
}

static void wait_for(struct adb_client *client, const struct adb_request *request) {
    adb_client_begin_watch(client, ADB_CLIENT_WAITING, request);
}

static void host_features(struct adb_client *client, const struct adb_request *request) {
    (void)request;
    answer_host_features(client);
}

static void reconnect_offline(struct adb_client *client, const struct adb_request *request) {
    (void)request;
    answer_string(client, bytes_of("")); /* the hub reconnects by itself */
}

static void refuse_operator(struct adb_client *client, const struct adb_request *request) {
    (void)request;
    adb_client_fail(client, "the hub connects its phones itself; a lease cannot change that");
}

static void refuse_unknown(struct adb_client *client, const struct adb_request *request) {
    (void)request;
    adb_client_fail(client, "unknown host service");
}

static void (*const handlers[])(struct adb_client *client, const struct adb_request *request) = {
    [ADB_REQUEST_DEVICE] = refuse_unknown, /* handled before */
    [ADB_REQUEST_VERSION] = answer_version,
    [ADB_REQUEST_KILL] = refuse_kill,
    [ADB_REQUEST_DEVICES] = list_devices,
    [ADB_REQUEST_DEVICES_LONG] = list_devices,
    [ADB_REQUEST_TRACK] = track_devices,
    [ADB_REQUEST_TRACK_LONG] = track_devices,
    [ADB_REQUEST_TRACK_PROTO] = track_devices,
    [ADB_REQUEST_TRACK_PROTO_TEXT] = track_devices,
    [ADB_REQUEST_FEATURES] = answer_of_phone,
    [ADB_REQUEST_HOST_FEATURES] = host_features,
    [ADB_REQUEST_GET_STATE] = answer_of_phone,
    [ADB_REQUEST_GET_SERIALNO] = answer_of_phone,
    [ADB_REQUEST_GET_DEVPATH] = answer_of_phone,
    [ADB_REQUEST_TRANSPORT] = choose_transport,
    [ADB_REQUEST_TPORT] = choose_transport,
    [ADB_REQUEST_WAIT_FOR] = wait_for,
    [ADB_REQUEST_FORWARD] = add_forward,
    [ADB_REQUEST_FORWARD_ONCE] = add_forward,
    [ADB_REQUEST_KILL_FORWARD] = end_forward,
    [ADB_REQUEST_KILL_FORWARD_ALL] = end_forward,
    [ADB_REQUEST_LIST_FORWARD] = list_forwards,
    [ADB_REQUEST_RECONNECT_OFFLINE] = reconnect_offline,
    [ADB_REQUEST_OPERATOR] = refuse_operator,
    [ADB_REQUEST_UNKNOWN] = refuse_unknown,
};

void adb_services_handle(struct adb_client *client, struct bytes text) {
    struct adb_request request;
    if (client->is_another) {
        client->end = client->begin;
        adb_client_fail(client, "this phone is leased to another user of this machine");
        return;
    }
    struct adb_devices devices = adb_endpoint_devices(client->endpoint);
    if (adb_server_parse(text, devices, &request) != STATUS_OK) {
        adb_client_end(client);
        return;
    }
    if (request.kind == ADB_REQUEST_DEVICE) {
        open_service(client);
        return;
    }
    client->begin = 0;
    client->end = 0;
    check((size_t)request.kind < array_count(handlers));
    handlers[request.kind](client, &request);
}
