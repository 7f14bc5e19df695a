#include "hal/linux/read_ahead.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* As much as there is: a file may end inside. IO: nothing. */
static enum status read_some(int file, off_t offset, void *target, size_t size, size_t *taken) {
    *taken = 0;
    while (*taken < size) {
        ssize_t count =
            pread(file, (uint8_t *)target + *taken, size - *taken, offset + (off_t)*taken);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return STATUS_IO;
        }
        if (count == 0) {
            break;
        }
        *taken += (size_t)count;
    }
    return STATUS_OK;
}

enum status read_ahead_all(int file, off_t offset, void *target, size_t size) {
    size_t taken = 0;
    enum status status = read_some(file, offset, target, size, &taken);
    if (status == STATUS_OK && taken < size) {
        errno = EIO; /* shorter than it was when it was opened */
        return STATUS_IO;
    }
    return status;
}

/* Where the stream of this window would go on: in it, or not far behind it. */
static bool is_near(const struct read_ahead_window *window, off_t offset) {
    off_t end = window->start + (off_t)window->size;
    return window->size > 0 && offset >= window->start && offset < end + READ_AHEAD_MAX;
}

/* The window whose stream this read belongs to, else the one that served longest ago. */
static struct read_ahead_window *choose(struct read_ahead *ahead, off_t offset) {
    struct read_ahead_window *oldest = &ahead->windows[0];
    for (size_t i = 0; i < READ_AHEAD_WINDOWS; i++) {
        struct read_ahead_window *window = &ahead->windows[i];
        if (is_near(window, offset)) {
            return window;
        }
        if (ahead->uses - window->used > ahead->uses - oldest->used) {
            oldest = window;
        }
    }
    oldest->wants = 0;
    return oldest;
}

static bool holds(const struct read_ahead_window *window, off_t offset, size_t size) {
    return offset >= window->start && offset + (off_t)size <= window->start + (off_t)window->size;
}

enum status read_ahead(struct read_ahead *ahead, int file, off_t offset, void *target,
                       size_t size) {
    if (size > READ_AHEAD_MIN) {
        return read_ahead_all(file, offset, target, size);
    }
    struct read_ahead_window *window = choose(ahead, offset);
    if (!holds(window, offset, size)) {
        size_t taken = 0;
        window->wants = window->wants == 0 ? READ_AHEAD_MIN : 2 * window->wants;
        window->wants = window->wants > READ_AHEAD_MAX ? READ_AHEAD_MAX : window->wants;
        window->size = 0;
        enum status status = read_some(file, offset, window->bytes, window->wants, &taken);
        if (status != STATUS_OK) {
            return status;
        }
        window->start = offset;
        window->size = (uint32_t)taken;
        if (taken < size) {
            errno = EIO;
            return STATUS_IO;
        }
    }
    ahead->uses += 1;
    window->used = ahead->uses;
    memcpy(target, window->bytes + (offset - window->start), size);
    return STATUS_OK;
}

void read_ahead_drop(struct read_ahead *ahead) {
    for (size_t i = 0; i < READ_AHEAD_WINDOWS; i++) {
        ahead->windows[i].size = 0;
        ahead->windows[i].wants = 0;
        ahead->windows[i].used = 0;
    }
    ahead->uses = 0;
}

void read_ahead_keep(struct read_ahead *ahead, off_t offset, const void *source, size_t size) {
    read_ahead_drop(ahead);
    if (size <= READ_AHEAD_MAX) {
        memcpy(ahead->windows[0].bytes, source, size);
        ahead->windows[0].start = offset;
        ahead->windows[0].size = (uint32_t)size;
    }
}

bool read_ahead_has(struct read_ahead *ahead, off_t offset, void *target, size_t size) {
    const struct read_ahead_window *window = &ahead->windows[0];
    if (window->size == 0 || !holds(window, offset, size)) {
        return false;
    }
    memcpy(target, window->bytes + (offset - window->start), size);
    return true;
}
