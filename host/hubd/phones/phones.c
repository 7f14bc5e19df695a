#include "host/hubd/phones/phones_bootloader.h"
#include "host/hubd/phones/phones_usb.h"
#include "host/hubd/phones/recovery.h"

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
    check(hub->board->phones <= PHONES_KNOWN);
    *phones = (struct phones){
        .hub = hub, .loop = loop, .key = key, .lines = lines, .jitter = {0x9e3779b97f4a7c15u}};
    slot_power_init(&phones->power, loop);
    phones->battery.phones = phones;
    phones->vitals.phones = phones;
}

struct phone_line *phones_new_line(struct phones *phones) {
    if (phones->line_count == PHONES_MAX) {
        return NULL;
    }
    struct phone_line *line = &phones->lines[phones->line_count];
    struct phone_link_owner owner = {.changed = changed, .owner = line};
    line->phones = phones;
    line->phone = HUB_NONE;
    phone_link_init(&line->link, phones->loop, phones->key, owner);
    line->link.opens = phones->opens;
    line->link.offered_features &= ~phones->withheld;
    phones->line_count += 1;
    return line;
}

enum status phones_add_tcp(struct phones *phones, const char *address) {
    char text[TCP_TEXT_SIZE];
    struct tcp_address parsed;
    if (tcp_parse(address, &parsed) != STATUS_OK || tcp_is_unix(&parsed)) {
        return STATUS_MALFORMED;
    }
    tcp_format(&parsed, text);
    if (strlen(text) + sizeof "tcp:" > sizeof((struct phone_line *)NULL)->slot) {
        return STATUS_MALFORMED;
    }
    struct phone_line *line = phones_new_line(phones);
    if (line == NULL) {
        return STATUS_FULL;
    }
    line->address = parsed;
    snprintf(line->slot, sizeof line->slot, "tcp:%.60s", text);
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

/* serial~slot; the end of a slot tells more than its front, should both not fit. */
static void make_long_id(const struct phone_line *line, char id[RECORD_ID_MAX + 1]) {
    size_t size = line->serial_size;
    size_t room = RECORD_ID_MAX - 1 - size;
    size_t slot_size = strlen(line->slot);
    size_t kept = slot_size < room ? slot_size : room;
    snprintf(id, RECORD_ID_MAX + 1, "%.*s~%s", (int)size, line->serial,
             line->slot + slot_size - kept);
}

/* serial, or serial~slot when the serial is on another line now, or was when this slot's phone was
 * first seen: once given, an id stays. The slot alone when the serial is blank. */
static void make_id(const struct phone_line *line, char id[RECORD_ID_MAX + 1]) {
    if (!is_usable_serial(line->serial, line->serial_size)) {
        snprintf(id, RECORD_ID_MAX + 1, "%s", line->slot);
        return;
    }
    make_long_id(line, id);
    if (hub_phone_find(line->phones->hub, text_of(id)) != HUB_NONE) {
        return;
    }
    char serial[RECORD_ID_MAX + 1];
    snprintf(serial, sizeof serial, "%.*s", (int)line->serial_size, line->serial);
    if (!is_taken(line, text_of(serial))) {
        memcpy(id, serial, sizeof serial);
    }
}

/* A lease waits for its phone in one slot: the same serial elsewhere may be another phone. */
static void judge_move(const struct phone_line *line, const char *id) {
    struct hub *hub = line->phones->hub;
    uint32_t phone = hub_phone_find(hub, text_of(id));
    if (phone != HUB_NONE && hub->phones[phone].state == RECORD_PHONE_AWAY &&
        strcmp(hub->phones[phone].slot, line->slot) != 0) {
        (void)!hub_phone_event(hub, phone, PHONE_ON_WINDOW_OVER, "came back in another slot");
    }
}

/* What the core knows is kept until the phone has said it again. */
static void keep_model(const struct phone_line *line, const char *id,
                       char model[RECORD_ID_MAX + 1]) {
    const struct hub *hub = line->phones->hub;
    uint32_t phone = hub_phone_find(hub, text_of(id));
    bool is_said = line->link.state == PHONE_LINK_ONLINE || phone == HUB_NONE;
    snprintf(model, RECORD_ID_MAX + 1, "%.60s",
             is_said ? line->link.model : hub->phones[phone].model);
}

/* A phone whose lease outlived a restart of the program is away until it is found: now. */
static void note_return(struct phone_line *line) {
    bool is_away = line->phones->hub->phones[line->phone].state == RECORD_PHONE_AWAY;
    if (is_away && line->away_since_ms == 0) {
        line->away_since_ms = line->phones->now_ms;
        line->has_left = true;
    }
}

const char *phones_slot_labels(const struct phones *phones, const char *slot) {
    for (uint32_t i = 0; phones->slots != NULL && i < phones->slots->count; i++) {
        if (strcmp(phones->slots->rows[i].slot, slot) == 0) {
            return phones->slots->rows[i].labels;
        }
    }
    return "";
}

void phones_identify(struct phone_line *line) {
    char id[RECORD_ID_MAX + 1];
    char model[RECORD_ID_MAX + 1];
    if (!line->is_bootloader || !phones_bootloader_id(line, id)) {
        make_id(line, id);
    }
    judge_move(line, id);
    keep_model(line, id, model);
    enum status status = hub_phone_identify(line->phones->hub, text_of(id), text_of(line->slot),
                                            text_of(model), &line->phone);
    line->is_identified = status == STATUS_OK;
    if (status == STATUS_OK) {
        line->phones->hub->phones[line->phone].hub_group = line->hub_group;
        const char *labels = phones_slot_labels(line->phones, line->slot);
        check(hub_phone_slot_label(line->phones->hub, line->phone, text_of(labels)) == STATUS_OK);
        note_return(line);
    }
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
    phones_identify(line);
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

/* A pipe knows better than the link above it why it broke. */
static const char *loss_reason(const struct phone_line *line) {
    if (battery_care_rests(&line->phones->battery, line)) {
        return "its port is off for its battery's sake";
    }
    bool is_pipe = line->is_usb && !line->is_bootloader && line->pipe.reason != NULL &&
                   line->pipe.reason[0] != '\0';
    return is_pipe ? line->pipe.reason : line->link.reason;
}

static void changed(void *owner, struct phone_link *link) {
    struct phone_line *line = owner;
    if (link->state == PHONE_LINK_ONLINE) {
        line->was_online = true;
        line->failures = 0;
        return;
    }
    if (link->state == PHONE_LINK_LOST) {
        line->has_answered = line->was_online;
        line->was_online = false;
        line->reboot_ms = 0;
        line->was_lost = line->was_lost || line->is_identified;
        line->has_left = true;
        line->is_identified = line->is_identified && line->is_usb && line->device != 0;
        line->identify_operation = 0;
        line->failures += 1;
        line->retry_ms = line->phones->now_ms +
                         backoff_ms(&reconnect, line->failures, &line->phones->jitter) + 50;
        if (line->is_identified && line->is_usb) {
            line->retry_ms = TIMER_NEVER; /* the recovery ladder says when */
        }
        if (line->was_lost) {
            log_warn("phone_lost slot=%s reason=%s", line->slot, loss_reason(line));
        }
    }
}

static void connect_line(struct phone_line *line) {
    enum status status = STATUS_OK;
    if (line->is_usb) {
        status = phones_usb_connect(line);
        if (status == STATUS_AGAIN || status == STATUS_DENIED) {
            return;
        }
    } else {
        status = tcp_connect(&line->stream, &line->address);
        if (status == STATUS_OK) {
            status = phone_link_attach(&line->link, &line->stream, line->phones->now_ms);
        }
    }
    if (status != STATUS_OK) {
        line->failures += 1;
        line->retry_ms = line->phones->now_ms +
                         backoff_ms(&reconnect, line->failures, &line->phones->jitter) + 50;
    }
}

/* ---- what the core believes ---- */

void phones_tell(struct phone_line *line, enum phone_event event, const char *reason) {
    /* AGAIN: the next step sends it. ILLEGAL: a lease that still ends, for one. */
    enum status status = hub_phone_event(line->phones->hub, line->phone, event, reason);
    if (status == STATUS_OK && (event == PHONE_ON_DETACHED || event == PHONE_ON_SILENT)) {
        line->was_lost = false;
    }
}

static bool believes_attached(uint8_t state) {
    return state == RECORD_PHONE_CONNECTING || state == RECORD_PHONE_READY ||
           state == RECORD_PHONE_LEASED || state == RECORD_PHONE_UNAUTHORIZED ||
           state == RECORD_PHONE_REFUSED;
}

static bool can_fall_silent(uint8_t state) {
    return state == RECORD_PHONE_CONNECTING || state == RECORD_PHONE_READY ||
           state == RECORD_PHONE_LEASED;
}

/* Over TCP a lost phone is a gone one; on USB it may still be plugged in, and is to recover. */
static void tell_loss(struct phone_line *line) {
    uint8_t state = line->phones->hub->phones[line->phone].state;
    bool is_attached = line->is_usb && phones_usb_is_attached(line);
    if (is_attached && can_fall_silent(state)) {
        phones_tell(line, PHONE_ON_SILENT, loss_reason(line));
    } else if (!is_attached && believes_attached(state)) {
        phones_tell(line, PHONE_ON_DETACHED, loss_reason(line));
    } else {
        line->was_lost = false;
    }
}

static void tell_presence(struct phone_line *line) {
    uint8_t state = line->phones->hub->phones[line->phone].state;
    if (state == RECORD_PHONE_ABSENT) {
        phones_tell(line, PHONE_ON_ATTACHED, NULL);
        state = line->phones->hub->phones[line->phone].state;
    }
    if (state == RECORD_PHONE_CONNECTING || state == RECORD_PHONE_UNAUTHORIZED) {
        phones_tell(line, PHONE_ON_HANDSHAKE, NULL);
    } else if (state == RECORD_PHONE_RECOVERING && !recovery_reboots(line)) {
        phones_tell(line, PHONE_ON_HEALTHY, NULL);
    } else if (state == RECORD_PHONE_AWAY && line->has_left) {
        phones_tell(line, PHONE_ON_BACK, NULL);
    }
}

/* Its own lease asked for a reboot: it keeps the phone for a while (SPEC.md section 7). */
static void judge_away(struct phone_line *line) {
    bool is_away = line->phone != HUB_NONE &&
                   line->phones->hub->phones[line->phone].state == RECORD_PHONE_AWAY;
    if (is_away && line->away_since_ms == 0) {
        line->away_since_ms = line->phones->now_ms;
        line->has_left = line->link.state != PHONE_LINK_ONLINE;
    } else if (is_away && line->phones->now_ms - line->away_since_ms >= line->phones->away_ms) {
        phones_tell(line, PHONE_ON_WINDOW_OVER, "did not come back from its reboot in time");
    } else if (!is_away) {
        line->away_since_ms = 0;
    }
}

/* A phone that was unplugged while it recovered is not waited for without end. */
static void judge_gone(struct phone_line *line) {
    bool is_recovering = line->phone != HUB_NONE &&
                         line->phones->hub->phones[line->phone].state == RECORD_PHONE_RECOVERING;
    if (is_recovering && line->phones->now_ms - line->left_ms >= line->phones->away_ms) {
        phones_tell(line, PHONE_ON_SPENT_GONE, "was unplugged and did not come back");
    }
}

/* On USB it is known who a phone is, and whether it may be used, before it answers. */
static void tell_attachment(struct phone_line *line) {
    if (!line->is_identified) {
        phones_identify(line);
    }
    if (!line->is_identified) {
        return;
    }
    const struct hub_phone *phone = &line->phones->hub->phones[line->phone];
    bool is_asking = line->link.state == PHONE_LINK_UNAUTHORIZED;
    if (phone->state == RECORD_PHONE_ABSENT && line->refusal != NULL) {
        phones_tell(line, PHONE_ON_ATTACHED_NO_ROOM, line->refusal);
    } else if (phone->state == RECORD_PHONE_ABSENT && line->denials == 0) {
        phones_tell(line, PHONE_ON_ATTACHED, NULL);
    } else if (phone->state == RECORD_PHONE_REFUSED && line->refusal == NULL) {
        phones_tell(line, PHONE_ON_ROOM, NULL);
    }
    if (is_asking && (can_fall_silent(phone->state) || phone->state == RECORD_PHONE_RECOVERING)) {
        phones_tell(line, PHONE_ON_KEY_REFUSED, line->link.reason);
    }
    if (line->link.state == PHONE_LINK_ONLINE && strcmp(phone->model, line->link.model) != 0) {
        phones_identify(line);
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
    if (line->is_usb && line->device == 0) {
        judge_gone(line);
        return;
    }
    if (line->is_usb) {
        recovery_step(line);
    }
    if (is_down && line->phones->now_ms >= line->retry_ms) {
        connect_line(line);
    }
    if (line->is_bootloader) {
        phones_bootloader_step(line);
    } else if (line->is_usb && !line->was_lost && phones_usb_is_attached(line)) {
        tell_attachment(line);
    }
    if (link->state != PHONE_LINK_ONLINE || line->was_lost) {
        return;
    }
    if (!line->is_identified && !line->is_usb && line->identify_operation == 0) {
        ask_serial(line);
    }
    if (line->is_identified) {
        tell_presence(line);
    }
}

void phones_step(struct phones *phones, uint64_t now_ms) {
    phones->now_ms = now_ms;
    phones_usb_step(phones);
    slot_power_step(&phones->power, now_ms);
    battery_care_step(&phones->battery, now_ms);
    for (uint32_t i = 0; i < phones->line_count; i++) {
        step_line(&phones->lines[i]);
    }
    vitals_step(&phones->vitals, now_ms);
}

uint64_t phones_deadline_ms(const struct phones *phones) {
    uint64_t next = slot_power_deadline_ms(&phones->power, phones->now_ms);
    uint64_t battery_ms = battery_care_deadline_ms(&phones->battery);
    uint64_t vitals_ms = vitals_deadline_ms(&phones->vitals);
    next = battery_ms < next ? battery_ms : next;
    next = vitals_ms < next ? vitals_ms : next;
    for (uint32_t i = 0; i < phones->line_count; i++) {
        const struct phone_line *line = &phones->lines[i];
        if (line->is_usb && line->device == 0 && !line->was_lost) {
            next = phones->now_ms + IDLE_STEP_MS < next ? phones->now_ms + IDLE_STEP_MS : next;
            continue;
        }
        bool is_down = line->link.state == PHONE_LINK_CLOSED || line->link.state == PHONE_LINK_LOST;
        bool is_settled = line->link.state == PHONE_LINK_ONLINE && line->is_identified &&
                          phones->hub->phones[line->phone].state == RECORD_PHONE_READY;
        uint64_t recovery_ms = line->is_usb ? recovery_deadline_ms(line) : TIMER_NEVER;
        next = recovery_ms < next ? recovery_ms : next;
        uint64_t due = line->is_bootloader ? phones_bootloader_deadline_ms(line)
                       : is_down           ? line->retry_ms
                       : is_settled        ? phones->now_ms + IDLE_STEP_MS
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
    serial_power_close(&phones->power.serial);
    for (uint32_t i = 0; i < phones->line_count; i++) {
        phone_link_close(&phones->lines[i].link);
    }
}
