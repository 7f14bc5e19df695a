/* serial_port.h - a serial line through libserialport.
 *
 * libserialport takes a port's own name (`/dev/ttyUSB0`) only; the stable links of udev
 * (`/dev/serial/by-id/...`) are resolved here, anew with each open, since an adapter that was
 * unplugged may come back under another name. Its memory comes from the program's arena. */
#ifndef HAL_LINUX_SERIAL_PORT_H
#define HAL_LINUX_SERIAL_PORT_H

#include "hal/serial.h"

struct sp_port;

struct serial_port {
    struct hal_serial serial; /* first */
    struct sp_port *port;     /* of an open line */
};

void serial_port_init(struct serial_port *port);

#endif
