/* bubblewrap_command.h - the command line that confines one container. Private to bubblewrap.c. */
#ifndef HAL_LINUX_BUBBLEWRAP_COMMAND_H
#define HAL_LINUX_BUBBLEWRAP_COMMAND_H

#include "hal/linux/bubblewrap.h"

struct bubblewrap_command {
    const char *list[BUBBLEWRAP_ARGUMENTS_MAX + 1];
    size_t count;
    char text[BUBBLEWRAP_TEXT_BYTES]; /* numbers */
    size_t used;
    bool is_full; /* not all arguments had room */
};

/* Descriptors that bwrap gets, beside its output. */
enum { BUBBLEWRAP_FILTER, BUBBLEWRAP_STATUS, BUBBLEWRAP_GATE, BUBBLEWRAP_DESCRIPTORS };
/* What the gate is in a container: a shell names one digit. */
enum { BUBBLEWRAP_GATE_FD = 9 };

/* The texts of config and order must live as long as the command. */
void bubblewrap_command_make(struct bubblewrap_command *command,
                             const struct bubblewrap_config *config,
                             const struct hal_container_order *order, const char *lock,
                             const int fds[BUBBLEWRAP_DESCRIPTORS]);

#endif
