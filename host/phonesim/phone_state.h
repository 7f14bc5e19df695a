/* phone_state.h - what an emulated phone is and remembers, apart from its connections. */
#ifndef HOST_PHONESIM_PHONE_STATE_H
#define HOST_PHONESIM_PHONE_STATE_H

#include "host/phonesim/phone_files.h"

enum {
    PHONE_SERIAL_SIZE = 48,
    PHONE_SETTINGS_MAX = 16, /* properties that setprop made */
    PHONE_NAME_SIZE = 64,
    PHONE_VALUE_SIZE = 92,
    PHONE_LOG_LINES = 32,
    PHONE_LOG_LINE_SIZE = 96,
    PHONE_PACKAGES_MAX = 8,
    PHONE_REVERSES_MAX = 16
};

struct phone_setting {
    char name[PHONE_NAME_SIZE]; /* "": free */
    char value[PHONE_VALUE_SIZE];
};

struct phone_log_line {
    int64_t at_s;
    char text[PHONE_LOG_LINE_SIZE];
};

struct phone_state {
    char serial[PHONE_SERIAL_SIZE];
    uint32_t number; /* from 0; gives model, first battery level and storage use */
    uint64_t booted_ms;
    int forced_level; /* `dumpsys battery set level`; -1: none */
    bool has_battery; /* one that charges while it has power; else a saw of its own */
    bool has_power;
    int battery_milli;   /* thousandths of a percent, at `battery_ms` */
    int battery_milli_s; /* gained a second with power, lost without */
    uint64_t battery_ms;
    bool wants_reboot;
    bool wants_bootloader; /* then */
    struct phone_setting settings[PHONE_SETTINGS_MAX];
    struct phone_log_line log[PHONE_LOG_LINES];
    uint32_t log_begin;
    uint32_t log_count;
    char packages[PHONE_PACKAGES_MAX][PHONE_NAME_SIZE];    /* installed; "": free */
    char reverses[PHONE_REVERSES_MAX][2][PHONE_NAME_SIZE]; /* here, on the host; "": free */
    struct phone_files files;
};

void phone_state_init(struct phone_state *state, const char *serial, uint32_t number,
                      uint64_t now_ms);

/* As after a reboot: files and what setprop made with `persist.` stay. */
void phone_state_boot(struct phone_state *state, uint64_t now_ms);

/* The value of a property; "" when it is not set. */
const char *phone_state_property(const struct phone_state *state, const char *name);
/* The property at `index`; false: no more. For `getprop` without a name. */
bool phone_state_property_at(const struct phone_state *state, size_t index, const char **name,
                             const char **value);
/* FULL: too many. TOO_LARGE: name or value. ILLEGAL: `ro.` cannot be set. */
must_check enum status phone_state_set_property(struct phone_state *state, const char *name,
                                                const char *value);

/* Gives it a battery that charges and drains by so many thousandths of a percent a second. */
void phone_state_set_battery(struct phone_state *state, int level, int milli_s, uint64_t now_ms);
/* Its cable has power, or has none. */
void phone_state_set_power(struct phone_state *state, bool has_power, uint64_t now_ms);

/* 1..100. Without a battery that charges: falls and rises by a percent a minute. */
int phone_state_battery_level(const struct phone_state *state, uint64_t now_ms);
uint64_t phone_state_uptime_ms(const struct phone_state *state, uint64_t now_ms);
void phone_state_log(struct phone_state *state, const char *text);
int64_t phone_state_wall_s(void);

#endif
