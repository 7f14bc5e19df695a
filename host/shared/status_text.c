#include "host/shared/status_text.h"

const char *status_text(enum status status) {
    static const char *const texts[] = {
#define STATUS(name, class, text) text,
#include "hal/status.def"
#undef STATUS
    };
    check(status < STATUS_COUNT);
    return texts[status];
}
