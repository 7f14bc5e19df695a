#include "host/hubctl/lease.h"

#include "hal/linux/random.h"
#include "host/hubctl/lease_program.h"
#include "host/shared/config.h"
#include "host/shared/json_write.h"
#include "host/shared/loop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BODY_BYTES = 4096,
    NAME_BYTES = 64,
    PART_BYTES = 128,
    LABELS_MAX = 16,
    POLL_MS = 500,       /* between two questions whether a phone is free */
    GRACE_MS = 10 * 1000 /* for a program that was asked to end */
};

static struct {
    const char *phone, *ttl, *wait, *user;
    bool has_tcp;
    const char *labels[LABELS_MAX];
    size_t label_count;
} options;

/* One lease, from the request to its end. */
static struct lease {
    struct command_line *line;
    char worker[NAME_BYTES];
    char process[COMMAND_TEXT_BYTES];
    char job[COMMAND_TEXT_BYTES];
    char phone[COMMAND_TEXT_BYTES];
    char token[COMMAND_TEXT_BYTES];
    char socket[COMMAND_TEXT_BYTES];
    uint64_t expires_ms; /* of the lease, by the last answer */
    bool is_cancelled;
} lease;

static char body_text[BODY_BYTES];
static struct json_writer writer;

static bool take_label(void *owner, const char *value) {
    char part[PART_BYTES];
    const char *list = value;
    (void)owner;
    while (config_next_part(&list, part, sizeof part)) {
        if (options.label_count == LABELS_MAX) {
            return false;
        }
        static char memory[LABELS_MAX][PART_BYTES];
        memcpy(memory[options.label_count], part, sizeof part);
        options.labels[options.label_count] = memory[options.label_count];
        options.label_count += 1;
    }
    return list == NULL;
}

/* ---- asking ---- */

static void begin_body(void) {
    json_write_init(&writer, body_text, sizeof body_text);
    json_write_begin_object(&writer, NULL);
}

static void begin_worker_body(void) {
    begin_body();
    json_write_string(&writer, "worker", lease.worker);
    json_write_string(&writer, "lease_token", lease.token);
}

static int post(const char *path, const char *id, struct json *json) {
    char target[COMMAND_TARGET_BYTES];
    struct bytes body;
    json_write_end_object(&writer);
    check(json_write_finish(&writer, &body) == STATUS_OK); /* every text in it has a limit */
    if (!command_path(target, path, id)) {
        return command_fail(lease.line, COMMAND_USAGE, "%.100s: not an id", id);
    }
    return command_ask(lease.line, target, &body, json);
}

static void keep(const struct json *json, unsigned object, const char *name,
                 char text[COMMAND_TEXT_BYTES]) {
    char found[COMMAND_TEXT_BYTES];
    struct bytes value = command_member(json, object, name, found);
    snprintf(text, COMMAND_TEXT_BYTES, "%.*s", (int)value.size, (const char *)value.data);
}

static void make_worker_name(void) {
    uint8_t bytes[6];
    random_fill(bytes, sizeof bytes);
    size_t used = (size_t)snprintf(lease.worker, sizeof lease.worker, "hubctl-%d-", (int)getpid());
    for (size_t i = 0; i < sizeof bytes; i++) {
        used += (size_t)snprintf(lease.worker + used, sizeof lease.worker - used, "%02x", bytes[i]);
    }
}

/* ---- a phone ---- */

static int request(void) {
    struct json json;
    begin_body();
    json_write_string(&writer, "request_id", lease.worker);
    json_write_string(&writer, "capability", "lease");
    json_write_string(&writer, "mode", "manual");
    json_write_begin_object(&writer, "target");
    json_write_string(&writer, "routing", options.phone != NULL ? "direct" : "queue");
    if (options.phone != NULL) {
        json_write_string(&writer, "phone_id", options.phone);
    }
    json_write_end_object(&writer);
    if (options.label_count > 0) {
        json_write_begin_array(&writer, "labels");
        for (size_t i = 0; i < options.label_count; i++) {
            json_write_string(&writer, NULL, options.labels[i]);
        }
        json_write_end_array(&writer);
    }
    json_write_begin_object(&writer, "inputs");
    json_write_end_object(&writer);
    json_write_begin_object(&writer, "requested_by");
    json_write_string(&writer, "system", "hubctl");
    json_write_end_object(&writer);
    int code = post("/capability-requests/enqueue", NULL, &json);
    if (code == COMMAND_DONE) {
        keep(&json, 0, "process_id", lease.process);
    }
    return code;
}

static void cancel(void) {
    struct json json;
    begin_body();
    (void)post("/processes/*/cancel", lease.process, &json);
}

/* Whether somebody has ended the process while it waited. */
static int judge_process(void) {
    char target[COMMAND_TARGET_BYTES];
    struct json json;
    if (!command_path(target, "/processes/*", lease.process)) {
        return COMMAND_FAILED;
    }
    int code = command_ask(lease.line, target, NULL, &json);
    if (code == COMMAND_DONE && command_is(&json, 0, "status", "cancelled")) {
        return command_fail(lease.line, COMMAND_CANCELLED, "%s was cancelled", lease.process);
    }
    if (code == COMMAND_DONE && command_is(&json, 0, "status", "failed_terminal")) {
        return command_fail(lease.line, COMMAND_FAILED, "%s has failed", lease.process);
    }
    return code;
}

