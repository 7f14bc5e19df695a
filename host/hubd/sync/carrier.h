/* carrier.h - carries the records of a hub that has no network: a board on a serial line. What it
 * pushes goes upstream as it is, over a connection with that hub's own certificate, and upstream's
 * answer goes back: sequence and chain are the board's, end to end, and nothing is kept here.
 *
 *   waiting -> connecting -> online -> pushing -> online ...
 *      ^-------------------- after any failure --------'
 *
 * A reply goes back under its push's mark, so that the board never takes a late one for another's.
 * The board says HELLO with its id, which must be the certificate's name; it is told READY when
 * upstream can be reached and AWAY when it cannot (protocol/serial_frame.h). A frame that is lost
 * on the line costs time only: the board pushes again. */
#ifndef HOST_HUBD_CARRIER_H
#define HOST_HUBD_CARRIER_H

#include "hal/linux/serial_port.h"
#include "host/hubd/sync/upstream_link.h"
#include "protocol/record.h"
#include "protocol/serial_frame.h"

enum {
    CARRIER_MAX = 4,
    CARRIER_PATH_SIZE = 256,
    CARRIER_PUSH_BYTES = 65536,
    CARRIER_REPLY_BYTES = 4000, /* what a board takes */
    CARRIER_RETRY_MS = 2000,    /* until the line is opened again */
};

/* What the configuration says of one; must outlive it. */
struct carrier_settings {
    char name[RECORD_ID_MAX + 1]; /* the board's hub id */
    char port[CARRIER_PATH_SIZE];
    char cert[CARRIER_PATH_SIZE];
    char key[CARRIER_PATH_SIZE];
    uint64_t baud; /* 0: SERIAL_FRAME_BAUD */
};

enum carrier_state {
    CARRIER_WAITING, /* until the pause is over */
    CARRIER_CONNECTING,
    CARRIER_ONLINE,
    CARRIER_PUSHING,
    CARRIER_STATE_COUNT
};

struct carrier {
    struct loop_source line; /* first: the loop gives it back */
    const struct carrier_settings *settings;
    struct loop *loop;
    struct serial_port port;
    struct tls_config_pair configs;
    struct upstream_link link;
    enum carrier_state state;
    bool is_known;        /* the board has said who it is, and is the right one */
    bool is_stranger;     /* it is another one, as has been logged */
    uint64_t deadline_ms; /* of the state */
    uint64_t reopen_ms;   /* when the line is tried again, while it is closed */
    enum status obstacle; /* why it could not be opened last; OK: it could */
    uint64_t now_ms;
    struct serial_frame_reader reader;
    uint64_t pushes, replies, strangers;
    uint64_t dropped;  /* whole frames of no use, and those that the line had no room for */
    size_t push_bytes; /* of the push under way */
    size_t output_size, output_sent;
    uint8_t input[SERIAL_FRAME_HEAD + SERIAL_FRAME_MARK + CARRIER_PUSH_BYTES + SERIAL_FRAME_TAIL];
    uint8_t push[CARRIER_PUSH_BYTES];
    uint8_t reply[SERIAL_FRAME_MARK + CARRIER_REPLY_BYTES];
    uint8_t output[2 * SERIAL_FRAME_SIZE(SERIAL_FRAME_MARK + CARRIER_REPLY_BYTES)];
};

/* All of them. Their certificates are loaded into `configs` before. */
struct carriers {
    struct carrier rows[CARRIER_MAX];
    uint32_t count;
};

/* Adds one; the URLs of [upstream]. */
void carriers_add(struct carriers *carriers, const struct carrier_settings *settings,
                  struct loop *loop, const struct upstream_urls *urls, const struct jitter *jitter);
void carriers_step(struct carriers *carriers, uint64_t now_ms);
uint64_t carriers_deadline_ms(const struct carriers *carriers);
/* Closes the connections, to come back with new certificates. */
void carriers_reconnect(struct carriers *carriers);
void carriers_close(struct carriers *carriers);

/* Upstream can be reached for it. */
bool carrier_is_up(const struct carrier *carrier);

#endif
