/* adb_server.h - the smart-socket protocol that adb clients speak to their server, without I/O.
 *
 * Source: AOSP packages/modules/adb, sockets.cpp (smart_socket_enqueue, parse_host_service),
 * adb.cpp (handle_host_request), transport.cpp (acquire_one_transport, list_transports),
 * services.cpp (host services), proto/devices.proto. A request is four hex digits and so many bytes
 * of text; an answer is OKAY or FAIL, where FAIL and most results carry a text in the same form.
 *
 * Who serves gives the phones that this client may know of; nothing else can be named. */
#ifndef PROTOCOL_ADB_SERVER_H
#define PROTOCOL_ADB_SERVER_H

#include "hal/base.h"

enum {
    ADB_SERVER_VERSION = 41, /* every client that differs would try to replace the server */
    ADB_SERVER_LENGTH_SIZE = 4,
    ADB_SERVER_TEXT_MAX = 0xffff, /* what four hex digits can say */
    ADB_SERVER_ERROR_SIZE = 256   /* room for every error text below, with its NUL */
};

enum adb_request_kind {
    ADB_REQUEST_DEVICE, /* `text` is a service of the chosen phone, such as shell: or sync: */
    ADB_REQUEST_VERSION,
    ADB_REQUEST_KILL,
    ADB_REQUEST_DEVICES,
    ADB_REQUEST_DEVICES_LONG,
    ADB_REQUEST_TRACK,
    ADB_REQUEST_TRACK_LONG,
    ADB_REQUEST_TRACK_PROTO,
    ADB_REQUEST_TRACK_PROTO_TEXT,
    ADB_REQUEST_FEATURES,
    ADB_REQUEST_HOST_FEATURES,
    ADB_REQUEST_GET_STATE,
    ADB_REQUEST_GET_SERIALNO,
    ADB_REQUEST_GET_DEVPATH,
    ADB_REQUEST_TRANSPORT, /* choose a phone for the next request: OKAY */
    ADB_REQUEST_TPORT,     /* the same: OKAY and its id as u64, little-endian */
    ADB_REQUEST_WAIT_FOR,
    ADB_REQUEST_FORWARD,      /* `text` is LOCAL;REMOTE */
    ADB_REQUEST_FORWARD_ONCE, /* the same, but not over an existing one */
    ADB_REQUEST_KILL_FORWARD, /* `text` is LOCAL */
    ADB_REQUEST_KILL_FORWARD_ALL,
    ADB_REQUEST_LIST_FORWARD,
    ADB_REQUEST_RECONNECT_OFFLINE,
    ADB_REQUEST_OPERATOR, /* what only the owner of the phones may do: connect:, pair:, ... */
    ADB_REQUEST_UNKNOWN
};

enum adb_selector_kind {
    ADB_SELECT_ANY, /* the only one */
    ADB_SELECT_USB,
    ADB_SELECT_LOCAL, /* reached over the network */
    ADB_SELECT_SERIAL,
    ADB_SELECT_ID
};

struct adb_selector {
    enum adb_selector_kind kind;
    struct bytes serial; /* a serial, usb:PATH, product:NAME, model:NAME or device:NAME */
    uint64_t id;
};

enum adb_wait {
    ADB_WAIT_DEVICE,
    ADB_WAIT_OTHER_MODE, /* recovery, rescue, sideload, bootloader: never served here */
    ADB_WAIT_ANY,
    ADB_WAIT_DISCONNECT
};

/* Views into the text it was read from. */
struct adb_request {
    enum adb_request_kind kind;
    struct adb_selector selector;
    enum adb_wait wait;
    struct bytes text;
};

enum adb_device_state { ADB_DEVICE_ONLINE, ADB_DEVICE_UNAUTHORIZED, ADB_DEVICE_OFFLINE };

/* A phone as a client sees it. The texts are NUL-terminated and printable. */
struct adb_device {
    const char *serial;
    const char *devpath; /* `usb:1-2`; "" when it is not on a bus */
    const char *product;
    const char *model;
    const char *device;
    uint64_t id; /* transport id, not 0 */
    enum adb_device_state state;
    bool is_usb;
};

struct adb_devices {
    const struct adb_device *list;
    size_t count;
};

/* Takes one request's text off the front of `input`. MORE: it is not complete; `wanted` bytes are
 * in all. MALFORMED: no hex length, or none: the server closes such a connection. */
must_check enum status adb_server_next(struct bytes *input, struct bytes *text, size_t *wanted);

/* Reads a request. The known phones are needed because a serial may contain colons. MALFORMED: a
 * host- prefix without what must follow it: close, as AOSP does. */
must_check enum status adb_server_parse(struct bytes text, struct adb_devices devices,
                                        struct adb_request *request);

/* The phone a selector means, its index in `found`. NOT_FOUND, FULL (more than one), DENIED
 * (unauthorized), CLOSED (offline): `error` has the words that clients look for. */
must_check enum status adb_server_choose(const struct adb_selector *selector,
                                         struct adb_devices devices, size_t *found,
                                         char error[ADB_SERVER_ERROR_SIZE]);

/* Whether a wait-for is fulfilled. FULL: more than one phone would do, `error` says so. AGAIN. */
must_check enum status adb_server_awaited(const struct adb_request *request,
                                          struct adb_devices devices,
                                          char error[ADB_SERVER_ERROR_SIZE]);

/* Takes LOCAL;REMOTE apart. MALFORMED: not both, or more. */
must_check enum status adb_server_forward(struct bytes text, struct bytes *local,
                                          struct bytes *remote);

/* The port of `tcp:PORT` (also `tcp:localhost:PORT`), 0 to 65535. MALFORMED: anything else. */
must_check enum status adb_server_port(struct bytes address, uint16_t *port);

/* ---- answers; each gives the bytes written, 0 when they do not fit ---- */

/* OKAY or FAIL alone is `adb_server_word(target, "OKAY")`; never fails for 4 bytes of room. */
size_t adb_server_word(uint8_t *target, const char *word);
/* Four hex digits and the text. */
size_t adb_server_string(struct bytes text, uint8_t *target, size_t capacity);
size_t adb_server_fail(const char *error, uint8_t *target, size_t capacity);
/* The device list in the form that `kind` asks for, without a length. */
size_t adb_server_list(struct adb_devices devices, enum adb_request_kind kind, uint8_t *target,
                       size_t capacity);
const char *adb_server_state_name(enum adb_device_state state);

#endif
