/* The commands of an emulated phone. Output has the form of Android 13 (toybox, dumpsys). */
#include "host/phonesim/phone_shell.h"

#include "protocol/sha256.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DAY_MINUTES = 1440, MISSING = 1, USAGE = 1, UNKNOWN = 127, RUN_AGAIN = -2 };

bool phone_call_is(const struct phone_call *call, int index, const char *text) {
    return index < call->word_count && strcmp(call->words[index], text) == 0;
}

static bool is_word(const struct phone_call *call, int index, const char *text) {
    return phone_call_is(call, index, text);
}

static enum status path_of(const struct phone_call *call, int index,
                           char path[PHONE_FILES_PATH_SIZE]) {
    struct bytes word = {(const uint8_t *)call->words[index], strlen(call->words[index])};
    return phone_files_normalise(word, path);
}

static int run_echo(struct phone_call *call) {
    bool has_newline = !is_word(call, 1, "-n");
    for (int i = has_newline ? 1 : 2; i < call->word_count; i++) {
        bool is_last = i + 1 == call->word_count;
        phone_shell_print(call->output, "%s%s", call->words[i], is_last ? "" : " ");
    }
    phone_shell_print(call->output, "%s", has_newline ? "\n" : "");
    return 0;
}

static int run_exit(struct phone_call *call) {
    call->shell->is_over = true;
    return call->word_count > 1 ? (int)(strtoul(call->words[1], NULL, 10) & 0xff)
                                : call->shell->status;
}

static int run_sleep(struct phone_call *call) {
    char *end = NULL;
    double seconds = call->word_count > 1 ? strtod(call->words[1], &end) : -1;
    if (end == NULL || !(seconds >= 0 && seconds < 1e6) || *end != '\0') {
        phone_shell_print(call->complaint, "sleep: Needs 1 argument\n");
        return USAGE;
    }
    call->shell->wake_ms = call->now_ms + (uint64_t)(seconds * 1000);
    return 0;
}

static int run_true(struct phone_call *call) {
    (void)call;
    return 0;
}

static int run_false(struct phone_call *call) {
    (void)call;
    return 1;
}

static int run_getprop(struct phone_call *call) {
    const char *name = NULL;
    const char *value = NULL;
    if (call->word_count > 1) {
        value = phone_state_property(call->state, call->words[1]);
        const char *fallback = call->word_count > 2 ? call->words[2] : "";
        phone_shell_print(call->output, "%s\n", value[0] != '\0' ? value : fallback);
        return 0;
    }
    for (size_t i = 0; phone_state_property_at(call->state, i, &name, &value); i++) {
        if (name[0] != '\0') {
            phone_shell_print(call->output, "[%s]: [%s]\n", name, value);
        }
    }
    return 0;
}

static int run_setprop(struct phone_call *call) {
    if (call->word_count != 3) {
        phone_shell_print(call->complaint, "usage: setprop NAME VALUE\n");
        return USAGE;
    }
    if (phone_state_set_property(call->state, call->words[1], call->words[2]) != STATUS_OK) {
        phone_shell_print(call->complaint, "Failed to set property '%s' to '%s'.\n", call->words[1],
                          call->words[2]);
        return 1;
    }
    return 0;
}

static void print_battery(struct phone_call *call) {
    int level = phone_state_battery_level(call->state, call->now_ms);
    phone_shell_print(call->output,
                      "Current Battery Service state:\n"
                      "  AC powered: false\n"
                      "  USB powered: true\n"
                      "  Wireless powered: false\n"
                      "  Dock powered: false\n"
                      "  Max charging current: 500000\n"
                      "  Max charging voltage: 5000000\n"
                      "  Charge counter: %d\n"
                      "  status: %d\n"
                      "  health: 2\n"
                      "  present: true\n"
                      "  level: %d\n"
                      "  scale: 100\n"
                      "  voltage: %d\n"
                      "  temperature: %u\n"
                      "  technology: Li-ion\n",
                      level * 45000, level == 100 ? 5 : 2, level, 3500 + level * 8,
                      270 + call->state->number % 40);
}

