#include "host/hubd/phones/phone_key.h"

#include "host/shared/process_time.h"

uint64_t phone_key_unused_since_ms(const struct hub *hub, uint32_t phone) {
    const struct hub_phone *of = &hub->phones[phone];
    bool is_away = of->state == RECORD_PHONE_ABSENT || of->state == RECORD_PHONE_REFUSED ||
                   of->state == RECORD_PHONE_RECOVERING || of->state == RECORD_PHONE_QUARANTINED;
    if (of->number == 0 || !is_away) {
        return 0;
    }
    return process_time_ms(&(struct process_clock){hub->image.boots, hub->image.boot_count},
                           &of->connected);
}

uint32_t phone_key_expiring(const struct hub *hub) {
    const uint64_t warn_ms = (uint64_t)PHONE_KEY_WARN_DAYS * 24 * 3600 * 1000;
    uint32_t count = 0;
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        uint64_t since_ms = phone_key_unused_since_ms(hub, p);
        count += since_ms > 0 && hub->clock.wall_ms >= since_ms + warn_ms ? 1 : 0;
    }
    return count;
}
