/* upstreamd - the reference upstream endpoint: hubs sync into it over mutual TLS, callers read the
 * whole fleet from it. One thread, one loop. */
#include "hal/linux/tcp.h"
#include "host/shared/cli.h"
#include "host/shared/log.h"
#include "host/shared/log_option.h"
#include "host/shared/service.h"
#include "host/upstreamd/api/api.h"
#include "host/upstreamd/commands.h"
#include "host/upstreamd/sync/enroll_server.h"
#include "host/upstreamd/db/keeper.h"
#include "host/upstreamd/sync/peers.h"
#include "host/upstreamd/settings.h"
#include "host/upstreamd/fleet/teller.h"
#include "host/shared/version.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_STORE = 3, STOP_MS = 5000, IDLE_MS = 1000 };

struct daemon {
    struct settings settings;
    struct loop loop;
    struct db db;
    struct fleet fleet;
    struct registry registry;
    struct dispatch dispatch;
    struct callbacks callbacks;
    struct teller teller;
    struct sync_server sync;
    struct enroll_server enroll;
    struct trust trust;
    struct api api;
    struct peers peers;
    struct keeper keeper;
    struct token_table tokens;
    struct tls_config_pair sync_tls;
    struct tls_config_pair enroll_tls;
    struct tls_config_pair api_tls;
    struct tls_config_pair callback_tls;
    struct service service;
    struct loop_source signals;
    int listeners[SETTINGS_LISTENERS + 2];
    uint32_t listener_count;
    uint64_t stop_deadline_ms; /* 0: running */
    bool wants_reload;
    bool is_restored; /* --restored */
};

static struct daemon upstreamd;
static _Alignas(4096) uint8_t sync_memory[SYNC_SERVER_BYTES];
static _Alignas(4096) uint8_t enroll_memory[ENROLL_SERVER_BYTES];
static _Alignas(4096) uint8_t api_memory[API_SERVER_BYTES];

__attribute__((format(printf, 2, 3), noreturn)) static void die(int code, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_fatal("upstreamd", text);
    exit(code);
}

static const char *status_text(enum status status) {
    static const char *const texts[] = {
#define STATUS(name, class, text) text,
#include "hal/status.def"
#undef STATUS
    };
    return texts[status];
}

