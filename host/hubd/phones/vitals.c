#include "host/hubd/phones/vitals.h"

#include "host/hubd/phones/phones.h"

static void take_output(void *owner, uint32_t operation, bool is_stderr, struct bytes data) {
    struct vitals_line *line = owner;
    (void)operation;
    if (!is_stderr) {
        battery_reading_take(&line->reading, data);
    }
}

static void read_ended(void *owner, uint32_t operation, const struct phone_result *result) {
    struct vitals_line *line = owner;
    (void)operation;
    line->cancel_ms = 0;
    if (result->status == STATUS_OK && result->exit_status == 0) {
        line->vitals->values[line->phone] = (struct vitals_value){
            .level = line->reading.level,
            .tenths = line->reading.tenths,
            .read_ms = line->vitals->phones->now_ms,
        };
    }
}

static bool is_idle(const struct phone_line *line) {
    if (line->link.state != PHONE_LINK_ONLINE || !line->is_identified) {
        return false;
    }
    const struct hub_phone *phone = &line->phones->hub->phones[line->phone];
    return phone->state == RECORD_PHONE_READY && phone->item == HUB_NONE;
}

static void ask(struct vitals_line *line, struct phone_line *of, uint64_t now_ms) {
    const struct phone_handler handler = {
        .output = take_output, .ended = read_ended, .owner = line};
    battery_reading_begin(&line->reading);
    line->phone = of->phone;
    line->due_ms = now_ms + line->vitals->interval_ms;
    if (phone_link_shell(&of->link, of->link.fence, bytes_of("dumpsys battery"), &handler,
                         &line->operation) == STATUS_OK) {
        line->cancel_ms = now_ms + BATTERY_READING_MS;
    }
}

static void step(struct vitals_line *line, struct phone_line *of, uint64_t now_ms) {
    uint64_t interval_ms = line->vitals->interval_ms;
    if (line->cancel_ms != 0) {
        if (now_ms >= line->cancel_ms) {
            line->cancel_ms = 0;
            phone_link_cancel(&of->link, line->operation);
        }
        return;
    }
    if (!is_idle(of)) {
        line->due_ms = 0;
    } else if (line->due_ms == 0) {
        uint64_t read_ms = line->vitals->values[of->phone].read_ms;
        uint64_t first_ms =
            now_ms + (interval_ms < VITALS_FIRST_MS ? interval_ms : VITALS_FIRST_MS);
        uint64_t next_ms = read_ms == 0 ? 0 : read_ms + interval_ms;
        line->due_ms = next_ms > first_ms ? next_ms : first_ms;
    } else if (now_ms >= line->due_ms) {
        ask(line, of, now_ms);
    }
}

void vitals_step(struct vitals *vitals, uint64_t now_ms) {
    _Static_assert((int)VITALS_LINES == (int)PHONES_MAX, "one for each line");
    _Static_assert((int)VITALS_PHONES == (int)PHONES_KNOWN, "one for each phone");
    for (uint32_t i = 0; vitals->interval_ms > 0 && i < vitals->phones->line_count; i++) {
        vitals->lines[i].vitals = vitals;
        step(&vitals->lines[i], &vitals->phones->lines[i], now_ms);
    }
}

uint64_t vitals_deadline_ms(const struct vitals *vitals) {
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; vitals->interval_ms > 0 && i < vitals->phones->line_count; i++) {
        const struct vitals_line *line = &vitals->lines[i];
        uint64_t due = line->cancel_ms != 0 ? line->cancel_ms : line->due_ms;
        next = due != 0 && due < next ? due : next;
    }
    return next;
}
