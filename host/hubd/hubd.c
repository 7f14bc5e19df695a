/* hubd - the hub runtime as a Linux daemon: one thread, one loop, no locks. */
#include "host/hubd/daemon.h"
#include "host/hubd/enroll.h"

#include "hal/linux/serial_port.h"
#include "host/shared/cli.h"
#include "host/shared/log.h"
#include "host/shared/log_option.h"
#include "host/shared/status_text.h"
#include "host/shared/version.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { FORCE_MS = 5000 };     /* for attempts that were asked to stop */
enum { STUCK_US = 10000000 }; /* a sync that takes longer is not progress */

static struct daemon hubd;
static _Alignas(4096) uint8_t api_memory[API_SERVER_BYTES(sizeof(struct http_tls_stream))];
static struct phone_line phone_lines[PHONES_MAX];
static struct usb_libusb usb_bus;
static struct serial_port serial_ports[SERIAL_POWER_HUBS];
static struct battery_slot battery_slots[BATTERY_CARE_SLOTS];
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
    service_stopping(&daemon->service, grace_ms + (uint64_t)2 * FORCE_MS);
    hub_stop(&daemon->hub, false);
    battery_care_stop(&daemon->phones.battery);
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
    service_reloading(&daemon->service);
    daemon_load_tokens(daemon, false);
    daemon_load_upstream_tls(daemon, false);
    daemon_load_api_tls(daemon, false);
    daemon_load_callbacks(daemon, false);
    uplink_reconnect(&daemon->uplink);
    carriers_reconnect(&daemon->carriers);
    renewal_look(&daemon->renewal);
    if (!daemon_load_capabilities(daemon, &error)) {
        log_error("capabilities_not_reloaded reason=%s", error.text);
    }
    daemon_judge_containers(daemon);
    log_info("reloaded capabilities=%u", daemon->hub.capability_count);
    service_ready(&daemon->service);
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
    store_watch_step(&daemon->store_watch, &daemon->hub);
}

