/*
 * revenue.h: what customers cost and earn in a window, their subscriptions included. This is the
 * one place where monthly recurring revenue meets the figures of events.
 *
 * A window's answer is columns over all customers, in the order in which the figures came to know
 * them: for the windows of dashboards they come from rankings, so that they cost a copy, however
 * many events there are.
 */
#ifndef MARGIN_QUERY_REVENUE_H
#define MARGIN_QUERY_REVENUE_H

#include "customer/directory.h"
#include "query/query.h"

struct revenues; /* remembers which customers have how much recurring revenue */

enum err revenues_create(struct directory *directory, struct revenues **out); /* ERR_NO_MEMORY */
void revenues_destroy(struct revenues *revenues);

struct revenue_window {
    u32 account;
    i64 from; /* as of a query */
    i64 to;
    i64 length_ms; /* what recurring revenue is scaled by: see mrr_revenue() */
};

#define REVENUE_NO_EVENTS (((i128)1 << 126) * -2) /* of a column: the customer has none here */

/* Of live events. Columns by customer, `count` of them; those behind have no events ever, but
 * recurring revenue. */
struct revenue {
    const struct book *book;
    u32 count;
    u32 known;  /* so many are known from events */
    u32 *value; /* ids of customers, DIM_NONE: events without one */
    u32 *index; /* of those that no events know, by place - known: where they stand in the book */
    i128 *cost;
    i128 *earned; /* revenue of events; REVENUE_NO_EVENTS, as is cost */
    i128 *share;  /* recurring revenue of the window */
    u64 *events;  /* NULL: unknown, and not asked for */
};

enum revenue_columns { /* what is asked for; each takes longer than the one before */
                       REVENUE_SHARES, /* none of events: cost and earned stay NULL */
                       REVENUE_MONEY,
                       REVENUE_EVENTS /* with the column of events */
};
/* Any thread but fronts; errors as query_run(). After ERR_OK it is to be given back. */
enum err revenue_read(struct revenues *revenues, struct agg *agg, struct store *store,
                      const struct revenue_window *window, enum revenue_columns columns,
                      struct revenue *out);
void revenue_free(struct revenues *revenues, struct revenue *revenue);

/* Changes with whatever may change recurring revenue. */
u64 revenues_stamp(struct revenues *revenues, u32 account);

/* Where a customer with events stands. Caller holds the read lock. */
u32 revenue_place(const struct agg *agg, u32 account, u32 value);
/* The customer's id; empty: events without one. */
struct slice revenue_customer(const struct agg *agg, const struct revenue *revenue, u32 place);

static inline bool revenue_has_events(const struct revenue *revenue, u32 place) {
    return revenue->earned[place] != REVENUE_NO_EVENTS;
}
static inline i128 revenue_cost(const struct revenue *revenue, u32 place) {
    return revenue_has_events(revenue, place) ? revenue->cost[place] : 0;
}
static inline i128 revenue_earned(const struct revenue *revenue, u32 place) {
    return revenue_has_events(revenue, place) ? revenue->earned[place] : 0;
}
/* Is it events without a customer? They have no subscription and earn what they earn. */
static inline bool revenue_is_none(const struct revenue *revenue, u32 place) {
    return place < revenue->known && revenue->value[place] == DIM_NONE;
}
static inline i128 revenue_total(const struct revenue *revenue, u32 place) {
    i128 earned = revenue_earned(revenue, place);
    return revenue_is_none(revenue, place) ? earned : MAX(earned, revenue->share[place]);
}

#endif
