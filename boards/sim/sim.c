#include "boards/sim/sim.h"

#include "boards/board_make.h"
