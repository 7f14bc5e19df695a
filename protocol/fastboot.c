#include "protocol/fastboot.h"

#include <string.h>

enum { LETTERS = 4, DATA_DIGITS = 8 };

static const char letters[FASTBOOT_KIND_COUNT][LETTERS + 1] = {"OKAY", "FAIL", "DATA", "INFO",
                                                               "TEXT"};

static bool is_printable(struct bytes text) {
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < 0x20 || text.data[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

static void put_hex(uint8_t target[DATA_DIGITS], uint32_t value) {
    for (unsigned i = 0; i < DATA_DIGITS; i++) {
        target[i] = (uint8_t) "0123456789abcdef"[(value >> (28 - 4 * i)) & 15];
    }
}

/* 16: not a digit. */
static uint32_t digit_of(uint8_t character) {
    if (character >= '0' && character <= '9') {
        return character - (uint32_t)'0';
    }
    uint32_t lower = character | 0x20u;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
}

/* ---- commands ---- */

uint32_t fastboot_put_command(uint8_t *target, uint32_t capacity, struct bytes name,
                              struct bytes argument) {
    size_t size = name.size + (argument.size > 0 ? 1 + argument.size : 0);
    if (name.size == 0 || size > FASTBOOT_COMMAND_MAX || size > capacity || !is_printable(name) ||
        !is_printable(argument)) {
        return 0;
    }
    memcpy(target, name.data, name.size);
    if (argument.size > 0) {
        target[name.size] = ':';
        memcpy(target + name.size + 1, argument.data, argument.size);
    }
    return (uint32_t)size;
}

void fastboot_put_download(uint8_t target[FASTBOOT_DOWNLOAD_BYTES], uint32_t bytes) {
    static const char name[] = "download:";
    memcpy(target, name, sizeof name - 1);
    put_hex(target + sizeof name - 1, bytes);
}

enum status fastboot_get_command(struct bytes packet, struct bytes *name, struct bytes *argument) {
    if (packet.size == 0 || packet.size > FASTBOOT_COMMAND_MAX || !is_printable(packet)) {
        return STATUS_MALFORMED;
    }
    size_t name_bytes = 0;
    while (name_bytes < packet.size && packet.data[name_bytes] != ':') {
        name_bytes += 1;
    }
    size_t skipped = name_bytes < packet.size ? name_bytes + 1 : packet.size;
    *name = (struct bytes){packet.data, name_bytes};
    *argument = (struct bytes){packet.data + skipped, packet.size - skipped};
    return STATUS_OK;
}

/* ---- responses ---- */

enum status fastboot_get_response(struct bytes packet, struct fastboot_response *response) {
    if (packet.size < LETTERS || packet.size > FASTBOOT_RESPONSE_MAX) {
        return STATUS_MALFORMED;
    }
    unsigned kind = 0;
    while (kind < FASTBOOT_KIND_COUNT && memcmp(packet.data, letters[kind], LETTERS) != 0) {
        kind += 1;
    }
    struct bytes text = {packet.data + LETTERS, packet.size - LETTERS};
    uint32_t data_bytes = 0;
    if (kind == FASTBOOT_DATA) {
        for (size_t i = 0; i < text.size; i++) {
            uint32_t digit = digit_of(text.data[i]);
            kind = digit > 15 ? FASTBOOT_KIND_COUNT : kind;
            data_bytes = data_bytes << 4 | (digit & 15);
        }
        kind = text.size == DATA_DIGITS ? kind : FASTBOOT_KIND_COUNT;
    }
    if (kind == FASTBOOT_KIND_COUNT) {
        return STATUS_MALFORMED;
    }
    *response = (struct fastboot_response){
        .kind = (enum fastboot_kind)kind,
        .text = text,
        .data_bytes = data_bytes,
    };
    return STATUS_OK;
}

uint32_t fastboot_put_response(uint8_t target[FASTBOOT_RESPONSE_MAX], enum fastboot_kind kind,
                               struct bytes text) {
    check(kind < FASTBOOT_KIND_COUNT);
    size_t room = FASTBOOT_RESPONSE_MAX - LETTERS;
    size_t size = text.size < room ? text.size : room;
    memcpy(target, letters[kind], LETTERS);
    if (size > 0) {
        memcpy(target + LETTERS, text.data, size);
    }
    return (uint32_t)(LETTERS + size);
}

uint32_t fastboot_put_data(uint8_t target[FASTBOOT_RESPONSE_MAX], uint32_t bytes) {
    uint8_t digits[DATA_DIGITS];
    put_hex(digits, bytes);
    return fastboot_put_response(target, FASTBOOT_DATA, (struct bytes){digits, sizeof digits});
}

enum status fastboot_get_number(struct bytes text, uint64_t *number) {
    bool is_hex = text.size > 2 && text.data[0] == '0' && (text.data[1] | 0x20) == 'x';
    uint64_t base = is_hex ? 16 : 10;
    size_t start = is_hex ? 2 : 0;
    uint64_t value = 0;
    for (size_t i = start; i < text.size; i++) {
        uint64_t digit = digit_of(text.data[i]);
        if (digit >= base || value > (UINT64_MAX - digit) / base) {
            return STATUS_MALFORMED;
        }
        value = value * base + digit;
    }
    if (start == text.size) {
        return STATUS_MALFORMED;
    }
    *number = value;
    return STATUS_OK;
}

/* ---- one command ---- */

struct row {
    enum fastboot_state from;
    enum fastboot_event on;
    enum fastboot_state to;
};

static const struct row rows[] = {
    {FASTBOOT_IDLE, FASTBOOT_ON_COMMAND, FASTBOOT_ASKED},
    {FASTBOOT_ASKED, FASTBOOT_ON_NOTE, FASTBOOT_ASKED},
    {FASTBOOT_ASKED, FASTBOOT_ON_OKAY, FASTBOOT_IDLE},
    {FASTBOOT_ASKED, FASTBOOT_ON_FAIL, FASTBOOT_IDLE},
    {FASTBOOT_ASKED, FASTBOOT_ON_DATA_OUT, FASTBOOT_SENDING},
    {FASTBOOT_ASKED, FASTBOOT_ON_DATA_IN, FASTBOOT_RECEIVING},
    {FASTBOOT_ASKED, FASTBOOT_ON_WRONG, FASTBOOT_BROKEN},
    {FASTBOOT_SENDING, FASTBOOT_ON_TRANSFERRED, FASTBOOT_ENDING},
    {FASTBOOT_SENDING, FASTBOOT_ON_FAIL, FASTBOOT_BROKEN}, /* what it has taken is not known */
    {FASTBOOT_SENDING, FASTBOOT_ON_WRONG, FASTBOOT_BROKEN},
    {FASTBOOT_RECEIVING, FASTBOOT_ON_TRANSFERRED, FASTBOOT_ENDING},
    {FASTBOOT_RECEIVING, FASTBOOT_ON_WRONG, FASTBOOT_BROKEN},
    {FASTBOOT_ENDING, FASTBOOT_ON_NOTE, FASTBOOT_ENDING},
    {FASTBOOT_ENDING, FASTBOOT_ON_OKAY, FASTBOOT_IDLE},
    {FASTBOOT_ENDING, FASTBOOT_ON_FAIL, FASTBOOT_IDLE},
    {FASTBOOT_ENDING, FASTBOOT_ON_WRONG, FASTBOOT_BROKEN},
    {FASTBOOT_IDLE, FASTBOOT_ON_WRONG, FASTBOOT_BROKEN},
    {FASTBOOT_BROKEN, FASTBOOT_ON_WRONG, FASTBOOT_BROKEN},
};

enum status fastboot_apply(uint8_t *state, enum fastboot_event event) {
    for (size_t i = 0; i < array_count(rows); i++) {
        if (rows[i].from == *state && rows[i].on == event) {
            *state = (uint8_t)rows[i].to;
            return STATUS_OK;
        }
    }
    return STATUS_ILLEGAL;
}

const char *fastboot_state_name(enum fastboot_state state) {
    static const char *const names[FASTBOOT_STATE_COUNT] = {"idle",      "asked",  "sending",
                                                            "receiving", "ending", "broken"};
    check(state < FASTBOOT_STATE_COUNT);
    return names[state];
}

const char *fastboot_event_name(enum fastboot_event event) {
    static const char *const names[FASTBOOT_EVENT_COUNT] = {
        "command", "okay", "fail", "data_out", "data_in", "note", "transferred", "wrong"};
    check(event < FASTBOOT_EVENT_COUNT);
    return names[event];
}

void fastboot_host_init(struct fastboot_host *host) {
    *host = (struct fastboot_host){.state = FASTBOOT_IDLE};
}

enum status fastboot_host_command(struct fastboot_host *host, uint32_t data_bytes, bool is_upload) {
    enum status status = fastboot_apply(&host->state, FASTBOOT_ON_COMMAND);
    if (status == STATUS_OK) {
        host->data_bytes = data_bytes;
        host->is_upload = is_upload;
        host->data_left = 0;
    }
    return status;
}

static enum status breaks(struct fastboot_host *host) {
    check(fastboot_apply(&host->state, FASTBOOT_ON_WRONG) == STATUS_OK);
    return STATUS_MALFORMED;
}

/* A download's DATA must be of the size that we announced; nothing of 0 bytes is transferred. */
static enum fastboot_event event_of(const struct fastboot_host *host,
                                    const struct fastboot_response *response) {
    static const enum fastboot_event events[FASTBOOT_KIND_COUNT] = {
        FASTBOOT_ON_OKAY, FASTBOOT_ON_FAIL, FASTBOOT_ON_DATA_OUT, FASTBOOT_ON_NOTE,
        FASTBOOT_ON_NOTE};
    if (response->kind == FASTBOOT_DATA) {
        bool fits = response->data_bytes > 0 &&
                    (host->is_upload || response->data_bytes == host->data_bytes);
        enum fastboot_event data = host->is_upload ? FASTBOOT_ON_DATA_IN : FASTBOOT_ON_DATA_OUT;
        return fits ? data : FASTBOOT_ON_WRONG;
    }
    return events[response->kind];
}

enum status fastboot_host_response(struct fastboot_host *host, struct bytes packet,
                                   struct fastboot_response *response) {
    struct fastboot_response read;
    if (fastboot_get_response(packet, &read) != STATUS_OK) {
        return breaks(host);
    }
    enum fastboot_event event = event_of(host, &read);
    if (event == FASTBOOT_ON_WRONG || fastboot_apply(&host->state, event) != STATUS_OK) {
        return breaks(host);
    }
    host->data_left = read.kind == FASTBOOT_DATA ? read.data_bytes : host->data_left;
    *response = read;
    return STATUS_OK;
}

enum status fastboot_host_transferred(struct fastboot_host *host, uint32_t bytes) {
    bool is_transferring = host->state == FASTBOOT_SENDING || host->state == FASTBOOT_RECEIVING;
    if (!is_transferring || bytes > host->data_left) {
        return breaks(host);
    }
    host->data_left -= bytes;
    return host->data_left > 0 ? STATUS_OK : fastboot_apply(&host->state, FASTBOOT_ON_TRANSFERRED);
}

/* ---- TCP ---- */

void fastboot_put_length(uint8_t target[FASTBOOT_TCP_LENGTH_BYTES], uint64_t bytes) {
    for (unsigned i = 0; i < FASTBOOT_TCP_LENGTH_BYTES; i++) {
        target[i] = (uint8_t)(bytes >> (56 - 8 * i));
    }
}

enum status fastboot_get_length(const uint8_t source[FASTBOOT_TCP_LENGTH_BYTES], uint32_t *bytes) {
    uint64_t length = 0;
    for (unsigned i = 0; i < FASTBOOT_TCP_LENGTH_BYTES; i++) {
        length = length << 8 | source[i];
    }
    if (length > UINT32_MAX) {
        return STATUS_TOO_LARGE;
    }
    *bytes = (uint32_t)length;
    return STATUS_OK;
}
