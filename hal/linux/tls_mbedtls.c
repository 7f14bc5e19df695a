#include "hal/linux/tls_mbedtls.h"

#include "hal/linux/arena.h"

#include <arpa/inet.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct tls_stream *tls_of(struct hal_stream *stream) {
    return (struct tls_stream *)(void *)stream;
}

static int receive_some(void *context, unsigned char *target, size_t size) {
    struct tls_stream *tls = context;
    size_t count = 0;
    enum status status = hal_stream_read(&tls->socket, target, size, &count);
    if (status == STATUS_OK) {
        tls->was_heard = true;
        return (int)count;
    }
    if (status == STATUS_AGAIN && tls->socket_failure == STATUS_OK) {
        return MBEDTLS_ERR_SSL_WANT_READ;
    }
    tls->socket_failure = status == STATUS_AGAIN ? tls->socket_failure : status;
    return status == STATUS_CLOSED ? 0 : MBEDTLS_ERR_NET_RECV_FAILED;
}

/* A peer that refuses our certificate says so and closes, while we are still writing: what it said
 * waits to be read. So a write that fails in a handshake is not its end; the next read is. */
static int send_some(void *context, const unsigned char *source, size_t size) {
    struct tls_stream *tls = context;
    size_t count = 0;
    enum status status = hal_stream_write(&tls->socket, source, size, &count);
    if (status == STATUS_OK) {
        return (int)count;
    }
    if (status == STATUS_AGAIN) {
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    }
    tls->socket_failure = status;
    return tls->is_established ? MBEDTLS_ERR_NET_SEND_FAILED : (int)size;
}

