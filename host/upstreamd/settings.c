#include "host/upstreamd/settings.h"

#include "hal/linux/tcp.h"
#include "hal/linux/tls_identity.h"
#include "host/upstreamd/db/sql.h"
#include "host/upstreamd/sync/sync_server.h"

#include <stdio.h>
#include <string.h>

static bool take_listener(void *target, const struct config_item *item) {
    struct settings *settings = target;
    struct tcp_address address;
    if (settings->listen_count == SETTINGS_LISTENERS ||
        strlen(item->value) >= SETTINGS_ADDRESS_BYTES ||
        tcp_parse(item->value, &address) != STATUS_OK) {
        return false;
    }
    memcpy(settings->listen[settings->listen_count], item->value, strlen(item->value) + 1);
    settings->listen_count += 1;
    return true;
}

static bool take_address(void *target, const struct config_item *item) {
    struct tcp_address address;
    if (strlen(item->value) >= SETTINGS_ADDRESS_BYTES ||
        tcp_parse(item->value, &address) != STATUS_OK || tcp_is_unix(&address)) {
        return false;
    }
    memcpy(target, item->value, strlen(item->value) + 1);
    return true;
}

/* Where the database is told, for what is wrong with it: a connection string may hold a password
 * and is not shown. */
struct place {
    struct settings *settings;
    unsigned line; /* of the last one; 0: none */
    uint32_t count;
    bool is_bad;
};

static bool take_place(void *target, const struct config_item *item) {
    struct place *place = target;
    bool is_postgres = strcmp(item->key, "postgres") == 0;
    char *text = is_postgres ? place->settings->postgres : place->settings->sqlite;
    const size_t capacity = SETTINGS_PATH_BYTES;
    size_t size = strlen(item->value);
    place->line = item->line;
    place->count += 1;
    place->is_bad = place->is_bad || size == 0 || size >= capacity ||
                    (is_postgres && !sql_postgres_is_place(item->value));
    memcpy(text, item->value, size < capacity ? size + 1 : 1);
    return true;
}

static enum status check_place(const struct place *place, const char *path,
                               struct config_error *error) {
    if (place->count == 1 && !place->is_bad) {
        return STATUS_OK;
    }
    snprintf(error->text, sizeof error->text, "%.300s:%u: [store] sqlite, postgres: expected %s",
             path, place->line,
             place->is_bad ? "a path, or a connection string or URI that libpq takes (not shown)"
                           : "exactly one of them, once");
    return STATUS_MALFORMED;
}

static bool take_callbacks(void *target, const struct config_item *item) {
    struct settings *settings = target;
    return callback_list_take(&settings->callbacks, item->value);
}

/* What no single line can say. */
static enum status check_whole(const struct settings *settings, const char *path,
                               struct config_error *error) {
    const char *wrong = NULL;
    bool is_plain = settings->api_cert[0] == '\0';
    for (uint32_t i = 0; i < settings->listen_count; i++) {
        struct tcp_address address;
        if (is_plain && tcp_parse(settings->listen[i], &address) == STATUS_OK &&
            !tcp_is_loopback(&address)) {
            wrong = "[api] listen: expected a loopback address or Unix socket, or cert and key";
        }
    }
    if (settings->enroll_listen[0] != '\0' && settings->sync_ca_key[0] == '\0') {
        wrong = "[sync] enroll_listen: expected ca_key beside it";
    }
    if (is_plain != (settings->api_key[0] == '\0')) {
        wrong = "[api] cert, key: expected both or none";
    }
    if (wrong != NULL) {
        snprintf(error->text, sizeof error->text, "%.300s: %s", path, wrong);
        return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

static struct config_key path_key(const char *section, const char *key, char *target,
                                  bool is_required) {
    return (struct config_key){.section = section,
                               .key = key,
                               .kind = CONFIG_PATH,
                               .is_required = is_required,
                               .target = target,
                               .capacity = SETTINGS_PATH_BYTES};
}

/* Of [sync]. */
static struct config_key address_key(const char *key, char *target, bool is_required) {
    return (struct config_key){.section = "sync",
                               .key = key,
                               .kind = CONFIG_EACH,
                               .is_required = is_required,
                               .target = target,
                               .take = take_address,
                               .expected = "tcp:HOST:PORT"};
}

static struct config_key integer_key(const char *section, const char *key, uint64_t *target,
                                     uint64_t min, uint64_t max) {
    return (struct config_key){.section = section,
                               .key = key,
                               .kind = CONFIG_INTEGER,
                               .target = target,
                               .min = min,
                               .max = max};
}

enum status settings_read(struct settings *settings, const char *path, struct config_error *error) {
    struct place place = {.settings = settings};
    *settings = (struct settings){.hub_days = TLS_IDENTITY_LIFE_DAYS,
                                  .sync_connections = SYNC_SERVER_CONNECTIONS};
    const struct config_key keys[] = {
        {.section = "api",
         .key = "listen",
         .kind = CONFIG_EACH,
         .is_required = true,
         .target = settings,
         .take = take_listener,
         .expected = "tcp:HOST:PORT or unix:PATH, at most 8"},
        path_key("api", "token_file", settings->token_file, true),
        path_key("api", "cert", settings->api_cert, false),
        path_key("api", "key", settings->api_key, false),
        address_key("listen", settings->sync_listen, true),
        path_key("sync", "ca", settings->sync_ca, true),
        path_key("sync", "cert", settings->sync_cert, true),
        path_key("sync", "key", settings->sync_key, true),
        path_key("sync", "ticket_key_file", settings->ticket_key_file, false),
        path_key("sync", "ca_key", settings->sync_ca_key, false),
        address_key("enroll_listen", settings->enroll_listen, false),
        integer_key("sync", "hub_days", &settings->hub_days, 1, 3650),
        integer_key("sync", "connections", &settings->sync_connections, SYNC_SERVER_CONNECTIONS_MIN,
                    SYNC_SERVER_CONNECTIONS_MAX),
        {.section = "store",
         .key = "sqlite",
         .kind = CONFIG_EACH,
         .target = &place,
         .take = take_place},
        {.section = "store",
         .key = "postgres",
         .kind = CONFIG_EACH,
         .target = &place,
         .take = take_place},
        integer_key("store", "keep_days", &settings->keep_days, 1, 36500),
        path_key("capabilities", "dir", settings->capability_dir, false),
        {.section = "callbacks",
         .key = "allow",
         .kind = CONFIG_EACH,
         .target = settings,
         .take = take_callbacks,
         .expected = "HOST:PORT or NAME:PORT@ADDRESS, ... (at most 32)"},
        path_key("callbacks", "secret_file", settings->callback_secret, false),
        path_key("callbacks", "ca", settings->callback_ca, false),
    };
    const struct config_schema schema = {keys, array_count(keys)};
    enum status status = config_read(path, &schema, error);
    status = status == STATUS_OK ? check_place(&place, path, error) : status;
    return status == STATUS_OK ? check_whole(settings, path, error) : status;
}