/* Without the log nothing goes on here, whatever else still turns: then the watchdog may bite. */
static bool is_log_moving(const struct daemon *daemon) {
    return !daemon->hub.store.is_syncing || now_us() - daemon->sync_started_us < STUCK_US;
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
    next = earliest(next, usb_watch_deadline_ms(&daemon->usb));
    next = earliest(next, phones_deadline_ms(&daemon->phones));
    next = earliest(next, executor_deadline_ms(&daemon->executor));
    next = earliest(next, run_containers_deadline_ms(&daemon->containers, loop_now_ms()));
    next = earliest(next, uplink_deadline_ms(&daemon->uplink));
    next = earliest(next, carriers_deadline_ms(&daemon->carriers));
    next = earliest(next, renewal_deadline_ms(&daemon->renewal));
    next = earliest(next, api_deadline_ms(&daemon->api));
    next = earliest(next, notifier_deadline_ms(&daemon->notifier));
    next = earliest(next, service_deadline_ms(&daemon->service));
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
    struct hub_clock clock = wall_clock_read(&daemon->wall_clock);
    hub_set_clock(&daemon->hub, &clock);
    usb_watch_step(&daemon->usb, clock.mono_ms);
    phones_step(&daemon->phones, clock.mono_ms);
    executor_step(&daemon->executor, clock.mono_ms);
    hub_step(&daemon->hub);
    run_containers_step(&daemon->containers);
    adb_host_step(&daemon->adb);
    uplink_step(&daemon->uplink, clock.mono_ms);
    carriers_step(&daemon->carriers, clock.mono_ms);
    if (renewal_step(&daemon->renewal, clock.mono_ms, clock.wall_ms)) {
        daemon_load_upstream_tls(daemon, false);
        uplink_reconnect(&daemon->uplink);
    }
    turn_of_store(daemon);
    api_retry(&daemon->api);
    api_step(&daemon->api, clock.mono_ms);
    notifier_step(&daemon->notifier, clock.mono_ms);
    service_step(&daemon->service, loop_now_ms(), is_log_moving(daemon));
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
                    !daemon->hub.store.is_syncing && battery_care_is_quiet(&daemon->phones.battery);
    uint64_t now = loop_now_ms();
    bool is_over = now >= daemon->stop_deadline_ms;
    if (!is_quiet && is_over && !has_asked) {
        has_asked = true;
        daemon->stop_deadline_ms = now + FORCE_MS;
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
    carriers_close(&daemon->carriers);
    renewal_close(&daemon->renewal);
    adb_host_close(&daemon->adb);
    callback_close(&daemon->callbacks);
    run_containers_close(&daemon->containers);
    http_server_close(&daemon->api.server);
    phones_close(&daemon->phones);
    for (uint32_t i = 0; i < daemon->listener_count; i++) {
        tcp_unlisten(daemon->listeners[i]);
    }
    log_end();
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

/* They are opened inside the loop: a controller that is not there yet is waited for. */
static void add_serial_hubs(struct daemon *daemon) {
    for (uint32_t i = 0; i < daemon->settings.serial_hub_count; i++) {
        serial_port_init(&serial_ports[i]);
        check(serial_power_add(&daemon->phones.power.serial, &daemon->settings.serial_hubs[i],
                               &serial_ports[i].serial) == STATUS_OK);
    }
}

static void add_battery_care(struct daemon *daemon) {
    const struct settings *settings = &daemon->settings;
    struct battery_care *care = &daemon->phones.battery;
    care->slots = battery_slots;
    care->rules = (struct battery_rules){
        .low = (uint8_t)settings->battery_low,
        .high = (uint8_t)settings->battery_high,
        .check_ms = (uint32_t)settings->battery_check_seconds * 1000,
    };
    for (uint32_t i = 0; i < settings->battery_slot_count; i++) {
        check(battery_care_add(care, settings->battery_slots[i]) == STATUS_OK);
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
                                               .has_ports = daemon->settings.adb_ports,
                                               .has_tcp = daemon->settings.adb_tcp,
                                               .users = daemon->settings.adb_users};
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

static uint32_t stream_limit(const struct settings *settings) {
    return settings->streams != 0 ? (uint32_t)settings->streams : settings->board->streams;
}

static void open_phones(struct daemon *daemon) {
    phones_init(&daemon->phones, &daemon->hub, &daemon->loop, daemon->has_key ? &daemon->key : NULL,
                phone_lines);
    daemon->phones.away_ms = daemon->settings.away_seconds * 1000;
    daemon->phones.slots = &daemon->settings.slots;
    daemon->phones.withheld = daemon->settings.delayed_ack ? 0 : ADB_FEATURE_DELAYED_ACK;
    daemon->phones.vitals.interval_ms = daemon->settings.phone_vitals_seconds * 1000;
    daemon->phones.endpoints_max = (uint32_t)daemon->settings.endpoints_max;
    usb_watch_init(&daemon->usb, daemon->settings.usb ? &daemon->phones : NULL, &usb_bus);
    for (uint32_t i = 0; i < daemon->settings.phone_count; i++) {
        check(phones_add_tcp(&daemon->phones, daemon->settings.phones[i]) == STATUS_OK);
    }
}

static void open_api(struct daemon *daemon) {
    const struct api_parts parts = {
        .hub = &daemon->hub,
        .executor = &daemon->executor,
        .phones = &daemon->phones,
        .adb = &daemon->adb,
        .uplink = &daemon->uplink,
        .carriers = &daemon->carriers,
        .tokens = &daemon->tokens,
        .notifier = &daemon->notifier,
        .artifacts = &daemon->artifacts,
        .loop = &daemon->loop,
        .stream_limit = stream_limit(&daemon->settings),
        .memory = api_memory,
    };
    api_init(&daemon->api, &parts, sizeof(struct http_tls_stream));
    daemon->api.started_ms = loop_now_ms();
}

static void start(struct daemon *daemon) {
    struct config_error error;
    service_open(&daemon->service);
    raise_descriptor_limit();
    daemon_load_tokens(daemon, true);
    daemon_load_upstream_tls(daemon, true);
    daemon_load_api_tls(daemon, true);
    daemon_load_callbacks(daemon, true);
    judge_capabilities(daemon);
    daemon_load_adb_key(daemon);
    wall_clock_init(&daemon->wall_clock);
    daemon_open_store(daemon);
    if (!daemon_load_capabilities(daemon, &error)) {
        daemon_die(EXIT_USAGE, "%s", error.text);
    }
    daemon_load_hub(daemon);
    if (loop_open(&daemon->loop) != STATUS_OK) {
        daemon_die(1, "cannot open the event loop: %s", strerror(errno));
    }
    open_signals(daemon);
    open_phones(daemon);
    open_adb(daemon);
    add_serial_hubs(daemon);
    add_battery_care(daemon);
    run_containers_open(&daemon->containers, &daemon->loop, &daemon->settings.containers,
                        daemon->settings.adb_dir);
    daemon_judge_containers(daemon);
    executor_init(&daemon->executor, &daemon->hub, &daemon->phones, attempts,
                  daemon_action_lists());
    executor_set_containers(&daemon->executor, &daemon->adb, &daemon->containers);
    open_artifacts(daemon);
    const struct upstream_urls *urls = &daemon->settings.upstream;
    daemon->uplink.clock = &daemon->wall_clock;
    uplink_init(&daemon->uplink, &daemon->hub, &daemon->loop, urls, &daemon->upstream_tls);
    const struct renewal_files files = {.urls = urls,
                                        .name = daemon->settings.hub_id,
                                        .ca = daemon->settings.upstream_ca,
                                        .cert = daemon->settings.upstream_cert,
                                        .key = daemon->settings.upstream_key};
    renewal_init(&daemon->renewal, &daemon->loop, &daemon->upstream_tls, &daemon->hub.jitter,
                 &files);
    for (uint32_t i = 0; i < daemon->settings.carried_count; i++) {
        carriers_add(&daemon->carriers, &daemon->settings.carried[i], &daemon->loop, urls,
                     &daemon->hub.jitter);
    }
    bool has_tls = daemon->settings.callback_ca[0] != '\0';
    callback_init(&daemon->callbacks, &daemon->loop, has_tls ? &daemon->callback_tls : NULL);
    notifier_init(&daemon->notifier, &daemon->hub, &daemon->callbacks, api_process_members,
                  &daemon->api);
    open_api(daemon);
    open_listeners(daemon);
    daemon->api.is_ready = true;
    service_ready(&daemon->service);
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
static enum log_level log_level = LOG_INFO;
static enum log_format log_format = LOG_TEXT;
static bool only_check;
static struct enroll_options enroll;

int main(int argc, char **argv) {
    const struct cli_option options[] = {
        {.name = "config",
         .value_name = "FILE",
         .help = "the configuration (needed)",
         .text = &config},
        {.name = "check-config", .help = "judge the configuration and exit", .flag = &only_check},
        {.name = "url",
         .value_name = "URL",
         .help = "enroll: https://HOST:PORT of upstream's enroll_listen",
         .text = &enroll.url},
        {.name = "token-file",
         .value_name = "FILE",
         .help = "enroll: the token that `upstreamd enroll` printed",
         .text = &enroll.token_file},
        {.name = "fingerprint",
         .value_name = "HEX",
         .help = "enroll: SHA-256 of the CA, where its file is not there yet",
         .text = &enroll.fingerprint},
        LOG_LEVEL_OPTION(&log_level),
        LOG_FORMAT_OPTION(&log_format),
    };
    const struct cli cli = {
        .program = "hubd",
        .version = HUB_VERSION,
        .usage = "--config FILE [--check-config] [--log-level LEVEL] [--log-format FORMAT]\n"
                 "       hubd --config FILE enroll --url URL --token-file FILE [--fingerprint HEX]",
        .about =
            "The runtime of a phone farm's hub host.\n"
            "SIGTERM stops it in order, SIGHUP reloads tokens, certificates and capabilities.\n",
        .options = options,
        .option_count = array_count(options),
    };
    struct config_error error;
    cli_start(&cli, &argc, argv);
    bool is_enroll = argc == 2 && strcmp(argv[1], "enroll") == 0;
    if (argc > 1 && !is_enroll) {
        cli_refuse(&cli, "expected enroll, or no argument besides options");
    }
    if (config == NULL) {
        cli_refuse(&cli, "expected --config FILE");
    }
    log_start(log_level, log_format);
    if (settings_read(&hubd.settings, config, &error) != STATUS_OK) {
        daemon_die(EXIT_USAGE, "%s", error.text);
    }
    if (is_enroll) {
        return enroll_run(&hubd.settings, &enroll);
    }
    if (only_check) {
        check_config(&hubd);
    }
    start(&hubd);
    run(&hubd);
    return 0;
}
