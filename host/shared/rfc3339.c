#include "host/shared/rfc3339.h"

/* Takes `count` digits; -1: they are not there. */
static int64_t digits(const char **text, int count) {
    int64_t value = 0;
    for (int i = 0; i < count; i++, (*text)++) {
        if (**text < '0' || **text > '9') {
            return -1;
        }
        value = value * 10 + (**text - '0');
    }
    return value;
}

static bool take(const char **text, char expected) {
    if (**text != expected) {
        return false;
    }
    *text += 1;
    return true;
}

static bool in_range(int64_t value, int64_t min, int64_t max) {
    return value >= min && value <= max;
}

/* Days since 1970-01-01 of the Gregorian calendar, for years from 1970 on. */
static int64_t days_of(int64_t year, int64_t month, int64_t day) {
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t last = year - 1;
    int64_t leaps = last / 4 - last / 100 + last / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return (year - 1970) * 365 + leaps + before[month - 1] + (is_leap && month > 2) + day - 1;
}

static bool is_day(int64_t year, int64_t month, int64_t day) {
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return in_range(month, 1, 12) && in_range(day, 1, lengths[month - 1] + (is_leap && month == 2));
}

static bool take_fraction(const char **text, int64_t *ms) {
    *ms = 0;
    if (!take(text, '.')) {
        return true;
    }
    int64_t scale = 100;
    int count = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++, count++) {
        *ms += (**text - '0') * scale;
        scale /= 10;
    }
    return count > 0;
}

static bool take_offset(const char **text, int64_t *minutes) {
    *minutes = 0;
    if (take(text, 'Z') || take(text, 'z')) {
        return true;
    }
    bool is_minus = **text == '-';
    if (!take(text, '+') && !take(text, '-')) {
        return false;
    }
    int64_t hour = digits(text, 2);
    bool has_colon = take(text, ':');
    int64_t minute = has_colon ? digits(text, 2) : -1;
    *minutes = (hour * 60 + minute) * (is_minus ? -1 : 1);
    return in_range(hour, 0, 23) && in_range(minute, 0, 59);
}

enum status rfc3339_parse(const char *text, uint64_t *unix_ms) {
    int64_t year = digits(&text, 4);
    bool is_good = take(&text, '-');
    int64_t month = is_good ? digits(&text, 2) : -1;
    is_good = is_good && take(&text, '-');
    int64_t day = is_good ? digits(&text, 2) : -1;
    is_good = is_good && (take(&text, 'T') || take(&text, 't') || take(&text, ' '));
    int64_t hour = is_good ? digits(&text, 2) : -1;
    is_good = is_good && take(&text, ':');
    int64_t minute = is_good ? digits(&text, 2) : -1;
    is_good = is_good && take(&text, ':');
    int64_t second = is_good ? digits(&text, 2) : -1;
    int64_t ms = 0;
    int64_t offset = 0;
    is_good = is_good && take_fraction(&text, &ms) && take_offset(&text, &offset) && *text == '\0';
    if (!is_good || !in_range(year, 1970, 9999) || !is_day(year, month, day) ||
        !in_range(hour, 0, 23) || !in_range(minute, 0, 59) || !in_range(second, 0, 60)) {
        return STATUS_MALFORMED;
    }
    second = second == 60 ? 59 : second;
    int64_t seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    seconds -= offset * 60;
    if (seconds < 0) {
        return STATUS_MALFORMED;
    }
    *unix_ms = (uint64_t)seconds * 1000 + (uint64_t)ms;
    return STATUS_OK;
}