static int claim(bool *is_claimed) {
    struct json json;
    unsigned jobs = 0;
    begin_body();
    json_write_string(&writer, "worker", lease.worker);
    json_write_string(&writer, "claim_id", lease.worker);
    json_write_string(&writer, "process_id", lease.process);
    json_write_uint(&writer, "batch", 1);
    int code = post("/api/internal/jobs/queue", NULL, &json);
    *is_claimed =
        code == COMMAND_DONE && command_array(&json, "jobs", &jobs) && json_size(&json, jobs) == 1;
    if (*is_claimed) {
        struct json_cursor at = {0};
        check(json_each(&json, jobs, &at));
        keep(&json, at.value, "id", lease.job);
        keep(&json, at.value, "phone_id", lease.phone);
        keep(&json, at.value, "lease_token", lease.token);
    }
    return code;
}

/* Asks until a phone is free, the time is over, or somebody wants an end. */
static int wait_for_phone(void) {
    uint64_t wait_ms = options.wait != NULL ? strtoull(options.wait, NULL, 10) * 1000 : 0;
    uint64_t end_ms = loop_now_ms() + wait_ms;
    bool is_claimed = false;
    for (unsigned i = 0;; i++) {
        int code = claim(&is_claimed);
        code = code == COMMAND_DONE && !is_claimed && i % 4 == 0 ? judge_process() : code;
        if (code != COMMAND_DONE || is_claimed) {
            return code;
        }
        if (i == 0) {
            fprintf(stderr, "hubctl lease: waiting for a phone (%s)\n", lease.process);
        }
        if (lease_program_signal(POLL_MS) != 0) {
            cancel();
            return command_fail(lease.line, COMMAND_CANCELLED, "interrupted while waiting");
        }
        if (wait_ms != 0 && loop_now_ms() >= end_ms) {
            cancel();
            return command_fail(lease.line, COMMAND_FAILED, "no phone was free in %s s",
                                options.wait);
        }
    }
}

/* Whose programs may use the phone: ours, unless another is named. */
static void add_wishes(void) {
    bool is_any = options.user != NULL && strcmp(options.user, "any") == 0;
    if (!is_any) {
        uint64_t user = options.user != NULL ? strtoull(options.user, NULL, 10) : geteuid();
        json_write_uint(&writer, "user", user);
    }
    if (options.has_tcp) {
        json_write_bool(&writer, "tcp", true);
    }
}

/* The attempt begins, and its endpoint opens. */
static int begin(void) {
    struct json json;
    begin_body();
    json_write_begin_array(&writer, "updates");
    json_write_begin_object(&writer, NULL);
    json_write_string(&writer, "id", lease.job);
    json_write_string(&writer, "worker", lease.worker);
    json_write_string(&writer, "lease_token", lease.token);
    json_write_string(&writer, "status", "running");
    json_write_end_object(&writer);
    json_write_end_array(&writer);
    int code = post("/api/internal/jobs/status", NULL, &json);
    if (code == COMMAND_DONE) {
        begin_worker_body();
        add_wishes();
        code = post("/phones/*/adb", lease.phone, &json);
    }
    if (code == COMMAND_DONE) {
        keep(&json, 0, options.has_tcp ? "adb_server_tcp" : "adb_server_socket", lease.socket);
    }
    return code;
}

/* ---- while it lasts ---- */

/* False: the lease is over, or is to end; it was said why. */
static bool beat(void) {
    struct json json;
    begin_worker_body();
    int code = post("/api/internal/jobs/*/heartbeat", lease.job, &json);
    if (code == COMMAND_UNREACHABLE) {
        return loop_now_ms() < lease.expires_ms; /* a hub that restarts keeps the lease */
    }
    if (code != COMMAND_DONE) {
        return false;
    }
    lease.expires_ms = loop_now_ms() + command_number(&json, 0, "expires_in_ms");
    char why[COMMAND_TEXT_BYTES];
    keep(&json, 0, "stop", why);
    lease.is_cancelled = strcmp(why, "cancel") == 0;
    if (why[0] != '\0') {
        (void)command_fail(lease.line, 0, "the hub ends the lease: %s", why);
    }
    return why[0] == '\0';
}

static uint64_t next_beat_ms(void) {
    uint64_t now_ms = loop_now_ms();
    uint64_t left_ms = lease.expires_ms > now_ms ? lease.expires_ms - now_ms : 0;
    return left_ms / 3 < 100 ? 100 : left_ms / 3;
}

