/* ledger.h - whether a hub's grants are over for sure (SPEC.md section 8): TTL + 1 % + 5 s after
 * the last answer that carried a grant or a renewal.
 *
 * The number of such answers is in the database, written before each leaves. Every upstreamd
 * watches the numbers by its own monotonic clock: only what it has itself seen unchanged for the
 * whole time is over. So a restarted one counts in full from its start, and any number of them
 * agree. It may be later than need be, never earlier: the hub counts from the sending of the poll
 * that the answer answered. */
#ifndef HOST_UPSTREAMD_LEDGER_H
#define HOST_UPSTREAMD_LEDGER_H

#include "protocol/record.h"

enum { LEDGER_HUBS = 16384, LEDGER_MARGIN_MS = 5000, LEDGER_NAMES = 32768 };

struct ledger_row {
    char hub[RECORD_ID_MAX + 1];
    uint64_t answers;
    uint64_t since_ms; /* monotonic: since then the number is this */
    uint32_t next;     /* of the same bucket; 0: none */
};

struct ledger {
    struct ledger_row rows[LEDGER_HUBS];
    uint32_t count;
    uint32_t names[LEDGER_NAMES]; /* index + 1 of the first row */
};

/* TTL + 1 % + 5 s. */
uint64_t ledger_silence_ms(uint64_t ttl_ms);

/* The hub's number as it is now; since when it has been seen so. A hub for which there is no room
 * is never over. */
uint64_t ledger_see(struct ledger *ledger, const char *hub, uint64_t answers, uint64_t now_ms);

/* `since_ms` of ledger_see(). */
bool ledger_is_over(uint64_t since_ms, uint64_t now_ms, uint64_t ttl_ms);

#endif
