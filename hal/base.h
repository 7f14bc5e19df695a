/* base.h - the ground every other file stands on: status codes, checks and byte views.
 *
 * Depends on the freestanding C11 headers only. Everything may include it. */
#ifndef HAL_BASE_H
#define HAL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define must_check __attribute__((warn_unused_result))
#define array_count(a) (sizeof(a) / sizeof((a)[0]))

/* How an operation ended. Operating errors are values; programmer errors are checks. */
enum status {
#define STATUS(name, class, text) STATUS_##name,
#include "hal/status.def"
#undef STATUS
    STATUS_COUNT
};

/* Always on, in every build. Never has side effects, never judges outside input. */
#ifdef CHECK_WITHOUT_BRANCH /* `make coverage`: only the branches of the code count */
#define check(condition) ((void)(condition))
#else
#define check(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))
#endif

/* Provided once per program: prints and aborts on a host, records and resets on a board. */
_Noreturn void check_failed(const char *condition, const char *file, unsigned line);

/* A view of bytes somebody else owns. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

/* A view of a string literal, without its NUL. */
#define bytes_of(literal) ((struct bytes){(const uint8_t *)("" literal), sizeof(literal) - 1})

#endif
