/* settings.h - hubd's configuration file (SPEC.md section 10; docs/operating.md). */
#ifndef HOST_HUBD_SETTINGS_H
#define HOST_HUBD_SETTINGS_H

#include "boards/board.h"
#include "firmware/budget.h"
#include "host/hubd/adb/adb_access.h"
#include "host/hubd/phones/phones.h"
#include "host/shared/callback.h"
#include "host/hubd/run/run_container.h"
#include "host/hubd/sync/carrier.h"
#include "host/shared/config.h"

enum { SETTINGS_PATH_BYTES = 256, SETTINGS_ADDRESS_BYTES = 128, SETTINGS_LISTENERS = 8 };

/* By size, so that nothing lies idle between the members; a path that is "" was not given. */
struct settings {
    const struct board *board;
    uint64_t store_bytes;                      /* 0: the board's */
    uint64_t streams;                          /* of the API at once; 0: the board's */
    uint64_t phone_budget[BUDGET_KIND_COUNT];  /* of each phone; 0: without limit */
    struct serial_power_settings *serial_hubs; /* memory of settings.c, as is the next */
    char (*battery_slots)[HAL_USB_SLOT_SIZE];  /* or one `all` */
    uint64_t away_seconds;                     /* that a rebooted phone may take to come back */
    uint64_t endpoints_max;                    /* of a USB controller; 0: not known */
    uint64_t battery_low, battery_high, battery_check_seconds;
    uint64_t artifact_bytes;       /* of one attempt's output */
    uint64_t artifact_total_bytes; /* of all; older ones go first */
    uint64_t grace_seconds;
    struct carrier_settings carried[CARRIER_MAX]; /* hubs on serial lines */
    struct run_settings containers;
    uint32_t listen_count;
    uint32_t phone_count;
    uint32_t serial_hub_count;
    uint32_t battery_slot_count;
    uint32_t carried_count;
    struct adb_users adb_users;
    struct slot_labels slots;
    bool usb;
    uint64_t phone_vitals_seconds; /* how often idle phones say how they are; 0: never */
    bool delayed_ack;              /* offered to phones */
    bool adb_ports;
    bool adb_tcp;
    char hub_id[RECORD_ID_MAX + 1];
    char labels[SETTINGS_PATH_BYTES];
    char store_path[SETTINGS_PATH_BYTES];
    char listen[SETTINGS_LISTENERS][SETTINGS_ADDRESS_BYTES];
    char token_file[SETTINGS_PATH_BYTES];
    char api_cert[SETTINGS_PATH_BYTES];
    char api_key[SETTINGS_PATH_BYTES];
    char phones[PHONES_MAX][SETTINGS_ADDRESS_BYTES];
    char adb_keys[SETTINGS_PATH_BYTES];
    char adb_dir[SETTINGS_PATH_BYTES]; /* "": no endpoints */
    char adb_operators[SETTINGS_ADDRESS_BYTES];
    char capability_dir[SETTINGS_PATH_BYTES];
    struct callback_list callbacks;
    char callback_secret[SETTINGS_PATH_BYTES]; /* file; "": no signature */
    char callback_ca[SETTINGS_PATH_BYTES];     /* file; "": no https */
    char artifact_dir[SETTINGS_PATH_BYTES];    /* "": no artifacts */
    struct upstream_urls upstream;             /* none: the hub works alone */
    char upstream_ca[SETTINGS_PATH_BYTES];
    char upstream_cert[SETTINGS_PATH_BYTES];
    char upstream_key[SETTINGS_PATH_BYTES];
};

/* Reads and judges the whole file; `error` says file, line, section, key and what was expected. */
must_check enum status settings_read(struct settings *settings, const char *path,
                                     struct config_error *error);

#endif
