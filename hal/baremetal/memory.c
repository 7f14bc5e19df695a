/* The four functions of a C library that the core may call, and that compilers call by themselves.
 * Built so that the compiler does not turn a loop into a call of the function that it is. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict target, const void *restrict source, size_t size);
void *memmove(void *target, const void *source, size_t size);
void *memset(void *target, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);

void *memcpy(void *restrict target, const void *restrict source, size_t size) {
    uint8_t *to = target;
    const uint8_t *from = source;
    for (size_t i = 0; i < size; i++) {
        to[i] = from[i];
    }
    return target;
}

void *memmove(void *target, const void *source, size_t size) {
    uint8_t *to = target;
    const uint8_t *from = source;
    if ((uintptr_t)to - (uintptr_t)from >= size) {
        return memcpy(target, source, size);
    }
    while (size > 0) {
        size -= 1;
        to[size] = from[size];
    }
    return target;
}

void *memset(void *target, int value, size_t size) {
    uint8_t *to = target;
    for (size_t i = 0; i < size; i++) {
        to[i] = (uint8_t)value;
    }
    return target;
}

int memcmp(const void *a, const void *b, size_t size) {
    const uint8_t *left = a;
    const uint8_t *right = b;
    for (size_t i = 0; i < size; i++) {
        if (left[i] != right[i]) {
            return left[i] < right[i] ? -1 : 1;
        }
    }
    return 0;
}
