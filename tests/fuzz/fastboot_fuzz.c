/* Any bytes from a bootloader: fastboot's responses follow one command by the table. */
#include "protocol/fastboot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void check_failed(const char *condition, const char *file, unsigned line) {
    fprintf(stderr, "%s:%u: check failed: %s\n", file, line, condition);
    abort();
}

/* Packets: a length byte each. */
static void talk(struct bytes input) {
    struct fastboot_host host;
    fastboot_host_init(&host);
    while (input.size > 1) {
        size_t size = input.data[0] < input.size - 1 ? input.data[0] : input.size - 1;
        struct bytes packet = {input.data + 1, size};
        struct fastboot_response response;
        input.data += 1 + size;
        input.size -= 1 + size;
        if (host.state == FASTBOOT_IDLE) {
            check(fastboot_host_command(&host, 16, size % 2 == 1) == STATUS_OK);
        }
        if (host.state == FASTBOOT_SENDING || host.state == FASTBOOT_RECEIVING) {
            (void)!fastboot_host_transferred(&host, (uint32_t)size);
        } else if (fastboot_host_response(&host, packet, &response) == STATUS_OK) {
            check(response.text.size <= packet.size);
        }
        struct bytes name, argument;
        uint64_t number = 0;
        (void)!fastboot_get_number(packet, &number);
        (void)!fastboot_get_command(packet, &name, &argument);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    talk((struct bytes){data, size});
    return 0;
}
