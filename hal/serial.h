/* serial.h - a serial line to a controller: bytes that never block, 8 bits, no parity, one stop
 * bit, no flow control.
 *
 * An implementation embeds `struct hal_serial` as its first member; the owner keeps the memory and
 * closes what it has opened. The line ends with the first UNPLUGGED or IO; it must then be closed,
 * and may be opened again once the adapter is back. */
#ifndef HAL_SERIAL_H
#define HAL_SERIAL_H

#include "hal/base.h"

struct hal_serial;

struct hal_serial_ops {
    enum status (*open)(struct hal_serial *serial, const char *path, uint32_t baud);
    enum status (*read)(struct hal_serial *serial, uint8_t *target, size_t size, size_t *size_read);
    enum status (*write)(struct hal_serial *serial, struct bytes source, size_t *size_written);
    void (*close)(struct hal_serial *serial);
};

struct hal_serial {
    const struct hal_serial_ops *ops;
    bool is_open;
    int handle; /* of an open line: what the platform waits on (Linux: a file descriptor) */
};

/* Opens the line for us alone and forgets what had come before. NOT_FOUND: there is no such device.
 * DENIED: the system does not let us. BUSY: another program has it. IO: it is no serial line, or
 * does not take the speed. NO_MEMORY. */
must_check static inline enum status hal_serial_open(struct hal_serial *serial, const char *path,
                                                     uint32_t baud) {
    check(serial->ops != NULL && !serial->is_open);
    enum status status = serial->ops->open(serial, path, baud);
    serial->is_open = status == STATUS_OK;
    return status;
}

/* OK: 1..size bytes came. AGAIN: none now; wait for `handle` to be readable. UNPLUGGED, IO. */
must_check static inline enum status hal_serial_read(struct hal_serial *serial, uint8_t *target,
                                                     size_t size, size_t *size_read) {
    check(serial->is_open && size > 0);
    return serial->ops->read(serial, target, size, size_read);
}

/* OK: 1..size bytes were taken. AGAIN: none now; wait for `handle` to be writable. UNPLUGGED, IO.
 */
must_check static inline enum status hal_serial_write(struct hal_serial *serial,
                                                      struct bytes source, size_t *size_written) {
    check(serial->is_open && source.size > 0);
    return serial->ops->write(serial, source, size_written);
}

/* Harmless when it is not open. */
static inline void hal_serial_close(struct hal_serial *serial) {
    if (serial->is_open) {
        serial->ops->close(serial);
        serial->is_open = false;
    }
}

#endif
