/* shadow_take.h - a record that the shadow is about to take, and who takes it, by its kind. */
#ifndef TESTS_SIM_SHADOW_TAKE_H
#define TESTS_SIM_SHADOW_TAKE_H

#include "tests/sim/shadow.h"
#include "tests/sim/sim.h"

struct shadow_taking {
    struct sim_host *host;
    struct sim_world *world;
    struct shadow *shadow;
    uint64_t seq;
    struct record_header header;
    struct cbor_reader reader;
    struct shadow_process *process; /* of the record, or NULL */
};

void shadow_take_hub(struct shadow_taking *taking);
void shadow_take_phone(struct shadow_taking *taking);
void shadow_take_request(struct shadow_taking *taking);
void shadow_take_process(struct shadow_taking *taking);
void shadow_take_item(struct shadow_taking *taking);
void shadow_take_attempt(struct shadow_taking *taking);
void shadow_take_key(struct shadow_taking *taking);
void shadow_take_answer(struct shadow_taking *taking);
/* An answer that stands in the log a second time. */
bool shadow_answer_is_known(const struct shadow_taking *taking);
/* A process goes: it has ended, upstream has it, and no other one should go first. */
void shadow_evict(struct shadow_taking *taking);
/* After a record of a process: its counts and status are what they should be. */
void shadow_judge_process(struct shadow_taking *taking);

#endif
