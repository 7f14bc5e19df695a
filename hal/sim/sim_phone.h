/* sim_phone.h - a phone as the world sees it: whether it is plugged in and where, how it answers,
 * and what it has really done. Nothing here trusts the hub: effects are counted at the phone. */
#ifndef HAL_SIM_SIM_PHONE_H
#define HAL_SIM_SIM_PHONE_H

#include "hal/sim/sim_dice.h"

enum { SIM_PHONE_SERIAL = 12 };

enum sim_phone_mood {
    SIM_PHONE_HEALTHY,
    SIM_PHONE_SLOW,    /* every action takes ten times as long */
    SIM_PHONE_HANGING, /* no action ends; it does not hear that it shall stop */
    SIM_PHONE_LYING,   /* says nonsense: texts that are no text, results without end */
    SIM_PHONE_FAILING, /* actions fail more often than not */
    SIM_PHONE_MOODS
};

struct sim_phone {
    char serial[SIM_PHONE_SERIAL]; /* what it claims: two phones may claim the same */
    uint32_t slot;                 /* where it is plugged */
    bool is_plugged;
    bool is_mute;       /* plugged, but does not answer */
    bool takes_key;     /* our ADB key */
    bool is_bootloader; /* what answers is its bootloader */
    bool is_misfit;     /* no host has room for it */
    uint8_t mood;       /* enum sim_phone_mood */
    bool is_broken;     /* for ever: liveness mode made it so */
};

/* How one action ends on this phone. */
enum sim_phone_end {
    SIM_PHONE_DONE,
    SIM_PHONE_EXIT_CODE, /* fails; it may be tried again */
    SIM_PHONE_BROKEN,    /* fails for good: the capability itself is wrong */
    SIM_PHONE_REBOOTS,   /* goes away and comes back, as the action asked */
    SIM_PHONE_NEVER,     /* does not end by itself */
};

struct sim_phone_action {
    uint8_t end; /* enum sim_phone_end */
    uint32_t lasts_ms;
};

/* What the action that begins now will do. */
struct sim_phone_action sim_phone_begin(const struct sim_phone *phone, struct sim_dice *dice);
/* How long it goes on after it was told to stop; false: it does not hear. */
bool sim_phone_stops(const struct sim_phone *phone, struct sim_dice *dice, uint32_t *after_ms);
/* Whether a hub that asks gets an answer. */
bool sim_phone_answers(const struct sim_phone *phone);

#endif
