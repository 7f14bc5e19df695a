#include "host/hubd/wall_clock.h"

#include "host/shared/loop.h"

#include <sys/timex.h>
#include <time.h>

/* Seconds since 1970, of the build that is reproducible: the Makefile knows. */
#ifndef HUB_BUILD_TIME
#define HUB_BUILD_TIME 1700000000
#endif

enum { SYNCHRONISED = 2, CLOCK_CHIP = 1 };

void wall_clock_init(struct wall_clock *clock) {
    clock->tls = (struct tls_clock){.floor_s = HUB_BUILD_TIME};
}

void wall_clock_raise(struct wall_clock *clock, uint64_t durable_ms) {
    uint64_t durable_s = durable_ms / 1000;
    clock->tls.floor_s = durable_s > clock->tls.floor_s ? durable_s : clock->tls.floor_s;
}

bool wall_clock_tell(struct wall_clock *clock, uint64_t server_ms) {
    uint64_t now_ms = loop_now_ms();
    if (server_ms / 1000 < clock->tls.floor_s || server_ms < now_ms) {
        return false;
    }
    clock->tls.offset_ms = server_ms - now_ms;
    return true;
}

/* Asked of the kernel once a second: a system call that every turn of the loop would make. */
static bool is_synchronised(uint64_t now_ms) {
    static uint64_t asked_ms;
    static bool answer;
    struct timex state = {0};
    if (asked_ms == 0 || now_ms - asked_ms >= 1000) {
        asked_ms = now_ms;
        answer = adjtimex(&state) != TIME_ERROR;
    }
    return answer;
}

struct hub_clock wall_clock_read(const struct wall_clock *clock) {
    struct timespec wall;
    struct hub_clock now = {.mono_ms = loop_now_ms()};
    if (clock_gettime(CLOCK_REALTIME, &wall) == 0 && (uint64_t)wall.tv_sec >= clock->tls.floor_s) {
        now.wall_ms = (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000;
        now.quality = is_synchronised(now.mono_ms) ? SYNCHRONISED : CLOCK_CHIP;
    } else if (clock->tls.offset_ms != 0) {
        now.wall_ms = now.mono_ms + clock->tls.offset_ms;
        now.quality = SYNCHRONISED;
    }
    return now;
}
