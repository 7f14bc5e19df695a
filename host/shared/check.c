#include "hal/base.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *condition, const char *file, unsigned line) {
    fprintf(stderr, "check failed: %s at %s:%u\n", condition, file, line);
    abort();
}
