#include "hal/sim/sim_net.h"

#include <string.h>

static bool put(struct sim_net *net, enum sim_net_way way, uint32_t connection,
                struct bytes message, uint32_t *index) {
    for (uint32_t i = 0; i < SIM_NET_MESSAGES; i++) {
        struct sim_net_message *of = &net->messages[i];
        if (!of->is_used) {
            of->is_used = true;
            of->way = (uint8_t)way;
            of->connection = connection;
            of->size = (uint32_t)message.size;
            memcpy(of->bytes, message.data, message.size);
            *index = i;
            return true;
        }
    }
    return false;
}

static uint32_t travel_ms(struct sim_net *net, struct sim_dice *dice) {
    if (sim_dice_chance(dice, net->rates.late)) {
        net->late += 1;
        return sim_dice_between(dice, 10000, 300000);
    }
    return 1 + sim_dice_wait(dice, net->rates.delay_ms);
}

uint32_t sim_net_send(struct sim_net *net, enum sim_net_way way, uint32_t connection,
                      struct bytes message, struct sim_net_copy copies[2]) {
    struct sim_dice *dice = net->dice;
    check(message.size <= SIM_NET_BYTES);
    if (net->is_cut[way]) {
        return 0;
    }
    if (sim_dice_chance(dice, net->rates.loss)) {
        net->lost += 1;
        return 0;
    }
    uint32_t count = 0;
    if (!put(net, way, connection, message, &copies[0].index)) {
        net->lost += 1;
        return 0;
    }
    copies[0].after_ms = travel_ms(net, dice);
    count = 1;
    if (sim_dice_chance(dice, net->rates.duplicate) &&
        put(net, way, connection, message, &copies[1].index)) {
        net->duplicated += 1;
        copies[1].after_ms = copies[0].after_ms + sim_dice_between(dice, 1, 120000);
        count = 2;
    }
    return count;
}

void sim_net_free(struct sim_net *net, uint32_t index) {
    check(net->messages[index].is_used);
    net->messages[index].is_used = false;
}
