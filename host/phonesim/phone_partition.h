/* phone_partition.h - the partitions of an emulated phone, each a file with holes. */
#ifndef HOST_PHONESIM_PHONE_PARTITION_H
#define HOST_PHONESIM_PHONE_PARTITION_H

#include "hal/base.h"

struct phone_partition {
    const char *name;
    uint64_t bytes;
    bool has_slots; /* then it is known as NAME_a and NAME_b only */
};

/* NULL: there is no more. */
const struct phone_partition *phone_partition_at(uint32_t index);
/* By its whole name; NULL: there is none. */
const struct phone_partition *phone_partition_find(struct bytes name);
/* By its name without slot. */
const struct phone_partition *phone_partition_find_base(struct bytes name);

/* Writes an image, plain or sparse, of `bytes` in a file. NULL: done; else why not, in words. */
const char *phone_partition_write(const char *path, const struct phone_partition *partition,
                                  int image, uint32_t bytes);
/* Makes it empty. NULL: done. */
const char *phone_partition_erase(const char *path, const struct phone_partition *partition);

#endif
