/* store_rig_image.h - stores that the first format's code has written, kept in tests/data. */
#ifndef TESTS_FIRMWARE_STORE_RIG_IMAGE_H
#define TESTS_FIRMWARE_STORE_RIG_IMAGE_H

#include "tests/firmware/store_rig.h"

/* False: there is none for the device of this name. */
bool store_rig_has_image(const char *name);

/* Starts the rig with the image of a device, mounts it and compares; the model then knows what its
 * writer has listed. */
void store_rig_load_image(struct rig *rig, const char *name);

#endif
