#include "host/phonesim/phone_service.h"

#include "protocol/text.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const char *answer;
} fixed[] = {
    {"root:", "adbd cannot run as root in production builds\n"},
    {"unroot:", "adbd not running as root\n"},
    {"remount:", "Not running as root. Try \"adb root\" first.\n"},
    {"disable-verity:", "disable-verity only works for userdebug builds\n"},
    {"enable-verity:", "enable-verity only works for userdebug builds\n"},
    {"usb:", "restarting in USB mode\n"},
    {"jdwp", "1234\n5678\n"},
};

static char (*find_reverse(struct phone_state *state, struct bytes here))[PHONE_NAME_SIZE] {
    for (size_t i = 0; i < PHONE_REVERSES_MAX; i++) {
        if (text_is(here, text_view(state->reverses[i][0]))) {
            return state->reverses[i];
        }
    }
    return NULL;
}

static void keep(char target[PHONE_NAME_SIZE], struct bytes text) {
    snprintf(target, PHONE_NAME_SIZE, "%.*s", (int)text.size, (const char *)text.data);
}

static void answer_string(struct phone_shell *shell, const char *word, const char *text) {
    phone_shell_print(&shell->output, "%s%04x%s", word, (unsigned)strlen(text), text);
}

static void add_reverse(struct phone_shell *shell, struct phone_state *state, struct bytes pair) {
    bool is_once = text_take(&pair, "norebind:");
    size_t size = text_up_to(pair, ';');
    if (size == 0 || size + 1 >= pair.size || pair.size >= PHONE_NAME_SIZE) {
        answer_string(shell, "FAIL", "bad forward");
        return;
    }
    struct bytes here = {pair.data, size};
    struct bytes there = {pair.data + size + 1, pair.size - size - 1};
    char(*row)[PHONE_NAME_SIZE] = find_reverse(state, here);
    if (row != NULL && is_once) {
        answer_string(shell, "FAIL", "cannot rebind existing socket");
        return;
    }
    row = row != NULL ? row : find_reverse(state, bytes_of(""));
    if (row == NULL) {
        answer_string(shell, "FAIL", "cannot bind listener: Too many open files");
        return;
    }
    bool is_any = text_is(here, bytes_of("tcp:0"));
    keep(row[0], is_any ? bytes_of("tcp:40000") : here);
    keep(row[1], there);
    phone_shell_print(&shell->output, "OKAY");
    if (is_any) {
        answer_string(shell, "", "40000");
    }
}

static void list_reverses(struct phone_shell *shell, const struct phone_state *state) {
    char list[PHONE_OUTPUT_SIZE / 2] = "";
    for (size_t i = 0; i < PHONE_REVERSES_MAX; i++) {
        size_t size = strlen(list);
        if (state->reverses[i][0][0] != '\0') {
            snprintf(list + size, sizeof list - size, "UsbFfs %s %s\n", state->reverses[i][0],
                     state->reverses[i][1]);
        }
    }
    answer_string(shell, "", list);
}

static void end_reverse(struct phone_shell *shell, struct phone_state *state, struct bytes here) {
    char(*row)[PHONE_NAME_SIZE] = here.size > 0 ? find_reverse(state, here) : NULL;
    if (row == NULL) {
        char why[2 * PHONE_NAME_SIZE];
        snprintf(why, sizeof why, "listener '%.*s' not found", (int)here.size,
                 (const char *)here.data);
        answer_string(shell, "FAIL", why);
        return;
    }
    row[0][0] = '\0';
    phone_shell_print(&shell->output, "OKAY");
}

static void reverse(struct phone_shell *shell, struct phone_state *state, struct bytes request) {
    if (text_is(request, bytes_of("list-forward"))) {
        list_reverses(shell, state);
    } else if (text_is(request, bytes_of("killforward-all"))) {
        memset(state->reverses, 0, sizeof state->reverses);
        phone_shell_print(&shell->output, "OKAY");
    } else if (text_take(&request, "killforward:")) {
        end_reverse(shell, state, request);
    } else if (text_take(&request, "forward:")) {
        add_reverse(shell, state, request);
    } else {
        answer_string(shell, "FAIL", "not a reverse forwarding command");
    }
}

static bool begin_echo(struct phone_shell *shell, struct phone_state *state) {
    shell->incoming = phone_files_create(&state->files, "/dev/echo");
    shell->input = shell->incoming != NULL ? PHONE_INPUT_ECHO : PHONE_INPUT_UNUSED;
    return shell->incoming != NULL;
}

enum status phone_service_begin(struct phone_shell *shell, struct phone_state *state,
                                struct bytes name) {
    check(phone_shell_begin(shell, bytes_of("")) == STATUS_OK);
    shell->is_interactive = false;
    for (size_t i = 0; i < array_count(fixed); i++) {
        if (text_is(name, text_view(fixed[i].name))) {
            phone_shell_print(&shell->output, "%s", fixed[i].answer);
            return STATUS_OK;
        }
    }
    if (text_take(&name, "tcpip:")) {
        phone_shell_print(&shell->output, "restarting in TCP mode port: %.*s\n", (int)name.size,
                          (const char *)name.data);
        return STATUS_OK;
    }
    if (text_take(&name, "reverse:")) {
        reverse(shell, state, name);
        return STATUS_OK;
    }
    if (text_is(name, bytes_of("track-jdwp"))) {
        answer_string(shell, "", "1234\n5678\n");
        shell->wake_ms = UINT64_MAX; /* told once, open until the client leaves */
        return STATUS_OK;
    }
    bool is_echo =
        text_is(name, bytes_of("tcp:7")) || text_is(name, bytes_of("localabstract:echo"));
    return is_echo && begin_echo(shell, state) ? STATUS_OK : STATUS_NOT_FOUND;
}

const char *phone_service_reverse(const struct phone_state *state, uint64_t port) {
    char here[32];
    snprintf(here, sizeof here, "tcp:%llu", (unsigned long long)port);
    for (size_t i = 0; i < PHONE_REVERSES_MAX; i++) {
        if (strcmp(state->reverses[i][0], here) == 0) {
            return state->reverses[i][1];
        }
    }
    return NULL;
}

enum status phone_service_script(struct bytes words, char *target, size_t capacity, size_t *size) {
    struct text_writer writer = {.data = (uint8_t *)target, .capacity = capacity};
    text_put(&writer, "cmd '");
    for (size_t i = 0; i < words.size; i++) {
        uint8_t byte = words.data[i];
        if (byte == '\'') {
            return STATUS_TOO_LARGE; /* no word of a test holds one */
        }
        if (byte == '\0') {
            text_put(&writer, "' '");
        } else {
            text_put_byte(&writer, byte);
        }
    }
    text_put(&writer, "'");
    *size = writer.size;
    return writer.is_full ? STATUS_TOO_LARGE : STATUS_OK;
}
