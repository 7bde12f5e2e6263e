/* reading_test.c: rounding of the figures in answers, and where there is none. */
#include "api/reading.h"

#include <criterion/criterion.h>
#include <string.h>

static struct buf out;
static struct json_writer json;

static void setup(void) {
    buf_init(&out, 64 * KIB);
    json = json_writer(&out);
    json_object_begin(&json);
}

static void teardown(void) {
    buf_free(&out);
}

TestSuite(reading, .init = setup, .fini = teardown);

/* What was written since the last time, without the object around it. */
static void wrote(const char *expected) {
    json_object_end(&json);
    cr_assert(out.bytes == strlen(expected) + 2 &&
                  memcmp(out.data + 1, expected, out.bytes - 2) == 0,
              "%.*s, %s expected", (int)out.bytes, out.data, expected);
    buf_clear(&out);
    json = json_writer(&out);
    json_object_begin(&json);
}

Test(reading, rounds_halves_up_below_zero_too) {
    for (i64 numerator = -500; numerator <= 500; numerator++) {
        for (i64 denominator = 1; denominator <= 40; denominator++) {
            i64 floor = 0; /* the greatest with floor <= n / d + 1/2 */
            while (2 * floor * denominator > 2 * numerator + denominator) {
                floor--;
            }
            while (2 * (floor + 1) * denominator <= 2 * numerator + denominator) {
                floor++;
            }
            cr_assert(reading_round(numerator, denominator) == floor);
        }
    }
}

Test(reading, changes_have_one_decimal) {
    reading_put_change(&json, "x", 115, 100);
    wrote("\"x\":15");
    reading_put_change(&json, "x", 100049, 100000);
    wrote("\"x\":0"); /* 0.049 */
    reading_put_change(&json, "x", 100050, 100000);
    wrote("\"x\":0.1");
    reading_put_change(&json, "x", 99950, 100000);
    wrote("\"x\":0"); /* -0.05 goes up */
    reading_put_change(&json, "x", 99949, 100000);
    wrote("\"x\":-0.1");
    reading_put_change(&json, "x", 5, 0);
    wrote("\"x\":null");
    reading_put_change(&json, "x", 5, -10);
    wrote("\"x\":150"); /* it rose, by 15 of 10 */
    reading_put_change(&json, "x", -15, -10);
    wrote("\"x\":-50");
}

Test(reading, margins_and_averages_may_be_null) {
    reading_put_margin(&json, "margin_pct", 25, 100);
    wrote("\"margin_pct\":75");
    reading_put_margin(&json, "margin_pct", 25, 0);
    wrote("\"margin_pct\":null");
    reading_put_margin(&json, "margin_pct", 25, -1);
    wrote("\"margin_pct\":null");
    reading_write_average(&json, "a", 10, 0);
    wrote("\"a\":null");
    reading_write_average(&json, "a", 5, 2);
    wrote("\"a\":0.000000000003"); /* 2.5 picodollars */
    reading_write_average(&json, "a", -5, 2);
    wrote("\"a\":-0.000000000002");
}

/* Margin below 0 once it is rounded, or cost without revenue. */
Test(reading, unprofitable_is_what_margins_say) {
    for (i64 cost = -20; cost <= 420; cost++) {
        for (i64 revenue = 0; revenue <= 220; revenue++) {
            i128 percent;
            bool expected =
                margin_percent(cost, revenue, &percent) ? percent < 0 : revenue == 0 && cost > 0;
            cr_assert_eq(reading_is_unprofitable(cost, revenue), expected);
        }
    }
}

Test(reading, texts_by_their_bytes) {
    cr_assert(reading_compare(SLICE("a"), SLICE("b")) < 0);
    cr_assert(reading_compare(SLICE("ab"), SLICE("a")) > 0);
    cr_assert(reading_compare((struct slice){NULL, 0}, SLICE("a")) < 0);
    cr_assert(reading_compare((struct slice){NULL, 0}, (struct slice){NULL, 0}) == 0);
    cr_assert(reading_compare(SLICE("\xc3\xa9"), SLICE("z")) > 0);
}
