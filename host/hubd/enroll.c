#include "host/hubd/enroll.h"

#include "hal/linux/file_replace.h"
#include "hal/linux/random.h"
#include "hal/linux/tls_identity.h"
#include "host/hubd/sync/upstream_link.h"
#include "host/shared/status_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_WRONG = 2, TOKEN_SIZE = 128, LIMIT_MS = 30000, DIGEST_BYTES = 32 };

static struct loop loop;
static struct upstream_link upstream;
static struct tls_config_pair configs;
static struct upstream_urls urls; /* the one of --url */
static uint8_t answer[2 * TLS_IDENTITY_BYTES];

static int complain(int code, const char *what, const char *why) {
    fprintf(stderr, "hubd: %s: %s\n", what, why);
    return code;
}

/* ---- one request and its answer ---- */

/* `ca_path` NULL: nobody is verified. */
static enum status connect_to(const char *ca_path) {
    struct jitter jitter;
    const struct tls_settings tls = {.role = TLS_CLIENT, .ca_path = ca_path};
    random_fill(&jitter, sizeof jitter);
    jitter.state |= 1;
    upstream_link_init(&upstream, &loop, &urls, &configs, &jitter);
    tls_session_forget(&upstream.session);
    enum status status = tls_config_pair_load(&configs, &tls, upstream.reason);
    if (status == STATUS_OK) {
        status = upstream_link_connect(&upstream);
    }
    uint64_t limit_ms = loop_now_ms() + LIMIT_MS;
    while (status == STATUS_OK || status == STATUS_AGAIN) {
        status = upstream_link_handshake(&upstream);
        if (status != STATUS_AGAIN) {
            break;
        }
        if (loop_now_ms() >= limit_ms) {
            snprintf(upstream.reason, sizeof upstream.reason, "%s", status_text(STATUS_TIMEOUT));
            return STATUS_TIMEOUT;
        }
        loop_step(&loop, 100);
    }
    return status;
}

/* OK: the answer of status 200 is in `answer`. */
static enum status ask(const struct http_client_request *request) {
    upstream_link_ask(&upstream, request, answer, sizeof answer, loop_now_ms() + LIMIT_MS);
    enum status status = upstream_link_answer(&upstream, loop_now_ms());
    while (status == STATUS_AGAIN) {
        loop_step(&loop, 100);
        status = upstream_link_answer(&upstream, loop_now_ms());
    }
    if (status != STATUS_OK) {
        snprintf(upstream.reason, sizeof upstream.reason, "%s", status_text(status));
    } else if (upstream.client.status != 200) {
        snprintf(upstream.reason, sizeof upstream.reason, "upstream refused (%u): %.*s",
                 upstream.client.status,
                 (int)(upstream.client.answer.size < 180 ? upstream.client.answer.size : 180),
                 (const char *)upstream.client.answer.data);
        status = STATUS_DENIED;
    }
    upstream_link_close(&upstream);
    return status;
}

/* ---- the CA ---- */

static bool read_digit(char c, uint8_t *digit) {
    bool is_number = c >= '0' && c <= '9';
    char lower = (char)(c | 0x20);
    *digit = (uint8_t)(is_number ? c - '0' : lower - 'a' + 10);
    return is_number || (lower >= 'a' && lower <= 'f');
}

