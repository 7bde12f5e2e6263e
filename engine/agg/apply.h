/*
 * apply.h: adding a slice of events to the figures. There is one kernel in plain C and one for
 * processors whose registers hold a whole row; the result is the same.
 */
#ifndef MARGIN_AGG_APPLY_H
#define MARGIN_AGG_APPLY_H

#include "agg/state.h"

/* Adds the batch's rows[0..count). Writer, with the lock. */
typedef void apply_slice_fn(struct agg *agg, const struct event_batch *batch, const u32 *rows,
                            u32 count);
apply_slice_fn apply_slice_plain;
#if defined(__x86_64__)
apply_slice_fn apply_slice_avx512;
#endif
/* The fastest that the processor has. */
apply_slice_fn *apply_best(void);

/* --- what few events need --------------------------------------------------------------------- */

/* An event that may be its cell's first. */
void apply_first(struct agg *agg, u32 index, struct cell *cell, i64 time);
/* A series' first event, received then: its customer and what it is paired with appear. */
void apply_begin(struct agg *agg, u32 index, const struct series *series, i64 created);
/* An event in a band that is not the newest. */
void apply_older(struct agg *agg, struct row *newest, u32 *older, u32 band, i64 time,
                 const struct delta *delta);
/* An event whose minute may be folded already, or is no longer kept, goes to the wider buckets,
 * too. Returns the row of the hour it was added to; 0: none. */
u32 apply_late(struct agg *agg, u32 index, struct series *series, i64 time,
               const struct delta *delta);

#endif
