/* clearing.h: what a clear will do to the figures, found out before it does anything. Writer
 * thread, without the lock: nobody else changes what it reads. */
#ifndef MARGIN_AGG_CLEARING_H
#define MARGIN_AGG_CLEARING_H

#include "agg/clear.h"
#include "agg/state.h"

/* Numbers of 64 bits, found by hash; index by order of entry. */
struct number_set {
    u64 *numbers;
    u32 count;
    u32 capacity;
    u32 *slots; /* index + 1 */
    u32 mask;
};

/* A cell that a cleared series feeds. */
struct touched {
    u32 cell;
    u32 kind;
    i64 removed_first; /* of what is taken out */
    i64 removed_last;
    i64 first; /* of what stays: INT64_MAX and INT64_MIN without any */
    i64 last;
};

struct activity_change { /* of a customer, feature or model */
    u32 entity;
    u32 kind;
    struct activity next;
    u32 lost; /* months that it is no longer active in, as bits of the old activity */
    struct activity old;
};

struct customer_change {
    u32 entity;
    i64 created;
};

struct clearing {
    struct agg *agg;
    struct agg_clear what;
    bool whole;
    bool small;
    u64 events;
    i64 first; /* of the removed events */
    i64 last;
    i64 oldest; /* of all events that stay, in all accounts */
    i64 newest;

    u32 *series; /* ascending */
    u32 series_count;
    u64 *marked; /* bit per series: is it among them */

    struct number_set cells;
    struct touched *touched; /* in the order of cells */
    struct number_set pairs; /* kind << 62 | pair; those that nothing brings any more */
    bool *pair_stays;        /* in their order */

    struct list_u32 {
        u32 *numbers;
        u32 count;
        u32 capacity;
    } rows[WIDTHS]; /* of a small clear: rows to be emptied */

    struct activity_change *activities;
    u32 activity_count;
    struct customer_change *customers;
    u32 customer_count;
};

static inline bool clearing_has(const struct clearing *clearing, u32 series) {
    return (clearing->marked[series / 64] >> (series % 64) & 1) != 0;
}

#endif