static int run_dumpsys(struct phone_call *call) {
    if (!is_word(call, 1, "battery")) {
        phone_shell_print(call->complaint, "Can't find service: %s\n",
                          call->word_count > 1 ? call->words[1] : "");
        return 0; /* as the real one */
    }
    if (is_word(call, 2, "set") && is_word(call, 3, "level") && call->word_count == 5) {
        unsigned long level = strtoul(call->words[4], NULL, 10);
        call->state->forced_level = level > 100 ? 100 : (int)level;
    } else if (is_word(call, 2, "reset")) {
        call->state->forced_level = -1;
    } else {
        print_battery(call);
    }
    return 0;
}

static int run_df(struct phone_call *call) {
    uint64_t used_kib = 23456789 + (uint64_t)call->state->number * 1000000;
    const uint64_t whole_kib = 112345678;
    for (size_t i = 0; i < PHONE_FILES_MAX; i++) {
        used_kib += call->state->files.files[i].size / 1024;
    }
    used_kib = used_kib < whole_kib ? used_kib : whole_kib;
    phone_shell_print(call->output,
                      "Filesystem       1K-blocks     Used Available Use%% Mounted on\n"
                      "/dev/block/dm-48 %9" PRIu64 " %8" PRIu64 " %9" PRIu64 " %3" PRIu64
                      "%% /data\n",
                      whole_kib, used_kib, whole_kib - used_kib, used_kib * 100 / whole_kib + 1);
    return 0;
}

static int run_uptime(struct phone_call *call) {
    uint64_t minutes = phone_state_uptime_ms(call->state, call->now_ms) / 60000;
    time_t wall = (time_t)phone_state_wall_s();
    struct tm parts;
    gmtime_r(&wall, &parts);
    phone_shell_print(call->output, " %02d:%02d:%02d up ", parts.tm_hour, parts.tm_min,
                      parts.tm_sec);
    if (minutes >= DAY_MINUTES) {
        phone_shell_print(call->output, "%" PRIu64 " days, ", minutes / (DAY_MINUTES));
    }
    phone_shell_print(call->output,
                      "%2" PRIu64 ":%02" PRIu64 ",  0 users,  load average: 0.42, 0.37, 0.31\n",
                      minutes / 60 % 24, minutes % 60);
    return 0;
}

static int run_date(struct phone_call *call) {
    time_t wall = (time_t)phone_state_wall_s();
    char text[64];
    struct tm parts;
    gmtime_r(&wall, &parts);
    bool is_epoch = is_word(call, 1, "+%s");
    size_t size = is_epoch ? 0 : strftime(text, sizeof text, "%a %b %e %H:%M:%S UTC %Y", &parts);
    if (size > 0) {
        phone_shell_print(call->output, "%s\n", text);
    } else {
        phone_shell_print(call->output, "%lld\n", (long long)wall);
    }
    return 0;
}

static void print_log_line(struct phone_call *call, const struct phone_log_line *line) {
    char text[32];
    time_t wall = (time_t)line->at_s;
    struct tm parts;
    gmtime_r(&wall, &parts);
    check(strftime(text, sizeof text, "%m-%d %H:%M:%S", &parts) > 0);
    phone_shell_print(call->output, "%s.000  1234  1234 I phonesim: %s\n", text, line->text);
}

static int run_logcat(struct phone_call *call) {
    struct phone_state *state = call->state;
    if (is_word(call, 1, "-c")) {
        state->log_count = 0;
        return 0;
    }
    if (!is_word(call, 1, "-d")) {
        phone_shell_print(call->complaint, "logcat: only -c and -d are emulated\n");
        return USAGE;
    }
    if (state->log_count > 0) {
        phone_shell_print(call->output, "--------- beginning of main\n");
    }
    for (uint32_t i = 0; i < state->log_count; i++) {
        print_log_line(call, &state->log[(state->log_begin + i) % PHONE_LOG_LINES]);
    }
    return 0;
}

static int complain(struct phone_call *call, int index, const char *why) {
    phone_shell_print(call->complaint, "%s: %s: %s\n", call->words[0], call->words[index], why);
    return MISSING;
}

