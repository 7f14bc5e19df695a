/* The inventory of a fork: pages of what the hub has, and what upstream makes of them. */
#include "firmware/hub_fork.h"
#include "firmware/hub_internal.h"

#include <string.h>

/* ---- pages ---- */

/* Not while the open group has no room for what upstream will say of it, as during a long sync. */
bool hub_fork_has_page(const struct hub *hub) {
    return hub->fork_state == HUB_FORK_LISTING && hub_has_room(hub, HUB_TRANSITION_BYTES);
}

/* A page's rows: the processes with the lowest numbers from `page.next` on. */
struct rows {
    uint32_t processes[SYNC_INVENTORY_ROWS_MAX];
    uint32_t count;
    uint32_t max;
    bool has_more;
};

static void add_row(const struct hub *hub, struct rows *rows, uint32_t process) {
    uint64_t number = hub->processes[process].number;
    uint32_t at = rows->count;
    while (at > 0 && hub->processes[rows->processes[at - 1]].number > number) {
        at -= 1;
    }
    rows->has_more = rows->has_more || rows->count == rows->max;
    if (at == rows->max) {
        return;
    }
    rows->count += rows->count < rows->max;
    memmove(rows->processes + at + 1, rows->processes + at,
            (rows->count - 1 - at) * sizeof rows->processes[0]);
    rows->processes[at] = process;
}

static void find_rows(const struct hub *hub, struct rows *rows) {
    for (uint32_t p = 0; p < hub->process_pool.touched; p++) {
        if (pool_is_used(&hub->process_pool, p) && hub->processes[p].number >= hub->page.next) {
            add_row(hub, rows, p);
        }
    }
}

/* The digest of a record; one that cannot be read leaves zeros. */
static void put_digest(struct hub *hub, struct store_key key, uint8_t digest[SYNC_DIGEST_BYTES]) {
    struct store_record record;
    if (store_read(&hub->store, key, hub->read_buffer, hub->record_bytes, &record) == STATUS_OK) {
        sync_inventory_digest(record.body, digest);
    }
}

static void put_row(struct hub *hub, struct cbor_writer *writer, uint32_t process) {
    const struct hub_process *of = &hub->processes[process];
    struct sync_inventory_row row = {.process = of->number,
                                     .generation = of->image.generation,
                                     .revision = of->revision,
                                     .status = of->status};
    /* One of the new life proves nothing of what was before it. */
    if (store_slot(&hub->store, of->tail)->seq <= hub->image.life.seq) {
        put_digest(hub, of->tail, row.digest);
    }
    put_digest(hub, (struct store_key){RECORD_REQUEST, process}, row.request);
    sync_inventory_row_write(writer, &row);
}

bool hub_fork_page(struct hub *hub, struct cbor_writer *writer) {
    struct rows rows = {.max = SYNC_INVENTORY_ROWS_MAX};
    size_t left = writer->capacity - writer->size;
    if (hub->fork_state != HUB_FORK_LISTING || left < SYNC_PAGE_BYTES + SYNC_ROW_BYTES) {
        return false;
    }
    size_t fitting = (left - SYNC_PAGE_BYTES) / SYNC_ROW_BYTES;
    rows.max = fitting < rows.max ? (uint32_t)fitting : rows.max;
    find_rows(hub, &rows);
    const struct sync_inventory page = {
        .from = hub->page.next,
        .has_more = rows.has_more,
        .row_count = rows.count,
    };
    sync_inventory_write(writer, &page);
    for (uint32_t i = 0; i < rows.count; i++) {
        put_row(hub, writer, rows.processes[i]);
    }
    hub->page.from = page.from;
    hub->page.has_more = page.has_more;
    hub->page.last = rows.count == 0 ? 0 : hub->processes[rows.processes[rows.count - 1]].number;
    return true;
}

/* ---- what is missing ---- */

/* Every newest image of the process that stands before the new epoch's log. False: no room. */
static bool carry_process(struct hub *hub, uint32_t process) {
    bool is_done = hub_fork_carry(hub, RECORD_REQUEST, process) &&
                   hub_fork_carry(hub, RECORD_PROCESS, process);
    for (uint32_t i = hub->processes[process].first_item; i != HUB_NONE && is_done;
         i = hub->items[i].next_of_process) {
        is_done = hub_fork_carry(hub, RECORD_ITEM, i);
        for (uint32_t a = hub->items[i].first_attempt; a != HUB_NONE && is_done;
             a = hub->attempts[a].next) {
            is_done = hub_fork_carry(hub, RECORD_ATTEMPT, a);
        }
    }
    return is_done;
}

/* Readers count by revisions: what the hub says next must be newer than all that upstream knows.
 * The revisions between are not this hub's: its history of the process begins with this record. */
static bool lift(struct hub *hub, uint32_t process, uint64_t revision) {
    struct hub_process *of = &hub->processes[process];
    if (of->revision > revision) {
        return true;
    }
    if (!hub_has_room(hub, HUB_RECORD_BYTES)) {
        return false;
    }
    of->revision = revision;
    hub_log_process(hub, process, RECORD_RECONCILED_EVENT);
    return true;
}

