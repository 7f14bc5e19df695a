#include "host/hubd/run/flash_manifest.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 512 };

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/* Letters, digits and some more, the first one a letter or digit: no path, no hidden file. */
static bool take_name(char *target, size_t capacity, const char *value, const char *more) {
    size_t size = strlen(value);
    size_t good = 0;
    while (good < size &&
           (strchr(letters, value[good]) != NULL || strchr(more, value[good]) != NULL)) {
        good += 1;
    }
    if (size == 0 || size >= capacity || good != size || strchr(letters, value[0]) == NULL) {
        return false;
    }
    memcpy(target, value, size + 1);
    return true;
}

static bool take_slot(const char *value, enum flash_slot *slot) {
    static const char *const names[FLASH_SLOT_COUNT] = {"current", "other", "a", "b", "both"};
    for (unsigned i = 0; i < FLASH_SLOT_COUNT; i++) {
        if (strcmp(value, names[i]) == 0) {
            *slot = (enum flash_slot)i;
            return true;
        }
    }
    return false;
}

static bool take_hash(const char *value, uint8_t hash[SHA256_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    if (strlen(value) != (size_t)2 * SHA256_BYTES || strspn(value, digits) != strlen(value)) {
        return false;
    }
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        size_t high = (size_t)(strchr(digits, value[2 * i]) - digits);
        size_t low = (size_t)(strchr(digits, value[2 * i + 1]) - digits);
        hash[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool take_flash_key(struct flash_manifest *manifest, const struct config_item *item,
                           struct config_error *error) {
    if (strcmp(item->key, "product") == 0) {
        size_t size = strlen(item->value);
        if (size == 0 || size >= sizeof manifest->products) {
            return config_refuse(error, item, "names of products with commas between them");
        }
        memcpy(manifest->products, item->value, size + 1);
        return true;
    }
    if (strcmp(item->key, "set_active") == 0) {
        manifest->sets_active = true;
        bool is_good = take_slot(item->value, &manifest->active) &&
                       manifest->active != FLASH_CURRENT && manifest->active != FLASH_BOTH;
        return is_good || config_refuse(error, item, "a, b or other");
    }
    return config_refuse(error, item, "product or set_active");
}

static bool take_part_key(struct flash_part *part, const struct config_item *item,
                          struct config_error *error) {
    if (strcmp(item->key, "slot") == 0) {
        return take_slot(item->value, &part->slot) ||
               config_refuse(error, item, "current, other, a, b or both");
    }
    if (part->is_erased) {
        return config_refuse(error, item, "slot");
    }
    if (strcmp(item->key, "file") == 0) {
        return take_name(part->file, sizeof part->file, item->value, "._-") ||
               config_refuse(error, item, "the name of a file in the folder of the manifest");
    }
    if (strcmp(item->key, "bytes") == 0) {
        part->has_bytes = true;
        return config_integer(item->value, 1, (uint64_t)1 << 42, &part->bytes) == STATUS_OK ||
               config_refuse(error, item, "the size of the file, 1 to 4398046511104");
    }
    if (strcmp(item->key, "sha256") == 0) {
        part->has_sha256 = true;
        return take_hash(item->value, part->sha256) ||
               config_refuse(error, item, "64 digits of 0-9 and a-f");
    }
    return config_refuse(error, item, "file, bytes, sha256 or slot");
}

static bool begin_part(struct flash_manifest *manifest, const struct config_item *item,
                       struct config_error *error) {
    if (manifest->count == FLASH_STEPS_MAX) {
        return config_refuse(error, item, "at most 32 partitions");
    }
    struct flash_part *part = &manifest->parts[manifest->count];
    *part = (struct flash_part){.slot = FLASH_CURRENT,
                                .is_erased = strncmp(item->section, "erase.", 6) == 0};
    manifest->count += 1;
    return take_name(part->partition, sizeof part->partition, item->suffix, "_-") ||
           config_refuse(error, item, "the name of a partition, without slot");
}

static bool visit(void *owner, const struct config_item *item, struct config_error *error) {
    struct flash_manifest *manifest = owner;
    bool is_part =
        strncmp(item->section, "image.", 6) == 0 || strncmp(item->section, "erase.", 6) == 0;
    if (!is_part && strcmp(item->section, "flash") != 0) {
        return config_refuse(error, item, "[flash], [image.PARTITION] or [erase.PARTITION]");
    }
    if (item->key == NULL) {
        return !is_part || begin_part(manifest, item, error);
    }
    return is_part ? take_part_key(&manifest->parts[manifest->count - 1], item, error)
                   : take_flash_key(manifest, item, error);
}

/* An image needs all three. */
static const struct flash_part *find_incomplete(const struct flash_manifest *manifest) {
    for (uint32_t i = 0; i < manifest->count; i++) {
        const struct flash_part *part = &manifest->parts[i];
        bool is_whole = part->file[0] != '\0' && part->has_bytes && part->has_sha256;
        if (!is_whole && !part->is_erased) {
            return part;
        }
    }
    return NULL;
}

enum status flash_manifest_read(const char *folder, struct flash_manifest *manifest,
                                struct config_error *error) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/manifest.ini", folder);
    memset(manifest, 0, sizeof *manifest);
    enum status status = config_read_each(path, visit, manifest, error);
    if (status != STATUS_OK) {
        return status;
    }
    const struct flash_part *incomplete = find_incomplete(manifest);
    if (incomplete != NULL) {
        snprintf(error->text, sizeof error->text,
                 "%.200s: [image.%s] expected file, bytes and sha256", path, incomplete->partition);
    } else if (manifest->count == 0) {
        snprintf(error->text, sizeof error->text, "%.200s: expected an [image.PARTITION]", path);
    }
    return incomplete != NULL || manifest->count == 0 ? STATUS_MALFORMED : STATUS_OK;
}

bool flash_manifest_allows(const struct flash_manifest *manifest, const char *product) {
    const char *list = manifest->products;
    char part[FLASH_PRODUCTS_SIZE];
    bool is_allowed = list[0] == '\0';
    while (list != NULL && !is_allowed && config_next_part(&list, part, sizeof part)) {
        is_allowed = strcmp(part, product) == 0;
    }
    return is_allowed;
}
