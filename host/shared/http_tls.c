#include "host/shared/http_tls.h"

#include "hal/linux/tcp.h"
#include "host/shared/log.h"

#include <string.h>

static struct http_tls_stream *of(struct hal_stream *stream) {
    return (struct http_tls_stream *)(void *)stream;
}

/* The outer stream shows what the inner one waits for; an untrusted client is logged once. */
static enum status mirror(struct http_tls_stream *outer, enum status status) {
    outer->stream.handle = outer->tls.stream.handle;
    outer->stream.wants = outer->tls.stream.wants;
    outer->stream.has_buffered = outer->tls.stream.has_buffered;
    bool is_end = status != STATUS_OK && status != STATUS_AGAIN && status != STATUS_CLOSED;
    if (is_end && !outer->was_told && !outer->tls.is_established) {
        outer->was_told = true;
        *outer->refused += 1;
        log_warn("tls_refused reason=%s do=%s", tls_stream_reason(&outer->tls),
                 tls_stream_advice(&outer->tls));
    }
    return status;
}

static enum status read_tls(struct hal_stream *stream, void *target, size_t size,
                            size_t *size_read) {
    struct http_tls_stream *outer = of(stream);
    return mirror(outer, hal_stream_read(&outer->tls.stream, target, size, size_read));
}

static enum status write_tls(struct hal_stream *stream, const void *source, size_t size,
                             size_t *size_written) {
    struct http_tls_stream *outer = of(stream);
    return mirror(outer, hal_stream_write(&outer->tls.stream, source, size, size_written));
}

static void close_tls(struct hal_stream *stream) {
    hal_stream_close(&of(stream)->tls.stream);
}

static const struct hal_stream_ops ops = {read_tls, write_tls, close_tls};

static enum status accept_tls(const struct http_acceptor *acceptor, int listener,
                              struct hal_stream *stream) {
    const struct http_tls *tls = (const struct http_tls *)(const void *)acceptor;
    struct http_tls_stream *outer = of(stream);
    memset(outer, 0, sizeof *outer);
    enum status status = tcp_accept(listener, &outer->tls.socket);
    if (status != STATUS_OK) {
        return status;
    }
    status = tls_stream_open(&outer->tls, tls_config_pair_current(tls->configs), NULL, NULL);
    if (status != STATUS_OK) {
        log_warn("tls_failed reason=%s", tls_stream_reason(&outer->tls));
        return status == STATUS_NO_MEMORY ? STATUS_FULL : status;
    }
    outer->refused = tls->refused;
    outer->stream.ops = &ops;
    (void)mirror(outer, STATUS_OK);
    return STATUS_OK;
}

bool http_tls_peer(const struct hal_stream *stream, struct tls_peer *peer) {
    const struct http_tls_stream *outer = (const struct http_tls_stream *)(const void *)stream;
    if (!outer->tls.is_established || outer->tls.peer_name[0] == '\0') {
        return false;
    }
    *peer = (struct tls_peer){outer->tls.peer_name, outer->tls.peer_from_s};
    return true;
}

static bool peer_of(const struct http_acceptor *acceptor, const struct hal_stream *stream,
                    struct bytes *name) {
    struct tls_peer peer;
    (void)acceptor;
    bool has_peer = http_tls_peer(stream, &peer);
    if (has_peer) {
        *name = (struct bytes){(const uint8_t *)peer.name, strlen(peer.name)};
    }
    return has_peer;
}

void http_tls_init(struct http_tls *tls, struct tls_config_pair *configs) {
    *tls = (struct http_tls){.acceptor = {accept_tls, peer_of}, .configs = configs};
    tls->refused = &tls->refused_count;
}
