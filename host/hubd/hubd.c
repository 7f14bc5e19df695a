/* hubd - the hub runtime as a Linux daemon: one thread, one loop, no locks. */
#include "host/hubd/daemon.h"

#include "hal/linux/usb_libusb.h"
#include "hal/linux/usb_sysfs.h"
#include "host/shared/cli.h"
#include "host/shared/log.h"
#include "host/shared/status_text.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#ifndef HUBD_VERSION
#define HUBD_VERSION "0.1"
#endif

static struct daemon hubd;
static _Alignas(4096) uint8_t api_memory[API_SERVER_BYTES(sizeof(struct http_tls_stream))];
static struct phone_line phone_lines[PHONES_MAX];
static struct usb_libusb usb_bus;
static struct attempt attempts[DAEMON_PHONES];
static struct adb_client adb_clients[ADB_CLIENTS_MAX];
static uint8_t adb_buffers[(size_t)ADB_CLIENTS_MAX * ADB_CLIENT_BUFFER];

static uint64_t now_us(void) {
    struct timespec now;
    check(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
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
            daemon_die(1, "[api] listen: %s: %s (%s)", daemon->settings.listen[i],
                       status_text(status), strerror(errno));
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
    daemon_load_tokens(daemon, false);
    daemon_load_upstream_tls(daemon, false);
    daemon_load_api_tls(daemon, false);
    daemon_load_callbacks(daemon, false);
    uplink_reconnect(&daemon->uplink);
    if (!daemon_load_capabilities(daemon, &error)) {
        log_error("capabilities_not_reloaded reason=%s", error.text);
    }
    daemon_judge_containers(daemon);
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
        loop_add(&daemon->loop, &daemon->sync, daemon_store_event(daemon), EPOLLIN) != STATUS_OK) {
        daemon_die(1, "cannot set up the event loop: %s", strerror(errno));
    }
}

/* ---- the loop ---- */

_Noreturn static void die_of_store(void) {
    log_error("store_failed reason=%s", "a write or sync failed; nothing is believed before a "
                                        "restart has read the flash again");
    _exit(EXIT_STORE);
}

/* Reads sockets until as many requests wait as before the answers, but not longer than a tenth of
 * the last sync: the clients that the answers have woken join the next group. The first
 * microseconds go without sleeping, since waking up would cost as much. */
static void gather(struct daemon *daemon, uint32_t waited) {
    enum { AWAKE_US = 50, GATHER_MAX_US = 5000 };
    uint64_t start_us = now_us();
    uint64_t budget_us = daemon->sync_us / 10 > AWAKE_US ? daemon->sync_us / 10 : AWAKE_US;
    budget_us = budget_us < GATHER_MAX_US ? budget_us : GATHER_MAX_US;
    uint64_t spent_us = 0;
    do {
        /* cppcheck-suppress knownConditionTrueFalse ; time goes on */
        loop_step_us(&daemon->loop, spent_us < AWAKE_US ? 0 : (uint32_t)(budget_us - spent_us));
        http_server_step(&daemon->api.server, daemon->hub.clock.mono_ms);
        spent_us = now_us() - start_us;
        /* cppcheck-suppress knownConditionTrueFalse ; as above */
    } while (spent_us < budget_us && daemon->api.wait_count < waited);
}

/* Ends the running sync: answers first, then the next group. */
static void turn_of_store(struct daemon *daemon) {
    enum status status = hub_poll(&daemon->hub);
    if (status == STATUS_OK) {
        daemon->sync_us = now_us() - daemon->sync_started_us;
        uint32_t waited = daemon->api.wait_count;
        api_release(&daemon->api);
        notifier_release(&daemon->notifier);
        uplink_step(&daemon->uplink, daemon->hub.clock.mono_ms);
        executor_step(&daemon->executor, daemon->hub.clock.mono_ms);
        gather(daemon, waited);
    } else if (status != STATUS_AGAIN) {
        die_of_store();
    }
    status = hub_commit(&daemon->hub);
    if (status == STATUS_OK) {
        daemon->sync_started_us = now_us();
    } else if (status != STATUS_AGAIN && status != STATUS_FULL) {
        die_of_store();
    }
    daemon->is_store_full = status == STATUS_FULL;
}

