#include "host/hubctl/lease_program.h"

#include "host/shared/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENVIRONMENT_MAX = 1024, WORD_BYTES = 256, WORDS = 3 };

static pid_t child;
static bool has_group; /* of its own: what it started ends with it */
static bool has_ended;
static int exit_status;
static sigset_t watched;

void lease_program_start_watching(void) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    sigemptyset(&watched);
    for (size_t i = 0; i < array_count(signals); i++) {
        sigaddset(&watched, signals[i]);
    }
    check(sigprocmask(SIG_BLOCK, &watched, NULL) == 0);
}

static bool is_set_anew(const char *word) {
    static const char *const names[] = {
        "ADB_SERVER_SOCKET=", "ANDROID_SERIAL=", "ANDROID_ADB_SERVER_PORT="};
    for (size_t i = 0; i < array_count(names); i++) {
        if (strncmp(word, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Ours, with the names of the lease set anew: setenv would allocate. Tools that know no socket but
 * TCP look for its port. */
static void fill_environment(const char *socket, const char *serial, char **environment,
                             char memory[WORDS][WORD_BYTES]) {
    size_t count = 0;
    for (size_t i = 0; environ[i] != NULL && count + WORDS + 1 < ENVIRONMENT_MAX; i++) {
        if (!is_set_anew(environ[i])) {
            environment[count++] = environ[i];
        }
    }
    snprintf(memory[0], WORD_BYTES, "ADB_SERVER_SOCKET=%.200s", socket);
    snprintf(memory[1], WORD_BYTES, "ANDROID_SERIAL=%.200s", serial);
    environment[count++] = memory[0];
    environment[count++] = memory[1];
    if (strncmp(socket, "tcp:", 4) == 0) {
        snprintf(memory[2], WORD_BYTES, "ANDROID_ADB_SERVER_PORT=%.8s", strrchr(socket, ':') + 1);
        environment[count++] = memory[2];
    }
    environment[count] = NULL;
}

_Noreturn static void become(char *const *program, char *const *environment, pid_t parent) {
    static const char text[] = "hubctl lease: the program cannot be run\n";
    sigset_t none;
    sigemptyset(&none);
    if (has_group) {
        (void)setpgid(0, 0);
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent && sigprocmask(SIG_SETMASK, &none, NULL) == 0) {
        (void)execvpe(program[0], program, environment);
    }
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(errno == ENOENT ? 127 : 126);
}

bool lease_program_start(char *const *program, const char *socket, const char *serial) {
    static char *environment[ENVIRONMENT_MAX];
    static char memory[WORDS][WORD_BYTES];
    if (program[0] == NULL) {
        return false;
    }
    fill_environment(socket, serial, environment, memory);
    pid_t parent = getpid();
    has_group = isatty(STDIN_FILENO) == 0; /* at a terminal it shares ours, to be able to read */
    child = fork();
    if (child == 0) {
        become(program, environment, parent);
    }
    if (child > 0 && has_group) {
        (void)setpgid(child, child); /* here too: whoever is first */
    }
    return child > 0;
}

static void tell(int signal) {
    (void)kill(has_group ? -child : child, signal);
}

static void reap(void) {
    int state = 0;
    if (child <= 0 || has_ended || waitpid(child, &state, WNOHANG) != child) {
        return;
    }
    has_ended = true;
    exit_status = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

int lease_program_signal(uint64_t wait_ms) {
    const struct timespec wait = {(time_t)(wait_ms / 1000), (long)(wait_ms % 1000) * 1000000};
    int signal = sigtimedwait(&watched, NULL, &wait);
    reap();
    return signal > 0 ? signal : 0;
}

bool lease_program_has_ended(void) {
    reap();
    return has_ended;
}

void lease_program_stop(int signal, uint64_t grace_ms) {
    uint64_t end_ms = loop_now_ms() + grace_ms;
    if (child <= 0 || lease_program_has_ended()) {
        return;
    }
    tell(signal);
    while (!lease_program_has_ended()) {
        uint64_t now_ms = loop_now_ms();
        if (now_ms >= end_ms) {
            tell(SIGKILL);
        }
        (void)lease_program_signal(now_ms < end_ms ? end_ms - now_ms : 1000);
    }
}

int lease_program_status(void) {
    return exit_status;
}
