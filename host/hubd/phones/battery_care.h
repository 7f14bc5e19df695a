/* battery_care.h - keeps the batteries of idle phones between two levels, slot by slot: reads the
 * level over adb, and switches the slot's power (firmware/battery.h decides).
 *
 * A phone that rests is absent, and says why; work that waits for it wakes it. No slot is left off
 * when the program ends in order, and at its start every slot gets power. Part of phones.c. */
#ifndef HOST_HUBD_BATTERY_CARE_H
#define HOST_HUBD_BATTERY_CARE_H

#include "firmware/battery.h"
#include "firmware/port_power.h"
#include "hal/usb.h"
#include "host/hubd/phones/battery_reading.h"

enum {
    BATTERY_CARE_SLOTS = 128,
    BATTERY_CARE_RETRY_MS = 10000, /* of a port that does not come on, or whose hub is busy */
    BATTERY_CARE_START_MS = 5000   /* what is not on the bus by then may be off */
};

struct phone_line;
struct phones;

struct battery_slot {
    struct battery_care *care;
    struct phone_line *line; /* that is on this slot, or was; NULL: none yet */
    struct battery battery;
    bool is_switching, must_restore;
    enum port_power_goal goal;
    uint32_t phone; /* row in the core of the one that rests */
    uint32_t operation;
    uint64_t cancel_ms; /* of the operation; 0: none */
    uint64_t retry_ms;
    struct battery_reading reading;
    char slot[HAL_USB_SLOT_SIZE];
};

struct battery_care {
    struct phones *phones;
    struct battery_rules rules;
    bool is_for_all; /* every slot that a phone is seen in */
    bool is_stopping;
    uint64_t start_ms;
    uint64_t cuts, charges, failures; /* ever */
    uint32_t count;
    struct battery_slot *slots; /* memory for BATTERY_CARE_SLOTS */
};

/* `slot`: a slot, or `all`. FULL. */
must_check enum status battery_care_add(struct battery_care *care, const char *slot);

/* A phone was plugged in. */
void battery_care_attached(struct battery_care *care, struct phone_line *line);

/* Whether the slot of a line is off, or going off, for its battery's sake. */
bool battery_care_rests(const struct battery_care *care, const struct phone_line *line);

void battery_care_step(struct battery_care *care, uint64_t now_ms);
uint64_t battery_care_deadline_ms(const struct battery_care *care);

/* Turns everything on again; quiet when all is. */
void battery_care_stop(struct battery_care *care);
bool battery_care_is_quiet(const struct battery_care *care);

#endif
