/* number_test.c: grammar, exactness and rounding of decimals, at the ends of every range. */
#include "json/number.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/guard.h"

static struct slice text_of(const char *text) {
    return (struct slice){text, strlen(text)};
}

Test(number, grammar) {
    static const char *const good[] = {
        "0",      "-0",   "1",     "10",  "0.5",    "-1.25",
        "1e5",    "1E+5", "1e-05", "0e0", "0.0e99", "123456789012345678901234567890",
        "1.00000"};
    static const char *const bad[] = {"", "-", "+1", ".5", "-.5", "e5", "NaN", "Infinity", "x1"};
    struct {
        const char *text;
        usize bytes;
    } part[] = {{"01", 1},  {"1.", 0},    {"1.e5", 0}, {"1e", 0},    {"1e+", 0},
                {"-01", 2}, {"1.5.5", 3}, {"0x10", 1}, {"12abc", 2}, {"1,2", 1}};
    struct guard guard = guard_create(64);
    for (usize i = 0; i < ARRAY_COUNT(good); i++) {
        usize bytes = strlen(good[i]);
        const char *at = guard_copy(&guard, text_of(good[i]), 0, 0);
        cr_assert_eq(number_scan(at, at + bytes), bytes, "%s", good[i]);
    }
    for (usize i = 0; i < ARRAY_COUNT(bad); i++) {
        const char *at = guard_copy(&guard, text_of(bad[i]), 0, 0);
        cr_assert_eq(number_scan(at, at + strlen(bad[i])), 0, "%s", bad[i]);
    }
    for (usize i = 0; i < ARRAY_COUNT(part); i++) {
        const char *at = guard_copy(&guard, text_of(part[i].text), 0, 0);
        cr_assert_eq(number_scan(at, at + strlen(part[i].text)), part[i].bytes, "%s", part[i].text);
    }
    guard_destroy(&guard);
}

struct scaling {
    const char *text;
    u32 scale;
    enum number_rounding rounding;
    enum err err;
    i64 value;
};

static const struct scaling scalings[] = {
    {"0", 12, NUMBER_HALF_EVEN, ERR_OK, 0},
    {"-0.0", 12, NUMBER_HALF_EVEN, ERR_OK, 0},
    {"0.0000705", 12, NUMBER_HALF_EVEN, ERR_OK, 70500000},
    {"1.5", 0, NUMBER_HALF_EVEN, ERR_OK, 2},
    {"2.5", 0, NUMBER_HALF_EVEN, ERR_OK, 2},
    {"2.5", 0, NUMBER_HALF_UP, ERR_OK, 3},
    {"-2.5", 0, NUMBER_HALF_UP, ERR_OK, -3},
    {"-2.5", 0, NUMBER_HALF_EVEN, ERR_OK, -2},
    {"-3.5", 0, NUMBER_HALF_EVEN, ERR_OK, -4},
    {"2.50000000000000000000000001", 0, NUMBER_HALF_EVEN, ERR_OK, 3},
    {"2.49999999999999999999999999", 0, NUMBER_HALF_UP, ERR_OK, 2},
    {"0.5", 0, NUMBER_HALF_EVEN, ERR_OK, 0},
    {"0.5", 0, NUMBER_HALF_UP, ERR_OK, 1},
    {"0.05", 0, NUMBER_HALF_UP, ERR_OK, 0},
    {"0.0000000000005", 12, NUMBER_HALF_EVEN, ERR_OK, 0},
    {"0.0000000000015", 12, NUMBER_HALF_EVEN, ERR_OK, 2},
    {"0.00000000000050001", 12, NUMBER_HALF_EVEN, ERR_OK, 1},
    {"5.0", 0, NUMBER_EXACT, ERR_OK, 5},
    {"5e0", 0, NUMBER_EXACT, ERR_OK, 5},
    {"50e-1", 0, NUMBER_EXACT, ERR_OK, 5},
    {"0.5e1", 0, NUMBER_EXACT, ERR_OK, 5},
    {"5.5", 0, NUMBER_EXACT, ERR_INVALID, 0},
    {"55e-1", 0, NUMBER_EXACT, ERR_INVALID, 0},
    {"1e-999999999999999999999", 0, NUMBER_EXACT, ERR_INVALID, 0},
    {"1e-999999999999999999999", 12, NUMBER_HALF_UP, ERR_OK, 0},
    {"1e999999999999999999999", 0, NUMBER_HALF_UP, ERR_LIMIT, 0},
    {"0e999999999999999999999", 0, NUMBER_HALF_UP, ERR_OK, 0},
    {"0.0000000000000000000000000001e28", 0, NUMBER_EXACT, ERR_OK, 1},
    {"10000000000000000000000000000e-28", 0, NUMBER_EXACT, ERR_OK, 1},
    {"9223372036854775807", 0, NUMBER_EXACT, ERR_OK, INT64_MAX},
    {"9223372036854775808", 0, NUMBER_EXACT, ERR_LIMIT, 0},
    {"-9223372036854775808", 0, NUMBER_EXACT, ERR_OK, INT64_MIN},
    {"-9223372036854775809", 0, NUMBER_EXACT, ERR_LIMIT, 0},
    {"9223372036854775807.5", 0, NUMBER_HALF_UP, ERR_LIMIT, 0},
    {"9223372036854775807.4", 0, NUMBER_HALF_UP, ERR_OK, INT64_MAX},
    {"18446744073709551616", 0, NUMBER_HALF_UP, ERR_LIMIT, 0},
    {"99999999999999999999", 0, NUMBER_HALF_UP, ERR_LIMIT, 0},
    {"9223372.036854775807", 12, NUMBER_EXACT, ERR_OK, INT64_MAX},
    {"9223372.0368547758075", 12, NUMBER_HALF_EVEN, ERR_LIMIT, 0},
    {"1.23E2", 2, NUMBER_EXACT, ERR_OK, 12300},
};

