/* hubd - the hub runtime as a Linux daemon: one thread, one loop, no locks (see docs). */
#include "hal/linux/arena.h"
#include "hal/linux/flash_file.h"
#include "hal/linux/random.h"
#include "host/hubd/api.h"
#include "host/hubd/capability_file.h"
#include "host/hubd/settings.h"
#include "host/shared/cli.h"
#include "host/shared/http_tls.h"
#include "host/shared/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include <sys/syscall.h>

#ifndef HUBD_VERSION
#define HUBD_VERSION "0.1"
#endif

enum { EXIT_USAGE = 2, EXIT_STORE = 3 };

/* Everything the daemon has. Tables whose size depends on the board come from one static piece;
 * pages that are never touched cost nothing. */
struct daemon {
    struct settings settings;
    struct loop loop;
    struct flash_file flash;
    struct hub hub;
    struct phones phones;
    struct executor executor;
    struct uplink uplink;
    struct api api;
    struct token_table tokens;
    struct adb_key key;
    bool has_key;
    struct tls_config_pair upstream_tls;
    struct tls_config_pair api_tls;
    struct http_tls api_acceptor;
    struct loop_source signals;
    struct loop_source sync;
    int listeners[SETTINGS_LISTENERS];
    uint32_t listener_count;
    uint64_t stop_deadline_ms; /* 0: running */
    bool wants_reload;
    uint64_t sync_started_us;
    uint64_t sync_us; /* how long the last one took */
};

enum { HUB_MEMORY_BYTES = 192 << 20 };

static struct daemon hubd;
static _Alignas(4096) uint8_t hub_memory[HUB_MEMORY_BYTES];
static _Alignas(4096) uint8_t api_memory[API_SERVER_BYTES(sizeof(struct http_tls_stream))];
static struct phone_line phone_lines[PHONES_MAX];
static struct attempt attempts[256];
static struct action_list action_lists[128];

/* ---- start ---- */

