/* sim_net.h - the way between one hub and upstream: what becomes of a message, and the messages
 * that are on it.
 *
 * A message may be lost, delayed (and so overtake another), or arrive twice, the second time long
 * after its connection is gone. Each direction may be cut alone (half-open). */
#ifndef HAL_SIM_SIM_NET_H
#define HAL_SIM_SIM_NET_H

#include "hal/sim/sim_dice.h"

enum { SIM_NET_MESSAGES = 6, SIM_NET_BYTES = 12288 };

enum sim_net_way { SIM_NET_UP, SIM_NET_DOWN, SIM_NET_WAYS };

/* Drawn once for a world. */
struct sim_net_rates {
    uint32_t loss;      /* per million messages */
    uint32_t duplicate; /* per million */
    uint32_t late;      /* per million: minutes late instead of milliseconds */
    uint32_t delay_ms;  /* mean */
};

struct sim_net_message {
    bool is_used;
    uint8_t way;
    uint32_t connection; /* it belongs to */
    uint32_t size;
    uint8_t bytes[SIM_NET_BYTES];
};

struct sim_net {
    struct sim_dice *dice; /* the owner's */
    struct sim_net_rates rates;
    bool is_cut[SIM_NET_WAYS];
    struct sim_net_message messages[SIM_NET_MESSAGES];
    uint64_t lost, late, duplicated;
};

/* One copy of a message that will arrive. */
struct sim_net_copy {
    uint32_t index; /* into messages */
    uint32_t after_ms;
};

/* Sends a message: fills in up to two copies that arrive, and says how many. A way with no room for
 * one more loses it. */
uint32_t sim_net_send(struct sim_net *net, enum sim_net_way way, uint32_t connection,
                      struct bytes message, struct sim_net_copy copies[2]);
/* Gives a message's room back once it has arrived. */
void sim_net_free(struct sim_net *net, uint32_t index);

#endif
