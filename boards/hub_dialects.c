#include "boards/hub_dialects.h"

#include <string.h>

/* Universal's `c` would cut the data off, so ports are on in mode `s`; PDSync's `c` is both. */
/* clang-format off */
const struct hub_serial_dialect hub_dialects[] = {
    { "cambrionix-universal",
      { "host manual", "mode o #", "mode s #", "state #", "crf" }, ">>", 115200, HUB_SERIAL_UNIVERSAL },
    { "cambrionix-pdsync",
      { "host manual", "mode o #", "mode c #", "state #", "crf" }, ">>", 115200, HUB_SERIAL_PDSYNC },
    { "line",
      { NULL, "off #", "on #", "get #", NULL }, NULL, 115200, HUB_SERIAL_WORD },
    { NULL, { NULL, NULL, NULL, NULL, NULL }, NULL, 0, HUB_SERIAL_WORD },
};
/* clang-format on */

const struct hub_serial_dialect *hub_dialect_named(struct bytes name) {
    for (const struct hub_serial_dialect *row = hub_dialects; row->name != NULL; row++) {
        size_t size = 0;
        while (row->name[size] != '\0') {
            size += 1;
        }
        if (name.size == size && memcmp(name.data, row->name, size) == 0) {
            return row;
        }
    }
    return NULL;
}
