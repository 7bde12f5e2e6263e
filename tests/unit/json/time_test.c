/* time_test.c: RFC 3339 in all its spellings, the calendar's corners, and the way back. */
#include "json/time.h"

#include <criterion/criterion.h>
#include <string.h>

struct reading {
    const char *text;
    i64 ms; /* -1: malformed */
};

static const struct reading readings[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"1970-01-01T00:00:00", 0},
    {"1970-01-01t00:00:00z", 0},
    {"1970-01-01 00:00:00Z", 0},
    {"1970-01-01T00:00:00.5Z", 500},
    {"1970-01-01T00:00:00.001Z", 1},
    {"1970-01-01T00:00:00.0019Z", 1},
    {"1970-01-01T00:00:00.123456789Z", 123},
    {"1970-01-01T01:00:00+01:00", 0},
    {"1969-12-31T23:30:00-00:30", 0},
    {"2026-05-01T12:34:56.789Z", 1777638896789},
    {"2026-05-01T12:34:56.789", 1777638896789},
    {"2000-02-29T00:00:00Z", 951782400000},
    {"2024-02-29T23:59:59.999Z", 1709251199999},
    {"2016-12-31T23:59:60Z", 1483228800000},
    {"9999-12-31T23:59:59.999Z", 253402300799999},
    {"1900-02-29T00:00:00Z", -1},
    {"2023-02-29T00:00:00Z", -1},
    {"2026-13-01T00:00:00Z", -1},
    {"2026-00-01T00:00:00Z", -1},
    {"2026-01-00T00:00:00Z", -1},
    {"2026-04-31T00:00:00Z", -1},
    {"2026-01-01T24:00:00Z", -1},
    {"2026-01-01T00:60:00Z", -1},
    {"2026-01-01T00:00:60Z", -1},
    {"2026-01-01T00:00:61Z", -1},
    {"2026-01-01T00:00:00.Z", -1},
    {"2026-01-01T00:00:00.1x", -1},
    {"2026-01-01T00:00:00+24:00", -1},
    {"2026-01-01T00:00:00+0100", -1},
    {"2026-01-01T00:00:00+01", -1},
    {"2026-01-01T00:00:00ZZ", -1},
    {"2026-01-01T00:00Z", -1},
    {"2026-01-01", -1},
    {"2026-1-01T00:00:00Z", -1},
    {"2026-01-01X00:00:00Z", -1},
    {"20260101T000000Z", -1},
    {"", -1},
    {"yesterday", -1},
};

Test(time, parses) {
    for (usize i = 0; i < ARRAY_COUNT(readings); i++) {
        struct slice text = {readings[i].text, strlen(readings[i].text)};
        i64 ms = -1;
        bool good = time_parse(text, &ms);
        cr_assert_eq(good, readings[i].ms != -1, "%s", readings[i].text);
        cr_assert_eq(ms, readings[i].ms, "%s: %lld", readings[i].text, (long long)ms);
    }
    i64 ms;
    cr_assert(time_parse_date(SLICE("2026-05-01"), &ms));
    cr_assert_eq(ms, 1777593600000);
    cr_assert_not(time_parse_date(SLICE("2026-05-32"), &ms));
    cr_assert_not(time_parse_date(SLICE("2026-05-01T00:00:00Z"), &ms));
}

/* The cached form says no, or the same as time_parse: for every single changed byte too. */
Test(time, cached) {
    struct time_cache cache = {.date = {0}};
    const char text[] = "2026-05-01T12:34:56.789Z";
    time_remember(&cache, (struct slice){text, 24});
    i64 quick = 0;
    i64 slow = 0;
    cr_assert(time_parse_cached(&cache, text, &quick));
    cr_assert(time_parse((struct slice){text, 24}, &slow) && quick == slow);
    for (u32 at = 0; at < 24; at++) {
        for (u32 byte = 0; byte < 256; byte++) {
            char changed[sizeof text];
            memcpy(changed, text, sizeof text);
            changed[at] = (char)byte;
            if (time_parse_cached(&cache, changed, &quick)) {
                cr_assert(time_parse((struct slice){changed, 24}, &slow), "%s", changed);
                cr_assert_eq(quick, slow, "%s", changed);
            }
        }
    }
}

Test(time, formats_what_it_parses) {
    u64 state = 1;
    for (u32 i = 0; i < 200000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        i64 ms = (i64)(state >> 18) % 253402300800000 - (i % 2 == 0 ? 0 : 62000000000000);
        ms = MAX(ms, (i64)-62167219200000);
        char out[TIME_TEXT_BYTES];
        time_format(ms, out);
        i64 back = 0;
        cr_assert(time_parse((struct slice){out, sizeof out}, &back));
        cr_assert_eq(back, ms, "%.24s is %lld, not %lld", out, (long long)back, (long long)ms);
    }
    for (i64 days = -719528; days < 2932896; days += 1) {
        u32 year;
        u32 month;
        u32 day;
        time_civil(days, &year, &month, &day);
        cr_assert_eq(time_days(year, month, day), days);
    }
    char out[TIME_TEXT_BYTES];
    time_format(INT64_MAX, out);
    cr_assert_eq(memcmp(out, "9999-12-31T23:59:59.999Z", 24), 0);
    time_format(INT64_MIN, out);
    cr_assert_eq(memcmp(out, "0000-01-01T00:00:00.000Z", 24), 0);
}
