/* executor_internal.h - what the files of the executor share. */
#ifndef HOST_HUBD_EXECUTOR_INTERNAL_H
#define HOST_HUBD_EXECUTOR_INTERNAL_H

#include "host/hubd/run/executor.h"

const struct action *executor_action(const struct attempt *attempt);

/* The attempt has failed; the words may hold anything. */
__attribute__((format(printf, 4, 5))) void executor_fail(struct attempt *attempt,
                                                         enum record_category category,
                                                         const char *code, const char *format, ...);

/* Keeps the last part of an action's output, and the first of its errors. Every byte passes here.
 */
void executor_take_output(struct attempt *attempt, bool is_stderr, struct bytes data);

/* A command or program has ended by itself. */
void executor_command_ended(struct attempt *attempt, int exit_status);

/* The request's inputs, in the core's read buffer until its next call. */
struct bytes executor_inputs(struct attempt *attempt);

/* ---- programs in containers (executor_exec.c) ---- */

/* Begins the action. FULL: an earlier container of this phone is still going. Its other failures
 * are told to the attempt. */
must_check enum status executor_exec_begin(struct attempt *attempt);
/* Kills what runs, and closes its endpoint. Harmless. */
void executor_exec_stop(struct attempt *attempt);

#endif
