#include "host/hubctl/follow.h"

#include "host/hubctl/event_line.h"
#include "host/hubctl/text.h"
#include "host/shared/loop.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EVENT_TOKENS = 1 << 14, BAR_MS = 400, BAR_CELLS = 20, PAUSE_MS = 250, BAR_TEXT_BYTES = 120 };

struct following {
    const struct follow *how;
    struct client_listener listener;
    struct client side; /* asks for progress while the stream is open */
    uint64_t started_ms;
    uint64_t heard_ms; /* when anything was last answered */
    uint64_t bar_ms;   /* when the bar was last drawn */
    bool has_bar;      /* it stands in the last line */
    bool has_side;
    bool is_lost; /* and it was said */
};

static uint8_t side_buffer[CLIENT_ANSWER_BYTES];
static jsmntok_t side_tokens[EVENT_TOKENS];

/* ---- the bar ---- */

static void erase_bar(struct following *following) {
    if (following->has_bar) {
        fputs("\r\x1b[K", stdout);
        following->has_bar = false;
    }
}

/* Which phone the item that runs has; with several, how many run beside it. */
static void describe_items(const struct json *json, char text[BAR_TEXT_BYTES]) {
    unsigned items = 0;
    unsigned running = 0;
    char phone[COMMAND_TEXT_BYTES];
    char safe[64] = "";
    struct json_cursor at = {0};
    text[0] = '\0';
    if (!command_array(json, "items", &items)) {
        return;
    }
    while (json_each(json, items, &at)) {
        bool is_running = command_is(json, at.value, "job_status", "running");
        if (is_running && running == 0) {
            (void)text_escape(command_member(json, at.value, "phone_id", phone), safe, sizeof safe);
        }
        running += is_running;
    }
    if (running == 1) {
        snprintf(text, BAR_TEXT_BYTES, " on %s", safe);
    } else if (running > 1) {
        snprintf(text, BAR_TEXT_BYTES, " on %s and %u more", safe, running - 1);
    }
}

static void draw_bar(struct following *following, const struct json *json) {
    char status[COMMAND_TEXT_BYTES];
    char step[COMMAND_TEXT_BYTES];
    char safe_step[48];
    char where[BAR_TEXT_BYTES];
    char cells[BAR_CELLS + 1];
    uint64_t percent = command_number(json, 0, "progress_percent");
    uint64_t elapsed_ms = loop_now_ms() - following->started_ms;
    uint64_t filled = percent < 100 ? percent * BAR_CELLS / 100 : BAR_CELLS;
    memset(cells, '-', BAR_CELLS);
    memset(cells, '#', filled);
    cells[BAR_CELLS] = '\0';
    struct bytes state = command_member(json, 0, "status", status);
    (void)text_escape(command_member(json, 0, "current_step", step), safe_step, sizeof safe_step);
    describe_items(json, where);
    printf("\r[%s] %3u %%  %.*s%s%s%s, attempt %u, %u.%u s\x1b[K", cells, (unsigned)percent,
           (int)state.size, (const char *)state.data, safe_step[0] == '\0' ? "" : ": ", safe_step,
           where, (unsigned)command_number(json, 0, "attempts"), (unsigned)(elapsed_ms / 1000),
           (unsigned)(elapsed_ms / 100 % 10));
    fflush(stdout);
    following->has_bar = true;
}

static bool tick(void *owner) {
    struct following *following = owner;
    char target[COMMAND_TARGET_BYTES];
    struct client_answer answer;
    struct json json;
    struct json_error error;
    uint64_t now_ms = loop_now_ms();
    if (!following->has_side || now_ms < following->bar_ms + BAR_MS ||
        !command_path(target, "/processes/*", following->how->id)) {
        return true;
    }
    following->bar_ms = now_ms;
    if (client_ask(&following->side, target, NULL, side_buffer, &answer) == STATUS_OK &&
        answer.status == 200 &&
        json_parse(&json, answer.body, side_tokens, EVENT_TOKENS, &error) == STATUS_OK) {
        draw_bar(following, &json);
    }
    return true;
}

/* ---- events ---- */

