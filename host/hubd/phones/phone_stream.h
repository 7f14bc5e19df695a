/* phone_stream.h - a client's stream through a phone's link: bytes that only pass through.
 *
 * The owner (adb_client.c) keeps the bytes; the link keeps the order (protocol/adb_flow.h). Towards
 * the phone nothing is buffered twice: `fill` reads straight into the link's output when there is
 * room, each stream in its turn. From the phone less than PHONE_LINK_PAYLOAD + PHONE_LINK_WINDOW
 * bytes are on their way until the owner acknowledges them, so a client that does not read stops
 * its own stream and no other.
 *
 * Fencing is that of phone_link.h: a stream carries its lease's token and is cut by a higher one.
 */
#ifndef HOST_HUBD_PHONE_STREAM_H
#define HOST_HUBD_PHONE_STREAM_H

#include "protocol/adb_connection.h"

struct phone_link;

/* The calls come from the loop, or from inside a call that ends the link, a lease or the stream's
 * connection. Each may close streams. */
struct phone_stream_handler {
    void (*opened)(void *owner);
    /* A piece of a write. */
    void (*data)(void *owner, struct bytes data);
    /* The write is complete: phone_stream_acknowledge() when its bytes are used up, or before. */
    void (*data_end)(void *owner);
    /* Puts up to `capacity` bytes for the phone there; 0: none now, call phone_stream_poke() when
     * there are. */
    size_t (*fill)(void *owner, uint8_t *target, size_t capacity);
    /* Once, last; not after phone_stream_close(). Refused by the phone when never `opened`. */
    void (*closed)(void *owner);
    void *owner;
};

struct phone_stream {
    bool is_used;
    bool is_opened;
    bool has_input;       /* `fill` may have something */
    uint32_t id;          /* of the connection; 0: the OPEN waits for room */
    uint64_t token;       /* of the lease */
    struct bytes service; /* until it is opened; the owner's memory */
    struct phone_stream_handler handler;
};

/* Asks the phone for a service. ILLEGAL: not ONLINE. STALE_LEASE: a higher token was seen. FULL: no
 * free stream. TOO_LARGE: the service's name. The stream is the link's; it is valid until `closed`
 * or phone_stream_close(). */
must_check enum status phone_stream_open(struct phone_link *link, uint64_t token,
                                         struct bytes service,
                                         const struct phone_stream_handler *handler,
                                         struct phone_stream **stream);

/* Takes a stream that the phone asked for (phone_link.h, `asked`); it counts as opened. */
must_check enum status phone_stream_take(struct phone_link *link, uint64_t token, uint32_t id,
                                         const struct phone_stream_handler *handler,
                                         struct phone_stream **stream);

void phone_stream_poke(struct phone_link *link, struct phone_stream *stream);
/* Only the last `left` bytes of what came are still to be used (adb_connection_acknowledge). */
void phone_stream_acknowledge(struct phone_link *link, struct phone_stream *stream, size_t left);
void phone_stream_close(struct phone_link *link, struct phone_stream *stream);

/* ---- for phone_link.c ---- */

struct phone_stream *phone_stream_find(struct phone_link *link, uint32_t id);
void phone_stream_event(struct phone_link *link, struct phone_stream *stream,
                        const struct adb_connection_event *event);
/* Sends OPENs and what `fill` gives, as far as there is room. */
void phone_stream_write_all(struct phone_link *link);
/* Ends streams with a token below this one; UINT64_MAX: every one. */
void phone_stream_end_below(struct phone_link *link, uint64_t token);

#endif
