/*
 * expire.h: taking all events from before a midnight out of the figures, of all accounts, while new
 * ones come in: begin(), take() with each of the events, note() and look() until they are done,
 * read() with each event that stays, follow(), end() until it is done. Sums are exact after the
 * last take(); first events, months, pairs, traces and rows of time only after the last end().
 *
 * What a series has lost is subtracted event by event from what it feeds. What sums do not tell
 * (when something was first seen, what a trace is made of) is made anew from the events that stay,
 * which is why all of them are read. Rows of time from before the midnight are dropped as a whole.
 *
 * Writer: the thread that applies events, or another one while it waits. No snapshot is taken
 * between begin() and end(), and nothing is cleared or changed (clear.h). If a step fails, the
 * figures are no longer what the log says and have to be made anew.
 */
#ifndef MARGIN_AGG_EXPIRE_H
#define MARGIN_AGG_EXPIRE_H

#include "agg/agg.h"

struct agg_expiry;

/* The time of the oldest event, ms; INT64_MAX: there is none. Takes the read lock itself. */
i64 agg_oldest(struct agg *agg);
/* Whether all before the midnight is folded into its days; if not, agg_advance() gets there.
 * Writer. */
bool agg_expire_ready(const struct agg *agg, i64 before_ms);
/* From now on no event from before comes any more. Writer. ERR_NO_MEMORY. */
enum err agg_expire_begin(struct agg *agg, i64 before_ms, struct agg_expiry **out);
void agg_expire_free(struct agg_expiry *expiry);
/* The same for one that has taken nothing. Writer. */
void agg_expire_cancel(struct agg_expiry *expiry);
/* Events from before that counted until now, each once, in any order. Writer. ERR_NO_MEMORY. */
enum err agg_expire_take(struct agg_expiry *expiry, const struct event_batch *batch);
/* These were all: notes some of what they concern; *more: not yet all. Any one thread.
 * ERR_NO_MEMORY. */
enum err agg_expire_note(struct agg_expiry *expiry, bool *more);
/* Looks at some of the series; false: at all of them now. Any one thread. */
bool agg_expire_look(struct agg_expiry *expiry);
/* An event that stays, in the order of ids, each once. `late`: it may have been applied since the
 * first note(); those that were must come with it. Any one thread. */
void agg_expire_read(struct agg_expiry *expiry, const struct event_batch *batch, bool late);
/* All events that were applied have been read; those to come are when they are. Writer. */
void agg_expire_follow(struct agg_expiry *expiry);
/* What agg_apply() tells who follows it. */
void agg_expire_applied(struct agg_expiry *expiry, const struct event_batch *batch, const u32 *rows,
                        u32 count);
/* Ends it by some steps of about a microsecond each; *more: not yet. Writer, who may apply events
 * between two calls. ERR_NO_MEMORY. */
enum err agg_expire_end(struct agg_expiry *expiry, u32 steps, bool *more);
u64 agg_expire_removed(const struct agg_expiry *expiry);

#endif
