/* clearing.h: what a clear will do to the figures, found out before it does anything. Writer
 * thread, without the lock: nobody else changes what it reads. */
#ifndef MARGIN_AGG_CLEARING_H
#define MARGIN_AGG_CLEARING_H

#include "agg/clear.h"
#include "agg/numbers.h"
#include "agg/state.h"

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

/* --- for whoever takes out less than a series: expire.c ----------------------------------------
 */

/* Under the lock, after something was taken out; of a NULL account's: of no one's in particular. */
void agg_change_tell(struct agg *agg, struct account *account);
/* Ends what agg_change_begin() began. */
void agg_change_end(struct agg *agg);
void agg_bands_empty(struct agg *agg, struct row *newest, u32 *older);
void agg_cell_empty(struct agg *agg, u32 cell);
u64 agg_series_events(const struct agg *agg, const struct series *series);
/* The entity whose cell it is. */
u32 agg_cell_entity(const struct agg *agg, u32 cell, u32 kind);

#endif
