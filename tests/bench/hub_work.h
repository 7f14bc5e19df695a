/* hub_work.h - a hub's core at work: the tables of board `large`, flash in memory, phones, and jobs
 * that go through it a batch at a time. What the core's cost is measured with (hub_bench.c), and
 * what a simulated hub's records come from (hub_log.c).
 *
 * Ends the program with a message when the core refuses something. */
#ifndef TESTS_BENCH_HUB_WORK_H
#define TESTS_BENCH_HUB_WORK_H

#include "firmware/hub.h"

enum { HUB_WORK_PHONES = 32 };

struct hub_work_names {
    const char *hub_id;
    const char *phone_prefix; /* a phone's id is this and two digits; at most 32 bytes */
};

extern struct hub hub_work; /* after hub_work_open() */

/* Formats the flash and loads the hub. Once. */
void hub_work_open(const struct hub_work_names *names);
/* Loads what is on the flash again. */
void hub_work_load(void);
/* Everything that was applied is durable afterwards. */
void hub_work_commit(void);

/* A request of one item to any phone; `number` differs for each. STATUS_AGAIN: commit first. */
must_check enum status hub_work_accept(uint32_t number);
/* At most HUB_WORK_PHONES. */
void hub_work_attach(uint32_t count);
/* Ends with success what was started, at most `count`. */
void hub_work_end(uint32_t count);
/* A millisecond later. */
void hub_work_tick(void);

void hub_work_must(enum status status, const char *what);

#endif
