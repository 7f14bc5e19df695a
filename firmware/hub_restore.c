/* After the tables were loaded: leases, timers and lists that stand on all of them. */
#include "firmware/hub_internal.h"

/* A leased phone stays taken until its item's lease has been ended. */
static void restore_lease(struct hub *hub, uint32_t item) {
    struct hub_item *of = &hub->items[item];
    if (!of->needs_recovery) {
        return;
    }
    uint32_t phone = hub_phone_by_number(hub, of->image.phone);
    if (phone != HUB_NONE) {
        hub->phones[phone].item = item;
        hub->phones[phone].is_started = true;
        hub->phones[phone].stop_told = true;
    }
}

/* Finished processes, oldest end first: an insertion sort that starts at the newest end, since
 * slots are filled in about that order. */
static void list_finished(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    uint32_t older = hub->newest_finished;
    while (older != HUB_NONE && hub->processes[older].end_seq > of->end_seq) {
        older = hub->processes[older].older;
    }
    uint32_t newer = older == HUB_NONE ? hub->oldest_finished : hub->processes[older].newer;
    of->older = older;
    of->newer = newer;
    *(older == HUB_NONE ? &hub->oldest_finished : &hub->processes[older].newer) = process;
    *(newer == HUB_NONE ? &hub->newest_finished : &hub->processes[newer].older) = process;
}

/* Whether a process asks for this capability: its request says so. */
static bool asks_for(struct hub *hub, uint32_t process, uint32_t capability) {
    struct record_header header;
    struct cbor_reader reader;
    struct record_request request;
    if (hub_read(hub, (struct store_key){RECORD_REQUEST, process}, &header, &reader) != STATUS_OK) {
        return false;
    }
    record_get_request(&reader, &request);
    return cbor_reader_done(&reader) &&
           hub_capability_find(hub, request.process_type) == capability;
}

void hub_capability_bind(struct hub *hub, uint32_t capability) {
    for (uint32_t p = 0; p < hub->process_pool.touched; p++) {
        struct hub_process *of = &hub->processes[p];
        if (!pool_is_used(&hub->process_pool, p) || of->capability != HUB_NONE ||
            !asks_for(hub, p, capability)) {
            continue;
        }
        for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
            hub_item_leave(hub, i);
        }
        of->capability = capability;
        for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
            hub_item_enter(hub, i);
        }
    }
}

void hub_restore(struct hub *hub) {
    for (uint32_t i = 0; i < hub->item_pool.touched; i++) {
        if (pool_is_used(&hub->item_pool, i)) {
            hub_item_enter(hub, i);
            restore_lease(hub, i);
        }
    }
    for (uint32_t p = 0; p < hub->process_pool.touched; p++) {
        if (!pool_is_used(&hub->process_pool, p)) {
            continue;
        }
        if (hub->processes[p].end_seq != 0) {
            list_finished(hub, p);
        } else {
            hub_process_arm(hub, p);
        }
    }
}