static bool read_fingerprint(const char *text, uint8_t digest[DIGEST_BYTES]) {
    size_t count = 0;
    for (; *text != '\0' && count < DIGEST_BYTES; count++) {
        uint8_t high;
        uint8_t low;
        text += *text == ':' && count > 0;
        if (!read_digit(text[0], &high) || !read_digit(text[1], &low)) {
            return false;
        }
        digest[count] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return count == DIGEST_BYTES && *text == '\0';
}

/* Over a connection that proves nothing: what comes is judged by its fingerprint. */
static int learn_ca(const struct settings *settings, const struct enroll_options *options) {
    uint8_t expected[DIGEST_BYTES];
    uint8_t got[DIGEST_BYTES];
    const struct http_client_request request = {.method = "GET", .target = "/ca"};
    if (options->fingerprint == NULL || !read_fingerprint(options->fingerprint, expected)) {
        return complain(
            EXIT_WRONG, settings->upstream_ca,
            "is not there: expected --fingerprint, the SHA-256 of the CA's certificate");
    }
    if (connect_to(NULL) != STATUS_OK || ask(&request) != STATUS_OK) {
        return complain(EXIT_FAILED, options->url, upstream.reason);
    }
    if (tls_identity_fingerprint(upstream.client.answer, got) != STATUS_OK ||
        memcmp(expected, got, sizeof got) != 0) {
        return complain(EXIT_FAILED, options->url,
                        "its CA has another fingerprint: this is not the upstream that was meant");
    }
    if (file_replace(settings->upstream_ca, upstream.client.answer,
                     S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH) != STATUS_OK) {
        return complain(EXIT_FAILED, settings->upstream_ca, strerror(errno));
    }
    return 0;
}

/* ---- the certificate ---- */

static bool read_token(const char *path, char token[TOKEN_SIZE]) {
    size_t size = 0;
    if (file_read(path, token, TOKEN_SIZE - 1, &size) != STATUS_OK) {
        return false;
    }
    token[size] = '\0';
    token[strcspn(token, " \r\n")] = '\0';
    return token[0] != '\0';
}

static int get_certificate(const struct settings *settings, const struct enroll_options *options,
                           const char *token) {
    static uint8_t buffer[TLS_IDENTITY_BYTES];
    char reason[TLS_REASON_SIZE];
    struct bytes csr;
    if (tls_identity_make_key(settings->upstream_key, reason) != STATUS_OK ||
        tls_identity_request(settings->upstream_key, settings->hub_id, buffer, &csr, reason) !=
            STATUS_OK) {
        return complain(EXIT_FAILED, "[upstream] key", reason);
    }
    const struct http_client_request request = {.method = "POST",
                                                .target = "/enroll",
                                                .token = token,
                                                .content_type = "application/pkcs10",
                                                .body = csr};
    if (connect_to(settings->upstream_ca) != STATUS_OK || ask(&request) != STATUS_OK) {
        return complain(EXIT_FAILED, options->url, upstream.reason);
    }
    if (tls_identity_check(upstream.client.answer, settings->upstream_ca, settings->upstream_key,
                           settings->hub_id, reason) != STATUS_OK) {
        return complain(EXIT_FAILED, options->url, reason);
    }
    if (file_replace(settings->upstream_cert, upstream.client.answer,
                     S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH) != STATUS_OK) {
        return complain(EXIT_FAILED, settings->upstream_cert, strerror(errno));
    }
    fprintf(stderr, "This host is hub %s: its certificate is %s.\n", settings->hub_id,
            settings->upstream_cert);
    return 0;
}

int enroll_run(const struct settings *settings, const struct enroll_options *options) {
    char token[TOKEN_SIZE];
    size_t id_size = strlen(settings->hub_id);
    if (settings->upstream_cert[0] == '\0' || settings->upstream_key[0] == '\0' ||
        settings->upstream_ca[0] == '\0') {
        return complain(EXIT_WRONG, "[upstream]", "expected ca, cert and key: where to put them");
    }
    if (!tls_identity_is_name((struct bytes){(const uint8_t *)settings->hub_id, id_size})) {
        return complain(EXIT_WRONG, "[hub] id",
                        "expected letters, digits, - _ . for a certificate");
    }
    if (options->url == NULL || !upstream_urls_add(&urls, options->url)) {
        return complain(EXIT_WRONG, "--url", "expected https://HOST:PORT");
    }
    if (options->token_file == NULL || !read_token(options->token_file, token)) {
        return complain(EXIT_WRONG, "--token-file",
                        "expected a file with the token in its first line");
    }
    if (loop_open(&loop) != STATUS_OK) {
        return complain(EXIT_FAILED, "loop", strerror(errno));
    }
    int code = access(settings->upstream_ca, F_OK) == 0 ? 0 : learn_ca(settings, options);
    return code == 0 ? get_certificate(settings, options, token) : code;
}
