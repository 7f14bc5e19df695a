#include "protocol/sha256.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

/* Whether the processor has the SHA extensions; asking costs a VM exit. */
static enum { NOT_ASKED, ABSENT, PRESENT } instructions;

void sha256_without_instructions(void) {
    instructions = ABSENT;
}

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t value, unsigned count) {
    return value >> count | value << (32 - count);
}

static void expand(uint32_t words[64], const uint8_t block[64]) {
    for (size_t i = 0; i < 16; i++) {
        const uint8_t *b = block + 4 * i;
        words[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    }
    for (size_t i = 16; i < 64; i++) {
        uint32_t x = words[i - 15];
        uint32_t y = words[i - 2];
        uint32_t small0 = rotate(x, 7) ^ rotate(x, 18) ^ x >> 3;
        uint32_t small1 = rotate(y, 17) ^ rotate(y, 19) ^ y >> 10;
        words[i] = words[i - 16] + small0 + words[i - 7] + small1;
    }
}

/* Round i of eight. Instead of moving a..h along, it takes them from where the rounds before have
 * left them; with i known to the compiler they stay in registers. */
static inline void one_round(uint32_t s[8], size_t i, uint32_t added) {
    uint32_t a = s[(8 - i) % 8];
    uint32_t b = s[(9 - i) % 8];
    uint32_t c = s[(10 - i) % 8];
    uint32_t e = s[(12 - i) % 8];
    uint32_t f = s[(13 - i) % 8];
    uint32_t g = s[(14 - i) % 8];
    uint32_t big1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    uint32_t big0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    uint32_t t1 = s[(15 - i) % 8] + big1 + (g ^ (e & (f ^ g))) + added;
    s[(11 - i) % 8] += t1;
    s[(15 - i) % 8] = t1 + big0 + ((a & b) | (c & (a | b)));
}

static void compress_in_c(uint32_t state[8], const uint8_t block[64]) {
    uint32_t words[64];
    uint32_t s[8];
    expand(words, block);
    memcpy(s, state, sizeof s);
    for (size_t i = 0; i < 64; i += 8) {
        one_round(s, 0, round_constants[i] + words[i]);
        one_round(s, 1, round_constants[i + 1] + words[i + 1]);
        one_round(s, 2, round_constants[i + 2] + words[i + 2]);
        one_round(s, 3, round_constants[i + 3] + words[i + 3]);
        one_round(s, 4, round_constants[i + 4] + words[i + 4]);
        one_round(s, 5, round_constants[i + 5] + words[i + 5]);
        one_round(s, 6, round_constants[i + 6] + words[i + 6]);
        one_round(s, 7, round_constants[i + 7] + words[i + 7]);
    }
    for (size_t i = 0; i < 8; i++) {
        state[i] += s[i];
    }
}

#if defined(__x86_64__)

static bool has_instructions(void) {
    if (instructions == NOT_ASKED) {
        unsigned a = 0, b = 0, c = 0, d = 0, sse4 = 0;
        (void)__get_cpuid(1, &a, &b, &sse4, &d); /* zeros when it cannot say */
        (void)__get_cpuid_count(7, 0, &a, &b, &c, &d);
        uint32_t has = (sse4 / bit_SSE4_1) & (b / bit_SHA) & 1;
        instructions = has != 0 ? PRESENT : ABSENT;
    }
    return instructions == PRESENT;
}

/* The instructions hold the state as two vectors, a b e f and c d g h, do two rounds each, and
 * extend the schedule four words at a time (Intel's manual, SHA256RNDS2, SHA256MSG1 and 2). */
__attribute__((target("sha,sse4.1"))) static void compress_by_instruction(uint32_t state[8],
                                                                          const uint8_t block[64]) {
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i words[4];
    for (size_t i = 0; i < 4; i++) {
        words[i] = _mm_loadu_si128((const __m128i *)(const void *)(block + 16 * i));
        words[i] = _mm_shuffle_epi8(words[i], big_endian);
    }
    __m128i badc = _mm_loadu_si128((const __m128i *)(const void *)state);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)(state + 4));
    badc = _mm_shuffle_epi32(badc, 0xb1);
    hgfe = _mm_shuffle_epi32(hgfe, 0x1b);
    const __m128i abef_before = _mm_alignr_epi8(badc, hgfe, 8);
    const __m128i cdgh_before = _mm_blend_epi16(hgfe, badc, 0xf0);
    __m128i abef = abef_before;
    __m128i cdgh = cdgh_before;
    for (size_t i = 0; i < 64; i += 4) {
        __m128i added = _mm_add_epi32(
            words[0], _mm_loadu_si128((const __m128i *)(const void *)(round_constants + i)));
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, added);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(added, 0x0e));
        __m128i next = _mm_add_epi32(_mm_sha256msg1_epu32(words[0], words[1]),
                                     _mm_alignr_epi8(words[3], words[2], 4));
        next = _mm_sha256msg2_epu32(next, words[3]);
        words[0] = words[1];
        words[1] = words[2];
        words[2] = words[3];
        words[3] = next;
    }
    abef = _mm_shuffle_epi32(_mm_add_epi32(abef, abef_before), 0x1b);
    cdgh = _mm_shuffle_epi32(_mm_add_epi32(cdgh, cdgh_before), 0xb1);
    _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(abef, cdgh, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(cdgh, abef, 8));
}

#endif

static void compress(uint32_t state[8], const uint8_t block[64]) {
#if defined(__x86_64__)
    if (has_instructions()) {
        compress_by_instruction(state, block);
        return;
    }
#endif
    compress_in_c(state, block);
}

void sha256_init(struct sha256 *hash) {
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(hash->state, start, sizeof start);
    hash->size = 0;
}

void sha256_add(struct sha256 *hash, struct bytes input) {
    size_t filled = hash->size % 64;
    hash->size += input.size;
    while (input.size > 0) {
        if (filled == 0 && input.size >= 64) {
            compress(hash->state, input.data);
            input.data += 64;
            input.size -= 64;
            continue;
        }
        size_t size = 64 - filled < input.size ? 64 - filled : input.size;
        memcpy(hash->block + filled, input.data, size);
        input.data += size;
        input.size -= size;
        filled += size;
        if (filled == 64) {
            compress(hash->state, hash->block);
            filled = 0;
        }
    }
}

void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_BYTES]) {
    uint64_t bits = hash->size * 8;
    static const uint8_t padding[64] = {0x80};
    size_t filled = hash->size % 64;
    sha256_add(hash, (struct bytes){padding, filled < 56 ? 56 - filled : 120 - filled});
    uint8_t length[8];
    for (size_t i = 0; i < 8; i++) {
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    }
    sha256_add(hash, (struct bytes){length, sizeof length});
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
    }
}
