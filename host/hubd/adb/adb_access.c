#include "host/hubd/adb/adb_access.h"

#include "hal/linux/peer.h"
#include "host/hubd/adb/adb_endpoint.h"
#include "host/shared/config.h"
#include "host/shared/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

bool adb_access_take(struct adb_users *users, const char *list) {
    char part[16];
    while (config_next_part(&list, part, sizeof part)) {
        uint64_t user = 0;
        if (users->count == ADB_USERS_MAX ||
            config_integer(part, 0, ADB_ANY_USER - 1, &user) != STATUS_OK) {
            return false;
        }
        users->list[users->count++] = (uint32_t)user;
    }
    return list == NULL;
}

static bool is_listed(const struct adb_users *users, uint32_t user) {
    for (uint32_t i = 0; i < users->count; i++) {
        if (users->list[i] == user) {
            return true;
        }
    }
    return false;
}

static bool is_master(uint32_t user) {
    return user == 0 || user == geteuid();
}

bool adb_access_may_name(const struct adb_host *host, uint32_t user) {
    return host->users.count == 0 || is_master(user) || is_listed(&host->users, user);
}

bool adb_access_has_rule(const struct adb_endpoint *endpoint) {
    return endpoint->scope != ADB_SCOPE_OPERATORS &&
           (endpoint->wish.user != ADB_ANY_USER || endpoint->host->users.count > 0);
}

bool adb_access_allows(const struct adb_endpoint *endpoint, int socket) {
    uint32_t user = 0;
    if (peer_user(socket, &user) != STATUS_OK) {
        return false;
    }
    bool is_named = endpoint->wish.user == ADB_ANY_USER ? is_listed(&endpoint->host->users, user)
                                                        : user == endpoint->wish.user;
    if (!is_named && !is_master(user)) {
        log_warn("adb_user_refused phone=%s user=%u",
                 endpoint->host->hub->phones[endpoint->phone].id, user);
        return false;
    }
    return true;
}

/* ---- over a restart ---- */

enum status adb_access_open(struct adb_host *host) {
    char path[ADB_PATH_SIZE + 8];
    snprintf(path, sizeof path, "%.80s/.wishes", host->dir);
    host->wishes = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return host->wishes >= 0 ? STATUS_OK : STATUS_IO;
}

void adb_access_keep(const struct adb_endpoint *endpoint) {
    const struct adb_host *host = endpoint->host;
    struct adb_wish wish = endpoint->wish;
    off_t at = (endpoint - host->endpoints) * (off_t)sizeof wish;
    (void)!pwrite(host->wishes, &wish, sizeof wish, at);
}

void adb_access_load(const struct adb_host *host, struct adb_wish *wishes, size_t count) {
    size_t size = count * sizeof *wishes;
    ssize_t got = pread(host->wishes, wishes, size, 0);
    size_t whole = got > 0 ? (size_t)got / sizeof *wishes : 0;
    for (size_t i = whole; i < count; i++) {
        wishes[i] = (struct adb_wish){.token = 0};
    }
}
