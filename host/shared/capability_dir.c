#include "host/shared/capability_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where getdents64 puts an entry's own size and its name (struct linux_dirent64). */
enum { ENTRY_SIZE_AT = 16, ENTRY_NAME_AT = 19, PATH_BYTES = 1024 };

static bool is_ini(const char *name) {
    size_t size = strlen(name);
    return size > 4 && strcmp(name + size - 4, ".ini") == 0;
}

/* getdents64 by hand: opendir allocates, and 32 KiB at that. */
bool capability_dir_walk(const char *directory, capability_dir_visit *visit, void *owner,
                         struct config_error *error) {
    static _Alignas(8) char entries[16384];
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        snprintf(error->text, sizeof error->text, "[capabilities] dir: %.300s: %s", directory,
                 strerror(errno));
        return false;
    }
    bool is_good = true;
    for (;;) {
        long size = syscall(SYS_getdents64, fd, entries, sizeof entries);
        if (size <= 0 || !is_good) {
            break;
        }
        for (long at = 0; at < size && is_good;) {
            const char *name = entries + at + ENTRY_NAME_AT;
            uint16_t entry_size;
            memcpy(&entry_size, entries + at + ENTRY_SIZE_AT, sizeof entry_size);
            if (is_ini(name)) {
                char path[PATH_BYTES];
                snprintf(path, sizeof path, "%.700s/%.255s", directory, name);
                is_good = visit(owner, path);
            }
            at += entry_size;
        }
    }
    close(fd);
    return is_good;
}
