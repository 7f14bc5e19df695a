/* hub_same.h - whether two hubs hold the same tables: one that wrote a log, and one that read it.
 *
 * Fields are compared as they lie in memory, never as records: an encoder that forgets a field
 * would forget it on both sides. */
#ifndef TESTS_FIRMWARE_HUB_SAME_H
#define TESTS_FIRMWARE_HUB_SAME_H

#include "firmware/hub.h"

/* Fails the test at the first difference. `b` was loaded from what `a` had made durable. */
void hub_same_tables(const struct hub *a, const struct hub *b);

#endif
