/* net.h - byte streams to other machines: plain TCP, Unix sockets and TLS behind one interface.
 *
 * A stream never blocks. An implementation embeds `struct hal_stream` as its first member; the
 * owner keeps the memory and calls hal_stream_close() exactly once. Who waits for readiness asks
 * hal_stream_wants() after each call: TLS may need to read in order to write. */
#ifndef HAL_NET_H
#define HAL_NET_H

#include "hal/base.h"

enum { HAL_STREAM_READABLE = 1, HAL_STREAM_WRITABLE = 2 };

struct hal_stream;

struct hal_stream_ops {
    enum status (*read)(struct hal_stream *stream, void *target, size_t size, size_t *size_read);
    enum status (*write)(struct hal_stream *stream, const void *source, size_t size,
                         size_t *size_written);
    void (*close)(struct hal_stream *stream);
};

struct hal_stream {
    const struct hal_stream_ops *ops; /* NULL: closed */
    int handle;                       /* what the platform waits on (Linux: a file descriptor) */
    unsigned wants;                   /* HAL_STREAM_* that the last call lacked; 0: none */
    bool has_buffered;                /* bytes wait inside the stream, not in the handle: read on */
};

/* OK: 1..size bytes came. AGAIN: none now. CLOSED: the peer ended the stream in order. Anything
 * else ends the stream: IO, TIMEOUT, DENIED, UNTRUSTED, MALFORMED, NO_MEMORY. */
must_check static inline enum status hal_stream_read(struct hal_stream *stream, void *target,
                                                     size_t size, size_t *size_read) {
    check(stream->ops != NULL);
    check(size > 0);
    return stream->ops->read(stream, target, size, size_read);
}

/* OK: 1..size bytes were taken. AGAIN: none now; the same bytes must be offered again (TLS). */
must_check static inline enum status hal_stream_write(struct hal_stream *stream, const void *source,
                                                      size_t size, size_t *size_written) {
    check(stream->ops != NULL);
    check(size > 0);
    return stream->ops->write(stream, source, size, size_written);
}

static inline void hal_stream_close(struct hal_stream *stream) {
    check(stream->ops != NULL);
    stream->ops->close(stream);
    stream->ops = NULL;
}

static inline bool hal_stream_is_open(const struct hal_stream *stream) {
    return stream->ops != NULL;
}

#endif
