/* Any bytes as a capability's file: OK and all within its limits, or an error that names file and
 * line. The file is one in memory. */
#include "host/shared/capability_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct capability capability;
static struct action_list list;
static char path[32];
static int file = -1;

static void make_file(void) {
    file = memfd_create("capability", MFD_CLOEXEC);
    if (file < 0) {
        perror("memfd_create");
        abort();
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
}

static void write_file(const uint8_t *data, size_t size) {
    if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != (ssize_t)size) {
        perror("file in memory");
        abort();
    }
}

static void look_at_whole(void) {
    check(memchr(capability.name, '\0', sizeof capability.name) != NULL);
    check(capability.name[0] != '\0' && capability.attempts_max > 0 && capability.routings != 0);
    check(list.count <= CAPABILITY_ACTIONS_MAX && capability.action_count == list.count);
    for (uint32_t i = 0; i < list.count; i++) {
        const struct action *action = &list.actions[i];
        check(memchr(action->command, '\0', sizeof action->command) != NULL);
        check(action->rule_count <= array_count(action->rules));
        check(action->limit_count <= array_count(action->limits));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct config_error error = {""};
    if (file < 0) {
        make_file();
    }
    write_file(data, size);
    enum status status = capability_file_read(path, &capability, &list, &error);
    check(memchr(error.text, '\0', sizeof error.text) != NULL);
    if (status == STATUS_OK) {
        look_at_whole();
    } else {
        check(strncmp(error.text, path, strlen(path)) == 0);
    }
    return 0;
}
