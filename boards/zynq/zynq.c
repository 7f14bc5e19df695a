#include "boards/zynq/zynq.h"

#include "boards/board_make.h"
