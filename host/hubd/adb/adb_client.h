/* adb_client.h - one connection of an adb client, or of a forward or reverse, to an endpoint.
 *
 * Used by the files of the endpoint only. A client is served until it, the phone or the lease ends;
 * what the phone sent before its end is still delivered. */
#ifndef HOST_HUBD_ADB_CLIENT_H
#define HOST_HUBD_ADB_CLIENT_H

#include "host/hubd/adb/adb_endpoint.h"

/* Takes over a socket; says FAIL and closes it when the table is full. One that `is_another` user's
 * hears at its first request that the phone is not for it. */
void adb_client_begin(struct adb_endpoint *endpoint, struct hal_stream socket, bool is_another);

/* The same for a connection to a forwarded port: opens the service at once, without words. */
void adb_client_begin_plain(struct adb_endpoint *endpoint, struct hal_stream socket, uint32_t phone,
                            const char *service);
/* And for what a phone opened: the socket is connected, or connecting. False: no room. */
bool adb_client_begin_asked(struct adb_endpoint *endpoint, struct hal_stream socket,
                            struct phone_link *link, uint32_t id);

/* Ends it at once, whatever waits. */
void adb_client_end(struct adb_client *client);

/* Looks whether what it watches has changed. Harmless for others. */
void adb_client_watch(struct adb_client *client);

/* ---- for adb_services.c ---- */

/* Adds bytes to what is sent. They must fit: answers are made in an empty buffer. */
void adb_client_say(struct adb_client *client, const char *word);
void adb_client_say_bytes(struct adb_client *client, struct bytes bytes);
void adb_client_say_string(struct adb_client *client, struct bytes text);
/* Says FAIL and why; closes. */
void adb_client_fail(struct adb_client *client, const char *error);
/* Closes once everything is sent. */
void adb_client_finish(struct adb_client *client);
/* Opens the service in the buffer's [begin, end) on the phone of this id. */
void adb_client_open(struct adb_client *client, uint64_t id);
/* From now on adb_client_watch() answers. `serial` is copied; too long ones are refused. */
void adb_client_begin_watch(struct adb_client *client, enum adb_client_step step,
                            const struct adb_request *request);

#endif
