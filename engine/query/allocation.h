/*
 * allocation.h: what features earn when the part of a subscription that events do not earn is given
 * to the features that its customer uses, in proportion to their cost, or to their events where
 * they cost nothing (Observe API, section 8.4). So the revenue of all features is that of all
 * customers with events.
 *
 * For the windows of dashboards the parts are kept by customer, and only customers with new events
 * are looked at again.
 */
#ifndef MARGIN_QUERY_ALLOCATION_H
#define MARGIN_QUERY_ALLOCATION_H

#include "query/revenue.h"

struct allocations; /* what is kept; thread safe */

enum err allocations_create(struct revenues *revenues, struct allocations **out);
void allocations_destroy(struct allocations *allocations);

struct allocation { /* of a window */
    i128 *amount;   /* by place in the account's list of features */
    u32 *customers; /* likewise: how many it has in the window */
    u32 count;
};

/* Any thread but fronts; errors as query_run(). After ERR_OK it is to be freed. */
enum err allocation_read(struct allocations *allocations, struct agg *agg, struct store *store,
                         const struct revenue_window *window, struct allocation *out);
void allocation_free(struct allocation *allocation);
/* As rankings_keep(). */
bool allocations_keep(struct allocations *allocations, struct agg *agg, u32 ms);
/* What a feature gets, and how many customers it has; `value` may be DIM_NONE. Takes the read lock.
 */
i128 allocation_of(const struct allocation *allocation, struct agg *agg, u32 account, u32 value,
                   u32 *customers);

/* Does a customer's subscription follow the cost of features, whose sum and sum of magnitudes these
 * are? It follows their events if there is no cost, or credits leave less than a millionth of it.
 */
#define SPLIT_RATIO_MAX 1000000
bool allocation_by_cost(i128 cost, i128 magnitudes);

/* Splits `amount` in proportion to the weights, to picodollars: parts add up to it exactly. The
 * weights' sum is not 0; single ones may be negative, as far as allocation_by_cost() lets them. */
void allocation_split(i128 amount, const i128 *weights, u32 count, i128 *parts);

#endif
