/*
 * parts.h: what each customer of an account cost and did by feature in a window of bands, and its
 * parts of the customer's subscription: what allocation.c keeps. An event changes one number here;
 * the ring of changes (agg/ranking.h) tells which, so that coming up to date costs some tens of
 * nanoseconds an event, and splitting anew those customers alone that had any.
 *
 * Whatever else happens (an hour leaves the window, the ring was too short) shows in a customer's
 * number of events: as long as nothing is amended, events only come, or only go, between two looks
 * that the ring does not connect.
 */
#ifndef MARGIN_QUERY_PARTS_H
#define MARGIN_QUERY_PARTS_H

#include "query/plan.h"

struct part_sum { /* of a customer and a feature */
    i128 cost;
    i128 amount; /* its part */
    u64 events;
};

struct part_customer {
    i128 revenue;
    i128 share; /* of its subscriptions */
    u64 events;
    struct part_sum *sums; /* in the order of the features' keys; then their places, likewise */
    u32 count;
    u32 capacity : 31;
    u32 changed : 1; /* since it was split */
};
_Static_assert(sizeof(struct part_customer) == 64, "a cache line");

/* The places of a customer's features; NULL before it has any. */
static inline u32 *part_places(const struct part_customer *customer) {
    return customer->sums == NULL ? NULL : (u32 *)(void *)(customer->sums + customer->capacity);
}

struct parts {        /* zero at first; belongs to who holds the owner's mutex */
    u64 changed_seen; /* agg->changed_count that it belongs to */
    u64 amended;
    u64 layout;
    struct part_customer *customers; /* by place */
    u32 count;
    u32 capacity;
    u32 looked; /* customers from here on may not be what they should be */
    bool lost;  /* for the ring was too short */
    bool made;
    u64 stamp; /* of the book that the shares are from, which so many customers have */
    u32 shared;
    u32 *changed; /* customers to be split anew */
    u32 changed_count;
    i128 *amount; /* sums by place of the feature */
    u32 *customer_count;
    u32 feature_count;
    i128 *weights; /* room for the features of one customer */
    i128 *split;
    u32 room;
};

/* Brings it up to now, which it is as long as the caller keeps the read lock; the lock is given and
 * taken in between. The plan is one of bands, of an account with customers. ERR_BUSY: the plan does
 * not hold any more; ERR_NO_MEMORY: it is empty. */
enum err parts_refresh(struct parts *parts, const struct plan *plan);
/* How many changes it is behind; UINT64_MAX: nothing can be said. Caller holds the read lock. */
u64 parts_behind(const struct parts *parts, const struct agg *agg);
/* Are the shares those of the book, and all there? */
static inline bool parts_have_shares(const struct parts *parts, u64 stamp) {
    return parts->stamp == stamp && parts->shared == parts->count;
}
/* The shares of all customers, by place. */
void parts_share(struct parts *parts, const i128 *share, u64 stamp);
/* Splits the shares of those that have changed. ERR_NO_MEMORY. */
enum err parts_split(struct parts *parts);
void parts_clear(struct parts *parts);

#endif