/* One file a call; a large one is shown piece by piece. */
static int run_cat(struct phone_call *call) {
    char path[PHONE_FILES_PATH_SIZE];
    if (call->word_count < 2) {
        bool is_ended = call->shell->has_input_ended || call->shell->is_interactive;
        call->shell->incoming =
            is_ended ? NULL : phone_files_create(&call->state->files, "/dev/input");
        call->shell->input = call->shell->incoming != NULL ? PHONE_INPUT_ECHO : PHONE_INPUT_UNUSED;
        return 0;
    }
    if (call->word_count > 2) {
        return complain(call, 2, "only one file is emulated");
    }
    if (path_of(call, 1, path) != STATUS_OK) {
        return complain(call, 1, "File name too long");
    }
    if (strcmp(path, "/proc/uptime") == 0) {
        uint64_t uptime_ms = phone_state_uptime_ms(call->state, call->now_ms);
        phone_shell_print(call->output, "%" PRIu64 ".%02" PRIu64 " %" PRIu64 ".00\n",
                          uptime_ms / 1000, uptime_ms / 10 % 100, uptime_ms / 1000 * 7);
        return 0;
    }
    const struct phone_file *file = phone_files_find(&call->state->files, path);
    if (file == NULL) {
        bool is_directory = phone_files_is_directory(&call->state->files, path);
        return complain(call, 1, is_directory ? "Is a directory" : "No such file or directory");
    }
    phone_files_open(&call->shell->cursor, file);
    call->shell->is_copying = file->size > 0;
    return 0;
}

static void print_entry(struct phone_call *call, bool is_long, struct bytes name,
                        const struct phone_file *file) {
    if (is_long && file != NULL) {
        phone_shell_print(call->output, "-rw-r--r-- 1 shell shell %10" PRIu64 " ", file->size);
    } else if (is_long) {
        phone_shell_print(call->output, "drwxrwx--x 2 shell shell %10d ", 4096);
    }
    phone_shell_print(call->output, "%.*s\n", (int)name.size, (const char *)name.data);
}

static int run_ls(struct phone_call *call) {
    bool is_long = is_word(call, 1, "-l");
    int at = is_long || is_word(call, 1, "-1") || is_word(call, 1, "-a") ? 2 : 1;
    char path[PHONE_FILES_PATH_SIZE] = "/";
    if (at < call->word_count && path_of(call, at, path) != STATUS_OK) {
        return complain(call, at, "File name too long");
    }
    struct phone_files *files = &call->state->files;
    struct bytes name = {(const uint8_t *)path, strlen(path)};
    const struct phone_file *file = phone_files_find(files, path);
    if (file != NULL) {
        print_entry(call, is_long, name, file);
        return 0;
    }
    if (!phone_files_is_directory(files, path)) {
        return complain(call, at, "No such file or directory");
    }
    size_t index = 0;
    while (phone_files_list(files, path, &index, &name, &file)) {
        print_entry(call, is_long, name, file);
    }
    return 0;
}

static void remove_below(struct phone_files *files, const char *directory) {
    size_t size = strlen(directory);
    for (size_t i = 0; i < PHONE_FILES_MAX; i++) {
        struct phone_file *file = &files->files[i];
        bool is_below = strncmp(file->path, directory, size) == 0 &&
                        (file->path[size] == '/' || file->path[size] == '\0');
        if (is_below && !file->is_hidden) {
            phone_files_remove(file);
        }
    }
}

static int run_rm(struct phone_call *call) {
    bool is_forced = false;
    bool is_deep = false;
    int status = 0;
    for (int i = 1; i < call->word_count; i++) {
        const char *word = call->words[i];
        char path[PHONE_FILES_PATH_SIZE];
        if (word[0] == '-') {
            is_forced = is_forced || strchr(word, 'f') != NULL;
            is_deep = is_deep || strchr(word, 'r') != NULL;
            continue;
        }
        bool is_path = path_of(call, i, path) == STATUS_OK;
        struct phone_file *file = is_path ? phone_files_find(&call->state->files, path) : NULL;
        if (file != NULL) {
            phone_files_remove(file);
        } else if (is_path && phone_files_is_directory(&call->state->files, path)) {
            if (is_deep) {
                remove_below(&call->state->files, path);
            } else {
                status = complain(call, i, "Is a directory");
            }
        } else if (!is_forced) {
            status = complain(call, i, "No such file or directory");
        }
    }
    return status;
}

static int run_mkdir(struct phone_call *call) {
    int at = is_word(call, 1, "-p") ? 2 : 1;
    char path[PHONE_FILES_PATH_SIZE];
    if (at >= call->word_count || path_of(call, at, path) != STATUS_OK) {
        phone_shell_print(call->complaint, "mkdir: Needs 1 argument\n");
        return USAGE;
    }
    if (phone_files_find(&call->state->files, path) != NULL) {
        return complain(call, at, "File exists");
    }
    enum status status =
        phone_files_make_directory(&call->state->files, path, phone_state_wall_s());
    return status == STATUS_OK ? 0 : complain(call, at, "No space left on device");
}

