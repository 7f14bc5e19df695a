#include "boards/linux/linux.h"

#include "boards/board_make.h"
