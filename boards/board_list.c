#include "boards/board.h"

#include <string.h>

extern const struct board board_linux, board_large, board_sim, board_small, board_zynq;

const struct board *const board_list[] = {&board_linux, &board_large, &board_sim,
                                          &board_small, &board_zynq,  NULL};

const struct board *board_named(struct bytes name) {
    for (size_t i = 0; board_list[i] != NULL; i++) {
        size_t size = 0;
        while (board_list[i]->name[size] != '\0') {
            size += 1;
        }
        if (size == name.size && memcmp(board_list[i]->name, name.data, size) == 0) {
            return board_list[i];
        }
    }
    return NULL;
}
