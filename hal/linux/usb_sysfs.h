/* usb_sysfs.h - what Linux says of a USB device without asking it: place, serial, descriptors.
 *
 * The kernel read all of it once when the device was attached (Documentation/ABI/stable/
 * sysfs-bus-usb); taking it from there costs the bus nothing and cannot hang. */
#ifndef HAL_LINUX_USB_SYSFS_H
#define HAL_LINUX_USB_SYSFS_H

#include "hal/usb.h"

/* Fills path, slot, serial, configuration and descriptors of a device whose depth, ports and speed
 * are set. What the system does not say stays empty. `memory` keeps the descriptors. */
void usb_sysfs_describe(struct hal_usb_device *device, unsigned bus,
                        uint8_t memory[HAL_USB_DESCRIPTORS_MAX]);

/* Opens the `disable` attribute of a hub's port (Documentation/ABI/testing/sysfs-bus-usb), to write
 * 1 or 0 into it. NOT_FOUND: this kernel has none. DENIED. */
must_check enum status usb_sysfs_open_port(const struct hal_usb_device *hub, uint8_t port,
                                           int *file);

/* The kernel's limit for the transfers of all programs together, in bytes; 0: none. */
uint64_t usb_sysfs_memory_bytes(void);

/* NULL, or what keeps USB from working on this system and what to do about it. */
const char *usb_sysfs_obstacle(void);
/* NULL, or what will not work (phones that are plugged in later), and what to do about it. */
const char *usb_sysfs_warning(void);

#endif
