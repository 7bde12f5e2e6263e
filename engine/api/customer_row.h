/* customer_row.h: customers and their subscriptions as JSON, alike in all answers. Any thread. */
#ifndef MARGIN_API_CUSTOMER_ROW_H
#define MARGIN_API_CUSTOMER_ROW_H

#include "customer/book.h"
#include "query/query.h"
#include "json/write.h"

/* The profile of a customer that only events know. */
struct profile customer_row_of_events(struct slice id, i64 created_ms);

/* customer_id, name, email, segment, is_internal, stripe_customer_id, created_at, updated_at */
void customer_row_write_profile(struct json_writer *json, const struct profile *profile);

/* total_cost, total_revenue, mrr, margin_pct, event_count, last_seen: revenue is what mrr_revenue()
 * makes of that of events and of the mrr. `window_ms`: see there. */
void customer_row_write_figures(struct json_writer *json, const struct figures *figures, i128 mrr,
                                i64 window_ms);

/* A subscription as an object. */
void customer_row_write_subscription(struct json_writer *json, const struct book *book,
                                     const struct subscription *subscription);
/* A product plan's members. */
void customer_row_write_product(struct json_writer *json, const struct product *product);

#endif
