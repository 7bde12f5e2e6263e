/*
 * usage.h: how many events each account has sent in the current calendar month (Observe 2.5), by
 * time of receipt. Derived from the log like all figures: counted as events are applied, kept in
 * snapshots, counted again when the log's tail is replayed. A thousand accounts or 65,536 make no
 * difference to an event: one comparison and, a run of events, one addition.
 *
 * Threads: usage_count() and the snapshot's beginning belong to the commit thread (or recovery);
 * usage_of() is for any thread, beside them.
 */
#ifndef MARGIN_ACCOUNT_USAGE_H
#define MARGIN_ACCOUNT_USAGE_H

#include "base.h"
#include "event.h"

struct usage;

enum err usage_create(struct usage **out); /* ERR_NO_MEMORY */
void usage_destroy(struct usage *usage);

/* Counts rows of a batch, all of one account, by batch->created. In the order of the log, so that
 * replaying it gives the same. An event of a month before the latest one seen is not counted: that
 * month is over. */
void usage_count(struct usage *usage, u32 account, const struct event_batch *batch, const u32 *rows,
                 u32 row_count);
/* Events received in the calendar month of `now_ms`. */
u64 usage_of(const struct usage *usage, u32 account, i64 now_ms);

/* The account's latest month with events (0: none), and how many; commit thread or recovery. */
void usage_get(const struct usage *usage, u32 account, i64 *month_ms, u64 *count);
/* For replaying: begins with what was counted of events that are no longer there. */
void usage_begin(struct usage *usage, u32 account, i64 month_ms, u64 count);

/* Fixes the state as it is now: on the commit thread. ERR_NO_MEMORY. */
enum err usage_snapshot_begin(struct usage *usage);
/* The fixed state as bytes, until the end of the snapshot: any one thread. */
struct slice usage_snapshot_bytes(const struct usage *usage);
void usage_snapshot_end(struct usage *usage);
/* Into an empty one. ERR_CORRUPT. */
enum err usage_snapshot_load(struct usage *usage, const void *data, usize bytes);

#endif
