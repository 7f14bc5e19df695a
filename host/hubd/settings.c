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

static bool take_callbacks(void *target, const struct config_item *item) {
    static struct callbacks judge;
    struct settings *settings = target;
    const char *list = item->value;
    char part[SETTINGS_ADDRESS_BYTES];
    while (config_next_part(&list, part, sizeof part)) {
        judge.host_count = 0;
        if (settings->callback_count == CALLBACK_HOSTS ||
            callback_allow(&judge, part) != STATUS_OK) {
            return false;
        }
        memcpy(settings->callback_allow[settings->callback_count], part, sizeof part);
        settings->callback_count += 1;
    }
    return list == NULL;
}

/* A repeated line is refused by these three themselves: the schema leaves that to `take`. */
static bool take_hub_id(void *target, const struct config_item *item) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *id = target;
    size_t size = strlen(item->value);
    if (size == 0 || size > RECORD_ID_MAX || strspn(item->value, allowed) != size ||
        id[0] != '\0') {
        return false;
    }
    memcpy(target, item->value, size + 1);
    return true;
}

static bool take_board(void *target, const struct config_item *item) {
    struct settings *settings = target;
    if (settings->board != NULL) {
        return false;
    }
    settings->board =
        board_named((struct bytes){(const uint8_t *)item->value, strlen(item->value)});
    return settings->board != NULL && settings->board->program_bytes == 4096;
}

static bool take_url(void *target, const struct config_item *item) {
    struct tcp_address address;
    const char *url = target;
    if (url[0] != '\0' || strncmp(item->value, "https://", 8) != 0 ||
        tcp_parse(item->value + 8, &address) != STATUS_OK || tcp_is_unix(&address) ||
        strlen(item->value) >= SETTINGS_PATH_BYTES) {
        return false;
    }
    memcpy(target, item->value, strlen(item->value) + 1);
    return true;
}

static bool take_operators(void *target, const struct config_item *item) {
    struct tcp_address address;
    char *operators = target;
    if (operators[0] != '\0' || strlen(item->value) >= SETTINGS_ADDRESS_BYTES ||
        tcp_parse(item->value, &address) != STATUS_OK || !tcp_is_loopback(&address)) {
        return false;
    }
    memcpy(operators, item->value, strlen(item->value) + 1);
    return true;
}

/* Absolute paths that programs in containers may read. */
static bool take_readable(void *target, const struct config_item *item) {
    struct run_settings *run = target;
    const char *list = item->value;
    char part[RUN_PATH_BYTES];
    while (config_next_part(&list, part, sizeof part)) {
        if (run->readable_count == RUN_PATHS_MAX || part[0] != '/' || strstr(part, "..") != NULL) {
            return false;
        }
        memcpy(run->readable[run->readable_count++], part, sizeof part);
    }
    return list == NULL;
}

static bool take_environment(void *target, const struct config_item *item) {
    struct run_settings *run = target;
    const char *list = item->value;
    char part[RUN_PATH_BYTES];
    while (config_next_part(&list, part, sizeof part)) {
        if (run->environment_count == RUN_PATHS_MAX || strchr(part, '=') != NULL) {
            return false;
        }
        memcpy(run->environment[run->environment_count++], part, sizeof part);
    }
    return list == NULL;
}

static struct config_key number_key(const char *section, const char *key, uint64_t *target,
                                    uint64_t min, uint64_t max) {
    return (struct config_key){.section = section,
                               .key = key,
                               .kind = CONFIG_INTEGER,
                               .target = target,
                               .min = min,
                               .max = max};
}

static struct config_key size_key(const char *section, const char *key, uint64_t *target,
                                  uint64_t min, uint64_t max) {
    struct config_key size = number_key(section, key, target, min, max);
    size.kind = CONFIG_SIZE;
    return size;
}

