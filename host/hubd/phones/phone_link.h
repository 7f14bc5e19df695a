/* phone_link.h - one phone's ADB connection: its state, the operations that run over it, and the
 * streams of clients that pass through it (phone_stream.h).
 *
 * The owner keeps the memory (an array of links), makes the stream (hal/linux/tcp.h, later USB) and
 * attaches it; the link then owns the stream and closes it. It works inside the loop (loop.h) and
 * asks for time only through phone_link_step().
 *
 *   CLOSED -attach-> CONNECTING -> ONLINE -> LOST      UNAUTHORIZED: the phone's user must accept
 *                        \-> UNAUTHORIZED -/           our key; nothing hurries that
 *
 * Fencing: every operation carries its lease's token. A token below the highest one seen is
 * refused; a higher one cuts what runs under older ones. */
#ifndef HOST_HUBD_PHONE_LINK_H
#define HOST_HUBD_PHONE_LINK_H

#include "hal/net.h"
#include "host/hubd/phones/phone_operation.h"
#include "host/hubd/phones/phone_stream.h"
#include "host/shared/adb_key.h"
#include "host/shared/loop.h"

enum {
    PHONE_LINK_OPERATIONS = 4, /* at once */
    /* Of clients, at once. Beside them the operations, the probe and what a phone opens. */
    PHONE_LINK_STREAMS = ADB_CONNECTION_STREAMS - PHONE_LINK_OPERATIONS - 4,
    PHONE_LINK_NAME_SIZE = 64,
    PHONE_LINK_FEATURES_SIZE = 512,
    PHONE_LINK_PAYLOAD = 256 * 1024, /* that we take in one message */
    PHONE_LINK_WINDOW = 128 * 1024,  /* of a stream, with delayed_ack */
    PHONE_LINK_INPUT = 64 * 1024,
    /* The largest write, and the first part of the next one. */
    PHONE_LINK_OUTPUT = ADB_CONNECTION_RESERVE + ADB_HEADER_SIZE + PHONE_LINK_PAYLOAD + 64 * 1024,
    PHONE_LINK_HANDSHAKE_MS = 10 * 1000,
    PHONE_LINK_PROBE_MS = 20 * 1000,  /* quiet for so long: ask whether it is still there */
    PHONE_LINK_SILENCE_MS = 15 * 1000 /* it owes an answer for so long: lost */
};

enum phone_link_state {
    PHONE_LINK_CLOSED,
    PHONE_LINK_CONNECTING,
    PHONE_LINK_UNAUTHORIZED,
    PHONE_LINK_ONLINE,
    PHONE_LINK_LOST /* the stream is closed; `reason` says why; attach again or close */
};

struct phone_link;

struct phone_link_owner {
    /* The state is another one. Operations of a lost phone were ended before. May close or attach
     * the link. */
    void (*changed)(void *owner, struct phone_link *link);
    void *owner;
};

/* Who may take what a phone opens by itself (reverse forwards). */
struct phone_link_asked {
    /* True: it was taken with phone_stream_take(); else it is refused. */
    bool (*asked)(void *owner, struct phone_link *link, uint32_t id, struct bytes service);
    void *owner;
};

struct phone_link {
    struct loop_source source; /* first: the loop gives it back */
    struct loop *loop;
    struct phone_link_owner owner;
    struct phone_link_asked opens; /* asked may be NULL: everything is refused */
    struct adb_key *key;           /* NULL: this host has none */
    unsigned offered_features;     /* ADB_FEATURE_*, ours; may be changed while CLOSED */
    enum phone_link_state state;
    const char *reason; /* of LOST and UNAUTHORIZED; a literal */
    enum status lost_as;
    struct hal_stream *stream;
    struct adb_connection connection;
    /* From the phone's banner, printable, cut to fit; "" until ONLINE. */
    char product[PHONE_LINK_NAME_SIZE];
    char model[PHONE_LINK_NAME_SIZE];
    char device[PHONE_LINK_NAME_SIZE];
    char features_text[PHONE_LINK_FEATURES_SIZE]; /* as the phone says them; "" if too long */
    unsigned features;                            /* ADB_FEATURE_*, of the phone */
    uint64_t fence;                               /* the highest token seen; outlives connections */
    uint64_t bytes_received;
    uint64_t bytes_sent;