Test(number, scaled) {
    struct guard guard = guard_create(64);
    for (usize i = 0; i < ARRAY_COUNT(scalings); i++) {
        const struct scaling *want = &scalings[i];
        struct slice text = text_of(want->text);
        text.data = guard_copy(&guard, text, 0, 0);
        i64 value = 77;
        enum err err = number_scale(text, want->scale, want->rounding, &value);
        cr_assert_eq(err, want->err, "%s: err %d", want->text, (int)err);
        if (err == ERR_OK) {
            cr_assert_eq(value, want->value, "%s: %lld", want->text, (long long)value);
        }
    }
    guard_destroy(&guard);
}

Test(number, sign) {
    cr_assert(number_is_negative(SLICE("-1")));
    cr_assert(number_is_negative(SLICE("-0.0001")));
    cr_assert(number_is_negative(SLICE("-1e-400")));
    cr_assert_not(number_is_negative(SLICE("-0")));
    cr_assert_not(number_is_negative(SLICE("-0.0e5")));
    cr_assert_not(number_is_negative(SLICE("1e-5")));
}

/* What the short forms accept must be right; what they refuse goes to the long way. */
Test(number, short_forms) {
    static const char *const some[] = {"0",
                                       "7",
                                       "42",
                                       "12345678",
                                       "0.5",
                                       "0.0125",
                                       "1.5",
                                       "123.4567",
                                       "0.0000705",
                                       "12345678.12345",
                                       "1234567890123456",
                                       "0.00000000001",
                                       "1234567.12345678"};
    static const char *const none[] = {"01",
                                       "00",
                                       "-1",
                                       "1.",
                                       ".5",
                                       "1..5",
                                       "1e5",
                                       "5x",
                                       "1.2.3",
                                       "",
                                       "00.5",
                                       "0.0000000000001",
                                       "12345678901234567"};
    for (usize i = 0; i < ARRAY_COUNT(some); i++) {
        char padded[64];
        memset(padded, '9', sizeof padded);
        usize bytes = strlen(some[i]);
        memcpy(padded, some[i], bytes);
        i64 quick = 0;
        i64 slow = 0;
        enum err err = number_scale((struct slice){some[i], bytes}, 12, NUMBER_EXACT, &slow);
        cr_assert_eq(number_scale_short(padded, bytes, 12, &quick), err == ERR_OK, "%s", some[i]);
        cr_assert(err != ERR_OK || quick == slow, "%s: %lld", some[i], (long long)quick);
        padded[bytes] = '}';
        usize wanted = err == ERR_OK ? bytes : 0;
        cr_assert_eq(number_decimal_short(padded, 12, &quick), wanted, "%s", some[i]);
        cr_assert(err != ERR_OK || quick == slow, "%s: %lld", some[i], (long long)quick);
    }
    for (usize i = 0; i < ARRAY_COUNT(none); i++) {
        char padded[64];
        memset(padded, '.', sizeof padded);
        memcpy(padded, none[i], strlen(none[i]));
        i64 value;
        cr_assert_not(number_scale_short(padded, strlen(none[i]), 12, &value), "%s", none[i]);
    }
    for (u32 number = 0; number < 100000000; number = number * 3 + 1) {
        char padded[64] = {0};
        snprintf(padded, sizeof padded, "%u", number);
        usize bytes = strlen(padded);
        padded[bytes] = '5';
        i64 value = 0;
        cr_assert(number_whole8(padded, bytes, &value));
        cr_assert_eq(value, number);
        padded[bytes] = ',';
        cr_assert_eq(number_whole_short(padded, &value), bytes < 8 ? bytes : 0);
        cr_assert(bytes == 8 || value == number);
    }
}