__attribute__((format(printf, 2, 3), noreturn)) static void die(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("hubd: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(code);
}

static struct hub_clock read_clock(void) {
    struct timespec wall;
    struct timex state = {0};
    struct hub_clock clock = {.mono_ms = loop_now_ms()};
    /* Before this, no clock chip was set: the hub says that it does not know the time. */
    const time_t first_plausible = 1700000000;
    if (clock_gettime(CLOCK_REALTIME, &wall) == 0 && wall.tv_sec > first_plausible) {
        clock.wall_ms = (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000;
        bool is_synchronised = adjtimex(&state) != TIME_ERROR;
        clock.quality = is_synchronised ? 2 : 1;
    }
    return clock;
}

static uint64_t now_us(void) {
    struct timespec now;
    check(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The kernel's id of this boot, 16 bytes from its text form. */
static void read_boot_id(uint8_t boot_id[RECORD_DIGEST_BYTES]) {
    char text[64] = {0};
    memset(boot_id, 0, RECORD_DIGEST_BYTES);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 36) {
        die(1, "cannot read /proc/sys/kernel/random/boot_id: %s", strerror(errno));
    }
    close(fd);
    size_t nibble = 0;
    for (const char *c = text; *c != '\0' && nibble < 2 * (size_t)RECORD_DIGEST_BYTES; c++) {
        const char *digit = strchr("0123456789abcdef", *c);
        if (digit != NULL && *c != '-') {
            unsigned value = (unsigned)(digit - "0123456789abcdef");
            boot_id[nibble / 2] |= (uint8_t)(nibble % 2 == 0 ? value << 4 : value);
            nibble += 1;
        }
    }
}

static const char *status_text(enum status status) {
    static const char *const texts[] = {
#define STATUS(name, class, text) text,
#include "hal/status.def"
#undef STATUS
    };
    return texts[status];
}

static void wait_for_format(struct daemon *daemon) {
    uint8_t id[STORE_ID_BYTES];
    random_fill(id, sizeof id);
    enum status status = store_format(&daemon->hub.store, id, 1);
    if (status == STATUS_OK) {
        status = flash_file_sync_wait(&daemon->flash);
    }
    if (status != STATUS_OK) {
        die(EXIT_STORE, "%s: cannot make a store: %s", daemon->settings.store_path,
            status_text(status));
    }
    log_info("store_made path=%s bytes=%llu", daemon->settings.store_path,
             (unsigned long long)daemon->flash.base.block_bytes * daemon->flash.base.block_count);
}

/* True when the path does not exist or is an empty file: only then a store is made. */
static bool is_absent(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) {
        return errno == ENOENT;
    }
    return S_ISREG(info.st_mode) && info.st_size == 0;
}

static void open_store(struct daemon *daemon) {
    const struct settings *settings = &daemon->settings;
    const struct board *board = settings->board;
    uint64_t bytes = settings->store_bytes != 0 ? settings->store_bytes
                                                : (uint64_t)board->block_bytes * board->block_count;
    const struct flash_file_size size = {board->block_bytes,
                                         (uint32_t)(bytes / board->block_bytes)};
    bool is_new = is_absent(settings->store_path);
    enum status status = is_new ? flash_file_create(&daemon->flash, settings->store_path, size)
                                : flash_file_open(&daemon->flash, settings->store_path, size);
    if (status != STATUS_OK) {
        die(EXIT_STORE, "%s: cannot open the store: %s (%s)", settings->store_path,
            status_text(status), strerror(errno));
    }
    uint64_t seed = 0;
    while (seed == 0) {
        random_fill(&seed, sizeof seed);
    }
    if (hub_bytes(board) > sizeof hub_memory || board->phones > array_count(attempts) ||
        board->capabilities > array_count(action_lists)) {
        die(1, "board %s is larger than this program was built for", board->name);
    }
    hub_init(&daemon->hub, board, hub_memory, &daemon->flash.base, seed);
    if (is_new) {
        wait_for_format(daemon);
        hub_init(&daemon->hub, board, hub_memory, &daemon->flash.base, seed);
    }
}

static void load_hub(struct daemon *daemon) {
    uint8_t boot_id[RECORD_DIGEST_BYTES];
    const char *id = daemon->settings.hub_id;
    struct hub_clock clock = read_clock();
    read_boot_id(boot_id);
    daemon->hub.has_upstream = daemon->settings.upstream_url[0] != '\0';
    daemon->hub.stop_grace_ms = daemon->settings.grace_seconds * 1000;
    /* Whatever is read back must be durable before anything is built on it. */
    enum status status = flash_file_sync_wait(&daemon->flash);
    if (status == STATUS_OK) {
        status = hub_load(&daemon->hub, (struct bytes){(const uint8_t *)id, strlen(id)}, boot_id,
                          &clock);
    }
    if (status != STATUS_OK) {
        die(EXIT_STORE, "%s: cannot use the store: %s", daemon->settings.store_path,
            status == STATUS_FOREIGN
                ? "it belongs to another hub id, board or format; it was left untouched"
                : status_text(status));
    }
    const struct store_stats *stats = &daemon->hub.store.stats;
    log_info(
        "store_loaded head=%llu processes=%u items=%u starts=%u torn=%u rotten=%u suspect=%llu",
        (unsigned long long)daemon->hub.store.head_seq, daemon->hub.process_pool.used,
        daemon->hub.item_pool.used, daemon->hub.image.starts, stats->torn_frames,
        stats->rotten_frames, (unsigned long long)daemon->hub.counters.suspect_objects);
}

/* ---- capabilities ---- */

struct directory_entry {
    uint64_t inode;
    int64_t offset;
    unsigned short size;
    unsigned char type;
    char name[];
};

static bool is_ini(const char *name) {
    size_t size = strlen(name);
    return size > 4 && strcmp(name + size - 4, ".ini") == 0;
}

/* Reads one file and puts both halves under the same index. False: `error` says why. */
static bool load_capability(struct daemon *daemon, const char *path, struct config_error *error) {
    static struct action_list list;
    struct capability capability;
    if (capability_file_read(path, &capability, &list, error) != STATUS_OK) {
        return false;
    }
    if (hub_capability_set(&daemon->hub, &capability) != STATUS_OK) {
        snprintf(error->text, sizeof error->text, "%.300s: more capabilities than the board holds",
                 path);
        return false;
    }
    struct bytes name = {(const uint8_t *)capability.name, strlen(capability.name)};
    action_lists[hub_capability_find(&daemon->hub, name)] = list;
    return true;
}

/* getdents64 by hand: opendir allocates, and 32 KiB at that. */
static bool load_capabilities(struct daemon *daemon, struct config_error *error) {
    static _Alignas(8) char entries[16384];
    const char *directory = daemon->settings.capability_dir;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        snprintf(error->text, sizeof error->text, "[capabilities] dir: %.300s: %s", directory,
                 strerror(errno));
        return false;
    }
    bool is_good = true;
    for (;;) {
        long size = syscall(SYS_getdents64, fd, entries, sizeof entries);
        if (size <= 0 || !is_good) {
            break;
        }
        for (long at = 0; at < size && is_good;) {
            const struct directory_entry *entry = (const void *)(entries + at);
            char path[SETTINGS_PATH_BYTES + 256];
            if (is_ini(entry->name)) {
                snprintf(path, sizeof path, "%s/%s", directory, entry->name);
                is_good = load_capability(daemon, path, error);
            }
            at += entry->size;
        }
    }
    close(fd);
    return is_good;
}

static void load_tokens(struct daemon *daemon, bool is_start) {
    struct token_error error;
    const char *path = daemon->settings.token_file;
    enum status status = token_load(&daemon->tokens, path, &error);
    if (status != STATUS_OK && is_start) {
        die(EXIT_USAGE, "%s:%u: %s", path, error.line, error.text);
    }
    if (status != STATUS_OK) {
        log_error("tokens_not_reloaded file=%s line=%u reason=%s", path, error.line, error.text);
    } else if (daemon->tokens.is_exposed) {
        log_warn("token_file_exposed file=%s reason=%s", path, "everybody may read it");
    }
}

static void load_upstream_tls(struct daemon *daemon, bool is_start) {
    const struct settings *settings = &daemon->settings;
    char reason[TLS_REASON_SIZE];
    char name[TLS_NAME_SIZE];
    const struct tls_settings tls = {
        .role = TLS_CLIENT,
        .ca_path = settings->upstream_ca,
        .cert_path = settings->upstream_cert,
        .key_path = settings->upstream_key,
    };
    if (settings->upstream_url[0] == '\0') {
        return;
    }
    enum status status = tls_config_pair_load(&daemon->upstream_tls, &tls, reason);
    if (status != STATUS_OK && is_start) {
        die(EXIT_USAGE, "[upstream] %s", reason);
    }
    if (status != STATUS_OK) {
        log_error("certificates_not_reloaded reason=%s", reason);
        return;
    }
    tls_config_own_name(tls_config_pair_current(&daemon->upstream_tls), name);
    if (strcmp(name, settings->hub_id) != 0 && is_start) {
        die(EXIT_USAGE, "[hub] id: expected the certificate's common name `%s`, got \"%s\"", name,
            settings->hub_id);
    }
}

/* Where the API has a certificate, TCP listeners speak TLS; a Unix socket never needs it. */
static void load_api_tls(struct daemon *daemon, bool is_start) {
    char reason[TLS_REASON_SIZE];
    const struct tls_settings tls = {
        .role = TLS_SERVER,
        .cert_path = daemon->settings.api_cert,
        .key_path = daemon->settings.api_key,
    };
    if (daemon->settings.api_cert[0] == '\0') {
        return;
    }
    enum status status = tls_config_pair_load(&daemon->api_tls, &tls, reason);
    if (status != STATUS_OK && is_start) {
        die(EXIT_USAGE, "[api] %s", reason);
    }
    if (status != STATUS_OK) {
        log_error("certificates_not_reloaded reason=%s", reason);
    } else if (is_start) {
        http_tls_init(&daemon->api_acceptor, &daemon->api_tls);
    }
}

static void load_adb_key(struct daemon *daemon) {
    char path[SETTINGS_PATH_BYTES + 32];
    char comment[RECORD_ID_MAX + 16];
    snprintf(path, sizeof path, "%s", daemon->settings.adb_keys);
    if (path[0] == '\0') {
        return;
    }
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        snprintf(path, sizeof path, "%s/adbkey", daemon->settings.adb_keys);
    }
    snprintf(comment, sizeof comment, "hubd@%s", daemon->settings.hub_id);
    enum status status = adb_key_open(&daemon->key, path, comment);
    if (status != STATUS_OK) {
        die(EXIT_USAGE, "[phones] adb_keys: %s: %s", path, status_text(status));
    }
    daemon->has_key = true;
}

