/* line.h - carries the hub's records over a serial line: HELLO, PUSH, REPLY, READY and AWAY of
 * protocol/serial_frame.h. One push is under way; what gets no answer in time is pushed again, and
 * upstream knows by its numbers what it has. A reply counts for its own push only: grants end by
 * the time at which that was sent. After a fork (SPEC.md section 8) the hub goes on in the epoch
 * that upstream names, with pages of its inventory in its pushes. */
#ifndef IMAGE_LINE_H
#define IMAGE_LINE_H

#include "firmware/hub_sync.h"
#include "protocol/serial_frame.h"

enum {
    LINE_PUSH_BYTES = 16384, /* a frame of the board, and then some */
    LINE_REPLY_BYTES = 4096,
    LINE_REPLY_MESSAGE = 4000, /* of them: upstream's */
    LINE_ANSWER_MS = 10000,
    LINE_ALIVE_MS = 20000, /* after a refusal */
    LINE_POLL_MS = 2000,   /* with nothing to say: so long a command waits at upstream at most */
    LINE_HELLO_MS = 2000,
    LINE_EPOCH_MS = 100,   /* after a fork: until the next push, in the new epoch */
    LINE_FORK_MS = 300000, /* after one without a way out */
};

enum line_state {
    LINE_AWAY,    /* no carrier has spoken, or it cannot reach upstream: says HELLO */
    LINE_ONLINE,  /* everything that was pushed is acknowledged */
    LINE_PUSHING, /* a reply is awaited */
    LINE_FORKED,  /* upstream holds another history, and names no epoch: an operator must look */
    LINE_STATE_COUNT
};

struct line_counters {
    uint64_t pushes, replies, timeouts, refusals, forks;
    uint64_t late;    /* replies to a push that was given up, of this start or one before */
    uint64_t unknown; /* frames of a type that is not ours */
};

struct line {
    struct hub *hub;
    uintptr_t port;
    enum line_state state;
    bool is_hello;          /* the next push is the connection's first */
    uint64_t deadline_ms;   /* of the present state */
    uint32_t mark;          /* of the last push: its reply has it, too */
    uint64_t not_before_ms; /* no push earlier: upstream asked for it, or refused one */
    struct hub_sync sync;
    struct serial_frame_reader reader;
    struct line_counters counters;
    size_t output_size, output_sent;
    uint8_t group_buffer[LINE_PUSH_BYTES];
    uint8_t push_buffer[SERIAL_FRAME_MARK + LINE_PUSH_BYTES];
    uint8_t input[LINE_REPLY_BYTES];
    uint8_t output[SERIAL_FRAME_SIZE(SERIAL_FRAME_MARK + LINE_PUSH_BYTES)];
};

void line_init(struct line *line, struct hub *hub, uintptr_t port);
/* In every turn. True: bytes wait to be sent, so come back soon. */
bool line_step(struct line *line, uint64_t now_ms);
uint64_t line_deadline_ms(const struct line *line);
const char *line_state_name(enum line_state state);

#endif
