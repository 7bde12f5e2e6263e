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

/* Adds an event whose minute may be folded already, or is no longer kept, to its series' rows of
 * all widths that do not follow by themselves. Returns the row of the hour it was added to; 0:
 * none. */
u32 apply_late(struct agg *agg, u32 index, struct series *series, i64 time,
               const struct delta *delta);

/* --- for kernels ------------------------------------------------------------------------------ */

/* Adds event i, whatever it is like. */
void apply_event(struct agg *agg, const struct event_batch *batch, u32 i);
/* Adds an event to its agent and to its trace. */
void apply_texts(struct agg *agg, const struct event_batch *batch, u32 i);

/* How far ahead of the event that is added those are whose memory is fetched: their series, and
 * what the series points to. */
#define HAND_ROWS 12
#define HAND_SERIES 26
#define KINDS_COLD 2 /* customers and features; models and cost types are few and warm */

/* Inlined by force, both: gcc takes a function that only prefetches for one without effect, and
 * drops the call. */
static inline __attribute__((always_inline)) void
hand_series(const struct agg *agg, const struct event_batch *batch, u32 i) {
    const struct series *series = series_at(agg, batch->series[i]);
    __builtin_prefetch(series);
    __builtin_prefetch(&series->newest, 1);
}

static inline __attribute__((always_inline)) void
hand_rows(const struct agg *agg, const struct event_batch *batch, u32 i) {
    const struct series *series = series_at(agg, batch->series[i]);
    __builtin_prefetch(row_at(&agg->width[WIDTH_MINUTE].rows, series->row[WIDTH_MINUTE]), 1);
    for (u32 kind = 0; kind < KINDS_COLD; kind++) {
        __builtin_prefetch(cell_at(agg, series->cell[kind]), 1);
    }
}

#endif
