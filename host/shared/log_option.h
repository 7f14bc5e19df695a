/* log_option.h - the options of every daemon that are about its log, for its list of options. */
#ifndef HOST_SHARED_LOG_OPTION_H
#define HOST_SHARED_LOG_OPTION_H

#include "host/shared/cli.h"
#include "host/shared/log.h"

bool log_option_level(void *level, const char *value);   /* enum log_level */
bool log_option_format(void *format, const char *value); /* enum log_format */

#define LOG_LEVEL_OPTION(level)                                                                    \
    {                                                                                              \
        .name = "log-level", .value_name = "error|warn|info|debug",                                \
        .help = "what is logged (info)", .take = log_option_level, .owner = (level)                \
    }
#define LOG_FORMAT_OPTION(format)                                                                  \
    {                                                                                              \
        .name = "log-format", .value_name = "text|json", .help = "how it is logged (text)",        \
        .take = log_option_format, .owner = (format)                                               \
    }

#endif
