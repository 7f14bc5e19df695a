#include "host/hubd/run/run_container.h"

#include "host/shared/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    READS_A_TURN = 4, /* of each pipe; a flood of output must leave time for others */
    PART_BYTES = 16 * 1024,
    ENVIRONMENT_MAX = 2 * BUBBLEWRAP_ENVIRONMENT_MAX,
    ENDING_MS = 10, /* between two looks at one that ends */
    CLOSE_TURNS = 300
};

/* What every program may read. */
static const char *const usual_paths[] = {
    "/usr",           "/etc/alternatives", "/etc/ld.so.cache",  "/etc/ssl/certs",
    "/etc/localtime", "/etc/fonts",        "/etc/nsswitch.conf"};

static struct run_container *run_of(struct loop_source *source) {
    return ((struct run_watch *)source)->run;
}

/* ---- output ---- */

static void keep_complaint(struct run_container *run, struct bytes data) {
    for (size_t i = 0; i < data.size && data.data[i] != '\n'; i++) {
        if (run->complaint_size + 1 < sizeof run->complaint) {
            bool is_plain = data.data[i] >= ' ' && data.data[i] < 0x7f;
            run->complaint[run->complaint_size++] = is_plain ? (char)data.data[i] : '?';
        }
    }
    run->complaint[run->complaint_size] = '\0';
}

/* False: nothing now, or no more. */
static bool read_part(struct run_container *run, bool is_stderr) {
    uint8_t part[PART_BYTES];
    int *end = is_stderr ? &run->err_end : &run->out_end;
    if (*end < 0) {
        return false;
    }
    ssize_t count = read(*end, part, sizeof part);
    if (count > 0 && is_stderr && run->complaint_size == 0) {
        keep_complaint(run, (struct bytes){part, (size_t)count});
    }
    if (count > 0 && !run->is_told) {
        run->handler.output(run->handler.owner, is_stderr, (struct bytes){part, (size_t)count});
    }
    if (count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR))) {
        return count > 0;
    }
    loop_remove(run->all->loop, is_stderr ? &run->err.source : &run->out.source);
    close(*end);
    *end = -1;
    return false;
}

static void out_ready(struct loop_source *source, uint32_t events) {
    (void)events;
    for (unsigned i = 0; i < READS_A_TURN && read_part(run_of(source), false); i++) {
    }
}

static void err_ready(struct loop_source *source, uint32_t events) {
    (void)events;
    for (unsigned i = 0; i < READS_A_TURN && read_part(run_of(source), true); i++) {
    }
}

static void close_ends(struct run_container *run) {
    loop_remove(run->all->loop, &run->out.source);
    loop_remove(run->all->loop, &run->err.source);
    if (run->out_end >= 0) {
        close(run->out_end);
    }
    if (run->err_end >= 0) {
        close(run->err_end);
    }
    run->out_end = -1;
    run->err_end = -1;
}

/* ---- begin and end ---- */

static void made_ready(struct loop_source *source, uint32_t events) {
    struct run_container *run = run_of(source);
    struct run_containers *all = run->all;
    bool is_made = bubblewrap_is_made(&all->wrap, run->number);
    if (is_made || (events & EPOLLHUP) != 0) {
        loop_remove(all->loop, source);
    }
    if (is_made && !run->is_told) {
        run->handler.made(run->handler.owner);
    }
    if (is_made) {
        hal_container_go(&all->wrap.container, run->number);
    }
}

/* bubblewrap has ended; what is inside may still die, and pipes may hold its last words. */
static void ended_ready(struct loop_source *source, uint32_t events) {
    struct run_container *run = run_of(source);
    (void)events;
    loop_remove(run->all->loop, source);
    loop_remove(run->all->loop, &run->made.source);
    run->is_ending = true;
    run->all->ending_count += 1;
}

static void tell_end(struct run_container *run, const struct hal_container_end *inner) {
    struct run_end end = {.code = inner->code, .reason = ""};
    end.kind = inner->outcome == CONTAINER_EXITED     ? RUN_EXITED
               : inner->outcome == CONTAINER_SIGNALED ? RUN_KILLED
                                                      : RUN_REFUSED;
    if (end.kind == RUN_REFUSED) {
        snprintf(end.reason, sizeof end.reason, "%s",
                 run->complaint_size > 0 ? run->complaint : "it could not be isolated");
    }
    run->is_told = true;
    run->handler.ended(run->handler.owner, &end);
}

