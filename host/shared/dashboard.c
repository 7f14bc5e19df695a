#include "host/shared/dashboard.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Nothing but our own files, nothing inline, no frame around it, no request to anywhere else. */
#define POLICY                                                                                     \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "           \
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "                    \
    "frame-ancestors 'none'\r\n"                                                                   \
    "X-Content-Type-Options: nosniff\r\n"                                                          \
    "Referrer-Policy: no-referrer\r\n"                                                             \
    "Cache-Control: no-cache\r\n"                                                                  \
    "Vary: Accept-Encoding\r\n"

/* Whether a comma separated list has this word. A word with parameters (`gzip;q=0`) is another:
 * whoever weighs encodings gets the plain file. */
static bool has_word(struct bytes list, const char *word) {
    size_t size = strlen(word);
    size_t at = 0;
    while (at < list.size) {
        while (at < list.size && (list.data[at] == ' ' || list.data[at] == ',')) {
            at += 1;
        }
        size_t start = at;
        while (at < list.size && list.data[at] != ',' && list.data[at] != ' ') {
            at += 1;
        }
        if (at - start == size && strncasecmp((const char *)list.data + start, word, size) == 0) {
            return true;
        }
    }
    return false;
}

static const struct dashboard_file *find(struct bytes path) {
    for (size_t i = 0; i < dashboard_file_count; i++) {
        const char *name = dashboard_files[i].path;
        if (strlen(name) == path.size && memcmp(name, path.data, path.size) == 0) {
            return &dashboard_files[i];
        }
    }
    return NULL;
}

void dashboard_get(const struct http_api_call *call) {
    const struct http_request *request = call->request;
    const struct dashboard_file *file = find(request->path);
    char headers[512];
    if (file == NULL) {
        http_api_refuse(call, 404, "not_found", "there is no such path");
        return;
    }
    bool is_known = has_word(request->if_none_match, file->etag);
    bool is_small = !is_known && has_word(request->accept_encoding, "gzip");
    int size = snprintf(headers, sizeof headers, POLICY "ETag: %s\r\n%s", file->etag,
                        is_small ? "Content-Encoding: gzip\r\n" : "");
    check(size > 0 && (size_t)size < sizeof headers);
    http_respond(call->connection, is_known ? 304 : 200, is_known ? NULL : file->type,
                 is_known   ? bytes_of("")
                 : is_small ? file->gzip
                            : file->plain,
                 headers);
}
