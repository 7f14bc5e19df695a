#include "host/phonesim/phone_files.h"

#include <string.h>

static uint8_t blocks[PHONE_FILES_BLOCKS][PHONE_FILES_BLOCK_BYTES];
static uint32_t next_block[PHONE_FILES_BLOCKS]; /* index + 1; 0: the chain ends */
static uint32_t free_block;                     /* of blocks that were used before */
static uint32_t touched_blocks;

static const char *const fixed_directories[] = {
    "/", "/data", "/data/local", "/data/local/tmp", "/sdcard", "/system", "/system/bin", "/proc",
};

enum status phone_files_normalise(struct bytes path, char target[PHONE_FILES_PATH_SIZE]) {
    size_t size = 0;
    char text[PHONE_FILES_PATH_SIZE];
    if (path.size == 0 || path.data[0] != '/') {
        text[size++] = '/';
    }
    for (size_t i = 0; i < path.size; i++) {
        char byte = (char)path.data[i];
        if (byte == '/' && size > 0 && text[size - 1] == '/') {
            continue;
        }
        if (size + 1 >= sizeof text || byte == '\0') {
            return STATUS_TOO_LARGE;
        }
        text[size++] = byte;
    }
    size -= size > 1 && text[size - 1] == '/' ? 1 : 0;
    memcpy(target, text, size);
    target[size] = '\0';
    return STATUS_OK;
}

struct phone_file *phone_files_find(struct phone_files *files, const char *path) {
    for (size_t i = 0; i < PHONE_FILES_MAX; i++) {
        struct phone_file *file = &files->files[i];
        if (!file->is_hidden && !file->is_directory && strcmp(file->path, path) == 0) {
            return file;
        }
    }
    return NULL;
}

/* Whether `path` lies below `directory`; gives the part after it. */
static const char *below(const char *path, const char *directory) {
    size_t size = strcmp(directory, "/") == 0 ? 0 : strlen(directory);
    bool is_below = strncmp(path, directory, size) == 0 && path[size] == '/' && path[size + 1];
    return is_below ? path + size + 1 : NULL;
}

