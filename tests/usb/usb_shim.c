/* usb_shim.so - preloaded before umockdev's library: takes a program's usbfs calls to usb_bus.
 *
 * umockdev itself can do that for at most 50 open devices; here it only shows /sys and sends the
 * events. A device's node is a named pipe that usb_bus keeps full or empty, so that poll() on it
 * behaves as on usbfs. Blocking transfers (USBDEVFS_BULK, USBDEVFS_CONTROL) are made of the
 * others. */
#include "tests/usb/usb_shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/usbdevice_fs.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { FILES = 4096, DATA_IN = 0x80, SETUP_BYTES = 8, FOREVER_MS = 3600000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int connection = -1;
static pid_t owner;
static uint32_t handles[FILES]; /* 0: not ours */

/* ---- the wire ---- */

static bool move_all(bool is_out, void *data, size_t size) {
    size_t at = 0;
    while (at < size) {
        ssize_t count = is_out ? syscall(SYS_write, connection, (char *)data + at, size - at)
                               : syscall(SYS_read, connection, (char *)data + at, size - at);
        if (count <= 0 && errno != EINTR) {
            return false;
        }
        at += count > 0 ? (size_t)count : 0;
    }
    return true;
}

static bool connect_bus(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (connection >= 0 && owner == getpid()) {
        return true;
    }
    snprintf(address.sun_path, sizeof address.sun_path, "%s/usb.sock", getenv("UMOCKDEV_DIR"));
    connection = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    owner = getpid();
    return connection >= 0 && syscall(SYS_connect, connection, &address, sizeof address) == 0;
}

struct call {
    struct shim_request request;
    struct shim_answer answer;
    const void *first, *second; /* what is sent */
    uint32_t first_size, second_size;
};

/* Leaves `answer.size` bytes to be taken; the lock is held. */
static bool say(struct call *call) {
    call->request.size = call->first_size + call->second_size;
    return connect_bus() && move_all(true, &call->request, sizeof call->request) &&
           move_all(true, (void *)(uintptr_t)call->first, call->first_size) &&
           move_all(true, (void *)(uintptr_t)call->second, call->second_size) &&
           move_all(false, &call->answer, sizeof call->answer);
}

static int end(const struct call *call, bool is_good) {
    pthread_mutex_unlock(&lock);
    if (!is_good || call->answer.result < 0) {
        errno = is_good ? call->answer.error : ENODEV;
        return -1;
    }
    return call->answer.result;
}

/* ---- calls ---- */

static int submit_urb(uint32_t handle, struct usbdevfs_urb *urb) {
    bool sends = (urb->endpoint & DATA_IN) == 0 || urb->type == USBDEVFS_URB_TYPE_CONTROL;
    struct call call = {
        .request = {SHIM_IOCTL, handle, (uint32_t)USBDEVFS_SUBMITURB, 0, (uintptr_t)urb},
        .first = urb,
        .first_size = sizeof *urb,
        .second = urb->buffer,
        .second_size = sends ? (uint32_t)urb->buffer_length : 0,
    };
    pthread_mutex_lock(&lock);
    return end(&call, say(&call));
}

static int reap_urb(uint32_t handle, void **target) {
    struct call call = {.request = {SHIM_IOCTL, handle, (uint32_t)USBDEVFS_REAPURBNDELAY, 0, 0}};
    pthread_mutex_lock(&lock);
    bool is_good = say(&call);
    if (is_good && call.answer.result == 0) {
        struct usbdevfs_urb *urb = (struct usbdevfs_urb *)(uintptr_t)call.answer.address;
        size_t from = urb->type == USBDEVFS_URB_TYPE_CONTROL ? SETUP_BYTES : 0;
        is_good = move_all(false, (char *)urb->buffer + from, call.answer.size);
        urb->status = call.answer.status;
        urb->actual_length = (int)call.answer.moved;
        *target = urb;
    }
    return end(&call, is_good);
}

