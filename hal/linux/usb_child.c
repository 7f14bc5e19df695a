#include "hal/linux/usb_child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/usbdevice_fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The exit status of a child is 0 or an errno. */
_Noreturn static void leave(bool is_done) {
    _exit(is_done ? 0 : errno == 0 ? EIO : errno);
}

static enum status watch(struct usb_child *child, uint32_t device, pid_t pid, bool is_switch) {
    int handle = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    if (handle < 0) {
        return STATUS_NO_MEMORY; /* a child that nobody waits for is harmless, and soon gone */
    }
    *child = (struct usb_child){
        .device = device, .child = pid, .handle = handle, .is_switch = is_switch};
    return STATUS_OK;
}

enum status usb_child_reset(struct usb_child *child, uint32_t device, unsigned bus,
                            unsigned address) {
    char node[64];
    snprintf(node, sizeof node, "/dev/bus/usb/%03u/%03u", bus, address);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(node, O_RDWR | O_CLOEXEC);
        leave(fd >= 0 && ioctl(fd, USBDEVFS_RESET, NULL) >= 0);
    }
    return watch(child, device, pid, false);
}

enum status usb_child_switch(struct usb_child *child, uint32_t hub, int file, char value) {
    pid_t pid = fork();
    if (pid == 0) {
        leave(write(file, &value, 1) == 1);
    }
    close(file);
    return watch(child, hub, pid, true);
}

enum status usb_child_poll(struct usb_child *child) {
    int state = 0;
    pid_t ended = waitpid(child->child, &state, WNOHANG);
    if (ended == 0) {
        return STATUS_AGAIN;
    }
    close(child->handle);
    child->device = 0;
    int error = ended > 0 && WIFEXITED(state) ? WEXITSTATUS(state) : EIO;
    bool is_gone = error == ENODEV || error == ENOENT || error == ENXIO;
    return error == 0        ? STATUS_OK
           : is_gone         ? STATUS_UNPLUGGED
           : error == EACCES ? STATUS_DENIED
                             : STATUS_IO;
}
