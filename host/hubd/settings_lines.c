#include "host/hubd/settings_lines.h"

#include <string.h>

/* ---- [hub_serial.NAME] ---- */

/* The row of the section an item stands in; NULL: there are too many, or its name is none. */
static struct serial_power_settings *serial_hub_of(struct settings *settings,
                                                   const struct config_item *item) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t size = strlen(item->suffix);
    for (uint32_t i = 0; i < settings->serial_hub_count; i++) {
        if (strcmp(settings->serial_hubs[i].name, item->suffix) == 0) {
            return &settings->serial_hubs[i];
        }
    }
    if (settings->serial_hub_count == SERIAL_POWER_HUBS || size >= SERIAL_POWER_NAME_SIZE ||
        strspn(item->suffix, allowed) != size) {
        return NULL;
    }
    struct serial_power_settings *hub = &settings->serial_hubs[settings->serial_hub_count];
    memset(hub, 0, sizeof *hub);
    memcpy(hub->name, item->suffix, size + 1);
    settings->serial_hub_count += 1;
    return hub;
}

bool settings_lines_take_serial_port(void *target, const struct config_item *item) {
    struct serial_power_settings *hub = serial_hub_of(target, item);
    size_t size = strlen(item->value);
    if (hub == NULL || hub->path[0] != '\0' || item->value[0] != '/' || size >= sizeof hub->path) {
        return false;
    }
    memcpy(hub->path, item->value, size + 1);
    return true;
}

bool settings_lines_take_dialect(void *target, const struct config_item *item) {
    struct serial_power_settings *hub = serial_hub_of(target, item);
    struct bytes name = {(const uint8_t *)item->value, strlen(item->value)};
    if (hub == NULL || hub->dialect != NULL) {
        return false;
    }
    hub->dialect = hub_dialect_named(name);
    return hub->dialect != NULL;
}

bool settings_lines_take_baud(void *target, const struct config_item *item) {
    struct serial_power_settings *hub = serial_hub_of(target, item);
    return hub != NULL && hub->baud == 0 &&
           config_integer(item->value, 300, 4000000, &hub->baud) == STATUS_OK;
}

static bool is_mapped(const struct settings *settings, const char *slot) {
    for (uint32_t i = 0; i < settings->serial_hub_count; i++) {
        for (unsigned p = 0; p < HUB_SERIAL_PORTS_MAX; p++) {
            if (strcmp(settings->serial_hubs[i].slots[p], slot) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* `PORT=SLOT, ...`; a port has one slot and a slot one port. */
bool settings_lines_take_slots(void *target, const struct config_item *item) {
    struct serial_power_settings *hub = serial_hub_of(target, item);
    const char *list = item->value;
    char part[HAL_USB_SLOT_SIZE + 4];
    while (hub != NULL && config_next_part(&list, part, sizeof part)) {
        char *slot = strchr(part, '=');
        uint64_t port = 0;
        if (slot == NULL) {
            return false;
        }
        *slot = '\0';
        slot += 1;
        if (config_integer(part, 1, HUB_SERIAL_PORTS_MAX, &port) != STATUS_OK ||
            strncmp(slot, "usb:", 4) != 0 || strlen(slot) >= HAL_USB_SLOT_SIZE ||
            hub->slots[port - 1][0] != '\0' || is_mapped(target, slot)) {
            return false;
        }
        memcpy(hub->slots[port - 1], slot, strlen(slot) + 1);
    }
    return hub != NULL && list == NULL;
}

/* ---- [carry.NAME] ---- */

bool settings_lines_is_hub_id(const char *text) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t size = strlen(text);
    return size > 0 && size <= RECORD_ID_MAX && strspn(text, allowed) == size;
}

/* The row of the section an item stands in; NULL: there are too many, or its name is no hub id. */
static struct carrier_settings *carried_of(struct settings *settings,
                                           const struct config_item *item) {
    for (uint32_t i = 0; i < settings->carried_count; i++) {
        if (strcmp(settings->carried[i].name, item->suffix) == 0) {
            return &settings->carried[i];
        }
    }
    struct carrier_settings *carried = &settings->carried[settings->carried_count];
    if (settings->carried_count == CARRIER_MAX || !settings_lines_is_hub_id(item->suffix)) {
        return NULL;
    }
    memcpy(carried->name, item->suffix, strlen(item->suffix) + 1);
    settings->carried_count += 1;
    return carried;
}

/* A path, once. */
static bool take_carried_path(char *target, const struct config_item *item) {
    size_t size = strlen(item->value);
    if (target[0] != '\0' || size == 0 || size >= CARRIER_PATH_SIZE) {
        return false;
    }
    memcpy(target, item->value, size + 1);
    return true;
}

bool settings_lines_take_carried_port(void *target, const struct config_item *item) {
    struct carrier_settings *carried = carried_of(target, item);
    return item->value[0] == '/' && carried != NULL && take_carried_path(carried->port, item);
}

bool settings_lines_take_carried_cert(void *target, const struct config_item *item) {
    struct carrier_settings *carried = carried_of(target, item);
    return carried != NULL && take_carried_path(carried->cert, item);
}

bool settings_lines_take_carried_key(void *target, const struct config_item *item) {
    struct carrier_settings *carried = carried_of(target, item);
    return carried != NULL && take_carried_path(carried->key, item);
}

bool settings_lines_take_carried_baud(void *target, const struct config_item *item) {
    struct carrier_settings *carried = carried_of(target, item);
    return carried != NULL && carried->baud == 0 &&
           config_integer(item->value, 1200, 4000000, &carried->baud) == STATUS_OK;
}
