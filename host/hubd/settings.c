#include "host/hubd/settings_lines.h"

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

/* SLOT, a blank, and its labels. */
static bool take_slot_label(void *target, const struct config_item *item) {
    struct slot_labels *slots = target;
    size_t size = strcspn(item->value, " \t");
    bool is_slot = strncmp(item->value, "tcp:", 4) == 0 || strncmp(item->value, "usb:", 4) == 0;
    if (!is_slot || size <= 4 || size > RECORD_ID_MAX || slots->count == PHONES_MAX) {
        return false;
    }
    struct slot_label *row = &slots->rows[slots->count];
    memset(row->slot, 0, sizeof row->slot);
    memcpy(row->slot, item->value, size);
    for (uint32_t i = 0; i < slots->count; i++) {
        if (strcmp(slots->rows[i].slot, row->slot) == 0) {
            return false;
        }
    }
    slots->count += 1;
    return config_words(item->value + size, row->labels, sizeof row->labels) &&
           row->labels[0] != '\0';
}

static bool take_callbacks(void *target, const struct config_item *item) {
    struct settings *settings = target;
    return callback_list_take(&settings->callbacks, item->value);
}

/* A repeated line is refused by these three themselves: the schema leaves that to `take`. */
static bool take_hub_id(void *target, const struct config_item *item) {
    const char *id = target;
    if (!settings_lines_is_hub_id(item->value) || id[0] != '\0') {
        return false;
    }
    memcpy(target, item->value, strlen(item->value) + 1);
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
    return upstream_urls_add(target, item->value);
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

static bool take_adb_users(void *target, const struct config_item *item) {
    return adb_access_take(target, item->value);
}

/* Large, and mostly unused: outside the structure that is cleared, so that it costs no memory. */
static struct serial_power_settings serial_hubs[SERIAL_POWER_HUBS];
static char battery_slots[BATTERY_CARE_SLOTS][HAL_USB_SLOT_SIZE];

/* Slots, or `all`. */
static bool take_battery_slots(void *target, const struct config_item *item) {
    struct settings *settings = target;
    const char *list = item->value;
    char part[HAL_USB_SLOT_SIZE];
    while (config_next_part(&list, part, sizeof part)) {
        bool is_slot = strncmp(part, "usb:", 4) == 0 || strcmp(part, "all") == 0;
        for (uint32_t i = 0; i < settings->battery_slot_count; i++) {
            is_slot = is_slot && strcmp(settings->battery_slots[i], part) != 0;
        }
        if (settings->battery_slot_count == BATTERY_CARE_SLOTS || !is_slot) {
            return false;
        }
        memcpy(settings->battery_slots[settings->battery_slot_count], part, sizeof part);
        settings->battery_slot_count += 1;
    }
    return list == NULL;
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
    if (settings->battery_high < settings->battery_low + 10) {
        wrong = "[power] battery_low, battery_high: expected at least 10 percent between them";
    }
    bool has_url = settings->upstream.count > 0;
    bool has_files = settings->upstream_ca[0] != '\0' && settings->upstream_cert[0] != '\0' &&
                     settings->upstream_key[0] != '\0';
    if (has_url && !has_files) {
        wrong = "[upstream]: expected ca, cert and key beside url";
    }
    if (settings->carried_count > 0 && !has_url) {
        wrong = "[carry]: expected [upstream] url: there is nowhere to carry records to";
    }
    uint64_t block_bytes = settings->board->block_bytes;
    if (settings->store_bytes % block_bytes != 0 ||
        settings->store_bytes / block_bytes > settings->board->block_count ||
        (settings->store_bytes != 0 && settings->store_bytes / block_bytes < 16)) {
        wrong = "[store] size: expected 16 blocks or more of this board, and not more than it has";
    }
    if (settings->streams > settings->board->streams) {
        wrong = "[api] streams: expected not more than this board has";
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
        .serial_hubs = serial_hubs,
        .battery_slots = battery_slots,
        .away_seconds = 180,
        .battery_low = 40,
        .battery_high = 80,
        .battery_check_seconds = 300,
        .adb_ports = true,
        .delayed_ack = true,
        .phone_vitals_seconds = 60,
        .containers = usual_containers,
        .artifact_bytes = 1 << 20,
        .artifact_total_bytes = 256 << 20,
    };
}

/* The keys, section by section: one list is too long for a function. */
struct key_list {
    struct config_key keys[CONFIG_KEYS];
    size_t count;
};

static void add_keys(struct key_list *list, const struct config_key *keys, size_t count) {
    check(list->count + count <= CONFIG_KEYS);
    memcpy(list->keys + list->count, keys, count * sizeof *keys);
    list->count += count;
}

/* The hub itself, its API, and what it is linked to. */
static void add_hub_keys(struct key_list *list, struct settings *s) {
    static const char id_expected[] = "once, 1 to 64 letters, digits, dots, dashes or underscores";
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
        number_key("api", "streams", &s->streams, 1, UINT32_MAX),
        each_key("upstream", "url", &s->upstream, take_url,
                 "https://HOST:PORT, each once, at most 4 of one upstream"),
        path_key("upstream", "ca", s->upstream_ca),
        path_key("upstream", "cert", s->upstream_cert),
        path_key("upstream", "key", s->upstream_key),
        needed(each_key("carry.*", "port", s, settings_lines_take_carried_port,
                        "once, an absolute path such as /dev/serial/by-id/..., in at most 4 "
                        "sections named by the id of the hub that is carried")),
        needed(each_key("carry.*", "cert", s, settings_lines_take_carried_cert, "once, a path")),
        needed(each_key("carry.*", "key", s, settings_lines_take_carried_key, "once, a path")),
        each_key("carry.*", "baud", s, settings_lines_take_carried_baud, "once, 1200 to 4000000"),
        number_key("stop", "grace_seconds", &s->grace_seconds, 0, 3600),
    };
    add_keys(list, keys, array_count(keys));
}

