#include "firmware/phone.h"

/* 0: not allowed; else the next state plus one. */
/* clang-format off */
#define ROW(from, on, to) [RECORD_PHONE_##from][PHONE_ON_##on] = (RECORD_PHONE_##to + 1)

static const uint8_t table[RECORD_PHONE_STATE_COUNT][PHONE_EVENT_COUNT] = {
    /*   from          on                    to           */
    ROW( ABSENT,       ATTACHED,             CONNECTING   ),
    ROW( ABSENT,       ATTACHED_NO_ROOM,     REFUSED      ),
    ROW( ABSENT,       ATTACHED_BOOTLOADER,  RECOVERING   ),
    ROW( ABSENT,       QUARANTINE,           QUARANTINED  ),

    ROW( REFUSED,      ROOM,                 CONNECTING   ),
    ROW( REFUSED,      DETACHED,             ABSENT       ),
    ROW( REFUSED,      QUARANTINE,           QUARANTINED  ),

    ROW( CONNECTING,   HANDSHAKE,            READY        ),
    ROW( CONNECTING,   KEY_REFUSED,          UNAUTHORIZED ),
    ROW( CONNECTING,   SILENT,               RECOVERING   ),
    ROW( CONNECTING,   DETACHED,             ABSENT       ),
    ROW( CONNECTING,   QUARANTINE,           QUARANTINED  ),

    ROW( UNAUTHORIZED, HANDSHAKE,            READY        ),
    ROW( UNAUTHORIZED, DETACHED,             ABSENT       ),
    ROW( UNAUTHORIZED, QUARANTINE,           QUARANTINED  ),

    ROW( READY,        LEASE,                LEASED       ),
    ROW( READY,        KEY_REFUSED,          UNAUTHORIZED ),
    ROW( READY,        SILENT,               RECOVERING   ),
    ROW( READY,        DETACHED,             ABSENT       ),
    ROW( READY,        QUARANTINE,           QUARANTINED  ),

    ROW( LEASED,       LEASE_ENDED,          READY        ),
    ROW( LEASED,       AWAY,                 AWAY         ),
    ROW( LEASED,       KEY_REFUSED,          UNAUTHORIZED ),
    ROW( LEASED,       SILENT,               RECOVERING   ),
    ROW( LEASED,       DETACHED,             ABSENT       ),
    ROW( LEASED,       QUARANTINE,           QUARANTINED  ),

    ROW( AWAY,         ATTACHED,             AWAY         ),
    ROW( AWAY,         ATTACHED_BOOTLOADER,  AWAY         ),
    ROW( AWAY,         ATTACHED_NO_ROOM,     REFUSED      ),
    ROW( AWAY,         DETACHED,             AWAY         ),
    ROW( AWAY,         BACK,                 LEASED       ),
    ROW( AWAY,         WINDOW_OVER,          RECOVERING   ),
    ROW( AWAY,         LEASE_ENDED,          RECOVERING   ),
    ROW( AWAY,         QUARANTINE,           QUARANTINED  ),

    ROW( RECOVERING,   ATTACHED,             RECOVERING   ),
    ROW( RECOVERING,   ATTACHED_BOOTLOADER,  RECOVERING   ),
    ROW( RECOVERING,   ATTACHED_NO_ROOM,     REFUSED      ),
    ROW( RECOVERING,   DETACHED,             RECOVERING   ),
    ROW( RECOVERING,   KEY_REFUSED,          UNAUTHORIZED ),
    ROW( RECOVERING,   HEALTHY,              READY        ),
    ROW( RECOVERING,   SPENT_ATTACHED,       QUARANTINED  ),
    ROW( RECOVERING,   SPENT_GONE,           ABSENT       ),
    ROW( RECOVERING,   QUARANTINE,           QUARANTINED  ),

    ROW( QUARANTINED,  ATTACHED,             QUARANTINED  ),
    ROW( QUARANTINED,  ATTACHED_NO_ROOM,     QUARANTINED  ),
    ROW( QUARANTINED,  ATTACHED_BOOTLOADER,  QUARANTINED  ),
    ROW( QUARANTINED,  DETACHED,             QUARANTINED  ),
    ROW( QUARANTINED,  RELEASE_ATTACHED,     CONNECTING   ),
    ROW( QUARANTINED,  RELEASE_GONE,         ABSENT       ),
};
#undef ROW
/* clang-format on */

enum status phone_apply(uint8_t *state, enum phone_event event) {
    check(*state < RECORD_PHONE_STATE_COUNT);
    check(event < PHONE_EVENT_COUNT);
    uint8_t next = table[*state][event];
    if (next == 0) {
        return STATUS_ILLEGAL;
    }
    *state = next - 1;
    return STATUS_OK;
}

static bool has_lease(enum record_phone_state state) {
    return state == RECORD_PHONE_LEASED || state == RECORD_PHONE_AWAY;
}

bool phone_is_lost(enum record_phone_state from, enum record_phone_state to) {
    return has_lease(from) && !has_lease(to);
}

const char *phone_event_name(enum phone_event event) {
    static const char *const names[] = {
        "attached",
        "attached_no_room",
        "attached_bootloader",
        "room",
        "handshake",
        "key_refused",
        "silent",
        "lease",
        "lease_ended",
        "away",
        "back",
        "window_over",
        "detached",
        "healthy",
        "spent_attached",
        "spent_gone",
        "quarantine",
        "release_attached",
        "release_gone",
    };
    _Static_assert(array_count(names) == PHONE_EVENT_COUNT, "every event has a name");
    check(event < PHONE_EVENT_COUNT);
    return names[event];
}
