#include "host/shared/openapi.h"

/* The assembler reads the file; the Makefile names it as something this object depends on. */
__asm__(".section .rodata\n"
        ".global openapi_first\n"
        "openapi_first:\n"
        ".incbin \"docs/openapi.json\"\n"
        ".global openapi_end\n"
        "openapi_end:\n"
        ".byte 0\n"
        ".previous\n");

extern const uint8_t openapi_first[];
extern const uint8_t openapi_end[];

struct bytes openapi_text(void) {
    return (struct bytes){openapi_first,
                          (size_t)((uintptr_t)openapi_end - (uintptr_t)openapi_first)};
}
