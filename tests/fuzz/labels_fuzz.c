/* Any bytes as labels, as a phone's row and as a request say them: what is taken is one text that
 * is taken again, the same. */
#include "firmware/hub_internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char none[HUB_LABELS_BYTES];
    char text[HUB_LABELS_BYTES];
    char again[HUB_LABELS_BYTES];
    struct bytes input = {data, size};
    if (hub_labels_copy(text, input) == STATUS_OK) {
        check(strlen(text) == size && memcmp(text, data, size) == 0);
        check(memcmp(text + size, none, sizeof text - size) == 0);
    }
    if (hub_labels_parse(text, input) == STATUS_OK) {
        size_t length = strlen(text);
        check(length < sizeof text && memcmp(text + length, none, sizeof text - length) == 0);
        check(hub_labels_copy(again, (struct bytes){(const uint8_t *)text, length}) == STATUS_OK);
        check(memcmp(again, text, sizeof text) == 0);
    }
    struct bytes rest = input;
    for (size_t i = 0; i <= size && rest.size > 0; i++) {
        struct bytes account = hub_account_next(&rest);
        check(account.size <= size);
    }
    check(rest.size == 0);
    return 0;
}
