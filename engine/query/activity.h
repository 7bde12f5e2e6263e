/*
 * activity.h: who was active when: live customers, features and models by month, customers who came
 * back, and how many different values of one dimension the groups of an answer have.
 */
#ifndef MARGIN_QUERY_ACTIVITY_H
#define MARGIN_QUERY_ACTIVITY_H

#include "query/query.h"

struct active_counts { /* with live events in a month */
    u32 customers;
    u32 features;
    u32 models; /* (model, provider) pairs */
};
/* `month` counts from January 1970; right for the last 24 months. Takes the read lock. Any thread.
 */
struct active_counts query_active(struct agg *agg, u32 account, u32 month);

#define RETENTION_MONTHS 12
struct cohort { /* customers whose first live event was in a month */
    u32 size;
    u32 active[RETENTION_MONTHS]; /* [i]: of them, with an event i months later */
};
/* The cohorts of the last months, that of `month_now` last. Takes the read lock, in slices. Any
 * thread; it looks at every customer. */
void query_retention(struct agg *agg, u32 account, u32 month_now,
                     struct cohort cohorts[RETENTION_MONTHS]);

/* For each row of a result: how many different values of `dim` the events behind it have (no value
 * is none). The query is the one that gave the result, without buckets; it groups by at most two
 * dimensions. At once for live features' customers and live models' customers and features of all
 * time; otherwise it looks at every series. Errors as query_run(). Any thread. */
enum err query_distinct(struct agg *agg, struct store *store, const struct query *query,
                        const struct query_result *result, enum store_dim dim, u32 *counts);

#endif
