/* phonesim - emulated phones that a real adb accepts: one process, one loop. */
#include "host/phonesim/link_tcp.h"
#include "host/shared/version.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { PHONES_MAX = 256, EXIT_USAGE = 2, HOUR_MS = 3600000 };

struct options {
    unsigned count;
    struct tcp_address address;
    const char *serial;
    struct phone_options phone;
};

static struct phone phones[PHONES_MAX];
static struct link_tcp links[PHONES_MAX];
static bool is_stopping;

static const char usage[] =
    "usage: phonesim [OPTION]...\n"
    "Emulates phones that adb and hubd can use.\n"
    "\n"
    "  --count N           how many phones (1; at most 256)\n"
    "  --adb-tcp HOST:PORT where the first one listens (127.0.0.1:5555); ports count up\n"
    "  --serial S          serial of the first one (SIM001); serials count up\n"
    "  --auth [never|MS]   ask for a key; a new one is accepted never or after MS (1000)\n"
    "  --fault KIND[:RATE][@PREFIX]\n"
    "                      hang, drop, fail, slow or garbage, with probability RATE (1) for each\n"
    "                      command that starts with PREFIX (every one); repeatable\n"
    "  --seed N            for all that is drawn (1)\n"
    "  --reboot-ms MS      how long a reboot takes (3000)\n"
    "  --without A,B       lack these features, as older phones do (delayed_ack, sendrecv_v2, "
    "...)\n"
    "  --help, --version\n";

/* --- options --- */

static bool read_number(const char *text, uint64_t least, uint64_t most, uint64_t *value) {
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || number < least || number > most) {
        return false;
    }
    *value = number;
    return true;
}

static const char *set_count(struct options *options, const char *value) {
    uint64_t number = 0;
    if (!read_number(value, 1, PHONES_MAX, &number)) {
        return "a number from 1 to 256";
    }
    options->count = (unsigned)number;
    return NULL;
}

static const char *set_address(struct options *options, const char *value) {
    bool is_good =
        tcp_parse(value, &options->address) == STATUS_OK && !tcp_is_unix(&options->address);
    return is_good ? NULL : "HOST:PORT with a numeric host or localhost";
}

static const char *set_serial(struct options *options, const char *value) {
    size_t size = strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789._-");
    options->serial = value;
    bool is_good = size > 0 && size <= 32 && value[size] == '\0';
    return is_good ? NULL : "1 to 32 letters, digits, '.', '_' or '-'";
}

static const char *set_fault(struct options *options, const char *value) {
    enum status status = phone_fault_add(&options->phone.faults, value);
    if (status == STATUS_FULL) {
        return "at most 16 faults";
    }
    return status == STATUS_OK
               ? NULL
               : "KIND[:RATE][@PREFIX]: hang, drop, fail, slow or garbage; a rate from 0 to 1";
}

static const char *set_seed(struct options *options, const char *value) {
    return read_number(value, 0, UINT64_MAX, &options->phone.seed) ? NULL : "a number";
}

static const char *set_reboot(struct options *options, const char *value) {
    uint64_t number = 0;
    if (!read_number(value, 0, HOUR_MS, &number)) {
        return "milliseconds from 0 to 3600000";
    }
    options->phone.reboot_ms = (uint32_t)number;
    return NULL;
}

/* Names are read as a banner's are, so that they are the same. */
static const char *set_without(struct options *options, const char *value) {
    char text[512];
    struct adb_banner banner;
    snprintf(text, sizeof text, "device::features=%s", value);
    adb_banner_read((struct bytes){(const uint8_t *)text, strlen(text)}, &banner);
    options->phone.lacks = banner.features;
    return banner.features != 0 ? NULL : "features as adb names them: delayed_ack,sendrecv_v2,…";
}

static const struct {
    const char *name;
    const char *(*set)(struct options *options, const char *value); /* NULL, or what was expected */
} settings[] = {
    {"--count", set_count},     {"--adb-tcp", set_address}, {"--serial", set_serial},
    {"--fault", set_fault},     {"--seed", set_seed},       {"--reboot-ms", set_reboot},
    {"--without", set_without},
};

static int refuse(const char *name, const char *value, const char *expected) {
    if (value == NULL) {
        fprintf(stderr, "phonesim: %s: expected %s\n", name, expected);
    } else {
        fprintf(stderr, "phonesim: %s: '%s': expected %s\n", name, value, expected);
    }
    return EXIT_USAGE;
}

/* Its value may be left out; gives how many arguments were used. */
static int take_auth(struct options *options, const char *value) {
    uint64_t number = 0;
    options->phone.auth = PHONE_AUTH_ACCEPT;
    if (value != NULL && strcmp(value, "never") == 0) {
        options->phone.auth = PHONE_AUTH_NEVER;
        return 2;
    }
    if (value != NULL && read_number(value, 0, HOUR_MS, &number)) {
        options->phone.accept_ms = (uint32_t)number;
        return 2;
    }
    return 1;
}

/* 0, or the exit status. */
static int take_setting(struct options *options, const char *name, const char *value) {
    for (size_t i = 0; i < array_count(settings); i++) {
        if (strcmp(settings[i].name, name) != 0) {
            continue;
        }
        const char *expected = value != NULL ? settings[i].set(options, value) : "a value";
        return expected != NULL ? refuse(name, value, expected) : 0;
    }
    return refuse(name, NULL, "an option that --help names");
}