static struct fleet_clock read_clock(void) {
    struct timespec wall;
    check(clock_gettime(CLOCK_REALTIME, &wall) == 0);
    return (struct fleet_clock){
        .mono_ms = loop_now_ms(),
        .wall_ms = (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000,
    };
}

/* ---- files that may be loaded again ---- */

/* At start a bad file ends the program; later it is logged and the old one stays. */
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

static void load_tls(struct tls_config_pair *pair, const struct tls_settings *settings,
                     const char *section, bool is_start) {
    char reason[TLS_REASON_SIZE];
    enum status status = tls_config_pair_load(pair, settings, reason);
    if (status != STATUS_OK && is_start) {
        die(EXIT_USAGE, "[%s] %s", section, reason);
    }
    if (status != STATUS_OK) {
        log_error("certificates_not_reloaded section=%s reason=%s", section,
                  status == STATUS_AGAIN ? "connections from before the last time are open"
                                         : reason);
    }
}

static bool has_api_tls(const struct daemon *daemon) {
    return daemon->settings.api_cert[0] != '\0';
}

static void load_certificates(struct daemon *daemon, bool is_start) {
    const struct settings *settings = &daemon->settings;
    const char *ticket_key = settings->ticket_key_file;
    const struct tls_settings sync = {
        .role = TLS_SERVER,
        .ca_path = settings->sync_ca,
        .cert_path = settings->sync_cert,
        .key_path = settings->sync_key,
        .ticket_key_path = ticket_key[0] == '\0' ? NULL : ticket_key,
        .accepts = trust_accepts,
        .owner = &daemon->trust,
    };
    const struct tls_settings enroll = {
        .role = TLS_SERVER, .cert_path = settings->sync_cert, .key_path = settings->sync_key};
    const struct tls_settings api = {
        .role = TLS_SERVER, .cert_path = settings->api_cert, .key_path = settings->api_key};
    load_tls(&daemon->sync_tls, &sync, "sync", is_start);
    load_tls(&daemon->enroll_tls, &enroll, "sync", is_start);
    if (has_api_tls(daemon)) {
        load_tls(&daemon->api_tls, &api, "api", is_start);
    }
}

static void load_capabilities(struct daemon *daemon, bool is_start) {
    struct config_error error;
    bool is_good = registry_load(&daemon->registry, daemon->settings.capability_dir, &error);
    if (!is_good && is_start) {
        die(EXIT_USAGE, "%s", error.text);
    }
    if (!is_good) {
        log_error("capabilities_not_reloaded reason=%s", error.text);
    }
}

static void load_callbacks(struct daemon *daemon, bool is_start) {
    const struct settings *settings = &daemon->settings;
    const struct tls_settings tls = {.role = TLS_CLIENT, .ca_path = settings->callback_ca};
    const char *secret = settings->callback_secret;
    int error = 0;
    for (uint32_t i = 0; is_start && i < settings->callbacks.count; i++) {
        check(callback_allow(&daemon->callbacks, settings->callbacks.entries[i]) == STATUS_OK);
    }
    if (secret[0] != '\0' &&
        callback_load_secret(&daemon->callbacks, secret, &error) != STATUS_OK) {
        if (is_start) {
            die(EXIT_USAGE, "[callbacks] secret_file: %s: expected a line of 1 to %d bytes", secret,
                CALLBACK_SECRET_BYTES);
        }
        log_error("callback_secret_not_reloaded path=%s", secret);
    }
    if (settings->callback_ca[0] != '\0') {
        load_tls(&daemon->callback_tls, &tls, "callbacks", is_start);
    }
}

/* The CA's key: what is wrong with it ends the program at the start only. */
static void load_authority(struct daemon *daemon, bool is_start) {
    const struct settings *settings = &daemon->settings;
    struct tls_authority *authority = &daemon->trust.authority;
    daemon->trust.life_s = settings->hub_days * 86400;
    if (settings->sync_ca_key[0] == '\0') {
        return;
    }
    tls_authority_close(authority);
    if (tls_authority_open(authority, settings->sync_ca, settings->sync_ca_key) != STATUS_OK) {
        if (is_start) {
            die(EXIT_USAGE, "[sync] ca_key: %s", authority->reason);
        }
        log_error("ca_key_not_reloaded reason=%s", authority->reason);
    }
}

static void load_revocations(struct daemon *daemon) {
    daemon->trust.db = &daemon->db;
    daemon->trust.now = &daemon->fleet.now;
    if (trust_load(&daemon->trust) != STATUS_OK) {
        die(EXIT_STORE, "revocations: %s", db_reason(&daemon->db));
    }
}

/* ---- start ---- */

static int open_listener(struct daemon *daemon, const char *section, const char *text,
                         bool *is_unix) {
    struct tcp_address address;
    char shown[TCP_TEXT_SIZE];
    int fd = -1;
    check(tcp_parse(text, &address) == STATUS_OK);
    enum status status = tcp_listen(&fd, &address);
    if (status != STATUS_OK) {
        die(1, "[%s] listen: %s: %s (%s)", section, text, status_text(status), strerror(errno));
    }
    *is_unix = tcp_is_unix(&address);
    tcp_local_address(fd, &address);
    tcp_format(&address, shown);
    log_info("listening section=%s address=%s", section, shown);
    daemon->listeners[daemon->listener_count] = fd;
    daemon->listener_count += 1;
    return fd;
}

static void open_listeners(struct daemon *daemon) {
    bool is_unix = false;
    int fd = open_listener(daemon, "sync", daemon->settings.sync_listen, &is_unix);
    enum status status = sync_server_listen(&daemon->sync, fd);
    if (daemon->settings.enroll_listen[0] != '\0' && status == STATUS_OK) {
        fd = open_listener(daemon, "enroll", daemon->settings.enroll_listen, &is_unix);
        status = enroll_server_listen(&daemon->enroll, fd);
    }
    for (uint32_t i = 0; i < daemon->settings.listen_count && status == STATUS_OK; i++) {
        fd = open_listener(daemon, "api", daemon->settings.listen[i], &is_unix);
        status = api_listen(&daemon->api, fd, has_api_tls(daemon) && !is_unix);
    }
    if (status != STATUS_OK) {
        die(1, "cannot listen: %s", status_text(status));
    }
}

static void begin_stop(struct daemon *daemon) {
    if (daemon->stop_deadline_ms == 0) {
        log_info("stopping");
        service_stopping(&daemon->service, (uint64_t)2 * STOP_MS);
        daemon->stop_deadline_ms = loop_now_ms() + STOP_MS;
        sync_server_stop(&daemon->sync);
        http_server_stop(&daemon->enroll.server);
        api_stop(&daemon->api);
    }
}

static void signal_ready(struct loop_source *source, uint32_t events) {
    (void)events;
    struct signalfd_siginfo info;
    while (read(source->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP) {
            upstreamd.wants_reload = true;
        } else {
            begin_stop(&upstreamd);
        }
    }
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
    if (fd < 0 || loop_add(&daemon->loop, &daemon->signals, fd, EPOLLIN) != STATUS_OK) {
        die(1, "cannot watch signals: %s", strerror(errno));
    }
}

static void open_database(struct daemon *daemon) {
    const struct settings *settings = &daemon->settings;
    bool is_server = settings->postgres[0] != '\0';
    const struct db_place place = {is_server ? NULL : settings->sqlite,
                                   is_server ? settings->postgres : NULL};
    daemon->fleet.db = &daemon->db;
    enum status status = db_open(&daemon->db, &place);
    if (status != STATUS_OK) {
        char shown[SQL_PLACE_SIZE];
        sql_show_place(&daemon->db.sql, shown, sizeof shown);
        die(EXIT_STORE, "%s: %s", shown,
            status == STATUS_FOREIGN ? "it is another program's, or of a newer format; untouched"
                                     : db_reason(&daemon->db));
    }
}

static void wake_hub(void *owner, struct bytes hub_id) {
    sync_server_wake(owner, hub_id);
}

static void open_dispatch(struct daemon *daemon) {
    struct dispatch *dispatch = &daemon->dispatch;
    dispatch->db = &daemon->db;
    dispatch->fleet = &daemon->fleet;
    dispatch->registry = &daemon->registry;
    dispatch->wake = wake_hub;
    dispatch->owner = &daemon->sync;
    if (dispatch_open(dispatch, daemon->is_restored) != STATUS_OK) {
        die(EXIT_STORE, "[store] %s", db_reason(&daemon->db));
    }
}

/* A descriptor a hub. */
static void raise_descriptor_limit(const struct settings *settings) {
    const rlim_t wanted = settings->sync_connections + SYNC_SERVER_DESCRIPTORS;
    struct rlimit limit;
    check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted) {
        log_warn("descriptor_limit have=%llu for_all_hubs=%llu", (unsigned long long)limit.rlim_cur,
                 (unsigned long long)wanted);
    }
}

