/* adb_services.h - what hubd answers to an adb client's requests (protocol/adb_server.h). */
#ifndef HOST_HUBD_ADB_SERVICES_H
#define HOST_HUBD_ADB_SERVICES_H

#include "host/hubd/adb/adb_client.h"

/* Handles one request; its text lies in the client's buffer at [begin, end). Afterwards the client
 * asks again only when it has chosen a phone. */
void adb_services_handle(struct adb_client *client, struct bytes text);

#endif
