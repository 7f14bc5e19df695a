#include "host/hubd/phones.h"

#include "host/shared/log.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { ACTIVE_STEP_MS = 500, IDLE_STEP_MS = 5000 };

static const struct backoff reconnect = {.base_ms = 200, .cap_ms = 10000, .factor = 2};

static struct bytes text_of(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void changed(void *owner, struct phone_link *link);

void phones_init(struct phones *phones, struct hub *hub, struct loop *loop, struct adb_key *key,
                 struct phone_line *lines) {
    *phones = (struct phones){
        .hub = hub, .loop = loop, .key = key, .lines = lines, .jitter = {0x9e3779b97f4a7c15u}};
}

enum status phones_add_tcp(struct phones *phones, const char *address) {
    if (phones->line_count == PHONES_MAX) {
        return STATUS_FULL;
    }
    struct phone_line *line = &phones->lines[phones->line_count];
    if (tcp_parse(address, &line->address) != STATUS_OK || tcp_is_unix(&line->address)) {
        return STATUS_MALFORMED;
    }
    char text[TCP_TEXT_SIZE];
    tcp_format(&line->address, text);
    int size = snprintf(line->slot, sizeof line->slot, "tcp:%s", text);
    if (size < 0 || (size_t)size >= sizeof line->slot) {
        return STATUS_MALFORMED;
    }
    struct phone_link_owner owner = {.changed = changed, .owner = line};
    line->phones = phones;
    line->phone = HUB_NONE;
    phone_link_init(&line->link, phones->loop, phones->key, owner);
    phones->line_count += 1;
    return STATUS_OK;
}

/* ---- who is it ---- */

/* A serial is text that a phone chose: only harmless characters make an identity. */
static bool is_usable_serial(const char *serial, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)serial[i];
        if (!isalnum(c) && strchr("._:-", c) == NULL) {
            return false;
        }
    }
    return size > 0 && size <= RECORD_ID_MAX - 16;
}

static bool is_taken(const struct phone_line *line, struct bytes id) {
    const struct phones *phones = line->phones;
    uint32_t phone = hub_phone_find(phones->hub, id);
    for (uint32_t i = 0; i < phones->line_count; i++) {
        const struct phone_line *other = &phones->lines[i];
        if (other != line && other->is_identified && other->phone == phone && phone != HUB_NONE) {
            return true;
        }
    }
    return false;
}

/* serial, or serial~slot when the serial is on another line now; the slot when it is blank. */
static void make_id(const struct phone_line *line, char id[RECORD_ID_MAX + 1]) {
    if (!is_usable_serial(line->serial, line->serial_size)) {
        snprintf(id, RECORD_ID_MAX + 1, "%s", line->slot);
        return;
    }
    snprintf(id, RECORD_ID_MAX + 1, "%.*s", (int)line->serial_size, line->serial);
    size_t size = strlen(id);
    if (is_taken(line, text_of(id))) {
        /* The end of a slot tells more than its front, should both not fit. */
        size_t room = RECORD_ID_MAX - 1 - size;
        size_t slot_size = strlen(line->slot);
        size_t kept = slot_size < room ? slot_size : room;
        id[size] = '~';
        memcpy(id + size + 1, line->slot + slot_size - kept, kept);
        id[size + 1 + kept] = '\0';
    }
}

static void identify(struct phone_line *line) {
    char id[RECORD_ID_MAX + 1];
    char model[RECORD_ID_MAX + 1];
    make_id(line, id);
    snprintf(model, sizeof model, "%.60s", line->link.model);
    enum status status = hub_phone_identify(line->phones->hub, text_of(id), text_of(line->slot),
                                            text_of(model), &line->phone);
    line->is_identified = status == STATUS_OK;
    if (status == STATUS_FULL) {
        log_error("phone_refused phone=%s slot=%s reason=%s", id, line->slot,
                  "the phone table of this board is full");
        phone_link_close(&line->link);
        line->retry_ms = line->phones->now_ms + reconnect.cap_ms;
    }
}

static void take_serial(void *owner, uint32_t operation, bool is_stderr, struct bytes data) {
    struct phone_line *line = owner;
    (void)operation;
    size_t room = sizeof line->serial - line->serial_size;
    size_t size = is_stderr ? 0 : data.size < room ? data.size : room;
    memcpy(line->serial + line->serial_size, data.data, size);
    line->serial_size += (uint32_t)size;
}

static void serial_ended(void *owner, uint32_t operation, const struct phone_result *result) {
    struct phone_line *line = owner;
    (void)operation;
    line->identify_operation = 0;
    if (result->status != STATUS_OK) {
        return;
    }
    while (line->serial_size > 0 && isspace((unsigned char)line->serial[line->serial_size - 1])) {
        line->serial_size -= 1;
    }
    identify(line);
}

static void ask_serial(struct phone_line *line) {
    struct phone_handler handler = {.output = take_serial, .ended = serial_ended, .owner = line};
    line->serial_size = 0;
    if (phone_link_shell(&line->link, line->link.fence, bytes_of("getprop ro.serialno"), &handler,
                         &line->identify_operation) != STATUS_OK) {
        line->identify_operation = 0;
    }
}

/* ---- connection ---- */