/* ---- listeners, signals ---- */

static void open_listeners(struct daemon *daemon) {
    for (uint32_t i = 0; i < daemon->settings.listen_count; i++) {
        struct tcp_address address;
        int fd = -1;
        check(tcp_parse(daemon->settings.listen[i], &address) == STATUS_OK);
        bool is_tls = daemon->settings.api_cert[0] != '\0' && !tcp_is_unix(&address);
        enum status status = tcp_listen(&fd, &address);
        if (status == STATUS_OK) {
            status = http_server_listen(&daemon->api.server, fd,
                                        is_tls ? &daemon->api_acceptor.acceptor : NULL);
        }
        if (status != STATUS_OK) {
            die(1, "[api] listen: %s: %s (%s)", daemon->settings.listen[i], status_text(status),
                strerror(errno));
        }
        char text[TCP_TEXT_SIZE];
        tcp_local_address(fd, &address);
        tcp_format(&address, text);
        log_info("listening address=%s", text);
        daemon->listeners[daemon->listener_count] = fd;
        daemon->listener_count += 1;
    }
}

static void begin_stop(struct daemon *daemon) {
    if (daemon->stop_deadline_ms != 0) {
        return;
    }
    uint64_t grace_ms = daemon->settings.grace_seconds * 1000;
    log_info("stopping busy=%u grace_ms=%llu", hub_busy_count(&daemon->hub),
             (unsigned long long)grace_ms);
    daemon->stop_deadline_ms = loop_now_ms() + grace_ms + 1;
    hub_stop(&daemon->hub, false);
}

