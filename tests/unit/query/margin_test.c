/* margin_test.c: margins against halves, signs and magnitudes; starts of windows. */
#include "query/query.h"

#include <criterion/criterion.h>

static i64 percent(i64 cost, i64 revenue) {
    i128 out = 12345;
    cr_assert(margin_percent(cost, revenue, &out));
    return (i64)out;
}

Test(margin_percent, rounds_halves_up) {
    i128 out = 1;
    cr_assert(!margin_percent(5, 0, &out));
    cr_assert(!margin_percent(5, -1, &out));
    cr_assert_eq(percent(0, 7), 100);
    cr_assert_eq(percent(7, 7), 0);
    cr_assert_eq(percent(50, 200), 75);
    cr_assert_eq(percent(1, 200), 100);    /* 99.5 */
    cr_assert_eq(percent(101, 20000), 99); /* 99.495 */
    cr_assert_eq(percent(201, 200), 0);    /* -0.5 rounds up to 0 */
    cr_assert_eq(percent(202, 200), -1);
    cr_assert_eq(percent(203, 200), -1);    /* -1.5 */
    cr_assert_eq(percent(1501, 1000), -50); /* -50.1 */
    cr_assert_eq(percent(-100, 100), 200);
    cr_assert_eq(percent(2, 3), 33);
    cr_assert_eq(percent(1, 3), 67);
}

Test(margin_percent, is_exact_at_any_magnitude) {
    i128 out;
    i128 large = (i128)1 << 110;
    cr_assert(margin_percent(large, large * 2, &out));
    cr_assert_eq(out, 50);
    cr_assert(margin_percent(large * 3 + 1, large * 2, &out));
    cr_assert_eq(out, -50);
    cr_assert(margin_percent(large, 1, &out));
    cr_assert(out == (1 - large) * 100);
    cr_assert(margin_percent(-large, 1, &out));
    cr_assert(out == (1 + large) * 100);
    for (i64 cost = -300; cost <= 300; cost++) { /* the definition, in halves: floor(2x + 1) / 2 */
        for (i64 revenue = 1; revenue <= 60; revenue++) {
            i64 twice = 200 * (revenue - cost) + revenue;
            i64 floor = twice / (2 * revenue) - (twice % (2 * revenue) < 0);
            cr_assert_eq(percent(cost, revenue), floor);
        }
    }
}

/* Where long division takes over, both ways of computing it agree with the definition. */
Test(margin_percent, is_the_same_on_both_sides_of_long_division) {
    const i128 edge = (i128)1 << 53;
    for (i64 off = -3; off <= 3; off++) {
        for (i64 more = -201; more <= 201; more++) {
            const i128 revenues[] = {edge + off, edge / 200 + off, 1 + off};
            for (u32 i = 0; i < ARRAY_COUNT(revenues); i++) {
                i128 revenue = revenues[i];
                i128 costs[] = {edge + more, -edge + more, revenue + more, more};
                for (u32 j = 0; j < ARRAY_COUNT(costs) && revenue > 0; j++) {
                    i128 dividend = 200 * (revenue - costs[j]) + revenue;
                    i128 floor = dividend / (2 * revenue) - (dividend % (2 * revenue) < 0);
                    i128 out;
                    cr_assert(margin_percent(costs[j], revenue, &out) && out == floor);
                }
            }
        }
    }
}

Test(query, windows_start_on_minutes_and_hours) {
    i64 hour = 3600000;
    i64 now = 1790000123456;
    cr_assert_eq(query_window_start(now, hour), (now - hour) / 60000 * 60000);
    cr_assert_eq(query_window_start(now, 24 * hour), (now - 24 * hour) / 60000 * 60000);
    cr_assert_eq(query_window_start(now, 24 * hour + 1), (now - 24 * hour - 1) / hour * hour);
    cr_assert_eq(query_window_start(1000, hour), -hour);
}
