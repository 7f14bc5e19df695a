#include "host/shared/log_option.h"

bool log_option_level(void *level, const char *value) {
    return log_parse_level(value, level);
}

bool log_option_format(void *format, const char *value) {
    return log_parse_format(value, format);
}
