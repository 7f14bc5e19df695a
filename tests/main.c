/* main.c - runs every suite that tests/suites.def names; arguments keep the tests whose full name
 * contains one of them. The last line counts: `N passed, N failed`.
 *
 * Every cmocka group comes through the linker's --wrap to this file, which runs each test in a
 * process of its own: a crash, a leak or a hang is one failed test, and the totals are exact. */
#include "tests/test.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef __SANITIZE_ADDRESS__
/* Of the sanitizer; gcc brings no header that names the first. */
size_t __sanitizer_get_current_allocated_bytes(void);
int __lsan_is_turned_off(void);

/* The search for leaks reads every table of every program that is linked here, over a gigabyte,
 * for each test: it is spared those that leave no more on the heap than they found. */
static size_t heap_at_start;
int __lsan_is_turned_off(void) {
    return __sanitizer_get_current_allocated_bytes() <= heap_at_start;
}
static void note_heap(void) {
    heap_at_start = __sanitizer_get_current_allocated_bytes();
}
#else
static void note_heap(void) {
}
#endif

enum { RAN_TO_ITS_END = 90, NAME_BYTES = 256, LINE_BYTES = 1024 };

static const struct {
    const char *name;
    int (*run)(void);
} suites[] = {
#define SUITE(name) {#name, name##_tests},
#include "tests/suites.def"
#undef SUITE
};

static struct {
    int wanted_count;
    char **wanted;
    unsigned limit_seconds;
    unsigned passed, failed, skipped;
} run;

int __real__cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown);
int __wrap__cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown);

static bool is_wanted(const char *full_name) {
    for (int i = 0; i < run.wanted_count; i++) {
        if (strstr(full_name, run.wanted[i]) != NULL) {
            return true;
        }
    }
    return run.wanted_count == 0;
}

/* A skipped test passes only when it says why it cannot run here (test_skip in test.h). */
static bool was_skipped(FILE *log, char reason[LINE_BYTES]) {
    char line[LINE_BYTES];
    bool skipped = false;
    reason[0] = '\0';
    rewind(log);
    while (fgets(line, sizeof line, log) != NULL) {
        skipped = skipped || strstr(line, "[  SKIPPED ]") != NULL;
        if (strncmp(line, "cannot run here: ", 17) == 0) {
            memcpy(reason, line, LINE_BYTES);
        }
    }
    return skipped;
}

static void show(FILE *log) {
    char line[LINE_BYTES];
    rewind(log);
    while (fgets(line, sizeof line, log) != NULL) {
        printf("    %s", line);
    }
}

static void judge(const char *full_name, int ended, FILE *log) {
    char reason[LINE_BYTES];
    bool skipped = was_skipped(log, reason);
    bool passed = WIFEXITED(ended) && WEXITSTATUS(ended) == RAN_TO_ITS_END;

    if (passed && skipped && reason[0] != '\0') {
        run.skipped++;
        printf("skipped %s %s", full_name, reason);
    } else if (passed && !skipped) {
        run.passed++;
        printf("ok      %s\n", full_name);
    } else {
        run.failed++;
        printf("FAILED  %s\n", full_name);
        show(log);
        if (skipped) {
            printf("    skipped without a reason\n");
        } else if (WIFSIGNALED(ended) && WTERMSIG(ended) == SIGALRM) {
            printf("    not finished after %u s\n", run.limit_seconds);
        } else if (WIFSIGNALED(ended)) {
            printf("    died of signal %d\n", WTERMSIG(ended));
        } else {
            printf("    exit status %d\n", WEXITSTATUS(ended));
        }
    }
}

int __wrap__cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown) {
    for (size_t i = 0; i < count; i++) {
        char full_name[NAME_BYTES];
        snprintf(full_name, sizeof full_name, "%s.%s", group, tests[i].name);
        if (!is_wanted(full_name)) {
            continue;
        }
        FILE *log = tmpfile();
        fflush(NULL);
        pid_t child = fork();
        if (log == NULL || child < 0) {
            perror("test process");
            exit(3);
        }
        if (child == 0) {
            setpgid(0, 0);
            dup2(fileno(log), STDOUT_FILENO);
            dup2(fileno(log), STDERR_FILENO);
            alarm(run.limit_seconds);
            note_heap();
            int failures = __real__cmocka_run_group_tests(group, &tests[i], 1, setup, teardown);
            exit(failures == 0 ? RAN_TO_ITS_END : 1);
        }
        int ended = 0;
        while (waitpid(child, &ended, 0) != child) {
        }
        kill(-child, SIGKILL); /* whatever the test started and left behind */
        judge(full_name, ended, log);
        fclose(log);
    }
    return 0;
}

int main(int argc, char **argv) {
    const char *limit = getenv("TEST_SECONDS");
    run.limit_seconds = limit != NULL ? (unsigned)strtoul(limit, NULL, 10) : 20;
    run.wanted_count = argc - 1;
    run.wanted = argv + 1;
    for (size_t i = 0; i < array_count(suites); i++) {
        (void)suites[i].run();
    }
    if (run.skipped > 0) {
        printf("%u skipped\n", run.skipped);
    }
    printf("%u passed, %u failed\n", run.passed, run.failed);
    return run.failed > 0;
}
