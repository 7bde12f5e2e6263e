/*
 * pairs.h: how many different customers a feature has, and customers and features a model, by their
 * live series (no imported invoices) that have events. A set of pairs tells whether a new series
 * brings a new one. All of it follows from the series: a snapshot need not have it.
 */
#ifndef MARGIN_AGG_PAIRS_H
#define MARGIN_AGG_PAIRS_H

#include "agg/array.h"

struct agg;

#define PAIR_PARTS 256 /* parts of a set, which grow one by one */

struct pair_set {
    struct {
        u64 *slots; /* a pair, never 0; 0: empty */
        u32 mask;
        u32 count;
    } part[PAIR_PARTS];
};

enum pair_kind { PAIR_FEATURE_CUSTOMER, PAIR_MODEL_CUSTOMER, PAIR_MODEL_FEATURE, PAIR_KINDS };

struct pair_counts { /* of an entity: a feature or a model */
    u32 customers;
    u32 features;
};

struct pairs {
    struct pair_set set[PAIR_KINDS];
    struct array counts; /* struct pair_counts of each entity, as far as they have any */
};

bool pairs_init(struct agg *agg);
/* The pairs that a series brings, by kind; 0: none. */
void pairs_of(const struct agg *agg, u32 series, u64 pair[PAIR_KINDS]);
/* Takes in a series with its first event. False: no memory. */
bool pairs_note(struct agg *agg, u32 series);
/* A pair that no series with events brings any more. */
void pairs_forget(struct agg *agg, enum pair_kind kind, u64 pair);
/* Caller holds the lock. */
struct pair_counts pairs_counts(const struct agg *agg, u32 entity);

/* Adds a pair to a set. 1: it is new, 0: it was there, -1: no memory. */
int pair_set_add(struct pair_set *set, struct heap *heap, u64 pair);

#endif
