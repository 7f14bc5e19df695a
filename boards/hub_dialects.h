/* hub_dialects.h - how the hub controllers that are known are talked to over their serial line.
 *
 * One row a family; a new controller that answers in one of the shapes of protocol/hub_serial.h is
 * one more row. Source of the first two: Cambrionix' command line manual of 2025-06. `line` is the
 * plain dialect for controllers that people build themselves. */
#ifndef BOARDS_HUB_DIALECTS_H
#define BOARDS_HUB_DIALECTS_H

#include "protocol/hub_serial.h"

/* The end has no name. */
extern const struct hub_serial_dialect hub_dialects[];

/* NULL: no such dialect. */
const struct hub_serial_dialect *hub_dialect_named(struct bytes name);

#endif
