/* crc32c.h - CRC-32C (Castagnoli, RFC 3720 appendix B.4), continued over several calls. */
#ifndef PROTOCOL_CRC32C_H
#define PROTOCOL_CRC32C_H

#include "hal/base.h"

/* Continues `crc` (0 at the start) over `input`. crc32c(0, "123456789") is 0xe3069283. */
uint32_t crc32c(uint32_t crc, struct bytes input);

/* From here on it is computed as on a processor without an instruction for it. For tests. */
void crc32c_without_instruction(void);

#endif
