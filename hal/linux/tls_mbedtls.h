/* tls_mbedtls.h - TLS 1.2 streams (hal/net.h) over a connected socket, by mbed TLS 2.28.
 *
 *     tcp_connect(&tls.socket, &address);            or tcp_accept(listener, &tls.socket)
 *     tls_stream_open(&tls, config, name, &session); takes the socket over
 *     hal_stream_read(&tls.stream, ...)              the first calls are the handshake
 *
 * No byte of the application moves before the peer's certificate was verified: against the CA, its
 * dates, and, for a client, the name. A name that is an IP address is compared with the
 * certificate's IP addresses (mbed TLS 2.28 itself knows DNS names only), any other with its DNS
 * names; the common name counts only in a certificate without alternative names.
 *
 * What ends a stream, from any call, and again from each later one:
 *   UNTRUSTED  the peer's certificate is missing, expired, of another CA or for another name
 *   DENIED     the peer did not accept our certificate
 *   MALFORMED  the peer does not speak our TLS: other versions, other ciphers, garbage
 *   NO_MEMORY  an allocation failed; looks like UNTRUSTED to mbed TLS, so the arena is asked
 *   CLOSED     the peer ended the stream in order; in a handshake: went away
 *   IO         the connection broke, or ended without TLS's end mark (truncation)
 *   TIMEOUT    the system gave the connection up
 * tls_stream_reason() says the same for people. The owner limits how long a handshake may take. */
#ifndef HAL_LINUX_TLS_MBEDTLS_H
#define HAL_LINUX_TLS_MBEDTLS_H

#include "hal/linux/tls_config.h"
#include "hal/net.h"

/* A client's memory of one server, for a short handshake the next time. Zero it before its first
 * use; it belongs to one server name and one config at a time and outlives its streams. */
enum { TLS_SESSION_TRIES = 16 }; /* with a server that says nothing, before a ticket is forgotten */

struct tls_session {
    mbedtls_ssl_session saved;
    bool is_saved;
    uint32_t unheard; /* tries in a row that the server said nothing to */
    uint32_t config_serial;
    char server_name[256];
};

struct tls_stream {
    struct hal_stream stream; /* what the owner reads and writes */
    struct hal_stream socket; /* the connection below; open before tls_stream_open() */
    mbedtls_ssl_context ssl;
    struct tls_config *config;
    struct tls_session *session; /* NULL: nothing is remembered */
    uint8_t address[16];         /* the server name, when it is an IP address */
    size_t address_size;         /* 4, 16 or 0 */
    uint64_t arena_failures;     /* of the arena, when this stream began */
    size_t pending_bytes;        /* taken by mbed TLS, to be offered again */
    enum status failure;         /* OK while the stream lives */
    enum status socket_failure;  /* what the socket said */
    bool was_heard;              /* the peer has sent something */
    bool is_established;         /* handshake done, peer verified */
    bool is_resumed;             /* by a ticket */
    bool is_time_unset; /* nobody knows the time: the peer's dates were judged by the floor */
    char peer_name[TLS_NAME_SIZE];  /* common name of the peer's certificate (a hub's id), once
                                       established; empty: no certificate, or an unusable name */
    uint64_t peer_from_s;           /* since when that certificate is valid */
    char shown_name[TLS_NAME_SIZE]; /* the common name of what the peer showed, good or not */
    uint32_t faults;                /* MBEDTLS_X509_BADCERT_* of it */
    char reason[TLS_REASON_SIZE];
};

/* A client names the server that it expects (DNS name or IP address, no port) and may lend a
 * session; a server passes NULL for both. On failure (NO_MEMORY, MALFORMED: a name that no
 * certificate can hold) the socket is closed and the reason readable. */
must_check enum status tls_stream_open(struct tls_stream *tls, struct tls_config *config,
                                       const char *server_name, struct tls_session *session);

/* Goes on with the handshake. OK: done. AGAIN: `stream.wants` says for what. */
must_check enum status tls_stream_handshake(struct tls_stream *tls);

/* Why the stream ended, in a sentence without a newline; empty while it lives. */
const char *tls_stream_reason(const struct tls_stream *tls);

/* What a person may do about it; empty while it lives, and where nothing is to be done. */
const char *tls_stream_advice(const struct tls_stream *tls);

/* Forgets the ticket; harmless when there is none. */
void tls_session_forget(struct tls_session *session);

#endif