/* Renews until the program ends, a signal comes, the time is over, or the lease is. */
static void hold(void) {
    uint64_t ttl_ms = options.ttl != NULL ? strtoull(options.ttl, NULL, 10) * 1000 : UINT64_MAX;
    uint64_t begun_ms = loop_now_ms();
    bool is_held = beat();
    while (is_held && !lease_program_has_ended()) {
        uint64_t wait_ms = next_beat_ms();
        uint64_t used_ms = loop_now_ms() - begun_ms;
        wait_ms = ttl_ms - used_ms < wait_ms ? ttl_ms - used_ms : wait_ms;
        int signal = lease_program_signal(wait_ms);
        if (signal == SIGCHLD) {
            continue;
        }
        if (signal != 0) {
            lease_program_stop(signal, GRACE_MS);
            return;
        }
        if (loop_now_ms() - begun_ms >= ttl_ms) {
            (void)command_fail(lease.line, 0, "the %s s of --ttl are over", options.ttl);
            break;
        }
        is_held = beat();
    }
    lease_program_stop(SIGTERM, is_held ? GRACE_MS : 0);
}

/* Tells the hub how it ended; a lease that is over is no error any more. */
static void finish(int status) {
    struct client_answer answer;
    char target[COMMAND_TARGET_BYTES];
    struct bytes body;
    begin_worker_body();
    json_write_int(&writer, "exitCode", status);
    json_write_end_object(&writer);
    check(json_write_finish(&writer, &body) == STATUS_OK);
    if (command_path(target, "/api/internal/jobs/*/complete", lease.job)) {
        (void)!client_ask(&lease.line->client, target, &body, command_buffer(), &answer);
    }
}

static void print_lease(void) {
    if (lease.line->is_json) {
        begin_body();
        json_write_string(&writer, "adb_server_socket", lease.socket);
        json_write_string(&writer, "android_serial", lease.phone);
        json_write_string(&writer, "process_id", lease.process);
        json_write_string(&writer, "lease_token", lease.token);
        json_write_end_object(&writer);
        struct bytes text;
        check(json_write_finish(&writer, &text) == STATUS_OK);
        printf("%.*s\n", (int)text.size, (const char *)text.data);
    } else {
        printf("export ADB_SERVER_SOCKET=%s ANDROID_SERIAL=%s\n", lease.socket, lease.phone);
    }
    fflush(stdout);
}

static bool is_number(const char *text, size_t digits) {
    return text == NULL || (text[0] != '\0' && strspn(text, "0123456789") == strlen(text) &&
                            strlen(text) <= digits);
}

static int run(struct command_line *line) {
    lease.line = line;
    if (options.phone != NULL && options.label_count > 0) {
        return command_fail(line, COMMAND_USAGE, "expected --phone or --label, not both");
    }
    if (!is_number(options.ttl, 7) || !is_number(options.wait, 7)) {
        return command_fail(line, COMMAND_USAGE, "--ttl, --wait: expected seconds");
    }
    if (!is_number(options.user, 10) && strcmp(options.user, "any") != 0) {
        return command_fail(line, COMMAND_USAGE, "--user: expected a user id or any");
    }
    make_worker_name();
    lease_program_start_watching();
    int code = request();
    code = code == COMMAND_DONE ? wait_for_phone() : code;
    if (code != COMMAND_DONE) {
        return code;
    }
    code = begin();
    lease.expires_ms = loop_now_ms() + 1000;
    if (code == COMMAND_DONE && line->program == NULL) {
        print_lease();
    } else if (code == COMMAND_DONE) {
        code = lease_program_start(line->program, lease.socket, lease.phone)
                   ? COMMAND_DONE
                   : command_fail(line, COMMAND_FAILED, "%s: cannot be run", line->program[0]);
    }
    if (code != COMMAND_DONE) {
        finish(code);
        return code;
    }
    hold();
    if (lease_program_has_ended() && !lease.is_cancelled) {
        (void)beat(); /* a program whose streams were cut ends before anybody asks why */
    }
    int status = lease_program_status();
    finish(status);
    return lease.is_cancelled ? COMMAND_CANCELLED : status;
}

static const struct cli_option lease_options[] = {
    {"phone", "ID", "This phone", .text = &options.phone},
    {"label", "A,B", "Any phone with all of these labels", .take = take_label},
    {"ttl", "SECONDS", "End it after so long at the latest", .text = &options.ttl},
    {"wait", "SECONDS", "Give up when no phone was free for so long", .text = &options.wait},
    {"user", "ID", "Whose programs may use it (ours); any: as the hub decides",
     .text = &options.user},
    {"tcp", NULL, "Give a port on loopback, not a Unix socket", .flag = &options.has_tcp},
};

static const struct command commands[] = {
    {.name = "lease",
     .usage = "[--phone ID | --label A,B] [--ttl SECONDS] [--wait SECONDS] [--user ID|any] [--tcp]"
              " [-- COMMAND ...]",
     .about = "Hold a phone while a command uses it by adb",
     .more =
         "The command finds its phone by ADB_SERVER_SOCKET and ANDROID_SERIAL; without one they "
         "are\nprinted, and the phone is held until hubctl is interrupted. The lease is renewed "
         "while\nhubctl lives, and ends with it.\nexit status: the command's; 3 when the lease "
         "was cancelled.\n",
     .options = lease_options,
     .option_count = array_count(lease_options),
     .takes_program = true,
     .run = run},
};
const struct command_group lease_group = {commands, array_count(commands)};
