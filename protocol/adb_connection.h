/* adb_connection.h - one ADB connection without I/O: bytes in, events and bytes out.
 *
 * Serves both ends: a host (hubd) and a device (phonesim). The caller reads bytes from its
 * transport and gives them to adb_connection_receive(), acts on the events, and sends what
 * adb_connection_output() shows. Payloads of WRTE pass through in pieces, so only the handshake
 * and OPEN are ever held; the agreed payload size costs no memory.
 *
 * Flow control is that of adb_flow.h; delayed_ack is used when both banners name it. Answers to the
 * peer (an OKAY to its OPEN or its WRTE, CLSE) always find room, because data may not use the last
 * ADB_CONNECTION_RESERVE bytes of the output; a peer that provokes more answers than it may is not
 * read from until it takes them (AGAIN). What delayed_ack grants waits for room like data.
 *
 * A device's OPEN towards a host is refused with CLSE, unless the host `takes_opens`: it then gets
 * ADB_EVENT_OPEN and judges the address itself (only what a reverse forward named is honest). */
#ifndef PROTOCOL_ADB_CONNECTION_H
#define PROTOCOL_ADB_CONNECTION_H

#include "protocol/adb_flow.h"
#include "protocol/adb_output.h"

enum {
    ADB_CONNECTION_STREAMS = 80,
    ADB_CONNECTION_GRANT = 4, /* payload of an OKAY with delayed_ack */
    /* OKAY and CLSE */
    ADB_CONNECTION_CLOSING = ADB_CONNECTION_STREAMS * (2 * ADB_HEADER_SIZE + ADB_CONNECTION_GRANT),
    /* What one event provokes at most, beside an OKAY and a CLSE for every stream; a handshake's
     * answer is larger than one header, but then there is no stream. */
    ADB_CONNECTION_ANSWER = ADB_CONNECTION_CLOSING + ADB_HEADER_SIZE,
    ADB_CONNECTION_RESERVE = ADB_CONNECTION_ANSWER + ADB_CONNECTION_CLOSING,
    ADB_CONNECTION_OUTPUT_MIN = ADB_CONNECTION_RESERVE + ADB_HEADER_SIZE + ADB_PAYLOAD_V1
};

enum adb_connection_role { ADB_CONNECTION_HOST, ADB_CONNECTION_DEVICE };

enum adb_connection_phase {
    ADB_CONNECTION_OFFLINE, /* before the peer's CNXN */
    ADB_CONNECTION_AUTH,    /* keys are being tried */
    ADB_CONNECTION_ONLINE,
    ADB_CONNECTION_BROKEN /* the peer broke the protocol; see `reason` */
};

struct adb_connection_stream {
    uint32_t id;     /* ours; 0: the slot is free */
    uint32_t remote; /* 0: our OPEN is not answered yet */
    struct adb_flow flow;
    bool is_asked; /* the peer's OPEN waits for our answer */
};

struct adb_connection {
    enum adb_connection_role role;
    enum adb_connection_phase phase;
    bool takes_opens;        /* host: set after init, to be told of OPENs */
    uint32_t offered_window; /* set after init: what delayed_ack may have on its way to us, under
                              * 2 GiB; 0: a banner that names it is none of ours */
    uint32_t window;         /* the same once it is agreed; 0: without delayed_ack */
    bool offers_delayed_ack; /* our banner; a device's is judged when it accepts */
    const char *reason;      /* why it is BROKEN: a literal */
    uint32_t offered_max;    /* payload we take */
    uint32_t payload_max;    /* agreed; what the handshake may use until then */
    struct adb_connection_stream streams[ADB_CONNECTION_STREAMS];
    bool has_grants;            /* of streams, which wait for room */
    uint32_t id_count;          /* makes stream ids that are not used again soon */
    uint64_t refused_opens;     /* by a device towards us */
    struct adb_message message; /* the one being read */
    uint8_t header[ADB_HEADER_SIZE];
    uint32_t header_size;
    uint32_t payload_left;
    uint32_t kept_size; /* of `kept`, for messages that are read as a whole */
    uint8_t kept[ADB_HANDSHAKE_MAX];
    struct adb_output output;
};

