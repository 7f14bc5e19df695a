/* artifact.h - the whole output of an attempt as a file: `ITEM.ATTEMPT.log` in one directory.
 *
 * Records keep the last part of an output only. A file is made with its first byte, takes at most
 * `file_bytes` (then it says that it was cut), and belongs to one attempt for ever; when all of
 * them together exceed `total_bytes`, the oldest go. A failing disk costs the artifact, never the
 * attempt: failures are counted. Writes go to the page cache; nothing is synced. */
#ifndef HOST_HUBD_ARTIFACT_H
#define HOST_HUBD_ARTIFACT_H

#include "hal/base.h"

enum { ARTIFACT_PATH_BYTES = 256, ARTIFACT_NAME_BYTES = 128 };

struct artifact_limits {
    uint64_t file_bytes;
    uint64_t total_bytes;
};

struct artifacts {
    int directory; /* -1: artifacts are off */
    struct artifact_limits limits;
    uint64_t used_bytes; /* of all files, nearly */
    uint64_t removed;    /* files, for room */
    uint64_t failures;   /* of the disk */
};

/* One attempt's. Zeroed: none, and every call is harmless. */
struct artifact {
    struct artifacts *owner; /* NULL: none */
    char name[ARTIFACT_NAME_BYTES];
    char part[64]; /* heading that is still to be written */
    uint64_t size;
    int fd; /* valid when is_open */
    bool is_open;
    bool is_cut;
};

/* Makes the directory when it is missing. An empty path: off. IO: errno says why. */
must_check enum status artifact_open(struct artifacts *artifacts, const char *path,
                                     const struct artifact_limits *limits);

/* `artifacts` may be NULL. */
void artifact_begin(struct artifact *artifact, struct artifacts *artifacts, const char *item,
                    uint32_t attempt);
/* What follows came from this action. */
void artifact_begin_part(struct artifact *artifact, const char *name);
void artifact_append(struct artifact *artifact, struct bytes data);
void artifact_end(struct artifact *artifact);

/* A file descriptor to read one; -1: there is none. */
int artifact_read(const struct artifacts *artifacts, struct bytes item, struct bytes attempt);

#endif