static void changed(void *owner, struct phone_link *link) {
    struct phone_line *line = owner;
    if (link->state == PHONE_LINK_ONLINE) {
        line->failures = 0;
        return;
    }
    if (link->state == PHONE_LINK_LOST) {
        line->was_lost = line->is_identified;
        line->has_left = true;
        line->is_identified = false;
        line->identify_operation = 0;
        line->failures += 1;
        line->retry_ms = line->phones->now_ms +
                         backoff_ms(&reconnect, line->failures, &line->phones->jitter) + 50;
        if (line->was_lost) {
            log_warn("phone_lost slot=%s reason=%s", line->slot, link->reason);
        }
    }
}

static void connect_line(struct phone_line *line) {
    enum status status = tcp_connect(&line->stream, &line->address);
    if (status == STATUS_OK) {
        status = phone_link_attach(&line->link, &line->stream, line->phones->now_ms);
    }
    if (status != STATUS_OK) {
        line->failures += 1;
        line->retry_ms = line->phones->now_ms +
                         backoff_ms(&reconnect, line->failures, &line->phones->jitter) + 50;
    }
}

/* ---- what the core believes ---- */

static void tell(struct phone_line *line, enum phone_event event, const char *reason) {
    /* AGAIN: the next step sends it. ILLEGAL: a lease that still ends, for one. */
    enum status status = hub_phone_event(line->phones->hub, line->phone, event, reason);
    if (status == STATUS_OK && event == PHONE_ON_DETACHED) {
        line->was_lost = false;
    }
}

static bool believes_attached(uint8_t state) {
    return state == RECORD_PHONE_CONNECTING || state == RECORD_PHONE_READY ||
           state == RECORD_PHONE_LEASED || state == RECORD_PHONE_UNAUTHORIZED;
}

static void tell_loss(struct phone_line *line) {
    if (believes_attached(line->phones->hub->phones[line->phone].state)) {
        tell(line, PHONE_ON_DETACHED, line->link.reason);
    } else {
        line->was_lost = false;
    }
}

static void tell_presence(struct phone_line *line) {
    uint8_t state = line->phones->hub->phones[line->phone].state;
    if (state == RECORD_PHONE_ABSENT) {
        tell(line, PHONE_ON_ATTACHED, NULL);
        state = line->phones->hub->phones[line->phone].state;
    }
    if (state == RECORD_PHONE_CONNECTING || state == RECORD_PHONE_UNAUTHORIZED) {
        tell(line, PHONE_ON_HANDSHAKE, NULL);
    } else if (state == RECORD_PHONE_RECOVERING) {
        tell(line, PHONE_ON_HEALTHY, NULL);
    } else if (state == RECORD_PHONE_AWAY && line->has_left) {
        tell(line, PHONE_ON_BACK, NULL);
    }
}

/* Its own lease asked for a reboot: it keeps the phone for a while (SPEC.md section 7). */
static void judge_away(struct phone_line *line) {
    bool is_away = line->phone != HUB_NONE &&
                   line->phones->hub->phones[line->phone].state == RECORD_PHONE_AWAY;
    if (is_away && line->away_since_ms == 0) {
        line->away_since_ms = line->phones->now_ms;
        line->has_left = line->link.state != PHONE_LINK_ONLINE;
    } else if (is_away && line->phones->now_ms - line->away_since_ms >= PHONES_AWAY_MS) {
        tell(line, PHONE_ON_WINDOW_OVER, "did not come back from its reboot in time");
    } else if (!is_away) {
        line->away_since_ms = 0;
    }
}

static void step_line(struct phone_line *line) {
    struct phone_link *link = &line->link;
    phone_link_step(link, line->phones->now_ms);
    bool is_down = link->state == PHONE_LINK_CLOSED || link->state == PHONE_LINK_LOST;
    judge_away(line);
    if (line->was_lost) {
        tell_loss(line);
    }
    if (is_down && line->phones->now_ms >= line->retry_ms) {
        connect_line(line);
    }
    if (link->state != PHONE_LINK_ONLINE || line->was_lost) {
        return;
    }
    if (!line->is_identified && line->identify_operation == 0) {
        ask_serial(line);
    }
    if (line->is_identified) {
        tell_presence(line);
    }
}

void phones_step(struct phones *phones, uint64_t now_ms) {
    phones->now_ms = now_ms;
    for (uint32_t i = 0; i < phones->line_count; i++) {
        step_line(&phones->lines[i]);
    }
}

uint64_t phones_deadline_ms(const struct phones *phones) {
    uint64_t next = TIMER_NEVER;
    for (uint32_t i = 0; i < phones->line_count; i++) {
        const struct phone_line *line = &phones->lines[i];
        bool is_down = line->link.state == PHONE_LINK_CLOSED || line->link.state == PHONE_LINK_LOST;
        bool is_settled = line->link.state == PHONE_LINK_ONLINE && line->is_identified &&
                          phones->hub->phones[line->phone].state == RECORD_PHONE_READY;
        uint64_t due = is_down      ? line->retry_ms
                       : is_settled ? phones->now_ms + IDLE_STEP_MS
                                    : phones->now_ms + ACTIVE_STEP_MS;
        next = due < next ? due : next;
    }
    return next;
}

struct phone_line *phones_line_of(struct phones *phones, uint32_t phone) {
    for (uint32_t i = 0; i < phones->line_count; i++) {
        struct phone_line *line = &phones->lines[i];
        if (line->is_identified && line->phone == phone && line->link.state == PHONE_LINK_ONLINE) {
            return line;
        }
    }
    return NULL;
}

void phones_close(struct phones *phones) {
    for (uint32_t i = 0; i < phones->line_count; i++) {
        phone_link_close(&phones->lines[i].link);
    }
}
