/*
 * agg.h: series, dimension values, cells and time buckets: the figures, in memory.
 *
 * One writer (the commit thread; recovery before it). Readers hold the read lock for a bounded
 * slice; the writer takes the write lock inside agg_apply() in bounded slices. Functions marked
 * [any] need no lock: ids, dimensions and texts are append-only and never move.
 */
#ifndef MARGIN_AGG_AGG_H
#define MARGIN_AGG_AGG_H

#include "event.h"
#include "store.h"

struct agg;

/* What an account may name only so many different of: see admit.h. */
enum agg_cap {
    AGG_CAP_SERIES,
    AGG_CAP_CUSTOMERS,
    AGG_CAP_FEATURES,
    AGG_CAP_MODELS,
    AGG_CAP_TRACES,
    AGG_CAPS
};
struct agg_caps {
    u32 most[AGG_CAPS]; /* an account; 0: no cap but the bounds of limits.h */
};

struct agg_options {
    u64 seed;
    u32 minutes_kept; /* width of the minute buckets' memory; 0: default 180 */
    u32 advance_rows; /* most rows that one agg_advance() moves; 0: default */
    u32 ranked_min;   /* accounts with so many customers have rankings; 0: default */
    u32 series_max;   /* series, traces and agents at most; 0: the bounds of limits.h */
    u32 trace_max;
    u32 agent_max;
    struct agg_caps caps;
    bool plain; /* without the instructions that only some processors have */
};
enum err agg_create(const struct agg_options *options, struct agg **out);
void agg_destroy(struct agg *agg);

/* --- series --------------------------------------------------------------------------------- */

/* Finds or makes the series of rows[0..count) that are SERIES_UNRESOLVED, writing batch->series.
 * New series are pending until they are settled (their block is durable) or taken back (it is not).
 * ERR_LIMIT: a bound of limits.h; ERR_NO_MEMORY. On error the call made nothing. */
enum err agg_resolve(struct agg *agg, struct event_batch *batch, const u32 *rows, u32 count);

/* How far resolving has come. Pending series are settled from the oldest on and taken back from the
 * newest on, each time up to a mark: so those of one group are settled while the next group uses
 * them, and more of its own, already. */
struct agg_mark {
    u32 series; /* the id the next series gets */
    u64 events; /* resolved ever */
};
struct agg_mark agg_mark(const struct agg *agg);
/* The series before the mark are durable. It is not before the last one settled. */
void agg_settle_to(struct agg *agg, struct agg_mark mark);
/* Takes back what was resolved since the mark, of which nothing is settled. */
void agg_undo_to(struct agg *agg, struct agg_mark mark);
void agg_settle(struct agg *agg); /* all */
void agg_undo(struct agg *agg);   /* all that is pending; nothing settled waits to be applied */
/* After taking back, for each batch it concerns: rows whose series is gone are SERIES_UNRESOLVED
 * again. */
void agg_unresolve(const struct agg *agg, struct event_batch *batch, const u32 *rows, u32 count);

/* A series' definition, for the log; texts as agg_value_text(). The series may be pending. [any] */
struct series_def agg_definition(const struct agg *agg, u32 series);
/* Recovery: takes a definition from the log. ids ascend without gaps. ERR_CORRUPT otherwise. */
enum err agg_define(struct agg *agg, const struct series_def *def);

u32 agg_series_count(const struct agg *agg);                   /* [any] */
const u32 *agg_series_dims(const struct agg *agg, u32 series); /* [any] by enum store_dim */
struct slice agg_value_text(const struct agg *agg, enum store_dim dim, u32 value); /* [any] */
/* The value's id within an account, or DIM_NONE. Takes the read lock itself. */
u32 agg_value_find(struct agg *agg, u32 account, enum store_dim dim, struct slice text);
/* When a customer's first event was received, ms; 0: it has none. Takes the read lock itself. */
i64 agg_customer_created(struct agg *agg, u32 account, struct slice customer);

/* --- applying ------------------------------------------------------------------------------- */

/* Adds events to the figures; all must be resolved, settled and durable. The same function serves
 * commits and recovery. */
void agg_apply(struct agg *agg, const struct event_batch *batch, const u32 *rows, u32 count);

/* Lets time go on (writer thread; before each apply and at least each second): hours pass from one
 * window to the next, minutes and hours that are no longer kept are dropped. Bounded work a call;
 * answers are exact at any time. The clock never goes back: an earlier time changes nothing. */
void agg_advance(struct agg *agg, i64 now_ms);

void agg_read_lock(struct agg *agg);
void agg_read_unlock(struct agg *agg);

/* Counts commits; changes whenever any figure changed. [any] */
u64 agg_version(const struct agg *agg);
u64 agg_memory_bytes(const struct agg *agg); /* [any] approximately */

/* Events since the start that are in all figures but in no summary of a trace or an agent, because
 * so many traces or agents are known already (limits.h) that a new one is not. The log has them
 * whole. [any] */
struct agg_left_out {
    u64 traces;
    u64 agents;
};
struct agg_left_out agg_left_out(const struct agg *agg);

/* --- snapshot ------------------------------------------------------------------------------- */

/* As dedup.h: begin() fixes the content as of now while applying goes on in the writer thread.
 * copy() gives the next piece (tag and bytes; out_bytes at least 4 KiB) until *bytes is 0, on any
 * one thread; ERR_NO_MEMORY: the snapshot is void. load() takes the pieces in order, into figures
 * just made with the same seed: ERR_VERSION, ERR_CORRUPT, ERR_NO_MEMORY, after which they can only
 * be destroyed. */
enum err agg_snapshot_begin(struct agg *agg);
enum err agg_snapshot_copy(struct agg *agg, void *out, usize out_bytes, u32 *tag, usize *bytes);
void agg_snapshot_end(struct agg *agg);
enum err agg_snapshot_load(struct agg *agg, u32 tag, const void *data, usize bytes);
/* After the last piece: rebuilds indexes, checks the whole. ERR_CORRUPT. */
enum err agg_snapshot_loaded(struct agg *agg);

#endif
