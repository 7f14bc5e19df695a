/* settings.h - hubd's configuration file (SPEC.md section 10; docs/operating.md). */
#ifndef HOST_HUBD_SETTINGS_H
#define HOST_HUBD_SETTINGS_H

#include "boards/board.h"
#include "firmware/budget.h"
#include "host/hubd/phones.h"
#include "host/shared/callback.h"
#include "host/hubd/run_container.h"
#include "host/shared/config.h"

enum { SETTINGS_PATH_BYTES = 256, SETTINGS_ADDRESS_BYTES = 128, SETTINGS_LISTENERS = 8 };

struct settings {
    char hub_id[RECORD_ID_MAX + 1];
    char labels[SETTINGS_PATH_BYTES];
    char board_name[32];
    const struct board *board;
    char store_path[SETTINGS_PATH_BYTES];
    uint64_t store_bytes; /* 0: the board's */
    char listen[SETTINGS_LISTENERS][SETTINGS_ADDRESS_BYTES];
    uint32_t listen_count;
    char token_file[SETTINGS_PATH_BYTES];
    char api_cert[SETTINGS_PATH_BYTES];
    char api_key[SETTINGS_PATH_BYTES];
    char phones[PHONES_MAX][SETTINGS_ADDRESS_BYTES];
    uint32_t phone_count;
    uint64_t phone_budget[BUDGET_KIND_COUNT]; /* of each phone; 0: without limit */
    bool usb;
    char adb_keys[SETTINGS_PATH_BYTES];
    char adb_dir[SETTINGS_PATH_BYTES]; /* "": no endpoints */
    char adb_operators[SETTINGS_ADDRESS_BYTES];
    bool adb_ports;
    struct run_settings containers;
    char capability_dir[SETTINGS_PATH_BYTES];
    char callback_allow[CALLBACK_HOSTS][SETTINGS_ADDRESS_BYTES];
    uint32_t callback_count;
    char callback_secret[SETTINGS_PATH_BYTES]; /* file; empty: no signature */
    char callback_ca[SETTINGS_PATH_BYTES];     /* file; empty: no https */
    char artifact_dir[SETTINGS_PATH_BYTES];    /* empty: no artifacts */
    uint64_t artifact_bytes;                   /* of one attempt's output */
    uint64_t artifact_total_bytes;             /* of all; older ones go first */
    char upstream_url[SETTINGS_PATH_BYTES];
    char upstream_ca[SETTINGS_PATH_BYTES];
    char upstream_cert[SETTINGS_PATH_BYTES];
    char upstream_key[SETTINGS_PATH_BYTES];
    uint64_t grace_seconds;
};

/* Reads and judges the whole file; `error` says file, line, section, key and what was expected. */
must_check enum status settings_read(struct settings *settings, const char *path,
                                     struct config_error *error);

#endif
