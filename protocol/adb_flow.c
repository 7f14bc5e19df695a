#include "protocol/adb_flow.h"

bool adb_flow_may_send(const struct adb_flow *flow, uint32_t window) {
    return window > 0 ? flow->credit > 0 : !flow->is_sending;
}

void adb_flow_sent(struct adb_flow *flow, uint32_t window, uint32_t size) {
    check(adb_flow_may_send(flow, window));
    if (window > 0) {
        flow->credit -= (int32_t)size;
    } else {
        flow->is_sending = true;
    }
}

enum status adb_flow_acknowledged(struct adb_flow *flow, uint32_t window, int32_t size,
                                  bool *is_writable) {
    bool was_blocked = !adb_flow_may_send(flow, window);
    int64_t credit = (int64_t)flow->credit + size;
    if (credit > INT32_MAX || credit < INT32_MIN / 2) { /* our next write must fit below it too */
        return STATUS_MALFORMED;
    }
    if (window > 0) {
        flow->credit = (int32_t)credit;
    }
    flow->is_sending = false;
    *is_writable = was_blocked && adb_flow_may_send(flow, window);
    return STATUS_OK;
}

bool adb_flow_received(struct adb_flow *flow, uint32_t window, uint32_t size) {
    if (window == 0) {
        bool is_first = !flow->owes_okay;
        flow->owes_okay = true;
        return is_first;
    }
    if (flow->received >= window) {
        return false;
    }
    flow->received += size;
    return true;
}

void adb_flow_used(struct adb_flow *flow, uint32_t left) {
    if (left < flow->received && flow->received - left > flow->used) {
        flow->used = flow->received - left;
    }
}

uint32_t adb_flow_due(const struct adb_flow *flow, uint32_t window) {
    return flow->used > 0 && flow->used >= window / 4 ? flow->used : 0;
}

void adb_flow_granted(struct adb_flow *flow, uint32_t size) {
    check(size <= flow->used);
    flow->received -= size;
    flow->used -= size;
}
