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
