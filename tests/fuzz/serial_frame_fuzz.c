/* Any bytes on a serial line: frames come out or are counted, and what was written comes out. */
#include "protocol/serial_frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void check_failed(const char *condition, const char *file, unsigned line) {
    fprintf(stderr, "%s:%u: check failed: %s\n", file, line, condition);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t buffer[1024];
    static uint8_t line[SERIAL_FRAME_SIZE(1024)];
    struct serial_frame_reader reader;
    struct serial_frame frame;
    size_t capacity = size > 0 ? 4u * data[0] + 5 : 5;
    serial_frame_reader_init(&reader, buffer, capacity < sizeof buffer ? capacity : sizeof buffer);
    for (size_t i = 0; i < size; i++) {
        if (serial_frame_take(&reader, data[i], &frame)) {
            check(frame.payload.size <= capacity);
        }
        check(reader.size <= capacity);
    }
    /* Whatever came before: a frame behind it comes out whole. */
    size_t length = size < 1000 ? size : 1000;
    serial_frame_reader_init(&reader, buffer, sizeof buffer);
    size_t count = serial_frame_write((uint8_t)size, (struct bytes){data, length}, line);
    check(count <= SERIAL_FRAME_SIZE(length));
    bool has_come = false;
    for (size_t i = 0; i < count; i++) {
        has_come = serial_frame_take(&reader, line[i], &frame);
    }
    check(has_come && frame.payload.size == length);
    check(length == 0 || memcmp(frame.payload.data, data, length) == 0);
    return 0;
}
