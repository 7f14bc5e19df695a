/* adb_rig.h - hubd as adb server over one emulated phone, all in this process and loop. */
#ifndef TESTS_HOST_ADB_RIG_H
#define TESTS_HOST_ADB_RIG_H

#include "host/hubd/adb/adb_endpoint.h"

enum {
    ADB_RIG_TOKEN = 7, /* of the phone's running lease */
    ADB_RIG_CLIENTS = 100,
    ADB_RIG_PATIENCE_MS = 15 * 1000
};

extern struct adb_host adb_rig_host;
extern struct phone_line adb_rig_line; /* of the phone, SIM001 */
extern struct adb_endpoint *adb_rig_endpoint;

/* A lease's endpoint is open, its phone online; no clients. */
int adb_rig_open(void **state);
int adb_rig_close(void **state);

/* The lease is another one, or over. */
void adb_rig_set_token(uint64_t token);
void adb_rig_end_lease(void);

/* Lets everybody work once. */
void adb_rig_turn(void);

/* A nonblocking client of the endpoint; the caller closes it. */
int adb_rig_connect(void);
/* Four hex digits and the text. */
void adb_rig_ask(int client, const char *text);
void adb_rig_say(int client, const void *bytes, size_t size);
/* Waits until so many bytes have come, or the end; gives how many. NUL-terminated. */
size_t adb_rig_hear(int client, char *target, size_t size);
void adb_rig_expect(int client, const char *text);
void adb_rig_expect_end(int client);
/* Connects to SIM001 and opens a service, which must be accepted. */
int adb_rig_service(const char *name);
/* Waits until no client is served. */
void adb_rig_wait_quiet(void);
uint32_t adb_rig_served(void);

#endif