static int take_options(struct options *options, int count, char **arguments) {
    int at = 1;
    while (at < count) {
        const char *value = at + 1 < count ? arguments[at + 1] : NULL;
        if (strcmp(arguments[at], "--auth") == 0) {
            at += take_auth(options, value);
            continue;
        }
        int status = take_setting(options, arguments[at], value);
        if (status != 0) {
            return status;
        }
        at += 2;
    }
    uint16_t port = tcp_port(&options->address);
    if (port != 0 && options->count > (unsigned)UINT16_MAX - port + 1u) {
        return refuse("--count", NULL, "as many ports as there are after that of --adb-tcp");
    }
    return 0;
}

/* --- phones --- */

/* SIM009 counts up to SIM010; a serial without digits gets them from the second phone on. */
static void make_serial(const char *first, unsigned index, char target[PHONE_SERIAL_SIZE]) {
    size_t size = strlen(first);
    size_t digits = 0;
    while (digits < size && digits < 9 && first[size - digits - 1] >= '0' &&
           first[size - digits - 1] <= '9') {
        digits += 1;
    }
    unsigned long number = digits > 0 ? strtoul(first + size - digits, NULL, 10) : 1;
    if (index == 0) {
        snprintf(target, PHONE_SERIAL_SIZE, "%s", first);
    } else {
        snprintf(target, PHONE_SERIAL_SIZE, "%.*s%0*lu", (int)(size - digits), first, (int)digits,
                 number + index);
    }
}

static int open_phone(struct loop *loop, const struct options *options, unsigned index) {
    char serial[PHONE_SERIAL_SIZE];
    char where[TCP_TEXT_SIZE];
    struct tcp_address address = options->address;
    uint16_t port = tcp_port(&address);
    tcp_set_port(&address, (uint16_t)(port == 0 ? 0 : port + index));
    make_serial(options->serial, index, serial);
    phone_init(&phones[index], &options->phone, serial, index, loop_now_ms());
    if (link_tcp_open(&links[index], loop, &phones[index], &address) != STATUS_OK) {
        tcp_format(&address, where);
        fprintf(stderr, "phonesim: cannot listen on %s: %s\n", where, strerror(errno));
        return 1;
    }
    tcp_local_address(links[index].listener, &address);
    tcp_format(&address, where);
    printf("phonesim: %s on %s\n", serial, where);
    fflush(stdout);
    return 0;
}

static int64_t wait_ms(unsigned count, uint64_t now_ms) {
    uint64_t due_ms = UINT64_MAX;
    for (unsigned i = 0; i < count; i++) {
        uint64_t phone_ms = phone_due_ms(&phones[i]);
        due_ms = phone_ms < due_ms ? phone_ms : due_ms;
    }
    if (due_ms == UINT64_MAX) {
        return -1;
    }
    return due_ms > now_ms ? (int64_t)(due_ms - now_ms) : 0;
}

static void run(struct loop *loop, unsigned count) {
    while (!is_stopping) {
        loop_step(loop, wait_ms(count, loop_now_ms()));
        uint64_t now_ms = loop_now_ms();
        for (unsigned i = 0; i < count; i++) {
            link_tcp_step(&links[i], now_ms);
        }
    }
}

/* --- start and end --- */

static void on_signal(struct loop_source *source, uint32_t events) {
    (void)source;
    (void)events;
    is_stopping = true;
}

static int watch_signals(struct loop *loop, struct loop_source *source) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    check(sigprocmask(SIG_BLOCK, &signals, NULL) == 0);
    int fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    *source = (struct loop_source){.ready = on_signal, .fd = -1};
    return fd >= 0 && loop_add(loop, source, fd, EPOLLIN) == STATUS_OK ? 0 : 1;
}

static int serve(const struct options *options) {
    struct loop loop;
    struct loop_source signals;
    if (loop_open(&loop) != STATUS_OK || watch_signals(&loop, &signals) != 0) {
        fprintf(stderr, "phonesim: cannot start: %s\n", strerror(errno));
        return 1;
    }
    unsigned opened = 0;
    int status = 0;
    while (opened < options->count && status == 0) {
        status = open_phone(&loop, options, opened);
        opened += status == 0 ? 1 : 0;
    }
    if (status == 0) {
        run(&loop, opened);
    }
    for (unsigned i = 0; i < opened; i++) {
        link_tcp_close(&links[i]);
    }
    int fd = signals.fd;
    loop_remove(&loop, &signals);
    close(fd);
    loop_close(&loop);
    return status;
}

int main(int count, char **arguments) {
    static struct options options = {
        .count = 1, .serial = "SIM001", .phone = {.accept_ms = 1000, .reboot_ms = 3000, .seed = 1}};
    check(tcp_parse("127.0.0.1:5555", &options.address) == STATUS_OK);
    if (count == 2 && strcmp(arguments[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (count == 2 && strcmp(arguments[1], "--version") == 0) {
        puts("phonesim " HUB_VERSION);
        return 0;
    }
    int status = take_options(&options, count, arguments);
    return status != 0 ? status : serve(&options);
}
