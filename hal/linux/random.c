#include "hal/linux/random.h"

#include <errno.h>
#include <sys/random.h>

void random_fill(void *target, size_t size) {
    uint8_t *next = target;
    while (size > 0) {
        ssize_t count = getrandom(next, size, 0);
        check(count > 0 || errno == EINTR);
        size_t got = count > 0 ? (size_t)count : 0;
        next += got;
        size -= got;
    }
}