static const struct run_settings usual_containers = {
    .program = "/usr/bin/bwrap",
    .first_user = 300000,
    .memory_bytes = (uint64_t)4 << 30,
    .scratch_bytes = (uint64_t)256 << 20,
    .file_bytes = (uint64_t)1 << 30,
    .processes = 256,
    .open_files = 1024,
    .cpu_seconds = 86400,
};

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
    if (strlen(settings->adb_dir) > 80) {
        wrong = "[adb] dir: expected at most 80 bytes: a Unix socket's path is short";
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

/* Keys by kind, so that the lists below have a line for each. */
static struct config_key path_key(const char *section, const char *key, char *target) {
    return (struct config_key){.section = section,
                               .key = key,
                               .kind = CONFIG_PATH,
                               .target = target,
                               .capacity = SETTINGS_PATH_BYTES};
}

static struct config_key needed(struct config_key key) {
    key.is_required = true;
    return key;
}

static struct config_key each_key(const char *section, const char *key, void *target,
                                  bool (*take)(void *target, const struct config_item *item),
                                  const char *expected) {
    return (struct config_key){.section = section,
                               .key = key,
                               .kind = CONFIG_EACH,
                               .target = target,
                               .take = take,
                               .expected = expected};
}

/* What counts for a key that is not given. */
static void set_usual(struct settings *settings) {
    *settings = (struct settings){
        .grace_seconds = 10,
        .adb_ports = true,
        .containers = usual_containers,
        .artifact_bytes = 1 << 20,
        .artifact_total_bytes = 256 << 20,
    };
}

enum status settings_read(struct settings *settings, const char *path, struct config_error *error) {
    static const char id_expected[] = "once, 1 to 64 letters, digits, dots, dashes or underscores";
    set_usual(settings);
    struct settings *s = settings;
    const struct config_key keys[] = {
        needed(each_key("hub", "id", s->hub_id, take_hub_id, id_expected)),
        path_key("hub", "labels", s->labels),
        each_key("hub", "board", s, take_board, "once, linux or large"),
        needed(path_key("store", "path", s->store_path)),
        size_key("store", "size", &s->store_bytes, 1 << 20, UINT64_C(1) << 31),
        needed(each_key("api", "listen", s, take_listener, "tcp:HOST:PORT or unix:PATH, up to 8")),
        needed(path_key("api", "token_file", s->token_file)),
        path_key("api", "cert", s->api_cert),
        path_key("api", "key", s->api_key),
        {.section = "phones", .key = "usb", .kind = CONFIG_BOOLEAN, .target = &s->usb},
        each_key("phones", "tcp", s, take_phones, "HOST:PORT, ... (at most 128)"),
        path_key("phones", "adb_keys", s->adb_keys),
        number_key("phones", "attempts_per_hour", &s->phone_budget[BUDGET_ATTEMPTS], 1, 1000000),
        number_key("phones", "seconds_per_hour", &s->phone_budget[BUDGET_SECONDS], 1, 1000000),
        number_key("phones", "power_cycles_per_hour", &s->phone_budget[BUDGET_POWER_CYCLES], 1,
                   1000000),
        path_key("containers", "bubblewrap", s->containers.program),
        path_key("containers", "cgroup", s->containers.cgroup),
        each_key("containers", "readable", &s->containers, take_readable,
                 "absolute paths, at most 16"),
        each_key("containers", "environment", &s->containers, take_environment,
                 "names of variables, at most 16"),
        number_key("containers", "first_user", &s->containers.first_user, 1000, 2000000000),
        number_key("containers", "processes", &s->containers.processes, 4, 100000),
        number_key("containers", "open_files", &s->containers.open_files, 16, 1000000),
        number_key("containers", "cpu_seconds", &s->containers.cpu_seconds, 1, 2592000),
        size_key("containers", "memory", &s->containers.memory_bytes, 1 << 20, (uint64_t)1 << 40),
        size_key("containers", "scratch", &s->containers.scratch_bytes, 1 << 20, (uint64_t)1 << 40),
        size_key("containers", "largest_file", &s->containers.file_bytes, 1 << 20,
                 (uint64_t)1 << 40),
        path_key("adb", "dir", s->adb_dir),
        each_key("adb", "operators", s->adb_operators, take_operators,
                 "once, unix:PATH or a loopback HOST:PORT"),
        {.section = "adb", .key = "ports", .kind = CONFIG_BOOLEAN, .target = &s->adb_ports},
        needed(path_key("capabilities", "dir", s->capability_dir)),
        each_key("callbacks", "allow", s, take_callbacks,
                 "HOST:PORT or NAME:PORT@ADDRESS, ... (at most 32)"),
        path_key("callbacks", "secret_file", s->callback_secret),
        path_key("callbacks", "ca", s->callback_ca),
        path_key("artifacts", "dir", s->artifact_dir),
        size_key("artifacts", "max_bytes", &s->artifact_bytes, 4096, UINT64_C(1) << 30),
        size_key("artifacts", "total_bytes", &s->artifact_total_bytes, 4096, UINT64_C(1) << 40),
        each_key("upstream", "url", s->upstream_url, take_url, "once, https://HOST:PORT"),
        path_key("upstream", "ca", s->upstream_ca),
        path_key("upstream", "cert", s->upstream_cert),
        path_key("upstream", "key", s->upstream_key),
        number_key("stop", "grace_seconds", &s->grace_seconds, 0, 3600),
    };
    const struct config_schema schema = {keys, array_count(keys)};
    enum status status = config_read(path, &schema, error);
    if (settings->board == NULL) {
        settings->board = board_named(bytes_of("linux"));
    }
    return status == STATUS_OK ? check_whole(settings, path, error) : status;
}
