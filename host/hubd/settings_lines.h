/* settings_lines.h - the sections of hubd's configuration that are about serial lines. Each
 * function takes one item for a `struct settings`; false: it is not what was expected. */
#ifndef HOST_HUBD_SETTINGS_LINES_H
#define HOST_HUBD_SETTINGS_LINES_H

#include "host/hubd/settings.h"

/* [hub_serial.NAME]: hub controllers. */
bool settings_lines_take_serial_port(void *target, const struct config_item *item);
bool settings_lines_take_dialect(void *target, const struct config_item *item);
bool settings_lines_take_baud(void *target, const struct config_item *item);
bool settings_lines_take_slots(void *target, const struct config_item *item);

/* [carry.NAME]: boards whose records are carried upstream. */
bool settings_lines_is_hub_id(const char *text);
bool settings_lines_take_carried_port(void *target, const struct config_item *item);
bool settings_lines_take_carried_cert(void *target, const struct config_item *item);
bool settings_lines_take_carried_key(void *target, const struct config_item *item);
bool settings_lines_take_carried_baud(void *target, const struct config_item *item);

#endif