static uint64_t earliest(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static int64_t wait_ms(const struct daemon *daemon) {
    const struct store *store = &daemon->hub.store;
    if (store->open_records > 0 && !store->is_syncing && !daemon->is_store_full) {
        return 0; /* a group that was begun after the store's part of this turn */
    }
    uint64_t next = hub_deadline_ms(&daemon->hub);
    next = earliest(next, phones_deadline_ms(&daemon->phones));
    next = earliest(next, executor_deadline_ms(&daemon->executor));
    next = earliest(next, run_containers_deadline_ms(&daemon->containers, loop_now_ms()));
    next = earliest(next, uplink_deadline_ms(&daemon->uplink));
    next = earliest(next, api_deadline_ms(&daemon->api));
    next = earliest(next, notifier_deadline_ms(&daemon->notifier));
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
    struct hub_clock clock = daemon_read_clock();
    hub_set_clock(&daemon->hub, &clock);
    phones_step(&daemon->phones, clock.mono_ms);
    executor_step(&daemon->executor, clock.mono_ms);
    hub_step(&daemon->hub);
    run_containers_step(&daemon->containers);
    adb_host_step(&daemon->adb);
    uplink_step(&daemon->uplink, clock.mono_ms);
    turn_of_store(daemon);
    api_retry(&daemon->api);
    api_step(&daemon->api, clock.mono_ms);
    notifier_step(&daemon->notifier, clock.mono_ms);
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
    bool is_over = now >= daemon->stop_deadline_ms;
    if (!is_quiet && is_over && !has_asked) {
        has_asked = true;
        daemon->stop_deadline_ms = now + 5000;
        is_over = false;
    }
    if (has_asked) {
        hub_stop(&daemon->hub, true); /* again, for items that had no room in the open group */
    }
    return is_quiet || (has_asked && is_over);
}

static void run(struct daemon *daemon) {
    while (!may_exit(daemon)) {
        loop_step(&daemon->loop, wait_ms(daemon));
        turn(daemon);
    }
    uplink_reconnect(&daemon->uplink);
    adb_host_close(&daemon->adb);
    callback_close(&daemon->callbacks);
    run_containers_close(&daemon->containers);
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

static void open_usb(struct daemon *daemon) {
    const char *reason = NULL;
    if (!daemon->settings.usb) {
        return;
    }
    if (usb_libusb_open(&usb_bus, &reason) != STATUS_OK) {
        daemon_die(1, "[phones] usb: %s", reason);
    }
    if (usb_sysfs_warning() != NULL) {
        log_warn("usb_incomplete reason=%s", usb_sysfs_warning());
    }
    if (phones_add_usb(&daemon->phones, &usb_bus.usb) != STATUS_OK) {
        daemon_die(1, "[phones] usb: cannot watch the bus: %s", strerror(errno));
    }
}

/* Before a store or a key is made: what a bad capability file says must leave nothing behind. */
static void judge_capabilities(struct daemon *daemon) {
    struct config_error error;
    const struct board *board = daemon->settings.board;
    struct hal_flash no_flash = {.block_bytes = board->block_bytes,
                                 .block_count = board->block_count,
                                 .program_bytes = board->program_bytes};
    daemon_prepare_tables(daemon, &no_flash);
    if (!daemon_load_capabilities(daemon, &error)) {
        daemon_die(EXIT_USAGE, "%s", error.text);
    }
}

static void open_adb(struct daemon *daemon) {
    const struct adb_host_settings settings = {.dir = daemon->settings.adb_dir,
                                               .operators = daemon->settings.adb_operators,
                                               .has_ports = daemon->settings.adb_ports};
    if (adb_host_open(&daemon->adb, &daemon->phones, &settings, adb_clients, adb_buffers) !=
        STATUS_OK) {
        daemon_die(1, "[adb] dir, operators: cannot be served: %s", strerror(errno));
    }
    adb_host_reopen(&daemon->adb);
}

static void open_artifacts(struct daemon *daemon) {
    const struct settings *settings = &daemon->settings;
    const struct artifact_limits limits = {.file_bytes = settings->artifact_bytes,
                                           .total_bytes = settings->artifact_total_bytes};
    if (artifact_open(&daemon->artifacts, settings->artifact_dir, &limits) != STATUS_OK) {
        daemon_die(1, "[artifacts] dir: %s: %s", settings->artifact_dir, strerror(errno));
    }
    daemon->executor.artifacts = &daemon->artifacts;
}

static void start(struct daemon *daemon) {
    struct config_error error;
    raise_descriptor_limit();
    daemon_load_tokens(daemon, true);
    daemon_load_upstream_tls(daemon, true);
    daemon_load_api_tls(daemon, true);
    daemon_load_callbacks(daemon, true);
    judge_capabilities(daemon);
    daemon_load_adb_key(daemon);
    daemon_open_store(daemon);
    if (!daemon_load_capabilities(daemon, &error)) {
        daemon_die(EXIT_USAGE, "%s", error.text);
    }
    daemon_load_hub(daemon);
    if (loop_open(&daemon->loop) != STATUS_OK) {
        daemon_die(1, "cannot open the event loop: %s", strerror(errno));
    }
    open_signals(daemon);
    phones_init(&daemon->phones, &daemon->hub, &daemon->loop, daemon->has_key ? &daemon->key : NULL,
                phone_lines);
    for (uint32_t i = 0; i < daemon->settings.phone_count; i++) {
        check(phones_add_tcp(&daemon->phones, daemon->settings.phones[i]) == STATUS_OK);
    }
    open_adb(daemon);
    open_usb(daemon);
    run_containers_open(&daemon->containers, &daemon->loop, &daemon->settings.containers,
                        daemon->settings.adb_dir);
    daemon_judge_containers(daemon);
    executor_init(&daemon->executor, &daemon->hub, &daemon->phones, attempts,
                  daemon_action_lists());
    executor_set_containers(&daemon->executor, &daemon->adb, &daemon->containers);
    open_artifacts(daemon);
    const char *url = daemon->settings.upstream_url;
    uplink_init(&daemon->uplink, &daemon->hub, &daemon->loop, url[0] == '\0' ? NULL : url,
                &daemon->upstream_tls);
    bool has_tls = daemon->settings.callback_ca[0] != '\0';
    callback_init(&daemon->callbacks, &daemon->loop, has_tls ? &daemon->callback_tls : NULL);
    notifier_init(&daemon->notifier, &daemon->hub, &daemon->callbacks, api_process_members,
                  &daemon->api);
    const struct api_parts parts = {
        .hub = &daemon->hub,
        .executor = &daemon->executor,
        .phones = &daemon->phones,
        .adb = &daemon->adb,
        .uplink = &daemon->uplink,
        .tokens = &daemon->tokens,
        .notifier = &daemon->notifier,
        .artifacts = &daemon->artifacts,
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
    daemon_load_tokens(daemon, true);
    daemon_load_upstream_tls(daemon, true);
    daemon_load_api_tls(daemon, true);
    daemon_load_callbacks(daemon, true);
    judge_capabilities(daemon);
    puts("hubd: the configuration is good");
    exit(0);
}

/* What the command line says. */
static const char *config;
static const char *level_text;
static bool only_check;

int main(int argc, char **argv) {
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
        .about =
            "The runtime of a phone farm's hub host.\n"
            "SIGTERM stops it in order, SIGHUP reloads tokens, certificates and capabilities.\n",
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
        daemon_die(EXIT_USAGE, "%s", error.text);
    }
    if (only_check) {
        check_config(&hubd);
    }
    start(&hubd);
    run(&hubd);
    return 0;
}