static void signal_ready(struct loop_source *source, uint32_t events) {
    (void)events;
    struct signalfd_siginfo info;
    while (read(source->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP) {
            hubd.wants_reload = true;
        } else {
            begin_stop(&hubd);
        }
    }
}

static void reload(struct daemon *daemon) {
    struct config_error error;
    daemon->wants_reload = false;
    load_tokens(daemon, false);
    load_upstream_tls(daemon, false);
    load_api_tls(daemon, false);
    uplink_reconnect(&daemon->uplink);
    if (!load_capabilities(daemon, &error)) {
        log_error("capabilities_not_reloaded reason=%s", error.text);
    }
    log_info("reloaded capabilities=%u", daemon->hub.capability_count);
}

static void sync_ready(struct loop_source *source, uint32_t events) {
    (void)source; /* the turn of the loop polls the flash */
    (void)events;
}

static void open_signals(struct daemon *daemon) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    daemon->signals = (struct loop_source){.ready = signal_ready, .fd = -1};
    daemon->sync = (struct loop_source){.ready = sync_ready, .fd = -1};
    if (fd < 0 || loop_add(&daemon->loop, &daemon->signals, fd, EPOLLIN) != STATUS_OK ||
        loop_add(&daemon->loop, &daemon->sync, flash_file_event(&daemon->flash), EPOLLIN) !=
            STATUS_OK) {
        die(1, "cannot set up the event loop: %s", strerror(errno));
    }
}

/* ---- the loop ---- */

