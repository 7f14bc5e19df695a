/* adb_forward.h - forwarded ports of a lease (client → phone) and reversed ones (phone → client).
 *
 * Only TCP ports, in the lease's own network: a run container's, or this machine's loopback when
 * the configuration allows it. A phone may open towards us only what its own lease has reversed. */
#ifndef HOST_HUBD_ADB_FORWARD_H
#define HOST_HUBD_ADB_FORWARD_H

#include "host/hubd/adb/adb_endpoint.h"

/* Ports of this machine's loopback, or none. */
struct adb_ports adb_forward_ports(bool is_allowed);

struct adb_forward_order {
    uint32_t phone;
    struct bytes local;  /* tcp:PORT; port 0: any */
    struct bytes remote; /* a service of the phone */
    bool is_once;        /* refuse to replace an existing one */
};

/* On OK `chosen` is the port of a new listener, 0 when one was only led elsewhere; as AOSP says it.
 * Else `error` is AOSP's text. */
must_check enum status adb_forward_add(struct adb_endpoint *endpoint,
                                       const struct adb_forward_order *order, uint16_t *chosen,
                                       char error[ADB_SERVER_ERROR_SIZE]);
bool adb_forward_remove(struct adb_endpoint *endpoint, struct bytes local);
void adb_forward_close_all(struct adb_endpoint *endpoint);
/* "SERIAL LOCAL REMOTE" lines; the bytes written. */
size_t adb_forward_list(const struct adb_endpoint *endpoint, char *target, size_t capacity);

/* Remembers what a client's `reverse:` service asks the phone to open towards us. */
void adb_forward_note(struct adb_endpoint *endpoint, struct bytes service);
/* For phone_link.h: a phone opens a stream; the owner is the host. */
bool adb_forward_asked(void *owner, struct phone_link *link, uint32_t id, struct bytes service);
/* Removes from the phone what the lease has reversed. */
void adb_forward_clean(struct adb_endpoint *endpoint, struct phone_link *link);

#endif
