/* store_format1.h - reads blocks of the store's first format, so that an update keeps what is on
 * flash. New blocks are written in the newest format; old ones go with the cleaner. A board that
 * never had format 1 leaves this file out (memory.older = NULL).
 *
 * Frame: size of what follows 3, type 1 (1 group, 2 copies), low half of the first record's number
 * 2, half a CRC 2; a group ends with chain hash 8 and its CRC 4. Record: kind and slot 4, previous
 * 4, size 2, half a CRC 2, CRC 4; in front of a copy its number 6 and half a CRC 2. Frames begin
 * at multiples of 16 bytes, or of the program unit. */
#ifndef FIRMWARE_STORE_FORMAT1_H
#define FIRMWARE_STORE_FORMAT1_H

#include "firmware/store_frame.h"

extern const struct store_older store_format_1;

#endif