static void finish(struct run_container *run) {
    struct hal_container_end end;
    unsigned reads = 0;
    while (reads < 64 && (read_part(run, false) || read_part(run, true))) {
        reads += 1;
    }
    if (hal_container_poll(&run->all->wrap.container, run->number, &end) == STATUS_AGAIN) {
        return;
    }
    close_ends(run);
    run->is_running = false;
    run->is_ending = false;
    run->all->ending_count -= 1;
    run->all->running_count -= 1;
    if (!run->is_told) {
        tell_end(run, &end);
    }
}

void run_containers_step(struct run_containers *all) {
    for (uint32_t i = 0; i < RUN_CONTAINERS_MAX && all->ending_count > 0; i++) {
        if (all->runs[i].is_ending) {
            finish(&all->runs[i]);
        }
    }
}

uint64_t run_containers_deadline_ms(const struct run_containers *all, uint64_t now_ms) {
    return all->ending_count > 0 ? now_ms + ENDING_MS : UINT64_MAX;
}

/* ---- start and stop ---- */

static enum status watch(struct run_container *run) {
    const struct bubblewrap *wrap = &run->all->wrap;
    const struct {
        struct run_watch *watch;
        int handle;
        void (*ready)(struct loop_source *source, uint32_t events);
    } rows[] = {{&run->out, run->out_end, out_ready},
                {&run->err, run->err_end, err_ready},
                {&run->made, bubblewrap_made_handle(wrap, run->number), made_ready},
                {&run->ended, bubblewrap_handle(wrap, run->number), ended_ready}};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < array_count(rows); i++) {
        *rows[i].watch = (struct run_watch){{.ready = rows[i].ready, .fd = -1}, run};
        if (status == STATUS_OK) {
            status = loop_add(run->all->loop, &rows[i].watch->source, rows[i].handle, EPOLLIN);
        }
    }
    return status;
}

/* The order's environment, and what the settings take from our own. */
static void fill_environment(const struct run_settings *settings, const struct run_order *order,
                             const char *environment[ENVIRONMENT_MAX]) {
    size_t count = 0;
    for (; order->environment[count] != NULL; count++) {
        check(count + 2 < ENVIRONMENT_MAX);
        environment[count] = order->environment[count];
    }
    for (uint32_t i = 0; i < settings->environment_count && count + 2 < ENVIRONMENT_MAX; i++) {
        const char *value = getenv(settings->environment[i]);
        if (value != NULL) {
            environment[count++] = settings->environment[i];
            environment[count++] = value;
        }
    }
    environment[count] = NULL;
}

static enum status begin(struct run_container *run, const struct run_order *order, int out,
                         int err) {
    const struct run_settings *settings = run->all->settings;
    const char *environment[ENVIRONMENT_MAX];
    fill_environment(settings, order, environment);
    const struct hal_container_order inner = {
        .command = order->arguments,
        .environment = environment,
        .socket = order->socket,
        .output = out,
        .errors = err,
        .is_held = true,
        .limits = {.memory_bytes = settings->memory_bytes,
                   .tmp_bytes = settings->scratch_bytes,
                   .file_bytes = settings->file_bytes,
                   .processes = (uint32_t)settings->processes,
                   .open_files = (uint32_t)settings->open_files,
                   .cpu_seconds = (uint32_t)settings->cpu_seconds},
    };
    return hal_container_start(&run->all->wrap.container, run->number, &inner);
}

