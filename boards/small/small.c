#include "boards/small/small.h"

#include "boards/board_make.h"
