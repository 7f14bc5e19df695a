/* lease_program.h - the program that uses a leased phone: a child of hubctl, and signals about it.
 */
#ifndef HOST_HUBCTL_LEASE_PROGRAM_H
#define HOST_HUBCTL_LEASE_PROGRAM_H

#include "hal/base.h"

/* From here on SIGINT, SIGTERM, SIGHUP and SIGCHLD come by lease_program_signal() only. */
void lease_program_start_watching(void);

/* Runs it with ADB_SERVER_SOCKET and ANDROID_SERIAL; it gets SIGTERM should hubctl die. False:
 * there is no process left, or no such program. */
bool lease_program_start(char *const *program, const char *socket, const char *serial);

/* Waits up to `wait_ms` for a signal; 0: none came. */
int lease_program_signal(uint64_t wait_ms);

/* False also while there is none. */
bool lease_program_has_ended(void);

/* Sends the signal, and SIGKILL after `grace_ms`; returns when it has ended. Harmless without one.
 */
void lease_program_stop(int signal, uint64_t grace_ms);

/* Its exit status, 128 + the signal that ended it, or 0 when there was none. */
int lease_program_status(void);

#endif