bool phone_files_is_directory(const struct phone_files *files, const char *path) {
    for (size_t i = 0; i < array_count(fixed_directories); i++) {
        if (strcmp(fixed_directories[i], path) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < PHONE_FILES_MAX; i++) {
        const struct phone_file *file = &files->files[i];
        bool is_it = file->is_directory && strcmp(file->path, path) == 0;
        if (!file->is_hidden && (is_it || below(file->path, path) != NULL)) {
            return true;
        }
    }
    return false;
}

struct phone_file *phone_files_create(struct phone_files *files, const char *path) {
    for (size_t i = 0; i < PHONE_FILES_MAX; i++) {
        struct phone_file *file = &files->files[i];
        if (file->path[0] == '\0') {
            uint32_t generation = file->generation + 1;
            *file = (struct phone_file){.is_hidden = true, .generation = generation};
            memcpy(file->path, path, strlen(path) + 1);
            return file;
        }
    }
    return NULL;
}

static uint32_t take_block(void) {
    uint32_t block = free_block;
    if (block != 0) {
        free_block = next_block[block - 1];
    } else if (touched_blocks < PHONE_FILES_BLOCKS) {
        block = ++touched_blocks;
    }
    return block;
}

static bool grow(struct phone_file *file) {
    uint32_t block = take_block();
    if (block == 0) {
        return false;
    }
    next_block[block - 1] = 0;
    if (file->last_block != 0) {
        next_block[file->last_block - 1] = block;
    } else {
        file->first_block = block;
    }
    file->last_block = block;
    return true;
}

enum status phone_files_append(struct phone_file *file, struct bytes content) {
    while (content.size > 0) {
        size_t used = (size_t)(file->size % PHONE_FILES_BLOCK_BYTES);
        if (used == 0 && !grow(file)) {
            return STATUS_FULL;
        }
        size_t room = PHONE_FILES_BLOCK_BYTES - used;
        size_t size = content.size < room ? content.size : room;
        memcpy(blocks[file->last_block - 1] + used, content.data, size);
        file->size += size;
        content.data += size;
        content.size -= size;
    }
    return STATUS_OK;
}

void phone_files_remove(struct phone_file *file) {
    if (file->last_block != 0) {
        next_block[file->last_block - 1] = free_block;
        free_block = file->first_block;
    }
    *file = (struct phone_file){.generation = file->generation + 1};
}

void phone_files_remove_all(struct phone_files *files) {
    for (size_t i = 0; i < PHONE_FILES_MAX; i++) {
        phone_files_remove(&files->files[i]);
    }
}

void phone_files_publish(struct phone_files *files, struct phone_file *file, uint32_t mode,
                         int64_t modified_s) {
    struct phone_file *older = phone_files_find(files, file->path);
    if (older != NULL) {
        phone_files_remove(older);
    }
    file->is_hidden = false;
    file->mode = mode & 0777;
    file->modified_s = modified_s;
}

enum status phone_files_make_directory(struct phone_files *files, const char *path,
                                       int64_t modified_s) {
    if (phone_files_is_directory(files, path)) {
        return STATUS_OK;
    }
    struct phone_file *file = phone_files_create(files, path);
    if (file == NULL) {
        return STATUS_FULL;
    }
    file->is_directory = true;
    file->is_hidden = false;
    file->mode = 0755;
    file->modified_s = modified_s;
    return STATUS_OK;
}

void phone_files_open(struct phone_files_cursor *cursor, const struct phone_file *file) {
    *cursor = (struct phone_files_cursor){
        .file = file, .generation = file->generation, .block = file->first_block};
}

size_t phone_files_read(struct phone_files_cursor *cursor, uint8_t *target, size_t capacity) {
    const struct phone_file *file = cursor->file;
    size_t size = 0;
    while (file->generation == cursor->generation && size < capacity &&
           cursor->offset < file->size) {
        size_t used = (size_t)(cursor->offset % PHONE_FILES_BLOCK_BYTES);
        if (used == 0 && cursor->offset > 0) {
            cursor->block = next_block[cursor->block - 1];
        }
        uint64_t left = file->size - cursor->offset;
        size_t part = PHONE_FILES_BLOCK_BYTES - used;
        part = part < left ? part : (size_t)left;
        part = part < capacity - size ? part : capacity - size;
        memcpy(target + size, blocks[cursor->block - 1] + used, part);
        cursor->offset += part;
        size += part;
    }
    return size;
}

static bool is_same_name(const char *path, const char *directory, struct bytes name) {
    const char *rest = below(path, directory);
    return rest != NULL && strncmp(rest, (const char *)name.data, name.size) == 0 &&
           (rest[name.size] == '/' || rest[name.size] == '\0');
}

/* The path at `index`: files first, then the directories that always exist. */
static const char *path_at(const struct phone_files *files, size_t index) {
    if (index >= PHONE_FILES_MAX) {
        return fixed_directories[index - PHONE_FILES_MAX];
    }
    return files->files[index].is_hidden ? "" : files->files[index].path;
}

bool phone_files_list(const struct phone_files *files, const char *directory, size_t *index,
                      struct bytes *name, const struct phone_file **file) {
    while (*index < PHONE_FILES_MAX + array_count(fixed_directories)) {
        size_t current = (*index)++;
        const char *rest = below(path_at(files, current), directory);
        if (rest == NULL) {
            continue;
        }
        const char *slash = strchr(rest, '/');
        size_t size = slash != NULL ? (size_t)(slash - rest) : strlen(rest);
        *name = (struct bytes){(const uint8_t *)rest, size};
        bool is_told = false;
        for (size_t i = 0; i < current && !is_told; i++) {
            is_told = is_same_name(path_at(files, i), directory, *name);
        }
        bool is_file =
            slash == NULL && current < PHONE_FILES_MAX && !files->files[current].is_directory;
        *file = is_file ? &files->files[current] : NULL;
        if (!is_told) {
            return true;
        }
    }
    return false;
}
