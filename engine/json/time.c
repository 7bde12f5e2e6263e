/*
 * time.c: see time.h. Here every form is read character by character; the common form of 24
 * characters is read eight at a time in the header (time_parse_cached).
 */
#include "json/time.h"

#include <string.h>

/* Both directions after Howard Hinnant, "chrono-compatible low-level date algorithms": years begin
 * in March, so that the leap day is the last day of a year. */
i64 time_days(u32 year, u32 month, u32 day) {
    i64 y = (i64)year - (month <= 2);
    i64 era = (y >= 0 ? y : y - 399) / 400;
    i64 year_of_era = y - era * 400;
    i64 day_of_year = (153 * ((i64)month + (month > 2 ? -3 : 9)) + 2) / 5 + (i64)day - 1;
    i64 day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

void time_civil(i64 days, u32 *year, u32 *month, u32 *day) {
    i64 z = days + 719468;
    i64 era = (z >= 0 ? z : z - 146096) / 146097;
    i64 day_of_era = z - era * 146097;
    i64 year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    i64 day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    i64 shifted = (5 * day_of_year + 2) / 153;
    *day = (u32)(day_of_year - (153 * shifted + 2) / 5 + 1);
    *month = (u32)(shifted < 10 ? shifted + 3 : shifted - 9);
    *year = (u32)(year_of_era + era * 400 + (*month <= 2));
}

static bool is_leap(u32 year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static u32 days_of_month(u32 year, u32 month) {
    static const u8 days[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month] + (u32)(month == 2 && is_leap(year));
}

static bool date_to_days(u32 year, u32 month, u32 day, i64 *days) {
    if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, month)) {
        return false;
    }
    *days = time_days(year, month, day);
    return true;
}

/* `count` digits; false if one is not. */
static bool read_digits(const char *at, u32 count, u32 *out) {
    u32 value = 0;
    for (u32 i = 0; i < count; i++) {
        u32 digit = (u32)(u8)at[i] - '0';
        if (digit > 9) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

static bool parse_date(const char *at, i64 *days) {
    u32 year;
    u32 month;
    u32 day;
    return read_digits(at, 4, &year) && at[4] == '-' && read_digits(at + 5, 2, &month) &&
           at[7] == '-' && read_digits(at + 8, 2, &day) && date_to_days(year, month, day, days);
}

bool time_parse_date(struct slice text, i64 *ms) {
    i64 days;
    if (text.bytes != 10 || !parse_date(text.data, &days)) {
        return false;
    }
    *ms = days * TIME_MS_PER_DAY;
    return true;
}

/* ".digits": milliseconds, cut. Moves *at behind it. */
static bool parse_fraction(const char **at, const char *end, i64 *ms) {
    const char *p = *at + 1;
    i64 unit = 100;
    *ms = 0;
    for (; p < end && (u8)(*p - '0') < 10; p++) {
        *ms += (*p - '0') * unit;
        unit /= 10;
    }
    bool some = p > *at + 1;
    *at = p;
    return some;
}

/* The zone up to the end of the text, as milliseconds to subtract. */
static bool parse_zone(const char *at, const char *end, i64 *ms) {
    *ms = 0;
    if (at == end || (end - at == 1 && (*at | 0x20) == 'z')) {
        return true;
    }
    u32 hours;
    u32 minutes;
    if (end - at != 6 || (*at != '+' && *at != '-') || !read_digits(at + 1, 2, &hours) ||
        at[3] != ':' || !read_digits(at + 4, 2, &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    i64 offset = ((i64)hours * 60 + minutes) * 60000;
    *ms = *at == '-' ? -offset : offset;
    return true;
}

bool time_parse(struct slice text, i64 *ms) {
    i64 days;
    u32 hour;
    u32 minute;
    u32 second;
    const char *at = text.data;
    const char *end = at + text.bytes;
    if (text.bytes < 19 || !parse_date(at, &days) || ((at[10] | 0x20) != 't' && at[10] != ' ') ||
        !read_digits(at + 11, 2, &hour) || at[13] != ':' || !read_digits(at + 14, 2, &minute) ||
        at[16] != ':' || !read_digits(at + 17, 2, &second)) {
        return false;
    }
    if (hour > 23 || minute > 59 || second > (minute == 59 ? 60 : 59)) {
        return false;
    }
    at += 19;
    i64 fraction = 0;
    i64 zone;
    if (at < end && *at == '.' && !parse_fraction(&at, end, &fraction)) {
        return false;
    }
    if (!parse_zone(at, end, &zone)) {
        return false;
    }
    *ms =
        days * TIME_MS_PER_DAY + (((i64)hour * 60 + minute) * 60 + second) * 1000 + fraction - zone;
    return true;
}

void time_remember(struct time_cache *cache, struct slice text) {
    check(text.bytes >= sizeof cache->date);
    i64 days;
    if (parse_date(text.data, &days)) {
        memcpy(cache->date, text.data, sizeof cache->date);
        cache->day_ms = days * TIME_MS_PER_DAY;
    }
}

static void put_digits(char *to, u32 value, u32 digits) {
    for (u32 i = digits; i > 0; i--) {
        to[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
}

void time_format(i64 ms, char out[TIME_TEXT_BYTES]) {
    ms = MAX(ms, time_days(0, 1, 1) * TIME_MS_PER_DAY);
    ms = MIN(ms, (time_days(9999, 12, 31) + 1) * TIME_MS_PER_DAY - 1);
    i64 days = ms / TIME_MS_PER_DAY - (ms % TIME_MS_PER_DAY < 0);
    u32 rest = (u32)(ms - days * TIME_MS_PER_DAY);
    u32 year;
    u32 month;
    u32 day;
    time_civil(days, &year, &month, &day);
    memcpy(out, "0000-00-00T00:00:00.000Z", TIME_TEXT_BYTES);
    put_digits(out, year, 4);
    put_digits(out + 5, month, 2);
    put_digits(out + 8, day, 2);
    put_digits(out + 11, rest / 3600000, 2);
    put_digits(out + 14, rest / 60000 % 60, 2);
    put_digits(out + 17, rest / 1000 % 60, 2);
    put_digits(out + 20, rest % 1000, 3);
}
