/* mrr_test.c: roundings of monthly revenue, at their edges. */
#include "customer/mrr.h"

#include "limits.h"

#include <criterion/criterion.h>

#define CENT (PICO_PER_USD / 100)
#define DAY ((i64)86400000)

Test(mrr, a_price_a_month_is_whole_cents) {
    cr_expect_eq(mrr_of_price(0, 1), 0);
    cr_expect_eq(mrr_of_price(1200 * CENT, 12), 100 * CENT);
    cr_expect_eq(mrr_of_price(1000 * CENT, 3), 333 * CENT);
    cr_expect_eq(mrr_of_price(1000 * CENT, 12), 83 * CENT);
    cr_expect_eq(mrr_of_price(6 * CENT, 12), 1 * CENT, "half a cent is rounded up");
    cr_expect_eq(mrr_of_price(6 * CENT - 1, 12), 0);
    cr_expect_eq(mrr_of_price(CENT / 2, 1), CENT);
    cr_expect_eq(mrr_of_price(EVENT_MONEY_MAX, 1), EVENT_MONEY_MAX);
    cr_expect_eq(mrr_of_price(EVENT_MONEY_MAX, UINT32_MAX), 0);
}

Test(mrr, the_larger_counts) {
    cr_expect(mrr_revenue(5, 7, 0) == 7);
    cr_expect(mrr_revenue(8, 7, 0) == 8);
    cr_expect(mrr_revenue(0, 700, 30 * DAY) == 700);
    cr_expect(mrr_revenue(0, 700, 15 * DAY) == 350);
    cr_expect(mrr_revenue(0, 100, DAY) == 3);
    cr_expect(mrr_revenue(0, 15, DAY) == 1, "half a picodollar is rounded up");
    cr_expect(mrr_revenue(0, 14, DAY) == 0);
    cr_expect(mrr_revenue(-5, 0, DAY) == 0);
    i128 most = (i128)EVENT_MONEY_MAX * SUBSCRIPTIONS_MAX;
    cr_expect(mrr_revenue(0, most, 60 * DAY) == 2 * most);
}
