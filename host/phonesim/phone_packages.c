/* Commands of packages, instrumentation, the screen and reports, as Android 13 answers them. */
#include "host/phonesim/phone_shell.h"

#include <stdlib.h>
#include <string.h>

/* 1 x 1 pixel, transparent. */
static const uint8_t screenshot[] = {
    0x89, 'P',  'N',  'G',  '\r', '\n', 0x1a, '\n', 0,    0,    0,   13,  'I',  'H',  'D',  'R',  0,
    0,    0,    1,    0,    0,    0,    1,    8,    6,    0,    0,   0,   0x1f, 0x15, 0xc4, 0x89, 0,
    0,    0,    13,   'I',  'D',  'A',  'T',  0x78, 0x9c, 0x63, 0,   1,   0,    0,    5,    0,    1,
    0x0d, 0x0a, 0x2d, 0xb4, 0,    0,    0,    0,    'I',  'E',  'N', 'D', 0xae, 'B',  '`',  0x82};

static const char report_path[] = "/bugreports/bugreport-oriole.zip";

static bool is_installed(const struct phone_state *state, const char *name) {
    for (size_t i = 0; i < PHONE_PACKAGES_MAX; i++) {
        if (strcmp(state->packages[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void install(struct phone_state *state, const char *name) {
    for (size_t i = 0; i < PHONE_PACKAGES_MAX && !is_installed(state, name); i++) {
        if (state->packages[i][0] == '\0' && strlen(name) < sizeof state->packages[i]) {
            memcpy(state->packages[i], name, strlen(name) + 1);
        }
    }
}

/* `install -S BYTES` takes that many bytes of input; `install PATH` a file of the phone. */
static int run_install(struct phone_call *call, int at) {
    const char *path = NULL;
    uint64_t size = 0;
    for (int i = at; i < call->word_count; i++) {
        if (phone_call_is(call, i, "-S") && i + 1 < call->word_count) {
            size = strtoull(call->words[++i], NULL, 10);
        } else if (call->words[i][0] != '-') {
            path = call->words[i];
        }
    }
    install(call->state, "com.example.installed");
    if (size > 0) {
        call->shell->input = PHONE_INPUT_COUNT;
        call->shell->input_left = size;
        return 0;
    }
    bool is_there = path != NULL && phone_files_find(&call->state->files, path) != NULL;
    phone_shell_print(is_there ? call->output : call->complaint,
                      is_there ? "Success\n" : "Error: failed to open the package\n");
    return is_there ? 0 : 1;
}

static int run_uninstall(struct phone_call *call, int at) {
    const char *name = call->word_count > at ? call->words[call->word_count - 1] : "";
    for (size_t i = 0; i < PHONE_PACKAGES_MAX; i++) {
        if (name[0] != '\0' && strcmp(call->state->packages[i], name) == 0) {
            call->state->packages[i][0] = '\0';
            phone_shell_print(call->output, "Success\n");
            return 0;
        }
    }
    phone_shell_print(call->output, "Failure [DELETE_FAILED_INTERNAL_ERROR]\n");
    return 1;
}

static int list_packages(struct phone_call *call) {
    for (size_t i = 0; i < PHONE_PACKAGES_MAX; i++) {
        if (call->state->packages[i][0] != '\0') {
            phone_shell_print(call->output, "package:%s\n", call->state->packages[i]);
        }
    }
    return 0;
}

/* `pm WORDS` and `cmd package WORDS`. */
static int run_packages(struct phone_call *call, int at) {
    if (phone_call_is(call, at, "install")) {
        return run_install(call, at + 1);
    }
    if (phone_call_is(call, at, "uninstall")) {
        return run_uninstall(call, at + 1);
    }
    if (phone_call_is(call, at, "list") && phone_call_is(call, at + 1, "packages")) {
        return list_packages(call);
    }
    if (phone_call_is(call, at, "clear") && call->word_count > at + 1) {
        bool is_there = is_installed(call->state, call->words[at + 1]);
        phone_shell_print(call->output, is_there ? "Success\n" : "Failed\n");
        return is_there ? 0 : 1;
    }
    phone_shell_print(call->complaint, "Unknown command: %s\n",
                      call->word_count > at ? call->words[at] : "");
    return 255;
}

static int run_instrument(struct phone_call *call) {
    const char *name = call->words[call->word_count - 1];
    char package[PHONE_NAME_SIZE] = "";
    const char *slash = strchr(name, '/');
    size_t size = slash != NULL ? (size_t)(slash - name) : 0;
    memcpy(package, name, size < sizeof package ? size : 0);
    if (!is_installed(call->state, package)) {
        phone_shell_print(call->output, "INSTRUMENTATION_STATUS: id=ActivityManagerService\n"
                                        "INSTRUMENTATION_STATUS_CODE: -1\n"
                                        "INSTRUMENTATION_FAILED: ");
        phone_shell_print(call->output, "%s\n", name);
        return 0; /* as the real one */
    }
    phone_shell_print(call->output, "\n%s:..\n\nTime: 0.021\n\nOK (2 tests)\n\n", package);
    return 0;
}

static int run_screencap(struct phone_call *call) {
    struct bytes image = {screenshot, sizeof screenshot};
    int at = phone_call_is(call, 1, "-p") ? 2 : 1;
    if (at >= call->word_count) {
        memcpy(call->output->data + call->output->size, image.data, image.size);
        call->output->size += image.size;
        return 0;
    }
    struct phone_file *file = phone_files_create(&call->state->files, call->words[at]);
    if (file == NULL || phone_files_append(file, image) != STATUS_OK) {
        phone_shell_print(call->complaint, "Error opening file: %s\n", call->words[at]);
        return 1;
    }
    phone_files_publish(&call->state->files, file, 0644, phone_state_wall_s());
    return 0;
}

static int run_bugreportz(struct phone_call *call) {
    if (phone_call_is(call, 1, "-v")) {
        phone_shell_print(call->complaint, "1.1\n");
        return 0;
    }
    if (phone_call_is(call, 1, "-s")) {
        phone_shell_print(call->output, "PK%s", " an empty report");
        return 0;
    }
    struct phone_file *file = phone_files_create(&call->state->files, report_path);
    if (file == NULL ||
        phone_files_append(file, bytes_of("PK\x05\x06 an empty report")) != STATUS_OK) {
        phone_shell_print(call->output, "FAIL:no space\n");
        return 0;
    }
    phone_files_publish(&call->state->files, file, 0644, phone_state_wall_s());
    if (phone_call_is(call, 1, "-p")) {
        phone_shell_print(call->output, "BEGIN:%s\nPROGRESS:50/100\n", report_path);
    }
    phone_shell_print(call->output, "OK:%s\n", report_path);
    return 0;
}

int phone_packages_run(struct phone_call *call) {
    if (phone_call_is(call, 0, "pm")) {
        return run_packages(call, 1);
    }
    if (phone_call_is(call, 0, "cmd") && phone_call_is(call, 1, "package")) {
        return run_packages(call, 2);
    }
    if (phone_call_is(call, 0, "am")) {
        return phone_call_is(call, 1, "instrument") ? run_instrument(call) : 0;
    }
    if (phone_call_is(call, 0, "screencap")) {
        return run_screencap(call);
    }
    return phone_call_is(call, 0, "bugreportz") ? run_bugreportz(call) : -1;
}
