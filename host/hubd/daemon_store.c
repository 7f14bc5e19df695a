/* The store's file or flash device, and the core's tables, at the start of hubd. */
#include "host/hubd/daemon.h"

#include "firmware/store_format1.h"
#include "hal/linux/random.h"
#include "host/shared/log.h"
#include "host/shared/status_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

/* Tables whose size depends on the board come from one static piece; pages that are never touched
 * cost nothing. */
enum { HUB_MEMORY_BYTES = 192 << 20 };
enum { LOCK_TRIES = 50 }; /* of 20 ms */
enum { BLOCKS_MIN = 16 }; /* of a store; settings.c asks for as many of a file */
static _Alignas(4096) uint8_t hub_memory[HUB_MEMORY_BYTES];

void daemon_die(int code, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_fatal("hubd", text);
    exit(code);
}

/* The kernel's id of this boot, 16 bytes from its text form. */
static void read_boot_id(uint8_t boot_id[RECORD_DIGEST_BYTES]) {
    char text[64] = {0};
    memset(boot_id, 0, RECORD_DIGEST_BYTES);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 36) {
        daemon_die(1, "cannot read /proc/sys/kernel/random/boot_id: %s", strerror(errno));
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

void daemon_prepare_tables(struct daemon *daemon, struct hal_flash *flash) {
    uint64_t seed = 0;
    while (seed == 0) {
        random_fill(&seed, sizeof seed);
    }
    const struct board *board = daemon->settings.board;
    if (hub_bytes(board) > sizeof hub_memory || board->phones > DAEMON_PHONES ||
        board->capabilities > DAEMON_CAPABILITIES) {
        daemon_die(1, "board %s is larger than this program was built for", board->name);
    }
    hub_init(&daemon->hub, board, hub_memory, flash, seed);
    daemon->hub.store.memory.older = &store_format_1; /* there are hubs with stores of format 1 */
}

static struct hal_flash *flash_of(struct daemon *daemon) {
    return daemon->has_mtd ? &daemon->mtd.base : &daemon->flash.base;
}

int daemon_store_event(const struct daemon *daemon) {
    return daemon->has_mtd ? flash_mtd_event(&daemon->mtd) : flash_file_event(&daemon->flash);
}

/* A device has nothing of a store in a cache. */
static enum status sync_wait(struct daemon *daemon) {
    return daemon->has_mtd ? STATUS_OK : flash_file_sync_wait(&daemon->flash);
}

static void wait_for_format(struct daemon *daemon) {
    uint8_t id[STORE_ID_BYTES];
    const struct hal_flash *flash = flash_of(daemon);
    random_fill(id, sizeof id);
    enum status status = store_format(&daemon->hub.store, id, 1);
    if (status == STATUS_OK) {
        status = sync_wait(daemon);
    }
    if (status != STATUS_OK) {
        daemon_die(EXIT_STORE, "%s: cannot make a store: %s", daemon->settings.store_path,
                   status_text(status));
    }
    log_info("store_made path=%s bytes=%llu", daemon->settings.store_path,
             (unsigned long long)flash->block_bytes * flash->block_count);
}

/* ---- opening ---- */

/* True when the path does not exist or is an empty file: only then a store is made. */
static bool is_absent(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) {
        return errno == ENOENT;
    }
    return S_ISREG(info.st_mode) && info.st_size == 0;
}

static bool is_device(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISCHR(info.st_mode);
}

static enum status try_open(struct daemon *daemon, bool is_new) {
    const struct settings *settings = &daemon->settings;
    const struct board *board = settings->board;
    uint64_t bytes = settings->store_bytes != 0 ? settings->store_bytes
                                                : (uint64_t)board->block_bytes * board->block_count;
    const struct flash_file_size size = {board->block_bytes,
                                         (uint32_t)(bytes / board->block_bytes)};
    if (daemon->has_mtd) {
        return flash_mtd_open(&daemon->mtd, settings->store_path, settings->store_bytes);
    }
    return is_new ? flash_file_create(&daemon->flash, settings->store_path, size)
                  : flash_file_open(&daemon->flash, settings->store_path, size);
}

/* A hubd that was killed a moment ago may still be on its way out. */
static void open_flash(struct daemon *daemon, bool is_new) {
    enum status status = try_open(daemon, is_new);
    for (int tries = 0; status == STATUS_BUSY && tries < LOCK_TRIES; tries++) {
        const struct timespec pause = {.tv_nsec = 20000000};
        nanosleep(&pause, NULL);
        status = try_open(daemon, is_new);
    }
    if (status != STATUS_OK) {
        const char *reason = strerror(errno);
        if (status == STATUS_FOREIGN) {
            reason = daemon->has_mtd && daemon->mtd.refusal != NULL
                         ? daemon->mtd.refusal
                         : "no file of the size that [store] size, or else the board, says; it was "
                           "left untouched";
        }
        daemon_die(EXIT_STORE, "%s: cannot open the store: %s (%s)", daemon->settings.store_path,
                   status_text(status), reason);
    }
}

