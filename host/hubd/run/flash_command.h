/* flash_command.h - the steps of a `flash` action that are commands for the phone's bootloader:
 * what is asked, and what becomes of the answer. */
#ifndef HOST_HUBD_FLASH_COMMAND_H
#define HOST_HUBD_FLASH_COMMAND_H

#include "host/hubd/run/flash_job.h"

/* Sends the command of the job's step. True: there is more to do now. */
must_check bool flash_command_run(struct flash_job *job);

#endif