static void start(struct daemon *daemon) {
    service_open(&daemon->service);
    raise_descriptor_limit(&daemon->settings);
    load_tokens(daemon, true);
    load_certificates(daemon, true);
    load_capabilities(daemon, true);
    load_authority(daemon, true);
    open_database(daemon);
    if (loop_open(&daemon->loop) != STATUS_OK) {
        die(1, "cannot open the loop: %s", strerror(errno));
    }
    open_signals(daemon);
    daemon->fleet.now = read_clock();
    open_dispatch(daemon);
    daemon->keeper = (struct keeper){.dispatch = &daemon->dispatch,
                                     .keep_ms = daemon->settings.keep_days * 86400000};
    load_revocations(daemon);
    const struct sync_server_parts sync = {
        .dispatch = &daemon->dispatch,
        .trust = &daemon->trust,
        .loop = &daemon->loop,
        .configs = &daemon->sync_tls,
        .connections = (uint32_t)daemon->settings.sync_connections,
        .memory = sync_memory,
    };
    sync_server_init(&daemon->sync, &sync);
    daemon->enroll.trust = &daemon->trust;
    daemon->enroll.ca_path = daemon->settings.sync_ca;
    enroll_server_init(&daemon->enroll, &daemon->loop, &daemon->enroll_tls, enroll_memory);
    callback_init(&daemon->callbacks, &daemon->loop,
                  daemon->settings.callback_ca[0] == '\0' ? NULL : &daemon->callback_tls);
    load_callbacks(daemon, true);
    const struct api_parts parts = {
        .fleet = &daemon->fleet,
        .sync = &daemon->sync,
        .tokens = &daemon->tokens,
        .dispatch = &daemon->dispatch,
        .registry = &daemon->registry,
        .callbacks = &daemon->callbacks,
        .loop = &daemon->loop,
        .configs = &daemon->api_tls,
        .memory = api_memory,
    };
    api_init(&daemon->api, &parts);
    teller_init(&daemon->teller, &daemon->api, &daemon->callbacks);
    daemon->peers = (struct peers){.loop = &daemon->loop,
                                   .db = &daemon->db,
                                   .sync = &daemon->sync,
                                   .dispatch = &daemon->dispatch,
                                   .api = &daemon->api};
    peers_init(&daemon->peers);
    open_listeners(daemon);
    log_info("ready");
    service_ready(&daemon->service);
}