bool daemon_store_fits(const struct board *board, const struct hal_flash *flash,
                       struct config_error *error) {
    unsigned block_bytes = (unsigned)flash->block_bytes;
    unsigned frame_bytes = (unsigned)board->frame_bytes;
    error->text[0] = '\0';
    if (board->frame_bytes > flash->block_bytes / 2) {
        snprintf(error->text, sizeof error->text,
                 "its erase blocks have %u bytes, board %s needs %u or more", block_bytes,
                 board->name, 2 * frame_bytes);
    } else if (board->frame_bytes % flash->program_bytes != 0) {
        snprintf(error->text, sizeof error->text,
                 "its write unit has %u bytes, and the %u of a frame of board %s are not whole "
                 "units",
                 (unsigned)flash->program_bytes, frame_bytes, board->name);
    } else if (flash->block_count < BLOCKS_MIN) {
        snprintf(error->text, sizeof error->text, "it has %u erase blocks of %u or more",
                 (unsigned)flash->block_count, (unsigned)BLOCKS_MIN);
    } else if (flash->block_count > board->block_count) {
        snprintf(error->text, sizeof error->text,
                 "it has %u erase blocks, board %s takes %u: expected [store] size = %llu or less",
                 (unsigned)flash->block_count, board->name, (unsigned)board->block_count,
                 (unsigned long long)flash->block_bytes * board->block_count);
    }
    return error->text[0] == '\0';
}

/* True: nothing is on the device, so a store is made there. Exits when none can be. */
static bool is_blank(struct daemon *daemon) {
    struct config_error error;
    const char *path = daemon->settings.store_path;
    if (!daemon_store_fits(daemon->settings.board, &daemon->mtd.base, &error)) {
        daemon_die(EXIT_STORE, "%s: cannot keep a store: %s", path, error.text);
    }
    enum status status = flash_mtd_holds_nothing(&daemon->mtd);
    if (status != STATUS_OK && status != STATUS_FULL) {
        daemon_die(EXIT_STORE, "%s: cannot read it: %s (%s)", path, status_text(status),
                   strerror(errno));
    }
    return status == STATUS_OK;
}

void daemon_open_store(struct daemon *daemon) {
    const char *path = daemon->settings.store_path;
    bool is_new = is_absent(path);
    daemon->has_mtd = is_device(path);
    open_flash(daemon, is_new);
    if (daemon->has_mtd) {
        is_new = is_blank(daemon);
    }
    daemon_prepare_tables(daemon, flash_of(daemon));
    if (is_new) {
        wait_for_format(daemon);
        daemon_prepare_tables(daemon, flash_of(daemon));
    }
}

static const char *load_text(enum status status) {
    if (status == STATUS_FOREIGN) {
        return "it belongs to another hub id, board or format; it was left untouched";
    }
    return status == STATUS_NOT_FOUND ? "what it holds is not a store; it was left untouched"
                                      : status_text(status);
}

/* In huge pages, where the kernel has them, a table costs a few faults instead of thousands. Those
 * that it would not fill at once would cost memory. */
static void use_huge_pages(void *table, size_t bytes) {
    enum { HUGE_BYTES = 2 << 20 };
    size_t skip = (HUGE_BYTES - (uintptr_t)table % HUGE_BYTES) % HUGE_BYTES;
    if (bytes >= skip + HUGE_BYTES) {
        (void)madvise((uint8_t *)table + skip, (bytes - skip) / HUGE_BYTES * HUGE_BYTES,
                      MADV_HUGEPAGE);
    }
}

/* What lies behind a store is taken only by who says so: it may be something else's. */
static void check_size(const struct daemon *daemon) {
    const struct hal_flash *flash = daemon->hub.store.flash;
    uint32_t counted = daemon->hub.store.counted_blocks;
    if (daemon->settings.store_bytes == 0 && counted < flash->block_count) {
        daemon_die(EXIT_STORE,
                   "%s: its store has %u of %u blocks; it was left untouched. Expected [store] "
                   "size = %llu, or %llu to let it grow",
                   daemon->settings.store_path, (unsigned)counted, (unsigned)flash->block_count,
                   (unsigned long long)flash->block_bytes * counted,
                   (unsigned long long)flash->block_bytes * flash->block_count);
    }
}

void daemon_load_hub(struct daemon *daemon) {
    uint8_t boot_id[RECORD_DIGEST_BYTES];
    const char *id = daemon->settings.hub_id;
    struct hub_clock clock = wall_clock_read(&daemon->wall_clock);
    struct budget_limit phones;
    for (size_t kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        phones.per_hour[kind] = (uint32_t)daemon->settings.phone_budget[kind];
    }
    read_boot_id(boot_id);
    daemon->hub.has_upstream = daemon->settings.upstream.count > 0;
    daemon->hub.stop_grace_ms = daemon->settings.grace_seconds * 1000;
    daemon->hub.expect = use_huge_pages;
    hub_phone_budget(&daemon->hub, &phones);
    /* Whatever is read back must be durable before anything is built on it. */
    enum status status = sync_wait(daemon);
    if (status == STATUS_OK) {
        status = hub_load(&daemon->hub, (struct bytes){(const uint8_t *)id, strlen(id)}, boot_id,
                          &clock);
    }
    if (status != STATUS_OK) {
        daemon_die(EXIT_STORE, "%s: cannot use the store: %s", daemon->settings.store_path,
                   load_text(status));
    }
    check_size(daemon);
    wall_clock_raise(&daemon->wall_clock, daemon->hub.durable_ms);
    const struct store_stats *stats = &daemon->hub.store.stats;
    log_info(
        "store_loaded head=%llu processes=%u items=%u starts=%u torn=%u rotten=%u suspect=%llu",
        (unsigned long long)daemon->hub.store.head_seq, daemon->hub.process_pool.used,
        daemon->hub.item_pool.used, daemon->hub.image.starts, stats->torn_frames,
        stats->rotten_frames, (unsigned long long)daemon->hub.counters.suspect_objects);
}
