#include "hal/linux/system_call_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#define CALL_MAX 0x3fffffffu /* above: the x32 form of the same calls */
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#define CALL_MAX UINT32_MAX
#else
_Static_assert(false, "name this machine's architecture here");
#endif

/* Kernel surface that escapes have used and that no test tool needs; the keyring is also shared
 * with the host's user. */
static const uint32_t refused[] = {
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_ptrace,
    SYS_acct,
    SYS_swapon,
    SYS_swapoff,
    SYS_reboot,
    SYS_syslog,
    SYS_quotactl,
    SYS_lookup_dcookie,
    SYS_pidfd_getfd,
    SYS_fanotify_init,
    SYS_mbind,
    SYS_move_pages,
    SYS_migrate_pages,
};

enum { HEAD = 4, TAIL = 7, FILTER_MAX = HEAD + 2 * array_count(refused) + TAIL };

static uint32_t put(struct sock_filter *filter, uint32_t at, struct sock_filter line) {
    check(at < FILTER_MAX);
    filter[at] = line;
    return at + 1;
}

#define LOAD(member)                                                                               \
    ((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,                                        \
                                  (uint32_t)offsetof(struct seccomp_data, member)))
#define IF(test, value, yes, no)                                                                   \
    ((struct sock_filter)BPF_JUMP(BPF_JMP | (test) | BPF_K, (value), (yes), (no)))
#define RETURN(value) ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, (value)))
#define REFUSE(error) RETURN(SECCOMP_RET_ERRNO | (error))

int system_call_filter_open(void) {
    struct sock_filter filter[FILTER_MAX];
    uint32_t at = 0;
    at = put(filter, at, LOAD(arch));
    at = put(filter, at, IF(BPF_JEQ, ARCHITECTURE, 1, 0));
    at = put(filter, at, RETURN(SECCOMP_RET_KILL_PROCESS)); /* another way to count the calls */
    at = put(filter, at, LOAD(nr));
    for (size_t i = 0; i < array_count(refused); i++) {
        at = put(filter, at, IF(BPF_JEQ, refused[i], 0, 1));
        at = put(filter, at, REFUSE(EPERM));
    }
    at = put(filter, at, IF(BPF_JGT, CALL_MAX, 4, 0));
    /* Sockets: Unix, and the (empty) internet of the own namespace; nothing rarer. */
    at = put(filter, at, IF(BPF_JEQ, SYS_socket, 0, 4));
    at = put(filter, at, LOAD(args[0]));
    at = put(filter, at, IF(BPF_JEQ, AF_INET6, 2, 0));
    at = put(filter, at, IF(BPF_JGT, AF_INET, 0, 1));
    at = put(filter, at, REFUSE(EAFNOSUPPORT));
    at = put(filter, at, RETURN(SECCOMP_RET_ALLOW));

    int fd = memfd_create("system-call-filter", MFD_CLOEXEC);
    size_t bytes = at * sizeof filter[0];
    if (fd >= 0 && write(fd, filter, bytes) != (ssize_t)bytes) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}