/* Phones: where they are, what they may be used for, and who may reach them. */
static void add_phone_keys(struct key_list *list, struct settings *s) {
    static const char slots_expected[] =
        "a slot once, such as usb:0000:00:14.0-1.4 or tcp:HOST:PORT, a blank, and its labels "
        "with commas between them";
    const struct config_key keys[] = {
        {.section = "phones", .key = "usb", .kind = CONFIG_BOOLEAN, .target = &s->usb},
        each_key("phones", "tcp", s, take_phones, "HOST:PORT, ... (at most 128)"),
        path_key("phones", "adb_keys", s->adb_keys),
        each_key("slots", "labels", &s->slots, take_slot_label, slots_expected),
        {.section = "phones",
         .key = "delayed_ack",
         .kind = CONFIG_BOOLEAN,
         .target = &s->delayed_ack},
        number_key("phones", "vitals_seconds", &s->phone_vitals_seconds, 0, 86400),
        number_key("phones", "attempts_per_hour", &s->phone_budget[BUDGET_ATTEMPTS], 1, 1000000),
        number_key("phones", "seconds_per_hour", &s->phone_budget[BUDGET_SECONDS], 1, 1000000),
        number_key("phones", "power_cycles_per_hour", &s->phone_budget[BUDGET_POWER_CYCLES], 1,
                   1000000),
        needed(each_key("hub_serial.*", "port", s, settings_lines_take_serial_port,
                        "once, an absolute path such as /dev/serial/by-id/..., in at most 8 "
                        "sections with names of letters, digits, - and _")),
        needed(each_key("hub_serial.*", "dialect", s, settings_lines_take_dialect,
                        "once, cambrionix-universal, cambrionix-pdsync or line")),
        each_key("hub_serial.*", "baud", s, settings_lines_take_baud, "once, 300 to 4000000"),
        needed(each_key("hub_serial.*", "slots", s, settings_lines_take_slots,
                        "PORT=usb:SLOT, ... (ports 1 to 64; no port and no slot twice)")),
        number_key("phones", "endpoints_per_controller", &s->endpoints_max, 8, 4096),
        number_key("phones", "away_seconds", &s->away_seconds, 5, 3600),
        number_key("power", "battery_low", &s->battery_low, 5, 90),
        number_key("power", "battery_high", &s->battery_high, 10, 100),
        number_key("power", "battery_check_seconds", &s->battery_check_seconds, 1, 86400),
        each_key("power", "slots", s, take_battery_slots, "usb:SLOT, ... (each once) or all"),
        path_key("adb", "dir", s->adb_dir),
        each_key("adb", "operators", s->adb_operators, take_operators,
                 "once, unix:PATH or a loopback HOST:PORT"),
        {.section = "adb", .key = "ports", .kind = CONFIG_BOOLEAN, .target = &s->adb_ports},
        {.section = "adb", .key = "tcp", .kind = CONFIG_BOOLEAN, .target = &s->adb_tcp},
        each_key("adb", "users", &s->adb_users, take_adb_users, "user ids, at most 16"),
    };
    add_keys(list, keys, array_count(keys));
}

/* What runs, and what is said of it. */
static void add_work_keys(struct key_list *list, struct settings *s) {
    const struct config_key keys[] = {
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
        needed(path_key("capabilities", "dir", s->capability_dir)),
        each_key("callbacks", "allow", s, take_callbacks,
                 "HOST:PORT or NAME:PORT@ADDRESS, ... (at most 32)"),
        path_key("callbacks", "secret_file", s->callback_secret),
        path_key("callbacks", "ca", s->callback_ca),
        path_key("artifacts", "dir", s->artifact_dir),
        size_key("artifacts", "max_bytes", &s->artifact_bytes, 4096, UINT64_C(1) << 30),
        size_key("artifacts", "total_bytes", &s->artifact_total_bytes, 4096, UINT64_C(1) << 40),
    };
    add_keys(list, keys, array_count(keys));
}

enum status settings_read(struct settings *settings, const char *path, struct config_error *error) {
    struct key_list list = {.count = 0};
    set_usual(settings);
    add_hub_keys(&list, settings);
    add_phone_keys(&list, settings);
    add_work_keys(&list, settings);
    const struct config_schema schema = {list.keys, list.count};
    enum status status = config_read(path, &schema, error);
    if (settings->board == NULL) {
        settings->board = board_named(bytes_of("linux"));
    }
    return status == STATUS_OK ? check_whole(settings, path, error) : status;
}
