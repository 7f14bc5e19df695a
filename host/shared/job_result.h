/* job_result.h - what an attempt gave, as readers see it.
 *
 * An attempt of hubd's own gives what its actions found, by action. One of an external worker gives
 * {exitCode, output, error, metrics, summary}: the shape of the job status system. */
#ifndef HOST_SHARED_JOB_RESULT_H
#define HOST_SHARED_JOB_RESULT_H

#include "host/shared/json_write.h"
#include "protocol/record.h"

bool job_result_is_there(const struct record_attempt *attempt);
void job_result_write(struct json_writer *writer, const char *name,
                      const struct record_attempt *attempt);

#endif
