/* flash_manifest.h - what a folder of images says is to be flashed: `manifest.ini` (docs/flash.md).
 *
 * Everything is judged before a phone is touched: names of partitions and files, sizes, hashes. A
 * file lies in the folder itself: no path, no link leads out of it. */
#ifndef HOST_HUBD_FLASH_MANIFEST_H
#define HOST_HUBD_FLASH_MANIFEST_H

#include "host/shared/config.h"
#include "protocol/sha256.h"

enum {
    FLASH_STEPS_MAX = 32,
    FLASH_PARTITION_SIZE = 40, /* with its NUL; GPT allows 36 characters */
    FLASH_FILE_SIZE = 64,      /* with its NUL */
    FLASH_PRODUCTS_SIZE = 128
};

enum flash_slot { FLASH_CURRENT, FLASH_OTHER, FLASH_A, FLASH_B, FLASH_BOTH, FLASH_SLOT_COUNT };

/* One partition, in the order of the file. */
struct flash_part {
    char partition[FLASH_PARTITION_SIZE]; /* without slot */
    char file[FLASH_FILE_SIZE];           /* "": is_erased */
    uint64_t bytes;
    uint8_t sha256[SHA256_BYTES];
    bool is_erased, has_bytes, has_sha256;
    enum flash_slot slot; /* of a partition that has slots */
};

struct flash_manifest {
    char products[FLASH_PRODUCTS_SIZE]; /* that `getvar:product` may be, with commas; "": any */
    bool sets_active;
    enum flash_slot active; /* then: A, B or OTHER */
    struct flash_part parts[FLASH_STEPS_MAX];
    uint32_t count;
};

/* Reads FOLDER/manifest.ini. MALFORMED, TOO_LARGE, NOT_FOUND, DENIED, IO: `error` says which line
 * and why. */
must_check enum status flash_manifest_read(const char *folder, struct flash_manifest *manifest,
                                           struct config_error *error);

/* Whether the comma-separated list is empty or has the product. */
bool flash_manifest_allows(const struct flash_manifest *manifest, const char *product);

#endif
