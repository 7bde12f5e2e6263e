/*
 * mrr.h: monthly recurring revenue, and what it makes of a customer's revenue. Picodollars, exact
 * but for the roundings named. Pure.
 */
#ifndef MARGIN_CUSTOMER_MRR_H
#define MARGIN_CUSTOMER_MRR_H

#include "base.h"

/* A plan's price a month, in whole cents: R2(price / months). */
i64 mrr_of_price(i64 price, u32 interval_months);

#define MRR_MONTH_DAYS 30

/* A customer's revenue in a window: max(event revenue, mrr * d / 30), that product rounded half up
 * to picodollars. `window_ms` is the window's length; 0: the window has no bounds, and the mrr
 * counts for one month. */
i128 mrr_revenue(i128 event_revenue, i128 mrr, i64 window_ms);

#endif