_Noreturn static void die_of_store(void) {
    log_error("store_failed reason=%s", "a write or sync failed; nothing is believed before a "
                                        "restart has read the flash again");
    _exit(EXIT_STORE);
}

/* Ends the running sync: answers first, then the next group. Before that group is submitted every
 * ready socket is read once more, so that clients which the answers have woken join it. */
static void turn_of_store(struct daemon *daemon) {
    enum status status = hub_poll(&daemon->hub);
    if (status == STATUS_OK) {
        daemon->sync_us = now_us() - daemon->sync_started_us;
        api_release(&daemon->api);
        uplink_step(&daemon->uplink, daemon->hub.clock.mono_ms);
        executor_step(&daemon->executor, daemon->hub.clock.mono_ms);
        uint64_t budget_us = daemon->sync_us / 10 > 50 ? daemon->sync_us / 10 : 50;
        uint64_t end_us = now_us() + budget_us;
        do {
            loop_step(&daemon->loop, 0);
            http_server_step(&daemon->api.server, daemon->hub.clock.mono_ms);
        } while (now_us() < end_us && daemon->api.wait_count > 0);
    } else if (status != STATUS_AGAIN) {
        die_of_store();
    }
    status = hub_commit(&daemon->hub);
    if (status == STATUS_OK) {
        daemon->sync_started_us = now_us();
        api_retry(&daemon->api);
    } else if (status != STATUS_AGAIN && status != STATUS_FULL) {
        die_of_store();
    }
}

