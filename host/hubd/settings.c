#include "host/hubd/settings.h"

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

static bool take_phones(void *target, const struct config_item *item) {
    struct settings *settings = target;
    const char *list = item->value;
    char part[SETTINGS_ADDRESS_BYTES];
    struct tcp_address address;
    while (config_next_part(&list, part, sizeof part)) {
        if (settings->phone_count == PHONES_MAX || tcp_parse(part, &address) != STATUS_OK ||
            tcp_is_unix(&address)) {
            return false;
        }
        memcpy(settings->phones[settings->phone_count], part, sizeof part);
        settings->phone_count += 1;
    }
    return list == NULL;
}

static bool take_hub_id(void *target, const struct config_item *item) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t size = strlen(item->value);
    if (size == 0 || size > RECORD_ID_MAX || strspn(item->value, allowed) != size) {
        return false;
    }
    memcpy(target, item->value, size + 1);
    return true;
}

static bool take_board(void *target, const struct config_item *item) {
    struct settings *settings = target;
    settings->board =
        board_named((struct bytes){(const uint8_t *)item->value, strlen(item->value)});
    return settings->board != NULL && settings->board->program_bytes == 4096;
}

static bool take_url(void *target, const struct config_item *item) {
    struct tcp_address address;
    if (strncmp(item->value, "https://", 8) != 0 ||
        tcp_parse(item->value + 8, &address) != STATUS_OK || tcp_is_unix(&address) ||
        strlen(item->value) >= SETTINGS_PATH_BYTES) {
        return false;
    }
    memcpy(target, item->value, strlen(item->value) + 1);
    return true;
}

/* What no single line can say. */
static enum status check_whole(const struct settings *settings, const char *path,
                               struct config_error *error) {
    const char *wrong = NULL;
    for (uint32_t i = 0; i < settings->listen_count; i++) {
        struct tcp_address address;
        bool is_plain = settings->api_cert[0] == '\0';
        if (tcp_parse(settings->listen[i], &address) == STATUS_OK && is_plain &&
            !tcp_is_loopback(&address)) {
            wrong = "[api] listen: expected a loopback address or Unix socket, or cert and key";
        }
    }
    if ((settings->api_cert[0] == '\0') != (settings->api_key[0] == '\0')) {
        wrong = "[api] cert, key: expected both or none";
    }
    bool has_url = settings->upstream_url[0] != '\0';
    bool has_files = settings->upstream_ca[0] != '\0' && settings->upstream_cert[0] != '\0' &&
                     settings->upstream_key[0] != '\0';
    if (has_url && !has_files) {
        wrong = "[upstream]: expected ca, cert and key beside url";
    }
    uint64_t block_bytes = settings->board->block_bytes;
    if (settings->store_bytes % block_bytes != 0 ||
        settings->store_bytes / block_bytes > settings->board->block_count ||
        (settings->store_bytes != 0 && settings->store_bytes / block_bytes < 16)) {
        wrong = "[store] size: expected 16 blocks or more of this board, and not more than it has";
    }
    if (wrong != NULL) {
        snprintf(error->text, sizeof error->text, "%.300s: %s", path, wrong);
        return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

enum status settings_read(struct settings *settings, const char *path, struct config_error *error) {
    *settings = (struct settings){.board = board_named(bytes_of("linux")), .grace_seconds = 10};
    char usb_text[8] = "off";
    const struct config_key keys[] = {
        {.section = "hub",
         .key = "id",
         .kind = CONFIG_EACH,
         .is_required = true,
         .target = settings->hub_id,
         .take = take_hub_id,
         .expected = "1 to 64 letters, digits, dots, dashes or underscores"},
        {.section = "hub",
         .key = "labels",
         .kind = CONFIG_STRING,
         .target = settings->labels,
         .capacity = sizeof settings->labels},
        {.section = "hub",
         .key = "board",
         .kind = CONFIG_EACH,
         .target = settings,
         .take = take_board,
         .expected = "linux or large"},
        {.section = "store",
         .key = "path",
         .kind = CONFIG_PATH,
         .is_required = true,
         .target = settings->store_path,
         .capacity = sizeof settings->store_path},
        {.section = "store",
         .key = "size",
         .kind = CONFIG_SIZE,
         .target = &settings->store_bytes,
         .min = 1 << 20,
         .max = (uint64_t)1 << 31},
        {.section = "api",
         .key = "listen",
         .kind = CONFIG_EACH,
         .is_required = true,
         .target = settings,
         .take = take_listener,
         .expected = "tcp:HOST:PORT or unix:PATH, at most 8"},
        {.section = "api",
         .key = "token_file",
         .kind = CONFIG_PATH,
         .is_required = true,
         .target = settings->token_file,
         .capacity = sizeof settings->token_file},
        {.section = "api",
         .key = "cert",
         .kind = CONFIG_PATH,
         .target = settings->api_cert,
         .capacity = sizeof settings->api_cert},
        {.section = "api",
         .key = "key",
         .kind = CONFIG_PATH,
         .target = settings->api_key,
         .capacity = sizeof settings->api_key},
        {.section = "phones",
         .key = "usb",
         .kind = CONFIG_STRING,
         .target = usb_text,
         .capacity = sizeof usb_text},
        {.section = "phones",
         .key = "tcp",
         .kind = CONFIG_EACH,
         .target = settings,
         .take = take_phones,
         .expected = "HOST:PORT, ... (at most 128)"},
        {.section = "phones",
         .key = "adb_keys",
         .kind = CONFIG_PATH,
         .target = settings->adb_keys,
         .capacity = sizeof settings->adb_keys},
        {.section = "capabilities",
         .key = "dir",
         .kind = CONFIG_PATH,
         .is_required = true,
         .target = settings->capability_dir,
         .capacity = sizeof settings->capability_dir},
        {.section = "upstream",
         .key = "url",
         .kind = CONFIG_EACH,
         .target = settings->upstream_url,
         .take = take_url,
         .expected = "https://HOST:PORT"},
        {.section = "upstream",
         .key = "ca",
         .kind = CONFIG_PATH,
         .target = settings->upstream_ca,
         .capacity = sizeof settings->upstream_ca},
        {.section = "upstream",
         .key = "cert",
         .kind = CONFIG_PATH,
         .target = settings->upstream_cert,
         .capacity = sizeof settings->upstream_cert},
        {.section = "upstream",
         .key = "key",
         .kind = CONFIG_PATH,
         .target = settings->upstream_key,
         .capacity = sizeof settings->upstream_key},
        {.section = "stop",
         .key = "grace_seconds",
         .kind = CONFIG_INTEGER,
         .target = &settings->grace_seconds,
         .min = 0,
         .max = 3600},
    };
    const struct config_schema schema = {keys, array_count(keys)};
    enum status status = config_read(path, &schema, error);
    if (status == STATUS_OK && strcmp(usb_text, "off") != 0) {
        snprintf(error->text, sizeof error->text,
                 "%.300s: [phones] usb: expected off (this version reaches phones over TCP)", path);
        return STATUS_MALFORMED;
    }
    return status == STATUS_OK ? check_whole(settings, path, error) : status;
}
