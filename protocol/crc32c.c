#include "protocol/crc32c.h"

/* Whether the processor computes it by itself; asking costs a VM exit. */
static enum { NOT_ASKED, ABSENT, PRESENT } instruction;

void crc32c_without_instruction(void) {
    instruction = ABSENT;
}

#if defined(__x86_64__)

#include <cpuid.h>
#include <string.h>

static bool has_instruction(void) {
    if (instruction == NOT_ASKED) {
        unsigned a = 0, b = 0, c = 0, d = 0;
        (void)__get_cpuid(1, &a, &b, &c, &d); /* zeros when it cannot say */
        instruction = (c & bit_SSE4_2) != 0 ? PRESENT : ABSENT;
    }
    return instruction == PRESENT;
}

__attribute__((target("sse4.2"))) static uint32_t crc_by_instruction(uint32_t crc,
                                                                     struct bytes input) {
    uint64_t wide = crc;
    size_t at = 0;
    for (; input.size - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, input.data + at, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    if (input.size - at >= 4) {
        uint32_t word;
        memcpy(&word, input.data + at, 4);
        crc = __builtin_ia32_crc32si(crc, word);
        at += 4;
    }
    for (; at < input.size; at++) {
        crc = __builtin_ia32_crc32qi(crc, input.data[at]);
    }
    return crc;
}

#endif

/* One table entry per half byte: 64 bytes of flash, which suits the smallest board. */
static uint32_t crc_by_table(uint32_t crc, struct bytes input) {
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (size_t i = 0; i < input.size; i++) {
        crc ^= input.data[i];
        crc = crc >> 4 ^ table[crc & 0xf];
        crc = crc >> 4 ^ table[crc & 0xf];
    }
    return crc;
}

uint32_t crc32c(uint32_t crc, struct bytes input) {
#if defined(__x86_64__)
    if (has_instruction()) {
        return ~crc_by_instruction(~crc, input);
    }
#endif
    return ~crc_by_table(~crc, input);
}