/* ---- what has ended ---- */

/* Of a target that upstream says nothing of, how it ended here, if it has: a fork may have come
 * between the process's end and those of its items. */
static uint8_t state_of(const struct hub_item *item, const struct sync_verdict *verdict) {
    uint32_t target = item->image.target_index;
    uint8_t state = target < verdict->states.size ? verdict->states.data[target] : 0;
    state = item_is_terminal(state) ? state : item->image.state;
    return item_is_terminal(state) ? state : (uint8_t)RECORD_CANCELED;
}

/* No row of the item table: like one that is withdrawn, the item does not change its state here,
 * it takes the one that it has had for some time. True: it was another. */
static bool end_item(struct hub *hub, uint32_t item, uint8_t state) {
    struct record_item *image = &hub->items[item].image;
    uint8_t from = image->state;
    if (from == state) {
        return false;
    }
    check(image->phone == 0);
    hub_item_leave(hub, item);
    image->state = state;
    image->suspension = RECORD_SUSPEND_NONE;
    image->stop = RECORD_STOP_NONE;
    hub_item_enter(hub, item);
    timer_set(&hub->timers, hub_item_timer(hub, item), TIMER_NEVER);
    if (!item_is_terminal(from)) {
        queue_release(hub, item);
    }
    return true;
}

static bool end_items(struct hub *hub, uint32_t process, const struct sync_verdict *verdict) {
    bool has_changed = false;
    for (uint32_t i = hub->processes[process].first_item; i != HUB_NONE;
         i = hub->items[i].next_of_process) {
        if (!hub->items[i].image.superseded) {
            has_changed = end_item(hub, i, state_of(&hub->items[i], verdict)) || has_changed;
        }
    }
    return has_changed;
}

/* Records come last: no status is derived while only some items have ended. */
static void log_end(struct hub *hub, uint32_t process) {
    const struct hub_process *of = &hub->processes[process];
    for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
        if (!hub->items[i].image.superseded) {
            (void)hub_log_item(hub, i, RECORD_RECONCILED_EVENT);
        }
    }
    if (of->end_seq == 0) {
        hub_process_settle(hub, process);
    } else {
        hub_log_process(hub, process, RECORD_RECONCILED_EVENT);
    }
}

static uint32_t end_room(const struct hub *hub, uint32_t process) {
    uint32_t count = 3;
    for (uint32_t i = hub->processes[process].first_item; i != HUB_NONE;
         i = hub->items[i].next_of_process) {
        count += !hub->items[i].image.superseded;
    }
    return count * HUB_RECORD_BYTES;
}

static bool end_process(struct hub *hub, uint32_t process, const struct sync_verdict *verdict) {
    struct hub_process *of = &hub->processes[process];
    if (!hub_has_room(hub, end_room(hub, process))) {
        return false;
    }
    bool is_new = of->end_seq == 0 || of->image.generation != verdict->generation ||
                  of->image.flags != verdict->flags;
    of->image.generation = verdict->generation;
    of->image.flags = verdict->flags;
    if (verdict->item_count > of->image.item_count) {
        of->image.item_count = verdict->item_count; /* a retry numbers its items behind them */
    }
    is_new = end_items(hub, process, verdict) || is_new;
    if (verdict->revision > of->revision) {
        of->revision = verdict->revision;
    }
    hub->counters.ended_upstream += is_new;
    if (is_new) {
        log_end(hub, process);
    }
    return lift(hub, process, verdict->revision);
}

/* ---- verdicts ---- */

/* False: no room. */
static bool judge(struct hub *hub, const struct sync_verdict *verdict) {
    uint32_t process = hub_process_find(hub, verdict->process);
    if (process == HUB_NONE || verdict->kind == SYNC_VERDICT_OK) {
        return true;
    }
    if (verdict->kind == SYNC_VERDICT_ENDED) {
        return end_process(hub, process, verdict);
    }
    return carry_process(hub, process) && lift(hub, process, verdict->revision);
}

void hub_fork_judge(struct hub *hub, struct bytes bytes) {
    struct sync_verdicts verdicts;
    struct sync_verdict verdict;
    if (hub->fork_state != HUB_FORK_LISTING || bytes.size == 0 ||
        sync_verdicts_read(bytes, &verdicts) != STATUS_OK || verdicts.from != hub->page.from ||
        verdicts.from != hub->page.next) {
        return;
    }
    while (sync_verdict_next(&verdicts.list, &verdict)) {
        if (verdict.process < hub->page.next || verdict.process > hub->page.last ||
            !judge(hub, &verdict)) {
            return;
        }
        hub->page.next = verdict.process + 1;
    }
    if (hub->page.next > hub->page.last && !hub->page.has_more) {
        hub_fork_told(hub);
    }
}