static void print_event(const struct follow *how, struct bytes data) {
    static jsmntok_t tokens[EVENT_TOKENS];
    struct json json;
    struct json_error error;
    unsigned type = 0;
    if (how->form == FOLLOW_JSON) {
        printf("%.*s\n", (int)data.size, (const char *)data.data);
    } else if (json_parse(&json, data, tokens, EVENT_TOKENS, &error) != STATUS_OK) {
        printf("(an event that cannot be read)\n");
    } else if (json_member(&json, 0, "type", &type) != STATUS_OK) {
        printf("(events %u to %u are gone)\n", (unsigned)command_number(&json, 0, "first"),
               (unsigned)command_number(&json, 0, "last"));
    } else {
        event_line_print(&json, 0, how->shows_output);
    }
}

static bool take_event(void *owner, struct bytes data) {
    struct following *following = owner;
    following->heard_ms = loop_now_ms();
    following->is_lost = false;
    if (following->how->form != FOLLOW_QUIET) {
        erase_bar(following);
        print_event(following->how, data);
        fflush(stdout);
    }
    return true;
}

/* ---- the end ---- */

/* Exit code of a terminal status; -1: it has not ended. */
static int code_of(const struct json *json) {
    static const struct {
        const char *status;
        int code;
    } ends[] = {
        {"completed", COMMAND_DONE},
        {"failed_terminal", COMMAND_FAILED},
        {"cancelled", COMMAND_CANCELLED},
    };
    for (size_t i = 0; i < array_count(ends); i++) {
        if (command_is(json, 0, "status", ends[i].status)) {
            return ends[i].code;
        }
    }
    return -1;
}

/* The hub's own word, from the process itself; -1: it has not ended, or no answer came. */
static int ask_end(struct following *following) {
    char target[COMMAND_TARGET_BYTES];
    struct client_answer answer;
    struct json json;
    struct json_error error;
    struct client *client = &following->how->line->client;
    bool is_good = command_path(target, "/processes/*", following->how->id) &&
                   client_ask(client, target, NULL, side_buffer, &answer) == STATUS_OK &&
                   answer.status == 200 &&
                   json_parse(&json, answer.body, side_tokens, EVENT_TOKENS, &error) == STATUS_OK;
    int code = is_good ? code_of(&json) : -1;
    if (is_good) {
        following->heard_ms = loop_now_ms();
    }
    if (code >= 0 && following->has_side) {
        draw_bar(following, &json);
        putchar('\n');
        following->has_bar = false;
    }
    return code;
}

/* Says once that the connection is gone. False: it has been gone for too long. */
static bool stays_patient(struct following *following) {
    struct command_line *line = following->how->line;
    if (loop_now_ms() - following->heard_ms > FOLLOW_PATIENCE_MS) {
        return false;
    }
    if (!following->is_lost) {
        erase_bar(following);
        (void)command_fail(line, 0, "%s; trying again for %d s", line->client.reason,
                           FOLLOW_PATIENCE_MS / 1000);
        following->is_lost = true;
    }
    return true;
}

/* One stream. Exit code, or -1: go on with another. */
static int follow_once(struct following *following) {
    struct command_line *line = following->how->line;
    char target[COMMAND_TARGET_BYTES];
    struct client_answer answer = {0};
    if (!command_path(target, "/processes/*/stream", following->how->id)) {
        return command_fail(line, COMMAND_USAGE, "%.100s...: not an id", following->how->id);
    }
    enum status status =
        client_follow(&line->client, target, &following->listener, command_buffer(), &answer);
    if (status == STATUS_OK && answer.status >= 400 && answer.status != 503) {
        erase_bar(following);
        return command_refused(line, &answer);
    }
    if (status == STATUS_OK && answer.status < 400) {
        following->heard_ms = loop_now_ms();
        return ask_end(following);
    }
    if (status == STATUS_OK) {
        snprintf(line->client.reason, sizeof line->client.reason, "%s is not ready",
                 line->client.url);
    }
    return stays_patient(following)
               ? -1
               : command_fail(line, COMMAND_UNREACHABLE, "%s; given up", line->client.reason);
}

int follow_process(const struct follow *how) {
    static struct following following;
    bool has_bar = how->shows_bar && how->form == FOLLOW_LINES && isatty(STDOUT_FILENO) == 1;
    following = (struct following){
        .how = how,
        .listener = {.event = take_event, .tick = tick, .owner = &following},
        .started_ms = loop_now_ms(),
        .heard_ms = loop_now_ms(),
    };
    following.has_side = has_bar && client_open(&following.side, how->line->settings) == STATUS_OK;
    int code = follow_once(&following);
    while (code < 0) {
        (void)poll(NULL, 0, PAUSE_MS);
        code = follow_once(&following);
    }
    return code;
}
