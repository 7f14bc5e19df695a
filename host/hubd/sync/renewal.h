/* renewal.h - the hub's certificate is renewed by the hub itself, before it expires.
 *
 * In the last third of its life the hub asks upstream, over mutual TLS with the certificate that
 * still holds, for the next one: for the same name and the same key, so that putting one file in
 * place is the whole change. A connection of its own, for a second or two, every few weeks. What
 * fails is tried again after RENEWAL_RETRY_MS, with jitter, as long as the certificate lives. */
#ifndef HOST_HUBD_RENEWAL_H
#define HOST_HUBD_RENEWAL_H

#include "firmware/timer.h"
#include "hal/linux/tls_identity.h"
#include "host/hubd/sync/upstream_link.h"

enum {
    RENEWAL_CHECK_MS = 60000,
    RENEWAL_RETRY_MS = 600000,
};

enum renewal_state {
    RENEWAL_OFF, /* no upstream */
    RENEWAL_WAITING,
    RENEWAL_CONNECTING,
    RENEWAL_ASKING,
};

struct renewal_files {
    const struct upstream_urls *urls; /* none: nothing is renewed */
    const char *name;                 /* the hub's id */
    const char *ca, *cert, *key;
};

struct renewal {
    struct upstream_link link;
    struct renewal_files files;
    enum renewal_state state;
    uint64_t deadline_ms;  /* of the state */
    uint64_t early_s;      /* jitter: a hub is so much earlier than its last third */
    uint64_t from_s, to_s; /* of the certificate in use, as read last */
    uint64_t renewed, failures;
    uint8_t request[TLS_IDENTITY_BYTES];
    uint8_t answer[TLS_IDENTITY_BYTES];
};

/* `files` stay. */
void renewal_init(struct renewal *renewal, struct loop *loop, struct tls_config_pair *configs,
                  const struct jitter *jitter, const struct renewal_files *files);
/* Once in every turn; `wall_ms` 0: the time is not known. True: a new certificate is in place, to
 * be loaded. */
bool renewal_step(struct renewal *renewal, uint64_t now_ms, uint64_t wall_ms);
uint64_t renewal_deadline_ms(const struct renewal *renewal);
/* The certificate's file may be another one: looks at it now. */
void renewal_look(struct renewal *renewal);
void renewal_close(struct renewal *renewal);

#endif
