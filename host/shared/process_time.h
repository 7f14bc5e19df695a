/* process_time.h - when something was by the wall clock (SPEC.md section 3).
 *
 * A record's time may lack the wall clock, when the hub did not know it yet. Once it does, the
 * offset of that boot gives it: the newest hub record holds the offsets of the last boots. */
#ifndef HOST_SHARED_PROCESS_TIME_H
#define HOST_SHARED_PROCESS_TIME_H

#include "host/shared/json_write.h"
#include "protocol/record.h"

/* Offsets of boots, in any order; offset 0: not known. Usually those of a struct record_hub. */
struct process_clock {
    const struct record_boot *boots;
    uint32_t boot_count;
};

/* Milliseconds since 1970-01-01 UTC; 0: never, or not known (yet). */
uint64_t process_time_ms(const struct process_clock *clock, const struct record_time *time);

/* Writes a member: RFC 3339 in UTC with milliseconds, or null. */
void process_time_write(struct json_writer *writer, const char *name,
                        const struct process_clock *clock, const struct record_time *time);

/* The same for a wall clock time that is already known; 0: null. */
void process_time_write_ms(struct json_writer *writer, const char *name, uint64_t unix_ms);

/* Whether `a` was before `b`; a time that never was comes after all others. */
bool process_time_is_before(const struct record_time *a, const struct record_time *b);

#endif
