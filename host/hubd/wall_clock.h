/* wall_clock.h - what time it is, on a host that may have no clock chip (SPEC.md section 8).
 *
 * It is later than the floor: when this program was built, and the latest time in the store that
 * was synchronised. A system clock below it was never set; then the hub does not know the time
 * until upstream, whose certificate is judged by the floor meanwhile, has told it. A clock that was
 * set ahead by mistake does not raise the floor. */
#ifndef HOST_HUBD_WALL_CLOCK_H
#define HOST_HUBD_WALL_CLOCK_H

#include "firmware/hub.h"
#include "hal/linux/tls_config.h"

struct wall_clock {
    struct tls_clock tls; /* for tls_settings.clock */
};

void wall_clock_init(struct wall_clock *clock);
/* What is known from the store, in milliseconds since 1970. */
void wall_clock_raise(struct wall_clock *clock, uint64_t durable_ms);
/* The time that upstream tells. False: it is before the floor, and nothing is taken. */
must_check bool wall_clock_tell(struct wall_clock *clock, uint64_t server_ms);

/* All clocks, for the core; a wall clock of 0 is not known. */
struct hub_clock wall_clock_read(const struct wall_clock *clock);

#endif
