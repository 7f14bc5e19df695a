/* The `exec` action: a program of this host in a run container, with the lease's adb endpoint as
 * its only way out. */
#include "host/hubd/run/executor_internal.h"

#include "host/shared/log.h"

#include <stdio.h>
#include <string.h>

#define ADB_SOCKET ("localfilesystem:" CONTAINER_SOCKET)

enum { ENVIRONMENT_WORDS = 20, WORD_BYTES = 24, PROGRAM_BYTES = 32 * 1024 };

/* ---- while it runs ---- */

/* Before the program begins: tools that only know adb's usual port find it in their own network. */
static void made(void *owner) {
    struct attempt *attempt = owner;
    if (attempt->endpoint != NULL &&
        adb_endpoint_open_port(attempt->endpoint, ADB_USUAL_PORT) != STATUS_OK) {
        log_warn("adb_port_not_opened phone=%s",
                 attempt->executor->hub->phones[attempt->start.phone].id);
    }
}

static void output(void *owner, bool is_stderr, struct bytes data) {
    executor_take_output(owner, is_stderr, data);
}

static void close_endpoint(struct attempt *attempt) {
    if (attempt->endpoint != NULL && attempt->endpoint->token == attempt->start.token) {
        adb_endpoint_close(attempt->endpoint);
    }
    attempt->endpoint = NULL;
    attempt->is_in_container = false;
}

static void ended(void *owner, const struct run_end *end) {
    struct attempt *attempt = owner;
    const char *name = executor_action(attempt)->name;
    close_endpoint(attempt);
    if (end->kind == RUN_EXITED) {
        executor_command_ended(attempt, end->code);
    } else if (end->kind == RUN_KILLED) {
        char code[RECORD_ID_MAX];
        snprintf(code, sizeof code, "signal_%d", end->code);
        attempt->end.has_exit_code = true;
        attempt->end.exit_code = 128 + end->code;
        executor_fail(attempt, RECORD_CATEGORY_EXIT_CODE, code, "%s: killed by signal %d", name,
                      end->code);
    } else {
        executor_fail(attempt, RECORD_CATEGORY_CONTAINER, "not_isolated", "%s: %s", name,
                      end->reason);
    }
}

void executor_exec_stop(struct attempt *attempt) {
    if (!attempt->is_in_container) {
        return;
    }
    run_container_stop(attempt->executor->containers, attempt->start.phone);
    close_endpoint(attempt);
}

/* ---- how it begins ---- */

/* Names and values in turn. */
static void fill_environment(const struct attempt *attempt, char memory[][WORD_BYTES],
                             const char *environment[ENVIRONMENT_WORDS]) {
    const struct hub *hub = attempt->executor->hub;
    snprintf(memory[0], WORD_BYTES, "%llu", (unsigned long long)attempt->start.process);
    snprintf(memory[1], WORD_BYTES, "%u", attempt->start.attempt);
    const char *const words[] = {"PATH",
                                 "/usr/local/bin:/usr/bin:/bin",
                                 "HOME",
                                 "/tmp",
                                 "TMPDIR",
                                 "/tmp",
                                 "LANG",
                                 "C.UTF-8",
                                 "ADB_SERVER_SOCKET",
                                 ADB_SOCKET,
                                 "ANDROID_SERIAL",
                                 hub->phones[attempt->start.phone].id,
                                 "HUBD_PROCESS",
                                 memory[0],
                                 "HUBD_ATTEMPT",
                                 memory[1],
                                 NULL};
    _Static_assert(array_count(words) <= ENVIRONMENT_WORDS, "they fit");
    memcpy(environment, words, sizeof words);
}

static enum status open_endpoint(struct attempt *attempt) {
    struct executor *executor = attempt->executor;
    struct adb_ports ports = run_container_ports(executor->containers, attempt->start.phone);
    const struct adb_order order = {.phone = attempt->start.phone,
                                    .token = attempt->start.token,
                                    .user = ADB_ANY_USER,
                                    .ports = &ports};
    return adb_endpoint_open(executor->adb, &order, &attempt->endpoint);
}

static enum status start(struct attempt *attempt, const char *const *words) {
    const char *environment[ENVIRONMENT_WORDS];
    char memory[2][WORD_BYTES];
    const struct run_handler handler = {
        .made = made, .output = output, .ended = ended, .owner = attempt};
    fill_environment(attempt, memory, environment);
    const struct run_order order = {
        .arguments = words, .environment = environment, .socket = attempt->endpoint->path};
    return run_container_start(attempt->executor->containers, attempt->start.phone, &order,
                               &handler);
}

enum status executor_exec_begin(struct attempt *attempt) {
    static char memory[PROGRAM_BYTES];
    struct action_words words = {.memory = memory, .capacity = sizeof memory};
    char wrong[ACTION_TEXT_BYTES] = "";
    const struct action *action = executor_action(attempt);
    const struct run_containers *containers = attempt->executor->containers;
    if (containers == NULL || !containers->is_usable) {
        executor_fail(attempt, RECORD_CATEGORY_CONTAINER, "no_containers", "%s: %s", action->name,
                      containers == NULL ? "this hub has none" : containers->reason);
        return STATUS_OK;
    }
    if (action_words_fill(&words, action->command, executor_inputs(attempt), wrong) != STATUS_OK) {
        executor_fail(attempt, RECORD_CATEGORY_CAPABILITY, "input_missing",
                      "%s: the inputs lack a usable `%s`", action->name, wrong);
        return STATUS_OK;
    }
    enum status status = open_endpoint(attempt);
    if (status == STATUS_OK) {
        attempt->is_in_container = true;
        status = start(attempt, words.list);
    }
    if (status == STATUS_AGAIN || status == STATUS_OK) {
        return status == STATUS_OK ? STATUS_OK : STATUS_FULL;
    }
    close_endpoint(attempt);
    executor_fail(attempt, RECORD_CATEGORY_CONTAINER, "not_started",
                  status == STATUS_ILLEGAL ? "%s: this hub serves no adb endpoint ([adb] dir)"
                                           : "%s: the container could not be made",
                  action->name);
    return STATUS_OK;
}
