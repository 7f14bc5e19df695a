#include "protocol/adb_output.h"

#include <string.h>

size_t adb_output_room(const struct adb_output *output) {
    return output->capacity - (output->end - output->begin);
}

uint8_t *adb_output_payload(struct adb_output *output, size_t payload_size) {
    size_t size = ADB_HEADER_SIZE + payload_size;
    check(size <= adb_output_room(output));
    if (output->capacity - output->end < size) {
        memmove(output->data, output->data + output->begin, output->end - output->begin);
        output->end -= output->begin;
        output->begin = 0;
    }
    return output->data + output->end + ADB_HEADER_SIZE;
}

void adb_output_send(struct adb_output *output, struct adb_message message) {
    uint8_t *payload = adb_output_payload(output, message.payload_size);
    if (output->has_checksum) {
        message.checksum = adb_checksum((struct bytes){payload, message.payload_size});
    }
    adb_encode(payload - ADB_HEADER_SIZE, &message);
    output->end += ADB_HEADER_SIZE + message.payload_size;
}

void adb_output_send_words(struct adb_output *output, uint32_t command, uint32_t arg0,
                           uint32_t arg1) {
    adb_output_send(output, (struct adb_message){.command = command, .arg0 = arg0, .arg1 = arg1});
}

struct bytes adb_output_waiting(const struct adb_output *output) {
    return (struct bytes){output->data + output->begin, output->end - output->begin};
}

void adb_output_sent(struct adb_output *output, size_t size) {
    check(size <= output->end - output->begin);
    output->begin += size;
    if (output->begin == output->end) {
        output->begin = 0;
        output->end = 0;
    }
}
