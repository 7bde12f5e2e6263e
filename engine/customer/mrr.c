/* mrr.c: see mrr.h. */
#include "customer/mrr.h"

#include "limits.h"

#define PICO_PER_CENT (PICO_PER_USD / 100)
#define MONTH_MS ((i64)MRR_MONTH_DAYS * 24 * 3600 * 1000)

/* floor(a / b + 1/2), b above 0. */
static i128 divide_half_up(i128 a, i128 b) {
    i128 twice = 2 * a + b;
    i128 quotient = twice / (2 * b);
    return quotient - (twice % (2 * b) < 0);
}

i64 mrr_of_price(i64 price, u32 interval_months) {
    check(interval_months > 0);
    return (i64)divide_half_up(price, (i128)interval_months * PICO_PER_CENT) * PICO_PER_CENT;
}

i128 mrr_revenue(i128 event_revenue, i128 mrr, i64 window_ms) {
    check(window_ms >= 0);
    i128 share = window_ms == 0 ? mrr : divide_half_up(mrr * window_ms, MONTH_MS);
    return MAX(event_revenue, share);
}
