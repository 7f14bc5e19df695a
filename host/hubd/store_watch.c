#include "host/hubd/store_watch.h"

#include "host/shared/log.h"

static void watch_blocks(struct store_watch *watch, const struct hub *hub) {
    uint32_t bad = hub->store.stats.bad_blocks;
    if (bad > watch->bad_blocks) {
        log_warn("store_block_failed bad=%u spare=%u", bad, hub_spare_blocks(hub));
    }
    watch->bad_blocks = bad;
    if (hub_is_worn(hub) && !watch->is_worn) {
        watch->is_worn = true;
        log_error("store_worn bad=%u spare=%u reason=%s", bad, hub_spare_blocks(hub),
                  "few blocks are left that may fail; replace the flash");
    }
}

/* A gap that grows step by step is told when it has become half as long again. */
static void watch_gap(struct store_watch *watch, const struct hub *hub) {
    const struct record_gap *gap = hub_gap(hub);
    uint64_t told = gap == NULL || watch->gap_last < gap->first ? 0 : watch->gap_last - gap->first;
    if (gap != NULL && gap->last - gap->first >= told + told / 2 && gap->last > watch->gap_last) {
        watch->gap_last = gap->last;
        log_warn("history_given_up first=%llu last=%llu reason=%s", (unsigned long long)gap->first,
                 (unsigned long long)gap->last,
                 "upstream lacks it, and the store needs the room or cannot read it");
    }
}

/* A pass that finds what the one before it has found says nothing. */
static void watch_scrub(struct store_watch *watch, const struct store_scrub *scrub) {
    if (scrub->repaired > watch->repaired) {
        log_warn("store_repaired records=%llu reason=%s",
                 (unsigned long long)(scrub->repaired - watch->repaired),
                 "damaged, and written again from another copy");
    }
    if (scrub->last_damaged > watch->damaged) {
        log_error("store_damaged places=%u objects=%u reason=%s", scrub->last_damaged,
                  scrub->last_lost,
                  "the flash does not read as it was written; what was lost is reported when it "
                  "is asked for");
    }
    watch->repaired = scrub->repaired;
    watch->damaged = scrub->last_damaged;
}

void store_watch_step(struct store_watch *watch, const struct hub *hub) {
    watch_blocks(watch, hub);
    watch_gap(watch, hub);
    watch_scrub(watch, &hub->store.scrub);
}
