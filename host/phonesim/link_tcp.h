/* link_tcp.h - lets hosts reach an emulated phone over TCP, one at a time. */
#ifndef HOST_PHONESIM_LINK_TCP_H
#define HOST_PHONESIM_LINK_TCP_H

#include "hal/linux/tcp.h"
#include "host/phonesim/phone.h"
#include "host/shared/loop.h"

struct link_tcp {
    struct loop_source listening; /* for hosts that come */
    struct loop_source talking;   /* with the one that is here */
    struct loop *loop;
    struct phone *phone;
    int listener;
    struct hal_stream stream;
    struct bytes input; /* read, not yet taken */
    uint8_t input_memory[16 * 1024];
};

/* Listens on `address`. The phone and the link stay the caller's. FULL, DENIED, IO: as
 * tcp_listen(). */
must_check enum status link_tcp_open(struct link_tcp *link, struct loop *loop, struct phone *phone,
                                     const struct tcp_address *address);
void link_tcp_close(struct link_tcp *link);

/* Lets the phone do what its time has come for. */
void link_tcp_step(struct link_tcp *link, uint64_t now_ms);

#endif