static int plain(uint32_t handle, unsigned long request, void *argument) {
    uint32_t size = _IOC_SIZE(request);
    struct call call = {
        .request = {SHIM_IOCTL, handle, (uint32_t)request, 0, (uintptr_t)argument},
        .first = argument,
        .first_size = size,
    };
    pthread_mutex_lock(&lock);
    bool is_good = say(&call) && move_all(false, argument, call.answer.size);
    return end(&call, is_good);
}

/* A blocking transfer: submit, then wait for this URB. */
static int transfer(int file, struct usbdevfs_urb *urb, unsigned timeout_ms) {
    uint32_t handle = handles[file];
    void *done = NULL;
    unsigned waited_ms = 0;
    unsigned limit_ms = timeout_ms == 0 ? FOREVER_MS : timeout_ms;
    if (submit_urb(handle, urb) != 0) {
        return -1;
    }
    while (reap_urb(handle, &done) != 0) {
        struct pollfd poll_on = {.fd = file, .events = POLLOUT};
        if (errno != EAGAIN) {
            return -1;
        }
        if (waited_ms >= limit_ms) {
            (void)plain(handle, USBDEVFS_DISCARDURB, urb);
            (void)reap_urb(handle, &done);
            errno = ETIMEDOUT;
            return -1;
        }
        waited_ms += poll(&poll_on, 1, 10) == 0 ? 10 : 0;
    }
    if (urb->status != 0) {
        errno = -urb->status;
        return -1;
    }
    return urb->actual_length;
}

static int bulk(int file, const struct usbdevfs_bulktransfer *of) {
    struct usbdevfs_urb urb = {
        .type = USBDEVFS_URB_TYPE_BULK,
        .endpoint = (unsigned char)of->ep,
        .buffer = of->data,
        .buffer_length = (int)of->len,
    };
    return transfer(file, &urb, of->timeout);
}

static int control(int file, const struct usbdevfs_ctrltransfer *of) {
    uint8_t data[SETUP_BYTES + 4096];
    struct usbdevfs_urb urb = {
        .type = USBDEVFS_URB_TYPE_CONTROL,
        .buffer = data,
        .buffer_length = SETUP_BYTES + of->wLength,
    };
    if (of->wLength > 4096) {
        errno = EINVAL;
        return -1;
    }
    memcpy(data, of, SETUP_BYTES);
    if ((of->bRequestType & DATA_IN) == 0) {
        memcpy(data + SETUP_BYTES, of->data, of->wLength);
    }
    int size = transfer(file, &urb, of->timeout);
    if (size > 0 && (of->bRequestType & DATA_IN) != 0) {
        memcpy(of->data, data + SETUP_BYTES, (size_t)size);
    }
    return size;
}

/* ---- what the program calls ---- */

static void close_handle(uint32_t handle) {
    struct call call = {.request = {SHIM_CLOSE, handle, 0, 0, 0}};
    pthread_mutex_lock(&lock);
    (void)end(&call, say(&call));
}

static int open_device(const char *path, int flags) {
    char real[512];
    unsigned bus, device;
    if (sscanf(path, "/dev/bus/usb/%u/%u", &bus, &device) != 2) {
        errno = ENOENT;
        return -1;
    }
    /* The bus first: the event of a device's coming may be here before its node, not its answer. */
    struct call call = {.request = {SHIM_OPEN, device, (uint32_t)flags, 0, 0}};
    pthread_mutex_lock(&lock);
    int handle = end(&call, say(&call));
    if (handle < 0) {
        return -1;
    }
    snprintf(real, sizeof real, "%s%s", getenv("UMOCKDEV_DIR"), path);
    int file = (int)syscall(SYS_openat, AT_FDCWD, real, (flags & ~O_ACCMODE) | O_RDWR | O_NONBLOCK);
    if (file < 0 || file >= FILES) {
        int error = file < 0 ? errno : EMFILE;
        close_handle((uint32_t)handle);
        errno = error;
        return -1;
    }
    handles[file] = (uint32_t)handle;
    return file;
}

