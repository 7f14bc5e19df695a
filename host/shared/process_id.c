#include "host/shared/process_id.h"

#include "protocol/text.h"

#include <string.h>

enum { EPOCH_MAX = (1 << 23) - 1 }; /* SPEC.md section 2 */

static const uint64_t number_mask = (UINT64_C(1) << RECORD_NUMBER_BITS) - 1;

struct process_id process_id_make(struct bytes hub_id, uint32_t first_epoch, uint64_t number) {
    uint32_t epoch = (uint32_t)(number >> RECORD_NUMBER_BITS);
    struct process_id id = {.epoch = epoch == 0 ? first_epoch : epoch,
                            .number = number & number_mask};
    check(hub_id.size > 0 && hub_id.size <= RECORD_ID_MAX);
    memcpy(id.hub_id, hub_id.data, hub_id.size);
    return id;
}

uint64_t process_id_number(const struct process_id *id, uint32_t first_epoch) {
    return id->epoch == first_epoch ? id->number
                                    : (uint64_t)id->epoch << RECORD_NUMBER_BITS | id->number;
}

void process_id_format(const struct process_id *id, char text[PROCESS_ID_SIZE]) {
    struct text_writer writer = {.data = (uint8_t *)text, .capacity = PROCESS_ID_SIZE};
    text_put(&writer, id->hub_id);
    text_put_byte(&writer, '-');
    text_put_number(&writer, id->epoch);
    text_put_byte(&writer, '-');
    text_put_number(&writer, id->number);
    if (id->item > 0) {
        text_put_byte(&writer, '.');
        text_put_number(&writer, id->item);
    }
    text_put_byte(&writer, '\0');
    check(!writer.is_full);
}

/* Takes `<separator><number>` off the end of a text. */
static bool take_number(struct bytes *text, char separator, uint64_t max, uint64_t *number) {
    size_t at = text->size;
    while (at > 0 && text->data[at - 1] >= '0' && text->data[at - 1] <= '9') {
        at -= 1;
    }
    if (at == text->size || at == 0 || text->data[at - 1] != (uint8_t)separator ||
        text->data[at] == '0') {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = at; i < text->size; i++) {
        unsigned digit = text->data[i] - (unsigned)'0';
        if (value > (max - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *number = value;
    text->size = at - 1;
    return true;
}

enum status process_id_parse(struct bytes text, struct process_id *id) {
    uint64_t number = 0;
    uint64_t epoch = 0;
    if (!take_number(&text, '-', number_mask, &number) ||
        !take_number(&text, '-', EPOCH_MAX, &epoch) || text.size == 0 ||
        text.size > RECORD_ID_MAX || memchr(text.data, '\0', text.size) != NULL) {
        return STATUS_MALFORMED;
    }
    *id = process_id_make(text, (uint32_t)epoch, number);
    return STATUS_OK;
}

enum status process_id_parse_item(struct bytes text, struct process_id *id) {
    uint64_t item = 0;
    struct process_id parsed;
    if (!take_number(&text, '.', UINT32_MAX, &item) ||
        process_id_parse(text, &parsed) != STATUS_OK) {
        return STATUS_MALFORMED;
    }
    parsed.item = (uint32_t)item;
    *id = parsed;
    return STATUS_OK;
}
