#include "boards/large/large.h"

#include "boards/board_make.h"
