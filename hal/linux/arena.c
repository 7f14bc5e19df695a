#include "hal/linux/arena.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_BYTES = 4096 };

static _Alignas(PAGE_BYTES) uint8_t memory[ARENA_BYTES];
static struct heap heap;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The first caller is the dynamic linker, long before main: the heap opens itself. */
static void enter(void) {
    check(pthread_mutex_lock(&lock) == 0);
    if (heap.base == NULL) {
        heap_open(&heap, memory, sizeof(memory));
    }
}

static void leave(void) {
    check(pthread_mutex_unlock(&lock) == 0);
}

static void *allocate(size_t alignment, size_t size) {
    enter();
    void *pointer = heap_allocate(&heap, alignment, size);
    leave();
    if (pointer == NULL) {
        errno = ENOMEM;
    }
    return pointer;
}

static bool is_alignment(size_t alignment) {
    return alignment > 0 && (alignment & (alignment - 1)) == 0;
}

struct heap_stats arena_stats(void) {
    enter();
    struct heap_stats stats = heap.stats;
    leave();
    return stats;
}

void *malloc(size_t size) {
    return allocate(HEAP_ALIGNMENT, size);
}

void *calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        bytes = SIZE_MAX; /* refused and counted below */
    }
    void *pointer = allocate(HEAP_ALIGNMENT, bytes);
    if (pointer != NULL) {
        memset(pointer, 0, bytes);
    }
    return pointer;
}

void free(void *pointer) {
    enter();
    heap_release(&heap, pointer);
    leave();
}

void *realloc(void *pointer, size_t size) {
    if (pointer == NULL) {
        return allocate(HEAP_ALIGNMENT, size);
    }
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    enter();
    void *resized = heap_resize(&heap, pointer, size);
    leave();
    if (resized == NULL) {
        errno = ENOMEM;
    }
    return resized;
}

void *memalign(size_t alignment, size_t size) {
    if (!is_alignment(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    return allocate(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    return memalign(alignment, size);
}

int posix_memalign(void **target, size_t alignment, size_t size) {
    if (!is_alignment(alignment) || alignment % sizeof(void *) != 0) {
        return EINVAL;
    }
    int saved = errno;
    void *pointer = allocate(alignment, size);
    errno = saved;
    if (pointer == NULL) {
        return ENOMEM;
    }
    *target = pointer;
    return 0;
}

void *valloc(size_t size) {
    return allocate(PAGE_BYTES, size);
}

void *pvalloc(size_t size) {
    size_t pages = size / PAGE_BYTES + (size % PAGE_BYTES != 0);
    return allocate(PAGE_BYTES, pages * PAGE_BYTES);
}

size_t malloc_usable_size(void *pointer) {
    if (pointer == NULL) {
        return 0;
    }
    enter();
    size_t bytes = heap_usable_bytes(&heap, pointer);
    leave();
    return bytes;
}
