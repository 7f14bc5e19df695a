/* file_replace.h - puts whole small files in place: after any power cut a reader finds the old one
 * or the new one. */
#ifndef HAL_LINUX_FILE_REPLACE_H
#define HAL_LINUX_FILE_REPLACE_H

#include "hal/base.h"

#include <sys/types.h>

enum { FILE_REPLACE_PATH_SIZE = 512 };

/* Writes `PATH.new`, syncs it, renames it to `path`, syncs the folder. TOO_LARGE: the path. IO: see
 * errno; `path` is as it was. */
must_check enum status file_replace(const char *path, struct bytes text, mode_t mode);

/* Reads the whole file. NOT_FOUND; TOO_LARGE: more than `capacity`; IO: see errno. */
must_check enum status file_read(const char *path, void *target, size_t capacity, size_t *size);

#endif