enum adb_connection_event_kind {
    ADB_EVENT_NONE,       /* bytes were taken, nothing to do */
    ADB_EVENT_TOKEN,      /* host: sign `data` or offer a key; streams are gone */
    ADB_EVENT_ONLINE,     /* host: `data` is the device's banner; earlier streams are gone */
    ADB_EVENT_CONNECT,    /* device: a host came; accept or challenge it; streams are gone */
    ADB_EVENT_SIGNATURE,  /* device: `data` is the answer to a challenge */
    ADB_EVENT_PUBLIC_KEY, /* device: `data` is the text of a key to be accepted by the user */
    ADB_EVENT_OPEN,       /* `data` is the service; accept or close `stream` */
    ADB_EVENT_OPENED,     /* our OPEN was accepted; the stream may be written */
    ADB_EVENT_WRITABLE,   /* the stream may be written again */
    ADB_EVENT_DATA,       /* a piece of a WRTE */
    ADB_EVENT_DATA_END,   /* the WRTE is complete; acknowledge it when its bytes are used up */
    ADB_EVENT_CLOSED      /* the peer closed the stream, or refused our OPEN; its id is dead */
};

/* `data` is a view into the input or the connection, valid until the next call. */
struct adb_connection_event {
    enum adb_connection_event_kind kind;
    uint32_t stream;
    struct bytes data;
};

/* Begins a connection whose output goes through `output`, which the caller keeps (at least
 * ADB_CONNECTION_OUTPUT_MIN bytes). `payload_max` is what we offer to take in one message
 * (ADB_PAYLOAD_V1 to ADB_PAYLOAD_MAX). */
void adb_connection_init(struct adb_connection *connection, enum adb_connection_role role,
                         uint32_t payload_max, uint8_t *output, size_t output_capacity);

/* Host: sends CNXN with this banner. Once, right after init. */
void adb_connection_start(struct adb_connection *connection, const struct adb_banner *banner);

/* Takes bytes from the front of `input`, which moves past them, up to one event. OK: look at
 * `event`. MORE: all input was taken. AGAIN: the output must be sent first. MALFORMED: the peer
 * broke the protocol; the connection is BROKEN for good. */
must_check enum status adb_connection_receive(struct adb_connection *connection,
                                              struct bytes *input,
                                              struct adb_connection_event *event);

/* What is to be sent; empty when there is nothing. */
struct bytes adb_connection_output(const struct adb_connection *connection);
/* The first `size` bytes of it have been sent. */
void adb_connection_sent(struct adb_connection *connection, size_t size);

/* The answers to a handshake event. Right after the event there is always room for one; given
 * later they may find none (AGAIN). ILLEGAL: the connection has moved on, or has another role.
 * Host, after TOKEN: a signature of it, or the public key's text (sent with its NUL; under
 * ADB_PUBLIC_KEY_SIZE bytes). */
must_check enum status adb_connection_sign(struct adb_connection *connection,
                                           const uint8_t signature[ADB_SIGNATURE_SIZE]);
must_check enum status adb_connection_offer_key(struct adb_connection *connection,
                                                struct bytes text);

/* Device, after CONNECT, SIGNATURE or PUBLIC_KEY: lets the host in (the banner's text is under
 * ADB_PUBLIC_KEY_SIZE bytes), or asks for a signature. */
must_check enum status adb_connection_accept(struct adb_connection *connection,
                                             const struct adb_banner *banner);
must_check enum status adb_connection_challenge(struct adb_connection *connection,
                                                const uint8_t token[ADB_TOKEN_SIZE]);

/* Opens a stream to a service; its name must fit one payload with its NUL. ILLEGAL: not ONLINE.
 * FULL: no free stream. AGAIN: no room in the output. TOO_LARGE: the name. */
must_check enum status adb_connection_open(struct adb_connection *connection, struct bytes service,
                                           uint32_t *stream);

/* After OPEN: takes the stream. */
void adb_connection_accept_stream(struct adb_connection *connection, uint32_t stream);

/* Where the next WRTE's payload may be built; NULL with capacity 0 when the stream may not be
 * written now: not open, one in flight, or too little room (under `at_least` bytes). The caller
 * follows at once with adb_connection_write_built(). */
uint8_t *adb_connection_room(struct adb_connection *connection, uint32_t stream, size_t at_least,
                             size_t *capacity);
void adb_connection_write_built(struct adb_connection *connection, uint32_t stream, size_t size);

/* Only the last `left` bytes of what came on this stream are still of use: what was used up is
 * acknowledged, with delayed_ack byte by byte, without it once a WRTE is complete and nothing is
 * left. May be called at any time; harmless when nothing is owed or the stream is gone. */
void adb_connection_acknowledge(struct adb_connection *connection, uint32_t stream, size_t left);

/* Ends a stream from our side, or refuses it. Its id is dead at once: no more events name it.
 * Harmless when it is gone already. */
void adb_connection_close(struct adb_connection *connection, uint32_t stream);

bool adb_connection_has(const struct adb_connection *connection, uint32_t stream);
/* Whether the peer owes us an answer on this stream: to our OPEN or to our WRTE. */
bool adb_connection_awaits(const struct adb_connection *connection, uint32_t stream);

#endif
