#include "host/hubd/run/artifact.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OLDEST_MAX = 64 };                        /* files looked out in one pass */
enum { ENTRY_SIZE_AT = 16, ENTRY_NAME_AT = 19 }; /* struct linux_dirent64 */

/* ---- the directory ---- */

struct found {
    char name[ARTIFACT_NAME_BYTES];
    int64_t when;
    uint64_t size;
};

/* What a pass over the directory found: how much there is, and the oldest of it, oldest first. */
struct pass {
    uint64_t bytes;
    uint32_t count;
    struct found oldest[OLDEST_MAX];
};

static void note(struct pass *pass, const char *name, const struct stat *info) {
    int64_t when = (int64_t)info->st_mtim.tv_sec * 1000 + info->st_mtim.tv_nsec / 1000000;
    uint32_t at = pass->count;
    while (at > 0 && pass->oldest[at - 1].when > when) {
        at -= 1;
    }
    pass->bytes += (uint64_t)info->st_size;
    if (at == OLDEST_MAX) {
        return;
    }
    uint32_t moved = pass->count - at - (pass->count == OLDEST_MAX ? 1 : 0);
    memmove(&pass->oldest[at + 1], &pass->oldest[at], moved * sizeof pass->oldest[0]);
    struct found *found = &pass->oldest[at];
    snprintf(found->name, sizeof found->name, "%s", name);
    found->when = when;
    found->size = (uint64_t)info->st_size;
    pass->count += pass->count < OLDEST_MAX ? 1 : 0;
}

static bool is_ours(const char *name) {
    size_t size = strlen(name);
    return size > 4 && size < ARTIFACT_NAME_BYTES && strcmp(name + size - 4, ".log") == 0;
}

/* getdents64 by hand: opendir allocates. */
static void look_around(const struct artifacts *artifacts, struct pass *pass) {
    static _Alignas(8) char entries[16384];
    pass->bytes = 0;
    pass->count = 0;
    if (lseek(artifacts->directory, 0, SEEK_SET) != 0) {
        return;
    }
    long size;
    while ((size = syscall(SYS_getdents64, artifacts->directory, entries, sizeof entries)) > 0) {
        for (long at = 0; at < size;) {
            uint16_t entry_size;
            struct stat info;
            const char *name = entries + at + ENTRY_NAME_AT;
            memcpy(&entry_size, entries + at + ENTRY_SIZE_AT, sizeof entry_size);
            if (is_ours(name) && fstatat(artifacts->directory, name, &info, 0) == 0) {
                note(pass, name, &info);
            }
            at += entry_size;
        }
    }
}

/* Down to nine tenths, so that the directory is not read for each new file. */
static void make_room(struct artifacts *artifacts) {
    static struct pass pass;
    uint64_t target = artifacts->limits.total_bytes / 10 * 9;
    look_around(artifacts, &pass);
    artifacts->used_bytes = pass.bytes;
    for (uint32_t i = 0; i < pass.count && artifacts->used_bytes > target; i++) {
        if (unlinkat(artifacts->directory, pass.oldest[i].name, 0) == 0) {
            artifacts->used_bytes -= pass.oldest[i].size;
            artifacts->removed += 1;
        }
    }
}

enum status artifact_open(struct artifacts *artifacts, const char *path,
                          const struct artifact_limits *limits) {
    *artifacts = (struct artifacts){.directory = -1, .limits = *limits};
    if (path[0] == '\0') {
        return STATUS_OK;
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return STATUS_IO;
    }
    artifacts->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (artifacts->directory < 0) {
        return STATUS_IO;
    }
    make_room(artifacts);
    return STATUS_OK;
}

/* ---- one file ---- */

void artifact_begin(struct artifact *artifact, struct artifacts *artifacts, const char *item,
                    uint32_t attempt) {
    *artifact = (struct artifact){0};
    if (artifacts != NULL && artifacts->directory >= 0) {
        artifact->owner = artifacts;
        snprintf(artifact->name, sizeof artifact->name, "%s.%u.log", item, attempt);
    }
}

void artifact_begin_part(struct artifact *artifact, const char *name) {
    snprintf(artifact->part, sizeof artifact->part, "%s--- %s ---\n",
             artifact->size > 0 ? "\n" : "", name);
}

static void write_all(struct artifact *artifact, struct bytes data) {
    struct artifacts *owner = artifact->owner;
    if (!artifact->is_open) {
        artifact->fd = openat(owner->directory, artifact->name,
                              O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        artifact->is_open = artifact->fd >= 0;
    }
    while (artifact->is_open && data.size > 0) {
        ssize_t written = write(artifact->fd, data.data, data.size);
        if (written <= 0) {
            break;
        }
        data = (struct bytes){data.data + written, data.size - (size_t)written};
        artifact->size += (uint64_t)written;
        owner->used_bytes += (uint64_t)written;
    }
    if (data.size > 0) {
        owner->failures += 1;
        artifact_end(artifact); /* the rest of this attempt is not kept */
    } else if (owner->used_bytes > owner->limits.total_bytes) {
        make_room(owner);
    }
}

void artifact_append(struct artifact *artifact, struct bytes data) {
    static const char cut[] = "\n--- cut: larger than [artifacts] max_bytes ---\n";
    if (artifact->owner == NULL || artifact->is_cut || data.size == 0) {
        return;
    }
    uint64_t room = artifact->owner->limits.file_bytes - artifact->size;
    if (artifact->part[0] != '\0' && room > sizeof artifact->part) {
        struct bytes part = {(const uint8_t *)artifact->part, strlen(artifact->part)};
        write_all(artifact, part);
        artifact->part[0] = '\0';
        room = artifact->owner == NULL ? 0 : artifact->owner->limits.file_bytes - artifact->size;
    }
    if (artifact->owner == NULL) {
        return;
    }
    uint64_t kept = room > sizeof cut ? room - sizeof cut : 0;
    if (data.size > kept) {
        data.size = (size_t)kept;
        artifact->is_cut = true;
    }
    if (data.size > 0) {
        write_all(artifact, data);
    }
    if (artifact->is_cut && artifact->owner != NULL) {
        write_all(artifact, (struct bytes){(const uint8_t *)cut, sizeof cut - 1});
    }
}

void artifact_end(struct artifact *artifact) {
    if (artifact->is_open) {
        close(artifact->fd);
    }
    artifact->is_open = false;
    artifact->owner = NULL;
}

int artifact_read(const struct artifacts *artifacts, struct bytes item, struct bytes attempt) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    char name[ARTIFACT_NAME_BYTES];
    int size = snprintf(name, sizeof name, "%.*s.%.*s.log", (int)item.size, (const char *)item.data,
                        (int)attempt.size, (const char *)attempt.data);
    if (artifacts->directory < 0 || size < 0 || (size_t)size >= sizeof name || name[0] == '.' ||
        strspn(name, allowed) != strlen(name)) {
        return -1;
    }
    return openat(artifacts->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}
