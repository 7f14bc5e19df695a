/* adb_flow.h - flow control of one ADB stream, both directions, with and without delayed_ack.
 *
 * Source: AOSP protocol.md and docs/dev/delayed_ack.md, sockets.cpp (local_socket_ack,
 * local_socket_flush_outgoing). Without delayed_ack (`window` 0) one write is in flight each way.
 * With it a side may write while its credit is above 0, so that the credit falls below 0 by less
 * than one payload; who reads grants bytes again when they are used up. What can be on its way to
 * us is therefore under `window` + one payload. */
#ifndef PROTOCOL_ADB_FLOW_H
#define PROTOCOL_ADB_FLOW_H

#include "hal/base.h"

struct adb_flow {
    int32_t credit;    /* delayed_ack: bytes the peer still takes */
    uint32_t received; /* delayed_ack: bytes that came and were not granted again */
    uint32_t used;     /* of `received`: what our owner has used up */
    bool is_sending;   /* without: our write is not acknowledged yet */
    bool owes_okay;    /* without: the peer's write is not acknowledged yet */
};

/* Whether we may write now; the peer owes us an acknowledgement when not. */
bool adb_flow_may_send(const struct adb_flow *flow, uint32_t window);
void adb_flow_sent(struct adb_flow *flow, uint32_t window, uint32_t size);

/* The peer acknowledged a write; with delayed_ack so many bytes, which may be negative. OK:
 * `is_writable` says whether we may write where we might not before. MALFORMED: beyond all sense.
 */
must_check enum status adb_flow_acknowledged(struct adb_flow *flow, uint32_t window, int32_t size,
                                             bool *is_writable);

/* A write of the peer begins. False: it had no right to. */
must_check bool adb_flow_received(struct adb_flow *flow, uint32_t window, uint32_t size);

/* With delayed_ack: our owner holds only the last `left` bytes of what came. */
void adb_flow_used(struct adb_flow *flow, uint32_t left);
/* With delayed_ack: the bytes that are worth a message now, 0: none; from here on they count as
 * granted. Fewer than a quarter of the window wait for more, which no peer has to wait for. */
uint32_t adb_flow_due(const struct adb_flow *flow, uint32_t window);
void adb_flow_granted(struct adb_flow *flow, uint32_t size);

#endif
