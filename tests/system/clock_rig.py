"""A program's clocks, moved while it runs: a library that is loaded before it reads them from a page
that the test writes."""

import mmap
import os
import struct
import subprocess

import rig

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
/* Seconds that CLOCK_BOOTTIME is ahead, and whether the wall clock is unset: then it shows 1970,
 * as without a clock chip. */
static volatile int64_t *page;

__attribute__((constructor)) static void open_page(void) {
    page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, open(getenv("CLOCK_PAGE"), O_RDONLY), 0);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    if (id == CLOCK_BOOTTIME) {
        now->tv_sec += page[0];
    }
    if (id == CLOCK_REALTIME && page[1] != 0) {
        now->tv_sec = 1000;
    }
    return result;
}

time_t time(time_t *now) {
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    if (now != NULL) {
        *now = wall.tv_sec;
    }
    return wall.tv_sec;
}
"""

# A sanitizer must be loaded first.
IS_POSSIBLE = "address" not in rig.BIN


class Clocks:
    """Clocks of programs that are started with `environment`; files go to `folder`."""

    def __init__(self, folder):
        source, library = os.path.join(folder, "clock.c"), os.path.join(folder, "clock.so")
        page = os.path.join(folder, "clock-page")
        with open(source, "w", encoding="utf-8") as file:
            file.write(SHIM)
        with open(page, "wb") as file:
            file.write(bytes(4096))
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        with open(page, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 4096)
        self.environment = dict(os.environ, LD_PRELOAD=library, CLOCK_PAGE=page)

    def go_ahead(self, seconds):
        """Moves the boot clock on."""
        struct.pack_into("q", self.page, 0, self.ahead() + int(seconds))

    def set_known(self, is_known):
        struct.pack_into("q", self.page, 8, 0 if is_known else 1)

    def ahead(self):
        return struct.unpack_from("q", self.page, 0)[0]
