/* dashboard.h - the pages that hubd and upstreamd serve: host/dashboard/, embedded at build time by
 * scripts/embed.sh, each file as it is and compressed.
 *
 * They hold no data: a page asks this API for it, with the token that its user has given it. So
 * they need no token themselves, which a browser could not send for a page (SPEC.md section 5). */
#ifndef HOST_SHARED_DASHBOARD_H
#define HOST_SHARED_DASHBOARD_H

#include "host/shared/http_api.h"

struct dashboard_file {
    const char *path; /* `/` or `/dashboard/NAME` */
    const char *type;
    const char *etag; /* in quotes; of the file as it is */
    struct bytes plain;
    struct bytes gzip;
};

extern const struct dashboard_file dashboard_files[];
extern const size_t dashboard_file_count;

/* GET of a file: 200, 304 when If-None-Match names it, or 404. */
void dashboard_get(const struct http_api_call *call);

#endif