static int run_id(struct phone_call *call) {
    phone_shell_print(call->output, "uid=2000(shell) gid=2000(shell) groups=2000(shell)\n");
    return 0;
}

static int run_reboot(struct phone_call *call) {
    call->state->wants_reboot = true;
    call->state->wants_bootloader = is_word(call, 1, "bootloader");
    return 0;
}

/* `exec COMMAND` and `export NAME=VALUE` as far as adb's own logcat needs them. */
static int run_exec(struct phone_call *call) {
    memmove(call->words, call->words + 1, sizeof call->words - sizeof call->words[0]);
    call->word_count -= 1;
    return call->word_count > 0 ? RUN_AGAIN : 0;
}

/* `sh -c SCRIPT`: goes on with that script instead. */
static int run_sh(struct phone_call *call) {
    struct phone_shell *shell = call->shell;
    if (call->word_count < 3 || !is_word(call, 1, "-c") ||
        strlen(call->words[2]) >= sizeof shell->script) {
        phone_shell_print(call->complaint, "sh: only -c SCRIPT is emulated\n");
        return USAGE;
    }
    memcpy(shell->script, call->words[2], strlen(call->words[2]) + 1);
    shell->at = 0;
    return 0;
}

static int run_sha256sum(struct phone_call *call) {
    char path[PHONE_FILES_PATH_SIZE];
    uint8_t part[4096];
    uint8_t digest[SHA256_BYTES];
    struct phone_files_cursor cursor;
    struct sha256 hash;
    size_t size = 0;
    bool is_path = call->word_count == 2 && path_of(call, 1, path) == STATUS_OK;
    const struct phone_file *file = is_path ? phone_files_find(&call->state->files, path) : NULL;
    if (file == NULL) {
        return call->word_count == 2 ? complain(call, 1, "No such file or directory") : USAGE;
    }
    sha256_init(&hash);
    phone_files_open(&cursor, file);
    while ((size = phone_files_read(&cursor, part, sizeof part)) > 0) {
        sha256_add(&hash, (struct bytes){part, size});
    }
    sha256_end(&hash, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        phone_shell_print(call->output, "%02x", digest[i]);
    }
    phone_shell_print(call->output, "  %s\n", call->words[1]);
    return 0;
}

/* Connects to a port that a host has reversed, sends the text, and shows what comes back. */
static int run_dial(struct phone_call *call) {
    if (call->word_count != 3 || strlen(call->words[2]) >= sizeof call->shell->dial_text) {
        phone_shell_print(call->complaint, "usage: dial PORT TEXT\n");
        return USAGE;
    }
    call->shell->dial_port = strtoul(call->words[1], NULL, 10);
    memcpy(call->shell->dial_text, call->words[2], strlen(call->words[2]) + 1);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct phone_call *call);
} commands[] = {
    {"echo", run_echo},
    {"exit", run_exit},
    {"sleep", run_sleep},
    {"true", run_true},
    {":", run_true},
    {"false", run_false},
    {"getprop", run_getprop},
    {"setprop", run_setprop},
    {"dumpsys", run_dumpsys},
    {"df", run_df},
    {"uptime", run_uptime},
    {"date", run_date},
    {"logcat", run_logcat},
    {"cat", run_cat},
    {"ls", run_ls},
    {"rm", run_rm},
    {"mkdir", run_mkdir},
    {"id", run_id},
    {"sync", run_true},
    {"reboot", run_reboot},
    {"export", run_true},
    {"exec", run_exec},
    {"sh", run_sh},
    {"dial", run_dial},
    {"sha256sum", run_sha256sum},
};

int phone_commands_run(struct phone_call *call) {
    for (size_t i = 0; i < array_count(commands); i++) {
        int status = is_word(call, 0, commands[i].name) ? commands[i].run(call) : 0;
        if (status == RUN_AGAIN) {
            i = 0;
        } else if (is_word(call, 0, commands[i].name)) {
            return status;
        }
    }
    int status = call->word_count > 0 ? phone_packages_run(call) : 0;
    if (status >= 0) {
        return status;
    }
    phone_shell_print(call->complaint, "/system/bin/sh: %s: inaccessible or not found\n",
                      call->words[0]);
    return UNKNOWN;
}
