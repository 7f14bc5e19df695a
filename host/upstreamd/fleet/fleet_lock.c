/* Which processes of the fleet the pushes of a turn tell of: their rows are locked before anything
 * else, in the order of their numbers. Two upstreamd that store parts of the same processes then
 * wait for each other in one direction only. */
#include "host/upstreamd/fleet/fleet.h"

/* What does not fit is locked when it is met. */
static struct db_touch touches[FLEET_TOUCHES_MAX];
static uint32_t touch_count;

void fleet_lock_begin(struct fleet *fleet) {
    (void)fleet;
    touch_count = 0;
}

/* A part by the hub's number of it, or (`epoch` not 0) what a command was about. */
static void touch(struct bytes hub, const struct sync_push *push, uint64_t number, uint32_t epoch) {
    const struct db_touch *last = &touches[touch_count == 0 ? 0 : touch_count - 1];
    bool is_same = touch_count > 0 && last->hub.data == hub.data && last->number == number &&
                   last->epoch == epoch;
    if (!is_same && touch_count < FLEET_TOUCHES_MAX) {
        touches[touch_count] = (struct db_touch){
            .hub = hub, .store_id = push->store_id, .number = number, .epoch = epoch};
        touch_count += 1;
    }
}

static void touch_record(struct bytes hub, const struct sync_push *push, struct bytes body) {
    struct cbor_reader reader;
    struct record_header header = {0};
    struct record_answer answer;
    cbor_reader_init(&reader, body);
    record_get_header(&reader, &header);
    if (reader.failed || header.path_count == 0) {
        return;
    }
    if (header.kind >= RECORD_REQUEST && header.kind <= RECORD_ATTEMPT) {
        touch(hub, push, header.path[0], 0);
    } else if (header.kind == RECORD_ANSWER) {
        record_get_answer(&reader, &answer);
        if (cbor_reader_done(&reader) && answer.upstream_epoch != 0) {
            touch(hub, push, header.path[0], answer.upstream_epoch);
        }
    }
}

void fleet_lock_add(struct fleet *fleet, struct bytes hub_id, const struct sync_push *push) {
    struct sync_push walk = *push;
    struct sync_group group;
    struct bytes body;
    while (fleet->db->sql.driver->is_server && sync_group_next(&walk, &group)) {
        while (sync_record_next(&group.records, &body)) {
            touch_record(hub_id, push, body);
        }
    }
}

enum status fleet_lock_end(struct fleet *fleet) {
    return touch_count == 0 ? STATUS_OK : db_fleet_lock(fleet->db, touches, touch_count);
}
