/* adb_access.h - which users of this machine may use a lease's endpoint.
 *
 * root and hubd's own user always may. Beyond them: the user that the lease names; when it names
 * none, those of `[adb] users`; when there are none either, a Unix socket is for whom its file lets
 * in (hubd's group), and a TCP port for nobody else. What a lease has named outlives a restart of
 * hubd, in a small file beside the sockets. */
#ifndef HOST_HUBD_ADB_ACCESS_H
#define HOST_HUBD_ADB_ACCESS_H

#include "hal/base.h"

#define ADB_ANY_USER UINT32_MAX /* the lease names none */

enum { ADB_USERS_MAX = 16 };

struct adb_endpoint;
struct adb_host;

struct adb_users {
    uint32_t list[ADB_USERS_MAX];
    uint32_t count;
};

/* What a lease has asked for. */
struct adb_wish {
    uint64_t token;
    uint32_t user; /* ADB_ANY_USER: none named */
    uint16_t port; /* of its TCP port; 0: none */
};

/* Adds user ids, a list with commas. False: not such a list, or more than ADB_USERS_MAX. */
must_check bool adb_access_take(struct adb_users *users, const char *list);

/* Whether a lease may name this user. */
bool adb_access_may_name(const struct adb_host *host, uint32_t user);

/* Whether users are told apart at the endpoint's Unix socket, rather than by its file's mode. */
bool adb_access_has_rule(const struct adb_endpoint *endpoint);
/* Whether who connected may use the endpoint. */
bool adb_access_allows(const struct adb_endpoint *endpoint, int socket);

/* The file of wishes, `DIR/.wishes`. IO. */
must_check enum status adb_access_open(struct adb_host *host);
/* Keeps what the endpoint's lease has asked for; a failure only costs it after a restart. */
void adb_access_keep(const struct adb_endpoint *endpoint);
/* All wishes from before a restart; 0 is no lease's token. */
void adb_access_load(const struct adb_host *host, struct adb_wish *wishes, size_t count);

#endif
