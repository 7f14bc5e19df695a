#include "hal/linux/serial_port.h"

#include <errno.h>
#include <libserialport.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

static struct serial_port *port_of(struct hal_serial *serial) {
    return (struct serial_port *)(void *)serial;
}

static enum status status_of_errno(int error) {
    switch (error) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return STATUS_NOT_FOUND;
    case EACCES:
    case EPERM:
        return STATUS_DENIED;
    case EBUSY:
        return STATUS_BUSY;
    default:
        return STATUS_IO;
    }
}

static enum status status_of(enum sp_return result) {
    switch (result) {
    case SP_OK:
        return STATUS_OK;
    case SP_ERR_ARG:
        return STATUS_NOT_FOUND;
    case SP_ERR_MEM:
        return STATUS_NO_MEMORY;
    case SP_ERR_FAIL:
    case SP_ERR_SUPP:
    default:
        return status_of_errno(errno);
    }
}

/* False: there is nothing of that name. */
static bool resolve(const char *path, char name[PATH_MAX]) {
    bool is_link = strncmp(path, "/dev/", 5) != 0 || strchr(path + 5, '/') != NULL;
    if (is_link) {
        return realpath(path, name) != NULL;
    }
    size_t size = strlen(path);
    if (size >= PATH_MAX) {
        return false;
    }
    memcpy(name, path, size + 1);
    return true;
}

static enum sp_return set_up(struct sp_port *port, uint32_t baud) {
    enum sp_return result = sp_set_baudrate(port, (int)baud);
    result = result == SP_OK ? sp_set_bits(port, 8) : result;
    result = result == SP_OK ? sp_set_parity(port, SP_PARITY_NONE) : result;
    result = result == SP_OK ? sp_set_stopbits(port, 1) : result;
    result = result == SP_OK ? sp_set_flowcontrol(port, SP_FLOWCONTROL_NONE) : result;
    return result == SP_OK ? sp_flush(port, SP_BUF_BOTH) : result;
}

static enum status open_port(struct hal_serial *serial, const char *path, uint32_t baud) {
    struct serial_port *port = port_of(serial);
    char name[PATH_MAX];
    if (!resolve(path, name)) {
        return status_of_errno(errno);
    }
    enum status status = status_of(sp_get_port_by_name(name, &port->port));
    if (status != STATUS_OK) {
        return status;
    }
    status = status_of(sp_open(port->port, SP_MODE_READ_WRITE));
    if (status == STATUS_OK) {
        enum sp_return result = set_up(port->port, baud);
        result = result == SP_OK ? sp_get_port_handle(port->port, &serial->handle) : result;
        status = status_of(result);
        if (status != STATUS_OK) {
            (void)sp_close(port->port);
        }
    }
    if (status != STATUS_OK) {
        sp_free_port(port->port);
        port->port = NULL;
    }
    return status;
}

/* libserialport tells "nothing yet" and "gone" by the same 0. */
static enum status outcome_of(const struct hal_serial *serial, enum sp_return moved, size_t *size) {
    struct pollfd poll_on = {.fd = serial->handle};
    if (moved < 0) {
        return STATUS_IO;
    }
    if (moved > 0) {
        *size = (size_t)moved;
        return STATUS_OK;
    }
    bool is_gone = poll(&poll_on, 1, 0) > 0 && (poll_on.revents & (POLLHUP | POLLERR)) != 0;
    return is_gone ? STATUS_UNPLUGGED : STATUS_AGAIN;
}

static enum status read_port(struct hal_serial *serial, uint8_t *target, size_t size,
                             size_t *size_read) {
    enum sp_return moved = sp_nonblocking_read(port_of(serial)->port, target, size);
    return outcome_of(serial, moved, size_read);
}

static enum status write_port(struct hal_serial *serial, struct bytes source,
                              size_t *size_written) {
    enum sp_return moved = sp_nonblocking_write(port_of(serial)->port, source.data, source.size);
    return outcome_of(serial, moved, size_written);
}

static void close_port(struct hal_serial *serial) {
    struct serial_port *port = port_of(serial);
    (void)sp_close(port->port);
    sp_free_port(port->port);
    port->port = NULL;
}

static const struct hal_serial_ops ops = {
    .open = open_port,
    .read = read_port,
    .write = write_port,
    .close = close_port,
};

void serial_port_init(struct serial_port *port) {
    *port = (struct serial_port){.serial = {.ops = &ops, .handle = -1}};
}
