/* GET /artifacts/{item}/{attempt}: the whole output of an attempt, as fast as the client takes it.
 */
#include "host/hubd/api/api_internal.h"

#include <string.h>
#include <unistd.h>

enum { CHUNK_BYTES = 16384 };

static void end_download(struct api_download *download) {
    close(download->fd);
    download->connection = NULL;
}

/* False: the client does not take more for now, or it is all sent. */
static bool send_chunk(struct api_download *download) {
    uint8_t chunk[CHUNK_BYTES];
    off_t before = lseek(download->fd, 0, SEEK_CUR);
    ssize_t size = read(download->fd, chunk, sizeof chunk);
    struct http_connection *connection = download->connection;
    if (size <= 0) {
        end_download(download);
        http_stream_end(connection);
        return false;
    }
    if (http_stream_write(connection, (struct bytes){chunk, (size_t)size}) != STATUS_OK) {
        check(lseek(download->fd, before, SEEK_SET) == before);
        return false;
    }
    return download->connection == connection; /* it may have broken meanwhile */
}

void api_feed_download(struct api *api, const struct http_connection *connection) {
    for (uint32_t i = 0; i < API_DOWNLOADS; i++) {
        struct api_download *download = &api->downloads[i];
        if (download->connection == connection) {
            while (send_chunk(download)) {
            }
            return;
        }
    }
}

void api_forget_download(struct api *api, const struct http_connection *connection) {
    for (uint32_t i = 0; i < API_DOWNLOADS; i++) {
        if (api->downloads[i].connection == connection) {
            end_download(&api->downloads[i]);
        }
    }
}

static struct api_download *free_download(struct api *api) {
    for (uint32_t i = 0; i < API_DOWNLOADS; i++) {
        if (api->downloads[i].connection == NULL) {
            return &api->downloads[i];
        }
    }
    return NULL;
}

void api_get_artifact(const struct http_api_call *call) {
    struct api *api = api_of(call);
    const struct bytes path = call->request->path;
    size_t start = strlen("/artifacts/");
    struct bytes item = {path.data + start, path.size - start - 1 - call->id.size};
    struct api_download *download = free_download(api);
    if (download == NULL) {
        http_api_refuse(call, 503, "capacity_exhausted", "too many artifacts are being read");
        return;
    }
    int fd = artifact_read(api->artifacts, item, call->id);
    if (fd < 0) {
        http_api_refuse(call, 404, "not_found",
                        "there is no artifact of this attempt: it gave no output, is too old, or "
                        "[artifacts] dir is not set");
        return;
    }
    *download = (struct api_download){.connection = call->connection, .fd = fd};
    http_stream_begin_as(call->connection, "text/plain; charset=utf-8");
    api_feed_download(api, call->connection);
}
