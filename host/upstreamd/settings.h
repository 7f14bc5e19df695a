/* settings.h - upstreamd's configuration file (SPEC.md section 10). */
#ifndef HOST_UPSTREAMD_SETTINGS_H
#define HOST_UPSTREAMD_SETTINGS_H

#include "host/shared/callback.h"
#include "host/shared/config.h"

enum { SETTINGS_PATH_BYTES = 256, SETTINGS_ADDRESS_BYTES = 128, SETTINGS_LISTENERS = 8 };

struct settings {
    char listen[SETTINGS_LISTENERS][SETTINGS_ADDRESS_BYTES]; /* of the API */
    uint32_t listen_count;
    char token_file[SETTINGS_PATH_BYTES];
    char api_cert[SETTINGS_PATH_BYTES]; /* with api_key: TCP listeners speak TLS */
    char api_key[SETTINGS_PATH_BYTES];
    char sync_listen[SETTINGS_ADDRESS_BYTES];
    char sync_ca[SETTINGS_PATH_BYTES];
    char sync_cert[SETTINGS_PATH_BYTES];
    char sync_key[SETTINGS_PATH_BYTES];
    char ticket_key_file[SETTINGS_PATH_BYTES];  /* empty: tickets end with this process */
    char sync_ca_key[SETTINGS_PATH_BYTES];      /* empty: no certificates are signed here */
    uint64_t sync_connections;                  /* hubs at once */
    char enroll_listen[SETTINGS_ADDRESS_BYTES]; /* empty: nobody enrolls here */
    uint64_t hub_days;                          /* of a certificate's life */
    char sqlite[SETTINGS_PATH_BYTES];           /* or, never both: */
    char postgres[SETTINGS_PATH_BYTES];
    uint64_t keep_days;                       /* of what has ended; 0: for ever */
    char capability_dir[SETTINGS_PATH_BYTES]; /* what the fleet takes requests for */
    struct callback_list callbacks;
    char callback_secret[SETTINGS_PATH_BYTES];
    char callback_ca[SETTINGS_PATH_BYTES];
};

/* Reads and judges the whole file; `error` says file, line, section, key and what was expected. */
must_check enum status settings_read(struct settings *settings, const char *path,
                                     struct config_error *error);

#endif
