/* tls_rig.h - a TLS client and a TLS server in one process, joined by loopback TCP, for tests. */
#ifndef TESTS_HAL_TLS_RIG_H
#define TESTS_HAL_TLS_RIG_H

#include "hal/linux/tls_mbedtls.h"

#define TLS_RIG_CERTS "build/test-certs/"

struct tls_rig {
    struct tls_config server_config, client_config;
    struct tls_stream server, client;
    enum status server_status, client_status; /* of the handshake */
};

/* Settings over the folders that test_certs.sh makes (`good`, `expired`, `foreign`). */
struct tls_settings tls_rig_server(const char *ca, const char *own);
struct tls_settings tls_rig_client(const char *ca, const char *own); /* own NULL: no certificate */

/* Group setup: makes the certificates. */
int tls_rig_make_certs(void **state);

/* Opens both configs. */
void tls_rig_open(struct tls_rig *rig, struct tls_settings server, struct tls_settings client);
/* A TCP connection, in client.socket and server.socket. */
void tls_rig_join(struct tls_rig *rig);
/* Joins and opens both streams; their status (OK unless out of memory) is in the rig. */
void tls_rig_connect(struct tls_rig *rig, const char *name, struct tls_session *session);
/* Drives both sides until each is done or has failed. */
void tls_rig_handshake(struct tls_rig *rig);
/* Connect and handshake. */
void tls_rig_meet(struct tls_rig *rig, const char *name, struct tls_session *session);

/* Waits until the stream is ready for what it wants; fails the test after 5 s. */
void tls_rig_wait(const struct tls_stream *tls);
/* Reads, waiting as long as it takes. */
enum status tls_rig_read(struct tls_stream *tls, void *target, size_t size, size_t *size_read);

void tls_rig_hang_up(struct tls_rig *rig); /* closes the streams that are open */
void tls_rig_close(struct tls_rig *rig);   /* and the configs */

#endif
