/* phone_service.h - the services of an emulated adbd that are neither shell nor files. */
#ifndef HOST_PHONESIM_PHONE_SERVICE_H
#define HOST_PHONESIM_PHONE_SERVICE_H

#include "host/phonesim/phone_shell.h"

/* Begins a service whose whole answer, if it has one, is the shell's output: root:, remount:, usb:,
 * tcpip:, jdwp, track-jdwp, reverse:..., and echo (tcp:7, localabstract:echo). NOT_FOUND. */
must_check enum status phone_service_begin(struct phone_shell *shell, struct phone_state *state,
                                           struct bytes name);

/* The address on the host that a reversed port leads to; NULL: it is not reversed. */
const char *phone_service_reverse(const struct phone_state *state, uint64_t port);

/* `abb:` and `abb_exec:` name a command by words with NULs between them: as a script. TOO_LARGE. */
must_check enum status phone_service_script(struct bytes words, char *target, size_t capacity,
                                            size_t *size);

#endif
