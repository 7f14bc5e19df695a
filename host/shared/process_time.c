#include "host/shared/process_time.h"

uint64_t process_time_ms(const struct process_clock *clock, const struct record_time *time) {
    if (time->boot == 0) {
        return 0;
    }
    if (time->wall_ms > 0) {
        return time->wall_ms;
    }
    for (uint32_t i = 0; i < clock->boot_count; i++) {
        const struct record_boot *boot = &clock->boots[i];
        bool is_known = boot->boot == time->boot && boot->offset_ms > 0;
        if (is_known && time->mono_ms <= UINT64_MAX - boot->offset_ms) {
            return boot->offset_ms + time->mono_ms;
        }
    }
    return 0;
}

void process_time_write_ms(struct json_writer *writer, const char *name, uint64_t unix_ms) {
    if (unix_ms == 0) {
        json_write_null(writer, name);
    } else {
        json_write_time_ms(writer, name, unix_ms);
    }
}

void process_time_write(struct json_writer *writer, const char *name,
                        const struct process_clock *clock, const struct record_time *time) {
    process_time_write_ms(writer, name, process_time_ms(clock, time));
}

bool process_time_is_before(const struct record_time *a, const struct record_time *b) {
    if (a->boot == 0) {
        return false;
    }
    return b->boot == 0 || a->boot < b->boot || (a->boot == b->boot && a->mono_ms < b->mono_ms);
}
