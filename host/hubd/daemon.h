/* daemon.h - everything hubd has, and how it comes up: store, capabilities, tokens, keys. */
#ifndef HOST_HUBD_DAEMON_H
#define HOST_HUBD_DAEMON_H

#include "hal/linux/flash_file.h"
#include "hal/linux/flash_mtd.h"
#include "host/hubd/adb/adb_endpoint.h"
#include "host/hubd/api/api.h"
#include "host/hubd/notifier.h"
#include "host/hubd/settings.h"
#include "host/hubd/store_watch.h"
#include "host/hubd/sync/renewal.h"
#include "host/hubd/usb_watch.h"
#include "host/shared/http_tls.h"
#include "host/shared/service.h"

enum { EXIT_USAGE = 2, EXIT_STORE = 3 };
enum { DAEMON_PHONES = 256, DAEMON_CAPABILITIES = 128 }; /* of the largest board */

struct daemon {
    struct settings settings;
    struct loop loop;
    struct flash_file flash; /* the store, unless has_mtd */
    struct flash_mtd mtd;
    struct hub hub;
    struct phones phones;
    struct usb_watch usb;
    struct adb_host adb;
    struct run_containers containers;
    struct executor executor;
    struct wall_clock wall_clock;
    struct uplink uplink;
    struct renewal renewal;
    struct carriers carriers;
    struct api api;
    struct token_table tokens;
    struct adb_key key;
    struct tls_config_pair upstream_tls;
    struct tls_config_pair api_tls;
    struct tls_config_pair callback_tls;
    struct callbacks callbacks;
    struct artifacts artifacts;
    struct notifier notifier;
    struct http_tls api_acceptor;
    struct service service;
    struct loop_source signals;
    struct loop_source sync;
    uint64_t stop_deadline_ms; /* 0: running */
    struct store_watch store_watch;
    uint64_t sync_started_us;
    uint64_t sync_us; /* how long the last one took */
    int listeners[SETTINGS_LISTENERS];
    uint32_t listener_count;
    bool has_mtd;
    bool has_key;
    bool wants_reload;
    bool is_store_full; /* the open group waits for upstream to acknowledge */
};

/* Prints `hubd: ...` to standard error and exits. */
__attribute__((format(printf, 2, 3), noreturn)) void daemon_die(int code, const char *format, ...);

/* Opens the store, or makes it where nothing is, and mounts it. Exits with the reason when it
 * cannot be used. Capabilities are loaded between the two, so that processes find theirs. */
void daemon_open_store(struct daemon *daemon);
void daemon_load_hub(struct daemon *daemon);

/* For the loop: readable when a sync of the store has ended. */
int daemon_store_event(const struct daemon *daemon);

/* True when a board's frames fit a device's own geometry (the relations of boards/board_make.h);
 * else `error` says which does not, and what would. */
must_check bool daemon_store_fits(const struct board *board, const struct hal_flash *flash,
                                  struct config_error *error);

/* Prepares the core's tables without a store, to judge a configuration. */
void daemon_prepare_tables(struct daemon *daemon, struct hal_flash *flash);

/* Reads every *.ini of the configured directory. False: `error` says why; files read before count.
 */
must_check bool daemon_load_capabilities(struct daemon *daemon, struct config_error *error);

/* Refuses the capabilities that this machine cannot isolate, and says why; the rest run. After
 * every load. */
void daemon_judge_containers(struct daemon *daemon);

/* At the start a bad file ends the program; later it is logged, and the old one stays in use. */
void daemon_load_tokens(struct daemon *daemon, bool is_start);
void daemon_load_upstream_tls(struct daemon *daemon, bool is_start);
void daemon_load_api_tls(struct daemon *daemon, bool is_start);
/* The CA and the secret of callbacks; at the start also the allow list. */
void daemon_load_callbacks(struct daemon *daemon, bool is_start);
void daemon_load_adb_key(struct daemon *daemon);

/* What the executor is given: one list for each capability. */
const struct action_list *daemon_action_lists(void);

#endif
