/* adb_output.h - whole ADB messages that wait to be sent, in one buffer of the caller.
 *
 * A payload is built in place behind the room for its header, so it is copied once at most. */
#ifndef PROTOCOL_ADB_OUTPUT_H
#define PROTOCOL_ADB_OUTPUT_H

#include "protocol/adb.h"

struct adb_output {
    uint8_t *data;
    size_t capacity;
    size_t begin; /* what waits is data[begin..end) */
    size_t end;
    bool has_checksum; /* the peer still expects the byte sum of payloads */
};

/* Bytes that still fit, headers included. */
size_t adb_output_room(const struct adb_output *output);

/* Where the next payload of up to `payload_size` bytes is to be built; must fit, with its header.
 * Valid until the next send. */
uint8_t *adb_output_payload(struct adb_output *output, size_t payload_size);

/* Adds the message around the payload that was just built there. */
void adb_output_send(struct adb_output *output, struct adb_message message);

/* Adds a message without payload. */
void adb_output_send_words(struct adb_output *output, uint32_t command, uint32_t arg0,
                           uint32_t arg1);

struct bytes adb_output_waiting(const struct adb_output *output);
void adb_output_sent(struct adb_output *output, size_t size);

#endif