static uint64_t earliest(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static int64_t wait_ms(const struct daemon *daemon) {
    uint64_t next = hub_deadline_ms(&daemon->hub);
    next = earliest(next, phones_deadline_ms(&daemon->phones));
    next = earliest(next, executor_deadline_ms(&daemon->executor));
    next = earliest(next, uplink_deadline_ms(&daemon->uplink));
    next = earliest(next, api_deadline_ms(&daemon->api));
    if (daemon->stop_deadline_ms != 0) {
        next = earliest(next, daemon->stop_deadline_ms);
    }
    uint64_t now = loop_now_ms();
    if (next == TIMER_NEVER) {
        return -1;
    }
    return next > now ? (int64_t)(next - now) : 0;
}

static void turn(struct daemon *daemon) {
    struct hub_clock clock = read_clock();
    hub_set_clock(&daemon->hub, &clock);
    phones_step(&daemon->phones, clock.mono_ms);
    executor_step(&daemon->executor, clock.mono_ms);
    hub_step(&daemon->hub);
    uplink_step(&daemon->uplink, clock.mono_ms);
    turn_of_store(daemon);
    api_step(&daemon->api, clock.mono_ms);
    if (daemon->wants_reload) {
        reload(daemon);
    }
}

/* Running attempts may finish within the grace time; then they are asked to stop. */
static bool may_exit(struct daemon *daemon) {
    static bool has_asked;
    if (daemon->stop_deadline_ms == 0) {
        return false;
    }
    bool is_quiet = hub_busy_count(&daemon->hub) == 0 && daemon->hub.store.open_records == 0 &&
                    !daemon->hub.store.is_syncing;
    uint64_t now = loop_now_ms();
    if (!is_quiet && now >= daemon->stop_deadline_ms && !has_asked) {
        has_asked = true;
        hub_stop(&daemon->hub, true);
        daemon->stop_deadline_ms = now + 5000;
        return false;
    }
    return is_quiet || (has_asked && now >= daemon->stop_deadline_ms);
}

static void run(struct daemon *daemon) {
    while (!may_exit(daemon)) {
        loop_step(&daemon->loop, wait_ms(daemon));
        turn(daemon);
    }
    uplink_reconnect(&daemon->uplink);
    http_server_close(&daemon->api.server);
    phones_close(&daemon->phones);
    for (uint32_t i = 0; i < daemon->listener_count; i++) {
        tcp_unlisten(daemon->listeners[i]);
    }
    log_info("stopped head=%llu", (unsigned long long)daemon->hub.store.head_seq);
}

/* ---- main ---- */

static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void start(struct daemon *daemon) {
    struct config_error error;
    raise_descriptor_limit();
    load_tokens(daemon, true);
    load_upstream_tls(daemon, true);
    load_api_tls(daemon, true);
    load_adb_key(daemon);
    open_store(daemon);
    if (!load_capabilities(daemon, &error)) {
        die(EXIT_USAGE, "%s", error.text);
    }
    load_hub(daemon);
    if (loop_open(&daemon->loop) != STATUS_OK) {
        die(1, "cannot open the event loop: %s", strerror(errno));
    }
    open_signals(daemon);
    phones_init(&daemon->phones, &daemon->hub, &daemon->loop, daemon->has_key ? &daemon->key : NULL,
                phone_lines);
    for (uint32_t i = 0; i < daemon->settings.phone_count; i++) {
        check(phones_add_tcp(&daemon->phones, daemon->settings.phones[i]) == STATUS_OK);
    }
    executor_init(&daemon->executor, &daemon->hub, &daemon->phones, attempts, action_lists);
    const char *url = daemon->settings.upstream_url;
    uplink_init(&daemon->uplink, &daemon->hub, &daemon->loop, url[0] == '\0' ? NULL : url,
                &daemon->upstream_tls);
    const struct api_parts parts = {
        .hub = &daemon->hub,
        .executor = &daemon->executor,
        .phones = &daemon->phones,
        .uplink = &daemon->uplink,
        .tokens = &daemon->tokens,
        .loop = &daemon->loop,
        .memory = api_memory,
    };
    api_init(&daemon->api, &parts, sizeof(struct http_tls_stream));
    daemon->api.started_ms = loop_now_ms();
    open_listeners(daemon);
    daemon->api.is_ready = true;
}

/* What can be judged without touching the store or the network. */
static void check_config(struct daemon *daemon) {
    struct config_error error;
    load_tokens(daemon, true);
    load_upstream_tls(daemon, true);
    load_api_tls(daemon, true);
    static struct hal_flash no_flash = {
        .block_bytes = 131072, .block_count = 16, .program_bytes = 4096};
    hub_init(&daemon->hub, daemon->settings.board, hub_memory, &no_flash, 1);
    if (!load_capabilities(daemon, &error)) {
        die(EXIT_USAGE, "%s", error.text);
    }
    puts("hubd: the configuration is good");
    exit(0);
}

int main(int argc, char **argv) {
    const char *config = NULL;
    const char *level_text = NULL;
    bool only_check = false;
    const struct cli_option options[] = {
        {.name = "config",
         .value_name = "FILE",
         .help = "the configuration (needed)",
         .text = &config},
        {.name = "check-config", .help = "judge the configuration and exit", .flag = &only_check},
        {.name = "log-level",
         .value_name = "LEVEL",
         .help = "error, warn, info (usual) or debug",
         .text = &level_text},
    };
    const struct cli cli = {
        .program = "hubd",
        .version = HUBD_VERSION,
        .usage = "--config FILE [--check-config] [--log-level LEVEL]",
        .about = "The runtime of a phone farm's hub host.\n"
                 "SIGTERM stops it in order, SIGHUP reloads tokens, certificates and capabilities.",
        .options = options,
        .option_count = array_count(options),
    };
    enum log_level level = LOG_INFO;
    struct config_error error;
    cli_start(&cli, &argc, argv);
    if (argc > 1) {
        cli_refuse(&cli, "expected no argument besides options");
    }
    if (config == NULL) {
        cli_refuse(&cli, "expected --config FILE");
    }
    if (level_text != NULL && !log_parse_level(level_text, &level)) {
        cli_refuse(&cli, "expected --log-level error, warn, info or debug");
    }
    log_start(level);
    if (settings_read(&hubd.settings, config, &error) != STATUS_OK) {
        die(EXIT_USAGE, "%s", error.text);
    }
    if (only_check) {
        check_config(&hubd);
    }
    start(&hubd);
    run(&hubd);
    return 0;
}