    struct phone_operation operations[PHONE_LINK_OPERATIONS];
    uint32_t operation_count; /* ever started; makes ids */
    struct phone_stream streams[PHONE_LINK_STREAMS];
    uint32_t stream_turn;
    uint32_t epoch;       /* changes with each attach and close */
    uint32_t token_count; /* challenges in this handshake */
    uint32_t probe_stream;
    uint64_t stepped_bytes;
    uint64_t quiet_since_ms; /* the last bytes came */
    uint64_t owed_since_ms;  /* the last time the phone owed us nothing */
    uint64_t attached_ms;
    struct bytes input; /* of input_memory: read, not yet taken */
    uint8_t input_memory[PHONE_LINK_INPUT];
    uint8_t output_memory[PHONE_LINK_OUTPUT];
};

/* Once, before everything else. The key must outlive the link. */
void phone_link_init(struct phone_link *link, struct loop *loop, struct adb_key *key,
                     struct phone_link_owner owner);

/* Takes over a stream that is connected or connecting, and begins the handshake. The link must be
 * CLOSED or LOST. `stream` stays the owner's memory until the link is CLOSED or LOST again. IO: the
 * loop refused it; the stream is closed. Calls nothing back. */
must_check enum status phone_link_attach(struct phone_link *link, struct hal_stream *stream,
                                         uint64_t now_ms);

/* Ends the connection and all operations without another call. Harmless when CLOSED. */
void phone_link_close(struct phone_link *link);

/* Judges deadlines; call it about every second. */
void phone_link_step(struct phone_link *link, uint64_t now_ms);

/* Common to the four: ILLEGAL: not ONLINE. STALE_LEASE: a higher token was seen. FULL: no free
 * operation. TOO_LARGE: text too long. FOREIGN: the phone's adbd lacks shell_v2, or the local file
 * cannot be opened (errno). On OK, `operation` is an id for cancel and progress; `handler` is
 * copied, and called from the loop only, never from here. */

/* Runs `command` by the phone's shell, without input. */
must_check enum status phone_link_shell(struct phone_link *link, uint64_t token,
                                        struct bytes command, const struct phone_handler *handler,
                                        uint32_t *operation);

/* Asks for a service that does its work and says nothing, such as `reboot:`; ends when the phone
 * closes it. */
must_check enum status phone_link_service(struct phone_link *link, uint64_t token,
                                          struct bytes service, const struct phone_handler *handler,
                                          uint32_t *operation);

struct phone_push {
    const char *path; /* a file on the host; NULL: take `memory`, kept until the end */
    struct bytes memory;
    const char *target;  /* path on the phone */
    uint32_t mode;       /* permissions, such as 0644 */
    uint32_t modified_s; /* since 1970 */
};
must_check enum status phone_link_push(struct phone_link *link, uint64_t token,
                                       const struct phone_push *push,
                                       const struct phone_handler *handler, uint32_t *operation);

struct phone_pull {
    const char *source; /* path on the phone */
    const char *path;   /* a file on the host: made or emptied; removed when the pull fails */
    uint64_t max_bytes;
};
must_check enum status phone_link_pull(struct phone_link *link, uint64_t token,
                                       const struct phone_pull *pull,
                                       const struct phone_handler *handler, uint32_t *operation);

/* Stops an operation; no call follows. Harmless when it is over. The phone ends the command when
 * its stream closes (SIGHUP), but need not. */
void phone_link_cancel(struct phone_link *link, uint32_t operation);

/* From now on only `token` and higher ones are let through; operations under lower ones end with
 * STALE_LEASE (their `ended` is called from here). A lower token than seen changes nothing. */
void phone_link_fence(struct phone_link *link, uint64_t token);

const char *phone_link_state_name(enum phone_link_state state);

#endif