/* Whether one of the certificate's alternative names is the address (RFC 5280 section 4.2.1.6). */
static bool has_address(const mbedtls_x509_crt *certificate, const uint8_t *address, size_t size) {
    const mbedtls_x509_sequence *name = &certificate->subject_alt_names;
    for (; name != NULL && name->buf.p != NULL; name = name->next) {
        if ((name->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == MBEDTLS_X509_SAN_IP_ADDRESS &&
            name->buf.len == size && memcmp(name->buf.p, address, size) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_clock_set(const struct tls_clock *clock) {
    return clock == NULL || (uint64_t)time(NULL) >= clock->floor_s;
}

/* Judges a certificate's dates anew where the system's clock is not set. */
static void judge_dates(struct tls_stream *tls, const mbedtls_x509_crt *certificate,
                        uint32_t *flags) {
    const struct tls_clock *clock = tls->config->clock;
    if (is_clock_set(clock)) {
        return;
    }
    struct timespec boot;
    check(clock_gettime(CLOCK_BOOTTIME, &boot) == 0);
    bool is_told = clock->offset_ms != 0;
    uint64_t now_s = is_told ? (uint64_t)boot.tv_sec + clock->offset_ms / 1000 : clock->floor_s;
    *flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_FUTURE | MBEDTLS_X509_BADCERT_EXPIRED);
    if (tls_config_seconds(&certificate->valid_to) < now_s) {
        *flags |= MBEDTLS_X509_BADCERT_EXPIRED;
    }
    if (is_told && tls_config_seconds(&certificate->valid_from) > now_s) {
        *flags |= MBEDTLS_X509_BADCERT_FUTURE;
    }
    tls->is_time_unset = !is_told;
}

/* mbed TLS calls it for each certificate of the chain; depth 0 is the peer's own. */
static int verify_peer(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags) {
    struct tls_stream *tls = context;
    if (depth == 0) {
        tls_config_common_name(certificate, tls->shown_name);
    }
    judge_dates(tls, certificate, flags);
    if (tls->address_size > 0 && depth == 0 &&
        !has_address(certificate, tls->address, tls->address_size)) {
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    }
    return 0;
}

static bool ends_for_our_certificate(int alert) {
    return (alert >= MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE &&
            alert <= MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN) ||
           alert == MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA ||
           alert == MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED;
}

static const char *alert_text(int alert) {
    switch (alert) {
    case MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE:
        return "no common cipher, or our certificate is missing";
    case MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED:
        return "our certificate has expired";
    case MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED:
        return "our certificate is revoked";
    case MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA:
        return "it does not know our CA";
    case MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED:
        return "access denied";
    case MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION:
        return "it does not speak TLS 1.2";
    default:
        return ends_for_our_certificate(alert) ? "our certificate is not valid there"
                                               : "TLS failed on its side";
    }
}

static enum status alert_status(struct tls_stream *tls) {
    int alert = tls->ssl.in_msg != NULL ? tls->ssl.in_msg[1] : 0;
    snprintf(tls->reason, sizeof(tls->reason), "the peer refused: %s (alert %d)", alert_text(alert),
             alert);
    if (alert == MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR) {
        return STATUS_CLOSED; /* its trouble, not our fault: worth another try */
    }
    return ends_for_our_certificate(alert) ? STATUS_DENIED : STATUS_MALFORMED;
}

/* mbed TLS writes one sentence a line. */
static enum status untrusted(struct tls_stream *tls, uint32_t flags) {
    char text[TLS_REASON_SIZE - 40] = "it showed none that can be used";
    if (flags != 0 && flags != UINT32_MAX) {
        (void)mbedtls_x509_crt_verify_info(text, sizeof(text), "", flags);
    }
    size_t size = strlen(text);
    while (size > 0 && text[size - 1] == '\n') {
        text[--size] = '\0';
    }
    for (char *newline = strchr(text, '\n'); newline != NULL; newline = strchr(newline, '\n')) {
        *newline = ' ';
    }
    tls->faults = flags == UINT32_MAX ? 0 : flags; /* it could not be judged to its end */
    snprintf(tls->reason, sizeof(tls->reason), "the peer's certificate%s%s: %s",
             tls->shown_name[0] == '\0' ? "" : " of ", tls->shown_name, text);
    return STATUS_UNTRUSTED;
}

static enum status ended_by_socket(struct tls_stream *tls) {
    if (tls->socket_failure == STATUS_CLOSED) {
        snprintf(tls->reason, sizeof(tls->reason), "%s",
                 tls->is_established ? "the connection ended without TLS's end mark"
                                     : "the peer closed the connection during the handshake");
        return tls->is_established ? STATUS_IO : STATUS_CLOSED;
    }
    snprintf(tls->reason, sizeof(tls->reason), "the connection broke%s",
             tls->is_established ? "" : " during the handshake");
    return tls->socket_failure;
}

static bool is_about_certificate(int code) {
    int high = -(-code & 0x7F80);
    return code == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED ||
           code == MBEDTLS_COMPAT_NO_CLIENT_CERTIFICATE || high == MBEDTLS_COMPAT_BAD_CERTIFICATE ||
           (high <= -0x2080 && high >= -0x3000);
}

/* Turns mbed TLS's code into a status and a reason. */
static enum status status_of(struct tls_stream *tls, int code) {
    uint64_t arena_failures = arena_stats().failures - tls->arena_failures;
    bool is_starved =
        !tls->is_established && arena_failures > 0 && tls->socket_failure == STATUS_OK;
    if (tls_config_is_no_memory(code) || is_starved) {
        snprintf(tls->reason, sizeof(tls->reason), "out of memory for TLS (-0x%04x)",
                 (unsigned)-code);
        return STATUS_NO_MEMORY;
    }
    if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
        return alert_status(tls);
    }
    if (code == MBEDTLS_COMPAT_NO_CLIENT_CERTIFICATE) {
        /* mbed TLS 2.28 says nothing to the peer here, though RFC 5246 section 7.4.6 has an alert.
         */
        (void)mbedtls_ssl_send_alert_message(&tls->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                             MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
    }
    if (is_about_certificate(code)) {
        return untrusted(tls, mbedtls_ssl_get_verify_result(&tls->ssl));
    }
    if (code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
        snprintf(tls->reason, sizeof(tls->reason), "the peer closed the connection");
        return STATUS_CLOSED;
    }
    if (tls->socket_failure != STATUS_OK) {
        return ended_by_socket(tls);
    }
    char text[120];
    mbedtls_strerror(code, text, sizeof(text));
    snprintf(tls->reason, sizeof(tls->reason), "%s", text);
    return STATUS_MALFORMED;
}

static enum status fail(struct tls_stream *tls, enum status status) {
    struct tls_session *session = tls->session;
    tls->failure = status;
    if (!tls->is_established && session != NULL) {
        /* A server that is away says nothing of the ticket: ten thousand clients come back by it.
         * One that says nothing time and again may mean it. */
        bool is_away = tls->socket_failure != STATUS_OK && !tls->was_heard;
        session->unheard = is_away ? session->unheard + 1 : TLS_SESSION_TRIES;
        if (session->unheard >= TLS_SESSION_TRIES) {
            tls_session_forget(session); /* the next try is a full handshake */
        }
    }
    return status;
}

/* AGAIN or the end of the stream. */
static enum status conclude(struct tls_stream *tls, int code) {
    if (code == MBEDTLS_ERR_SSL_WANT_READ) {
        tls->stream.wants = HAL_STREAM_READABLE;
        return STATUS_AGAIN;
    }
    if (code == MBEDTLS_ERR_SSL_WANT_WRITE) {
        tls->stream.wants = HAL_STREAM_WRITABLE;
        return STATUS_AGAIN;
    }
    return fail(tls, status_of(tls, code));
}

static bool may_resume(const struct tls_stream *tls, const char *server_name) {
    const struct tls_session *session = tls->session;
    return session != NULL && session->is_saved && session->config_serial == tls->config->serial &&
           strcmp(session->server_name, server_name) == 0;
}

/* Keeps the ticket, if there is one. Failing only costs a full handshake next time. */
static void save_session(struct tls_stream *tls) {
    struct tls_session *session = tls->session;
    if (session == NULL) {
        return;
    }
    tls->is_resumed = session->is_saved && memcmp(session->saved.master, tls->ssl.session->master,
                                                  sizeof(session->saved.master)) == 0;
    tls_session_forget(session);
    mbedtls_ssl_session_init(&session->saved);
    bool is_copied = mbedtls_ssl_get_session(&tls->ssl, &session->saved) == 0;
    session->is_saved = is_copied && session->saved.ticket_len > 0;
    session->config_serial = tls->config->serial;
    if (!session->is_saved) {
        mbedtls_ssl_session_free(&session->saved);
    }
}

/* A short handshake does not look at certificates, so what it resumes is judged here again. */
static enum status accept_peer(struct tls_stream *tls) {
    const mbedtls_x509_crt *peer = mbedtls_ssl_get_peer_cert(&tls->ssl);
    if (tls->config->requires_peer) {
        uint32_t flags = mbedtls_ssl_get_verify_result(&tls->ssl);
        if (peer == NULL || flags != 0) {
            return fail(tls, untrusted(tls, flags));
        }
        flags = mbedtls_x509_time_is_past(&peer->valid_to) ? MBEDTLS_X509_BADCERT_EXPIRED : 0;
        judge_dates(tls, peer, &flags);
        if (flags != 0) {
            return fail(tls, untrusted(tls, flags));
        }
        tls_config_common_name(peer, tls->peer_name);
        tls->peer_from_s = tls_config_seconds(&peer->valid_from);
        const struct tls_peer shown = {tls->peer_name, tls->peer_from_s};
        if (tls->config->accepts != NULL && !tls->config->accepts(tls->config->owner, &shown)) {
            (void)mbedtls_ssl_send_alert_message(&tls->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                                 MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED);
            return fail(tls, untrusted(tls, MBEDTLS_X509_BADCERT_REVOKED));
        }
    }
    save_session(tls);
    tls->is_established = true;
    return STATUS_OK;
}

enum status tls_stream_handshake(struct tls_stream *tls) {
    check(hal_stream_is_open(&tls->stream));
    tls->stream.wants = 0;
    if (tls->is_established || tls->failure != STATUS_OK) {
        return tls->failure;
    }
    uint64_t accepted = tls->config->tickets_accepted;
    int code = mbedtls_ssl_handshake(&tls->ssl);
    if (tls->config->tickets_accepted != accepted) {
        tls->is_resumed = true;
    }
    if (code == 0 && tls->socket_failure != STATUS_OK) {
        return fail(tls, ended_by_socket(tls));
    }
    return code == 0 ? accept_peer(tls) : conclude(tls, code);
}

static enum status stream_read(struct hal_stream *stream, void *target, size_t size,
                               size_t *size_read) {
    struct tls_stream *tls = tls_of(stream);
    enum status status = tls_stream_handshake(tls);
    if (status != STATUS_OK) {
        return status;
    }
    int code = mbedtls_ssl_read(&tls->ssl, target, size);
    stream->has_buffered = mbedtls_ssl_check_pending(&tls->ssl) != 0;
    if (code > 0) {
        *size_read = (size_t)code;
        return STATUS_OK;
    }
    return code == 0 ? fail(tls, ended_by_socket(tls)) : conclude(tls, code);
}

static enum status stream_write(struct hal_stream *stream, const void *source, size_t size,
                                size_t *size_written) {
    struct tls_stream *tls = tls_of(stream);
    enum status status = tls_stream_handshake(tls);
    if (status != STATUS_OK) {
        return status;
    }
    /* A record that waits in mbed TLS holds the bytes of the last call: exactly they count now. */
    check(size >= tls->pending_bytes);
    if (tls->pending_bytes == 0) {
        tls->pending_bytes =
            size < MBEDTLS_SSL_OUT_CONTENT_LEN ? size : MBEDTLS_SSL_OUT_CONTENT_LEN;
    }
    int code = mbedtls_ssl_write(&tls->ssl, source, tls->pending_bytes);
    if (code < 0) {
        return conclude(tls, code);
    }
    tls->pending_bytes = 0;
    *size_written = (size_t)code;
    return STATUS_OK;
}

static void stream_close(struct hal_stream *stream) {
    struct tls_stream *tls = tls_of(stream);
    if (tls->is_established && tls->failure == STATUS_OK) {
        (void)mbedtls_ssl_close_notify(&tls->ssl); /* never waits; a full socket goes without */
    }
    mbedtls_ssl_free(&tls->ssl);
    hal_stream_close(&tls->socket);
    tls_config_release(tls->config);
}

static const struct hal_stream_ops stream_ops = {stream_read, stream_write, stream_close};

/* Tells mbed TLS, or verify_peer(), which name the server's certificate must have. */
static int expect_name(struct tls_stream *tls, const char *server_name) {
    if (inet_pton(AF_INET, server_name, tls->address) == 1) {
        tls->address_size = 4;
    } else if (inet_pton(AF_INET6, server_name, tls->address) == 1) {
        tls->address_size = 16;
    } else {
        return mbedtls_ssl_set_hostname(&tls->ssl, server_name);
    }
    return 0;
}

static int set_up(struct tls_stream *tls, const char *server_name) {
    int code = mbedtls_ssl_setup(&tls->ssl, &tls->config->ssl);
    mbedtls_ssl_set_verify(&tls->ssl, verify_peer, tls);
    if (code == 0 && server_name != NULL) {
        code = expect_name(tls, server_name);
    }
    if (code == 0 && server_name != NULL && may_resume(tls, server_name)) {
        code = mbedtls_ssl_set_session(&tls->ssl, &tls->session->saved);
    }
    return code;
}

enum status tls_stream_open(struct tls_stream *tls, struct tls_config *config,
                            const char *server_name, struct tls_session *session) {
    check(hal_stream_is_open(&tls->socket));
    bool is_client = MBEDTLS_COMPAT_IS_CLIENT(&config->ssl);
    check(is_client == (server_name != NULL));
    check(is_client || session == NULL);
    struct hal_stream socket = tls->socket;
    memset(tls, 0, sizeof(*tls));
    tls->socket = socket;
    tls->config = config;
    tls->session = session;
    tls->arena_failures = arena_stats().failures;
    mbedtls_ssl_init(&tls->ssl);
    int code = set_up(tls, server_name);
    if (code != 0) {
        mbedtls_ssl_free(&tls->ssl);
        hal_stream_close(&tls->socket);
        return fail(tls, status_of(tls, code));
    }
    if (session != NULL && !may_resume(tls, server_name)) {
        tls_session_forget(session);
        size_t size = strlen(server_name);
        check(size < sizeof(session->server_name)); /* mbed TLS took it: at most 255 */
        memcpy(session->server_name, server_name, size + 1);
    }
    mbedtls_ssl_set_bio(&tls->ssl, tls, send_some, receive_some, NULL);
    tls_config_hold(config);
    tls->stream =
        (struct hal_stream){.ops = &stream_ops,
                            .handle = socket.handle,
                            .wants = is_client ? HAL_STREAM_WRITABLE : HAL_STREAM_READABLE};
    return STATUS_OK;
}

const char *tls_stream_reason(const struct tls_stream *tls) {
    return tls->reason;
}

const char *tls_stream_advice(const struct tls_stream *tls) {
    static const struct {
        uint32_t fault;
        const char *advice;
    } rows[] = {
        /* The most telling first: a stranger's certificate may have other faults, too. */
        {MBEDTLS_X509_BADCERT_REVOKED, "enroll the hub anew, unless it was to be kept out"},
        {MBEDTLS_X509_BADCERT_MISSING,
         "give the peer a certificate of the CA that is trusted here"},
        {MBEDTLS_X509_BADCERT_BAD_KEY, "issue it for a key of EC P-256 or larger, or RSA 2048"},
        {MBEDTLS_X509_BADCERT_BAD_MD, "issue it with SHA-256 or better"},
        {MBEDTLS_X509_BADCERT_BAD_PK, "issue it for a key of EC P-256 or larger, or RSA 2048"},
        {MBEDTLS_X509_BADCERT_NOT_TRUSTED, "compare its issuer with the CA that is trusted here"},
        {MBEDTLS_X509_BADCERT_EXPIRED, "renew it, or set the clock of this host"},
        {MBEDTLS_X509_BADCERT_FUTURE, "set the clock of this host, or of who issued it"},
        {MBEDTLS_X509_BADCERT_CN_MISMATCH, "use a name or address that is in the certificate"},
        {MBEDTLS_X509_BADCERT_KEY_USAGE, "issue it for digital signatures"},
        {MBEDTLS_X509_BADCERT_EXT_KEY_USAGE, "issue it for this end: server or client"},
    };
    if (tls->failure == STATUS_DENIED) {
        return "see the peer's log; give this end a certificate that is good there";
    }
    if (tls->failure != STATUS_UNTRUSTED) {
        return "";
    }
    for (size_t i = 0; i < array_count(rows); i++) {
        if ((tls->faults & rows[i].fault) != 0) {
            return rows[i].advice;
        }
    }
    return "compare its issuer with the CA that is trusted here";
}

void tls_session_forget(struct tls_session *session) {
    if (session->is_saved) {
        mbedtls_ssl_session_free(&session->saved);
        session->is_saved = false;
    }
    session->unheard = 0;
}
