/* enroll.h - `hubd enroll`: a new host becomes a hub.
 *
 * Makes the key ([upstream] key, mode 0600, unless it is there), learns the CA ([upstream] ca,
 * unless it is there) by its fingerprint, has the certificate signed for a token that `upstreamd
 * enroll` printed, judges it, and puts it in place ([upstream] cert). The key never leaves the
 * host. What fails leaves nothing half: it may be tried again, with the same token if it was not
 * used up. */
#ifndef HOST_HUBD_ENROLL_H
#define HOST_HUBD_ENROLL_H

#include "host/hubd/settings.h"

struct enroll_options {
    const char *url;         /* https://HOST:PORT of [sync] enroll_listen */
    const char *token_file;  /* its first line is the token; /dev/stdin too */
    const char *fingerprint; /* SHA-256 of the CA's certificate, 64 hexadecimal digits, colons
                                between or not; NULL: [upstream] ca is there already */
};

/* Gives the exit status, and says on standard error what was done or what is wrong. */
int enroll_run(const struct settings *settings, const struct enroll_options *options);

#endif
