#include "host/upstreamd/fleet/ledger.h"

#include <string.h>

uint64_t ledger_silence_ms(uint64_t ttl_ms) {
    return ttl_ms + (ttl_ms + 99) / 100 + LEDGER_MARGIN_MS;
}

bool ledger_is_over(uint64_t since_ms, uint64_t now_ms, uint64_t ttl_ms) {
    return now_ms >= since_ms && now_ms - since_ms >= ledger_silence_ms(ttl_ms);
}

/* FNV-1a. */
static uint32_t *bucket_of(struct ledger *ledger, const char *hub) {
    uint32_t hash = 2166136261U;
    for (const char *at = hub; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * 16777619U;
    }
    return &ledger->names[hash % LEDGER_NAMES];
}

uint64_t ledger_see(struct ledger *ledger, const char *hub, uint64_t answers, uint64_t now_ms) {
    uint32_t *first = bucket_of(ledger, hub);
    uint32_t at = *first;
    while (at != 0 && strcmp(ledger->rows[at - 1].hub, hub) != 0) {
        at = ledger->rows[at - 1].next;
    }
    if (at == 0 && ledger->count == LEDGER_HUBS) {
        return now_ms;
    }
    if (at == 0) {
        ledger->count += 1;
        at = ledger->count;
        ledger->rows[at - 1] =
            (struct ledger_row){.answers = answers, .since_ms = now_ms, .next = *first};
        memcpy(ledger->rows[at - 1].hub, hub, strnlen(hub, RECORD_ID_MAX));
        *first = at;
    }
    struct ledger_row *row = &ledger->rows[at - 1];
    if (row->answers != answers) {
        row->answers = answers;
        row->since_ms = now_ms;
    }
    return row->since_ms;
}
