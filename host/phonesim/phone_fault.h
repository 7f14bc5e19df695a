/* phone_fault.h - what goes wrong on purpose: which command it hits, and how often.
 *
 * Written as KIND[:RATE][@PREFIX], such as `fail:0.5@dumpsys`. Draws come from a seeded generator,
 * one per command, so a run can be repeated and a retry can succeed. */
#ifndef HOST_PHONESIM_PHONE_FAULT_H
#define HOST_PHONESIM_PHONE_FAULT_H

#include "hal/base.h"

enum phone_fault_kind {
    PHONE_FAULT_NONE,
    PHONE_FAULT_HANG,    /* takes the command and never answers */
    PHONE_FAULT_DROP,    /* disconnects in the middle of the answer */
    PHONE_FAULT_FAIL,    /* exit status 1 and an error text, or FAIL */
    PHONE_FAULT_SLOW,    /* answers late */
    PHONE_FAULT_GARBAGE, /* sends bytes that are not ADB */
    PHONE_FAULT_STALL    /* in the bootloader: halts its endpoints; else as hang */
};

enum { PHONE_FAULT_PREFIX_SIZE = 64, PHONE_FAULTS_MAX = 16 };

struct phone_fault {
    enum phone_fault_kind kind;
    uint32_t rate_millionths;
    char prefix[PHONE_FAULT_PREFIX_SIZE]; /* of a command or `sync:`; "": every one */
};

struct phone_faults {
    struct phone_fault list[PHONE_FAULTS_MAX];
    size_t count;
};

/* Adds one. MALFORMED: not of the form above. FULL: more than PHONE_FAULTS_MAX. */
must_check enum status phone_fault_add(struct phone_faults *faults, const char *text);

/* Decides for one command; each fault it matches draws once. */
enum phone_fault_kind phone_fault_draw(const struct phone_faults *faults, uint64_t *random,
                                       struct bytes command);

/* The next number of a seeded generator (splitmix64, Steele et al. 2014). */
uint64_t phone_fault_random(uint64_t *random);

#endif