/* A device's descriptors are what its node holds (fastboot reads them there). */
static ssize_t read_device(int file, void *target, size_t size) {
    struct call call = {.request = {SHIM_READ, handles[file], 0, 0, 0}};
    uint8_t data[4096];
    pthread_mutex_lock(&lock);
    bool is_good =
        say(&call) && call.answer.size <= sizeof data && move_all(false, data, call.answer.size);
    ssize_t count = end(&call, is_good);
    if (count >= 0) {
        count = call.answer.size < size ? (ssize_t)call.answer.size : (ssize_t)size;
        memcpy(target, data, (size_t)count);
    }
    return count;
}

static int open_other(const char *name, const char *path, int flags, unsigned mode) {
    int (*next)(const char *, int, ...);
    *(void **)&next = dlsym(RTLD_NEXT, name);
    return next(path, flags, mode);
}

static bool is_ours(const char *path) {
    return strncmp(path, "/dev/bus/usb/", 13) == 0 && path[13] != '\0' &&
           getenv("UMOCKDEV_DIR") != NULL && strchr(path + 13, '/') != NULL;
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, unsigned) : 0;
    va_end(more);
    return is_ours(path) ? open_device(path, flags) : open_other("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, unsigned) : 0;
    va_end(more);
    return is_ours(path) ? open_device(path, flags) : open_other("open64", path, flags, mode);
}

/* What open() becomes in programs built with _FORTIFY_SOURCE. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);

int __open_2(const char *path, int flags) {
    return open(path, flags);
}

int __open64_2(const char *path, int flags) {
    return open64(path, flags);
}

ssize_t read(int file, void *target, size_t size) {
    ssize_t (*next)(int, void *, size_t);
    if (file >= 0 && file < FILES && handles[file] != 0) {
        return read_device(file, target, size);
    }
    *(void **)&next = dlsym(RTLD_NEXT, "read");
    return next(file, target, size);
}

/* What read() becomes in programs built with _FORTIFY_SOURCE. */
ssize_t __read_chk(int file, void *target, size_t size, size_t room);

ssize_t __read_chk(int file, void *target, size_t size, size_t room) {
    return read(file, target, size < room ? size : room);
}

int close(int file) {
    int (*next)(int);
    *(void **)&next = dlsym(RTLD_NEXT, "close");
    if (file >= 0 && file < FILES && handles[file] != 0) {
        close_handle(handles[file]);
        handles[file] = 0;
    }
    return next(file);
}

/* A serial adapter has modem lines; the pseudo-terminal that stands in for it has none, and
 * libserialport takes no line without them. */
static bool is_modem_line(unsigned long request, void *argument) {
    if (getenv("UMOCKDEV_DIR") == NULL) {
        return false;
    }
    if (request == TIOCMGET) {
        *(int *)argument = 0;
    }
    return request == TIOCMGET || request == TIOCMSET || request == TIOCMBIS || request == TIOCMBIC;
}

int ioctl(int file, unsigned long request, ...) {
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    if (file < 0 || file >= FILES || handles[file] == 0) {
        int (*next)(int, unsigned long, ...);
        *(void **)&next = dlsym(RTLD_NEXT, "ioctl");
        int result = next(file, request, argument);
        return result != 0 && is_modem_line(request, argument) ? 0 : result;
    }
    switch ((uint32_t)request) {
    case (uint32_t)USBDEVFS_SUBMITURB:
        return submit_urb(handles[file], argument);
    case (uint32_t)USBDEVFS_REAPURBNDELAY:
        return reap_urb(handles[file], argument);
    case (uint32_t)USBDEVFS_BULK:
        return bulk(file, argument);
    case (uint32_t)USBDEVFS_CONTROL:
        return control(file, argument);
    default:
        return plain(handles[file], request, argument);
    }
}
