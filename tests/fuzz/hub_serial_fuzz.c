/* Any bytes from a serial line, at any moment: the talk goes on or ends, and never leaves its
 * memory. */
#include "boards/hub_dialects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void check_failed(const char *condition, const char *file, unsigned line) {
    fprintf(stderr, "%s:%u: check failed: %s\n", file, line, condition);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct hub_serial serial;
    uint64_t now_ms = 0;
    if (size < 2) {
        return 0;
    }
    hub_serial_begin(&serial, &hub_dialects[data[0] % 3]);
    for (size_t i = 1; i < size;) {
        size_t count = data[i] % 32;
        count = count < size - i - 1 ? count : size - i - 1;
        (void)!hub_serial_ask(&serial,
                              (enum hub_serial_command)(data[i] % HUB_SERIAL_COMMAND_COUNT),
                              data[i] % 64, now_ms);
        hub_serial_sent(&serial, hub_serial_output(&serial).size);
        (void)hub_serial_receive(&serial, (struct bytes){data + i + 1, count}, now_ms);
        check(strlen(serial.detail) <= HUB_SERIAL_LINE_MAX);
        now_ms += data[i] * 16u;
        (void)hub_serial_step(&serial, now_ms);
        i += 1 + count;
    }
    return 0;
}
