/* upstreamd - the reference upstream endpoint: hubs sync into it over mutual TLS, callers read the
 * whole fleet from it. One thread, one loop. */
#include "hal/linux/tcp.h"
#include "host/shared/cli.h"
#include "host/shared/log.h"
#include "host/upstreamd/api.h"
#include "host/upstreamd/settings.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#ifndef UPSTREAMD_VERSION
#define UPSTREAMD_VERSION "0.1"
#endif

enum { EXIT_USAGE = 2, EXIT_STORE = 3, STOP_MS = 5000, IDLE_MS = 1000 };

struct daemon {
    struct settings settings;
    struct loop loop;
    struct db db;
    struct fleet fleet;
    struct sync_server sync;
    struct api api;
    struct token_table tokens;
    struct tls_config_pair sync_tls;
    struct tls_config_pair api_tls;
    struct loop_source signals;
    int listeners[SETTINGS_LISTENERS + 1];
    uint32_t listener_count;
    uint64_t stop_deadline_ms; /* 0: running */
    bool wants_reload;
};

static struct daemon upstreamd;
static _Alignas(4096) uint8_t sync_memory[SYNC_SERVER_BYTES];
static _Alignas(4096) uint8_t api_memory[API_SERVER_BYTES];

__attribute__((format(printf, 2, 3), noreturn)) static void die(int code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("upstreamd: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
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
    };
    const struct tls_settings api = {
        .role = TLS_SERVER, .cert_path = settings->api_cert, .key_path = settings->api_key};
    load_tls(&daemon->sync_tls, &sync, "sync", is_start);
    if (has_api_tls(daemon)) {
        load_tls(&daemon->api_tls, &api, "api", is_start);
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
        log_info("stopping hubs=%u", daemon->fleet.hub_count);
        daemon->stop_deadline_ms = loop_now_ms() + STOP_MS;
        http_server_stop(&daemon->sync.server);
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
    const char *path = daemon->settings.sqlite;
    enum status status = db_open(&daemon->db, path);
    if (status == STATUS_OK) {
        status = fleet_open(&daemon->fleet, &daemon->db);
    }
    if (status != STATUS_OK) {
        die(EXIT_STORE, "[store] sqlite: %s: %s", path,
            status == STATUS_FOREIGN ? "it is another program's, or of a newer format; untouched"
            : status == STATUS_FULL  ? "it knows more hubs than this program has room for"
                                     : db_reason(&daemon->db));
    }
}

static void start(struct daemon *daemon) {
    load_tokens(daemon, true);
    load_certificates(daemon, true);
    open_database(daemon);
    if (loop_open(&daemon->loop) != STATUS_OK) {
        die(1, "cannot open the loop: %s", strerror(errno));
    }
    open_signals(daemon);
    daemon->fleet.now = read_clock();
    sync_server_init(&daemon->sync, &daemon->fleet, &daemon->loop, &daemon->sync_tls, sync_memory);
    const struct api_parts parts = {
        .fleet = &daemon->fleet,
        .sync = &daemon->sync,
        .tokens = &daemon->tokens,
        .loop = &daemon->loop,
        .configs = &daemon->api_tls,
        .memory = api_memory,
    };
    api_init(&daemon->api, &parts);
    open_listeners(daemon);
    log_info("ready hubs=%u", daemon->fleet.hub_count);
}

/* ---- run ---- */

static void turn(struct daemon *daemon) {
    daemon->fleet.now = read_clock();
    if (daemon->wants_reload) {
        daemon->wants_reload = false;
        load_tokens(daemon, false);
        load_certificates(daemon, false);
        log_info("reloaded tokens=%zu", daemon->tokens.count);
    }
    http_server_step(&daemon->sync.server, daemon->fleet.now.mono_ms);
    if (sync_server_commit(&daemon->sync)) {
        api_feed(&daemon->api);
    }
    api_step(&daemon->api);
}

static int64_t wait_ms(const struct daemon *daemon) {
    uint64_t sync_ms = http_server_deadline(&daemon->sync.server);
    uint64_t api_ms = api_deadline_ms(&daemon->api);
    uint64_t next_ms = sync_ms < api_ms ? sync_ms : api_ms;
    uint64_t now_ms = loop_now_ms();
    if (daemon->stop_deadline_ms != 0 && daemon->stop_deadline_ms < next_ms) {
        next_ms = daemon->stop_deadline_ms;
    }
    if (daemon->sync.waiting_count > 0 || next_ms <= now_ms) {
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
    http_server_close(&daemon->api.server);
    for (uint32_t i = 0; i < daemon->listener_count; i++) {
        tcp_unlisten(daemon->listeners[i]);
    }
    db_close(&daemon->db);
    log_info("stopped");
}

static void run(struct daemon *daemon) {
    while (!is_done(daemon)) {
        loop_step(&daemon->loop, wait_ms(daemon));
        turn(daemon);
    }
    stop(daemon);
}

int main(int argc, char **argv) {
    static const char *config; /* cli_start() sets them */
    static const char *level_text;
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
        .program = "upstreamd",
        .version = UPSTREAMD_VERSION,
        .usage = "--config FILE [--check-config] [--log-level LEVEL]",
        .about = "The upstream endpoint of a phone farm: hubs sync into it, callers read from it.\n"
                 "SIGTERM stops it in order, SIGHUP reloads tokens and certificates.\n",
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
    if (settings_read(&upstreamd.settings, config, &error) != STATUS_OK) {
        die(EXIT_USAGE, "%s", error.text);
    }
    if (only_check) {
        load_tokens(&upstreamd, true);
        load_certificates(&upstreamd, true);
        puts("upstreamd: the configuration is good");
        return 0;
    }
    start(&upstreamd);
    run(&upstreamd);
    return 0;
}
