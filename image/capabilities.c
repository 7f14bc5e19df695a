#include "image/capabilities.h"

#include "protocol/sha256.h"
#include "protocol/text.h"

#include <string.h>

const struct image_capability capabilities[] = {
    {"maintenance",
     {"shell,v2,raw:dumpsys battery", "shell,v2,raw:df /data", "shell,v2,raw:getprop"}},
    {"reboot", {"reboot:"}},
};
const uint32_t capabilities_count = array_count(capabilities);

/* As capabilities/maintenance.ini on a hub host: the phone, the line and the power may fail. */
enum {
    RETRYABLE = 1 << RECORD_CATEGORY_EXIT_CODE | 1 << RECORD_CATEGORY_TIMEOUT |
                1 << RECORD_CATEGORY_PHONE_LOST | 1 << RECORD_CATEGORY_ADB |
                1 << RECORD_CATEGORY_USB | 1 << RECORD_CATEGORY_HOST_RESTARTED |
                1 << RECORD_CATEGORY_LEASE_EXPIRED
};

static uint32_t count_services(const struct image_capability *capability) {
    uint32_t count = 0;
    while (count < array_count(capability->services) && capability->services[count] != NULL) {
        count += 1;
    }
    return count;
}

static uint64_t digest_of(const struct image_capability *capability, uint32_t count) {
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    uint64_t value = 0;
    sha256_init(&hash);
    for (uint32_t i = 0; i < count; i++) {
        sha256_add(&hash, text_view(capability->services[i]));
        sha256_add(&hash, bytes_of("\n"));
    }
    sha256_end(&hash, digest);
    for (uint32_t i = 0; i < sizeof value; i++) {
        value = value << 8 | digest[i];
    }
    return value;
}

void capabilities_set(struct hub *hub) {
    for (uint32_t i = 0; i < capabilities_count; i++) {
        uint32_t count = count_services(&capabilities[i]);
        struct capability capability = {
            .routings = 1u << RECORD_DIRECT | 1u << RECORD_QUEUE | 1u << RECORD_GROUP,
            .is_permitted = true,
            .is_live_verified = true,
            .priority = 5,
            .attempts_max = 3,
            .backoff = {.base_ms = 1000, .cap_ms = 60000, .factor = 2},
            .retryable = RETRYABLE,
            .attempt_ms = 60000,
            .action_count = count,
            .actions_digest = digest_of(&capabilities[i], count),
        };
        struct bytes name = text_view(capabilities[i].name);
        memcpy(capability.name, name.data, name.size);
        check(hub_capability_set(hub, &capability) == STATUS_OK);
    }
}
