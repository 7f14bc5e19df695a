/* phone_files.h - an emulated phone's files: a flat table of paths over one pool of blocks.
 *
 * The pool is shared by all phones of the program; pages that were never touched cost nothing.
 * Directories are what paths imply, some that always exist, and those that were made. */
#ifndef HOST_PHONESIM_PHONE_FILES_H
#define HOST_PHONESIM_PHONE_FILES_H

#include "hal/base.h"

enum {
    PHONE_FILES_MAX = 128, /* of one phone, directories that were made included */
    PHONE_FILES_PATH_SIZE = 256,
    PHONE_FILES_BLOCK_BYTES = 64 * 1024,
#ifdef __SANITIZE_ADDRESS__
    PHONE_FILES_BLOCKS = 512 /* whoever looks for leaks reads all of them after each test */
#else
    PHONE_FILES_BLOCKS = 17408 /* 1088 MiB for all phones */
#endif
};

struct phone_file {
    char path[PHONE_FILES_PATH_SIZE]; /* "": the slot is free */
    bool is_hidden;                   /* being written; takes its name when complete */
    bool is_directory;
    uint32_t first_block; /* index + 1; 0: none */
    uint32_t last_block;
    uint32_t generation; /* changes when the content is dropped */
    uint64_t size;
    uint32_t mode; /* permissions only */
    int64_t modified_s;
};

struct phone_files {
    struct phone_file files[PHONE_FILES_MAX];
};

/* Where a reader stands; ends early when the file is replaced meanwhile. */
struct phone_files_cursor {
    const struct phone_file *file;
    uint32_t generation;
    uint32_t block;
    uint64_t offset;
};

/* Brings a path into its one form: absolute, no double or trailing slashes. TOO_LARGE: too long. */
must_check enum status phone_files_normalise(struct bytes path, char target[PHONE_FILES_PATH_SIZE]);

/* NULL: there is no such file, or it is a directory. */
struct phone_file *phone_files_find(struct phone_files *files, const char *path);
bool phone_files_is_directory(const struct phone_files *files, const char *path);

/* A new hidden file that will be at `path`. NULL: the table is full. */
struct phone_file *phone_files_create(struct phone_files *files, const char *path);
/* FULL: the pool is used up. */
must_check enum status phone_files_append(struct phone_file *file, struct bytes content);
/* The file takes its name, in the place of an older one. */
void phone_files_publish(struct phone_files *files, struct phone_file *file, uint32_t mode,
                         int64_t modified_s);
/* FULL: the table is full. */
must_check enum status phone_files_make_directory(struct phone_files *files, const char *path,
                                                  int64_t modified_s);
void phone_files_remove(struct phone_file *file);
void phone_files_remove_all(struct phone_files *files);

void phone_files_open(struct phone_files_cursor *cursor, const struct phone_file *file);
/* The next bytes, at most `capacity`; 0 at the end. */
size_t phone_files_read(struct phone_files_cursor *cursor, uint8_t *target, size_t capacity);

/* The entries of a directory, one a call: `*index` starts at 0. Gives the entry's name (a view
 * into a path) and its file, NULL for a directory. False: no more. A directory that several paths
 * imply is told once. */
bool phone_files_list(const struct phone_files *files, const char *directory, size_t *index,
                      struct bytes *name, const struct phone_file **file);

#endif
