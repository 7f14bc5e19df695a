#include "hal/linux/file_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool write_all(int fd, struct bytes text) {
    while (text.size > 0) {
        ssize_t count = write(fd, text.data, text.size);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return false;
        }
        text.data += count;
        text.size -= (size_t)count;
    }
    return true;
}

static bool sync_folder(char *path) {
    char *slash = strrchr(path, '/');
    const char *folder = ".";
    if (slash != NULL) {
        slash[slash == path ? 1 : 0] = '\0';
        folder = path;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return is_synced;
}

enum status file_replace(const char *path, struct bytes text, mode_t mode) {
    char new[FILE_REPLACE_PATH_SIZE];
    int size = snprintf(new, sizeof new, "%s.new", path);
    if (size < 0 || (size_t)size >= sizeof new) {
        return STATUS_TOO_LARGE;
    }
    int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return STATUS_IO;
    }
    bool is_written = fchmod(fd, mode) == 0 && write_all(fd, text) && fsync(fd) == 0;
    is_written = close(fd) == 0 && is_written;
    if (!is_written || rename(new, path) != 0) {
        int saved = errno;
        unlink(new);
        errno = saved;
        return STATUS_IO;
    }
    return sync_folder(new) ? STATUS_OK : STATUS_IO;
}

enum status file_read(const char *path, void *target, size_t capacity, size_t *size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO;
    }
    size_t used = 0;
    ssize_t count = 1;
    while (count > 0 && used < capacity) {
        count = read(fd, (uint8_t *)target + used, capacity - used);
        used += count > 0 ? (size_t)count : 0;
    }
    uint8_t more;
    bool is_larger = count > 0 && read(fd, &more, 1) == 1;
    int saved = errno;
    close(fd);
    errno = saved;
    *size = used;
    if (count < 0) {
        return STATUS_IO;
    }
    return is_larger ? STATUS_TOO_LARGE : STATUS_OK;
}