/* ---- run ---- */

static void turn(struct daemon *daemon) {
    daemon->fleet.now = read_clock();
    if (daemon->wants_reload) {
        daemon->wants_reload = false;
        service_reloading(&daemon->service);
        load_tokens(daemon, false);
        load_certificates(daemon, false);
        load_capabilities(daemon, false);
        load_callbacks(daemon, false);
        load_authority(daemon, false);
        log_info("reloaded tokens=%zu", daemon->tokens.count);
        service_ready(&daemon->service);
    }
    peers_watch(&daemon->peers);
    sql_step(&daemon->db.sql, daemon->fleet.now.mono_ms);
    if (trust_step(&daemon->trust)) {
        sync_server_cut(&daemon->sync);
    }
    http_server_step(&daemon->sync.server, daemon->fleet.now.mono_ms);
    http_server_step(&daemon->enroll.server, daemon->fleet.now.mono_ms);
    bool has_changed = dispatch_step(&daemon->dispatch);
    has_changed = sync_server_commit(&daemon->sync) || has_changed;
    if (daemon->fleet.has_changed) {
        daemon->fleet.has_changed = false;
        dispatch_note(&daemon->dispatch);
    }
    api_step(&daemon->api);
    if (has_changed || daemon->api.is_dirty) {
        daemon->api.is_dirty = false;
        api_feed(&daemon->api);
        teller_note(&daemon->teller);
    }
    teller_step(&daemon->teller);
    keeper_step(&daemon->keeper);
    peers_hear(&daemon->peers);
    /* A commit that hangs holds the loop, and so the watchdog's food. */
    service_step(&daemon->service, daemon->fleet.now.mono_ms, true);
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static int64_t wait_ms(const struct daemon *daemon) {
    uint64_t sync_ms = sync_server_deadline_ms(&daemon->sync);
    uint64_t api_ms = api_deadline_ms(&daemon->api);
    uint64_t next_ms = sync_ms < api_ms ? sync_ms : api_ms;
    uint64_t enroll_ms = http_server_deadline(&daemon->enroll.server);
    next_ms = enroll_ms < next_ms ? enroll_ms : next_ms;
    uint64_t now_ms = loop_now_ms();
    next_ms = least(next_ms, dispatch_deadline_ms(&daemon->dispatch));
    next_ms = least(next_ms, teller_deadline_ms(&daemon->teller));
    next_ms = least(next_ms, keeper_deadline_ms(&daemon->keeper));
    next_ms = least(next_ms, service_deadline_ms(&daemon->service));
    if (daemon->stop_deadline_ms != 0 && daemon->stop_deadline_ms < next_ms) {
        next_ms = daemon->stop_deadline_ms;
    }
    if (next_ms <= now_ms) {
        return 0;
    }
    return next_ms - now_ms < IDLE_MS ? (int64_t)(next_ms - now_ms) : IDLE_MS;
}

static bool is_done(const struct daemon *daemon) {
    bool is_idle = daemon->sync.server.counters.open + daemon->api.server.counters.open == 0;
    return daemon->stop_deadline_ms != 0 && (is_idle || loop_now_ms() >= daemon->stop_deadline_ms);
}

static void stop(struct daemon *daemon) {
    http_server_close(&daemon->sync.server);
    http_server_close(&daemon->enroll.server);
    http_server_close(&daemon->api.server);
    for (uint32_t i = 0; i < daemon->listener_count; i++) {
        tcp_unlisten(daemon->listeners[i]);
    }
    callback_close(&daemon->callbacks);
    db_close(&daemon->db);
    log_end();
    log_info("stopped");
}

static void run(struct daemon *daemon) {
    while (!is_done(daemon)) {
        loop_step(&daemon->loop, wait_ms(daemon));
        turn(daemon);
    }
    stop(daemon);
}

/* What can be judged without touching the database or the network. */
static int check_config(struct daemon *daemon) {
    load_tokens(daemon, true);
    load_certificates(daemon, true);
    load_capabilities(daemon, true);
    load_authority(daemon, true);
    puts("upstreamd: the configuration is good");
    return 0;
}

int main(int argc, char **argv) {
    static const char *config; /* cli_start() sets them */
    static enum log_level log_level = LOG_INFO;
    static enum log_format log_format = LOG_TEXT;
    static struct commands_options command;
    bool only_check = false;
    const struct cli_option options[] = {
        {.name = "config",
         .value_name = "FILE",
         .help = "the configuration (needed)",
         .text = &config},
        {.name = "check-config", .help = "judge the configuration and exit", .flag = &only_check},
        {.name = "restored",
         .help = "the database is a restored one: begin a new epoch, grant nothing for a while",
         .flag = &upstreamd.is_restored},
        {.name = "minutes",
         .value_name = "N",
         .help = "enroll: how long the token is good for (60)",
         .text = &command.minutes},
        LOG_LEVEL_OPTION(&log_level),
        LOG_FORMAT_OPTION(&log_format),
    };
    const struct cli cli = {
        .program = "upstreamd",
        .version = HUB_VERSION,
        .usage = "--config FILE [--check-config] [--log-level LEVEL] [--log-format FORMAT]\n"
                 "       upstreamd --config FILE enroll|revoke HUB\n"
                 "       upstreamd init-ca FOLDER HOST",
        .about = "The upstream endpoint of a phone farm: hubs sync into it, callers read from it.\n"
                 "SIGTERM stops it in order, SIGHUP reloads tokens and certificates.\n"
                 "  enroll HUB           print a token with which a host becomes this hub, once\n"
                 "  revoke HUB           refuse every certificate that the hub has now\n"
                 "  init-ca FOLDER HOST  make a CA, and a certificate for this server's HOST\n",
        .options = options,
        .option_count = array_count(options),
    };
    struct config_error error;
    cli_start(&cli, &argc, argv);
    bool is_command = argc > 1 && commands_is(argv[1]);
    if (argc > 1 && !is_command) {
        cli_refuse(&cli, "expected enroll, revoke, init-ca, or no argument besides options");
    }
    if (config == NULL && (!is_command || commands_needs_settings(argv[1]))) {
        cli_refuse(&cli, "expected --config FILE");
    }
    log_start(log_level, log_format);
    if (config != NULL && settings_read(&upstreamd.settings, config, &error) != STATUS_OK) {
        die(EXIT_USAGE, "%s", error.text);
    }
    if (is_command) {
        return commands_run(&upstreamd.settings, &upstreamd.trust, &command, argc - 1, argv + 1);
    }
    if (only_check) {
        return check_config(&upstreamd);
    }
    start(&upstreamd);
    run(&upstreamd);
    return 0;
}