/* Two pipes; our ends do not block. */
static bool open_pipes(int out[2], int err[2]) {
    out[0] = -1;
    if (pipe2(out, O_CLOEXEC) != 0) {
        return false;
    }
    if (pipe2(err, O_CLOEXEC) != 0) {
        close(out[0]);
        close(out[1]);
        return false;
    }
    return fcntl(out[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(err[0], F_SETFL, O_NONBLOCK) == 0;
}

enum status run_container_start(struct run_containers *all, uint32_t number,
                                const struct run_order *order, const struct run_handler *handler) {
    int out[2];
    int err[2];
    check(number < RUN_CONTAINERS_MAX);
    struct run_container *run = &all->runs[number];
    if (!all->is_usable) {
        return STATUS_FOREIGN;
    }
    if (run->is_running) {
        return STATUS_AGAIN;
    }
    if (!open_pipes(out, err)) {
        return STATUS_IO;
    }
    *run = (struct run_container){.all = all, .handler = *handler, .number = number};
    enum status status = begin(run, order, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    run->out_end = out[0];
    run->err_end = err[0];
    run->out.source.fd = -1;
    run->err.source.fd = -1;
    if (status != STATUS_OK) {
        close_ends(run);
        return status == STATUS_BUSY ? STATUS_AGAIN : status;
    }
    run->is_running = true;
    all->running_count += 1;
    if (watch(run) != STATUS_OK) {
        run->is_told = true;
        hal_container_kill(&all->wrap.container, number);
        run->is_ending = true; /* the loop does not watch it: the step does */
        all->ending_count += 1;
        return STATUS_IO;
    }
    return STATUS_OK;
}

void run_container_stop(struct run_containers *all, uint32_t number) {
    struct run_container *run = number < RUN_CONTAINERS_MAX ? &all->runs[number] : NULL;
    if (run != NULL && run->is_running && !run->is_told) {
        run->is_told = true;
        hal_container_kill(&all->wrap.container, number);
    }
}

static enum status open_port(void *owner, uint16_t port, bool is_listener, int *fd) {
    struct run_container *run = owner;
    return !run->is_running || run->is_told
               ? STATUS_ILLEGAL
               : hal_container_open_port(&run->all->wrap.container, run->number, port, is_listener,
                                         fd);
}

static enum status listen_inside(void *owner, uint16_t port, int *fd) {
    return open_port(owner, port, true, fd);
}

static enum status connect_inside(void *owner, uint16_t port, int *fd) {
    return open_port(owner, port, false, fd);
}

struct adb_ports run_container_ports(struct run_containers *all, uint32_t number) {
    check(number < RUN_CONTAINERS_MAX);
    return (struct adb_ports){
        .listen = listen_inside, .connect = connect_inside, .owner = &all->runs[number]};
}

/* ---- all ---- */

void run_containers_open(struct run_containers *all, struct loop *loop,
                         const struct run_settings *settings, const char *dir) {
    size_t count = 0;
    all->loop = loop;
    all->settings = settings;
    if (dir[0] != '\0') {
        snprintf(all->state_dir, sizeof all->state_dir, "%.200s/containers", dir);
    }
    for (; count < array_count(usual_paths); count++) {
        all->read_only[count] = usual_paths[count];
    }
    for (uint32_t i = 0; i < settings->readable_count; i++) {
        all->read_only[count++] = settings->readable[i];
    }
    all->read_only[count] = NULL;
}

bool run_containers_are_usable(struct run_containers *all) {
    const struct run_settings *settings = all->settings;
    const struct bubblewrap_config config = {
        .program = settings->program,
        .state_dir = all->state_dir,
        .cgroup_dir = settings->cgroup[0] != '\0' ? settings->cgroup : NULL,
        .read_only = all->read_only,
        .user_base = (uint32_t)settings->first_user,
    };
    if (all->is_judged) {
        return all->is_usable;
    }
    all->is_judged = true;
    all->is_usable =
        all->state_dir[0] != '\0' && bubblewrap_open(&all->wrap, &config, all->slots,
                                                     RUN_CONTAINERS_MAX, all->reason) == STATUS_OK;
    if (all->is_usable) {
        bool has_cgroup = all->wrap.cgroup_reason[0] == '\0';
        log_info("containers_ready limits=%s reason=%s",
                 has_cgroup ? "cgroup v2 and rlimits" : "rlimits only", all->wrap.cgroup_reason);
    }
    return all->is_usable;
}

void run_containers_close(struct run_containers *all) {
    for (uint32_t i = 0; i < RUN_CONTAINERS_MAX; i++) {
        run_container_stop(all, i);
    }
    for (unsigned i = 0; i < CLOSE_TURNS && all->running_count > 0; i++) {
        loop_step(all->loop, ENDING_MS);
        run_containers_step(all);
    }
    if (all->is_usable) {
        bubblewrap_close(&all->wrap);
    }
}
