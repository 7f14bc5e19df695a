#include "host/upstreamd/settings.h"

#include "hal/linux/tcp.h"

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

enum status settings_read(struct settings *settings, const char *path, struct config_error *error) {
    *settings = (struct settings){0};
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
        {.section = "sync",
         .key = "listen",
         .kind = CONFIG_EACH,
         .is_required = true,
         .target = settings->sync_listen,
         .take = take_address,
         .expected = "tcp:HOST:PORT"},
        path_key("sync", "ca", settings->sync_ca, true),
        path_key("sync", "cert", settings->sync_cert, true),
        path_key("sync", "key", settings->sync_key, true),
        path_key("sync", "ticket_key_file", settings->ticket_key_file, false),
        path_key("store", "sqlite", settings->sqlite, true),
        path_key("capabilities", "dir", settings->capability_dir, false),
    };
    const struct config_schema schema = {keys, array_count(keys)};
    enum status status = config_read(path, &schema, error);
    return status == STATUS_OK ? check_whole(settings, path, error) : status;
}
