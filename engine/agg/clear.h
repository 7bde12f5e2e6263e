/*
 * clear.h: taking events out of the figures again, exactly: all of an account, or those of some of
 * its series (store.h: amendments). What a series counts is known to the last digit, so it is
 * subtracted from what it feeds; what sums do not tell (first and last events, months, pairs) is
 * made anew from the series that stay; and tallies, which series do not have, from their events.
 *
 * Two steps, for the change has to be durable before it shows: the plan looks at everything and
 * takes all memory, without the lock; then nothing can fail.
 */
#ifndef MARGIN_AGG_CLEAR_H
#define MARGIN_AGG_CLEAR_H

#include "agg/agg.h"
#include "agg/row.h"

/* An event as the figures count it. */
struct agg_event {
    struct delta delta;
    i64 time;
    u32 series;
    u32 part; /* of a tally */
};
void agg_event_read(struct agg_event *event, const struct event_batch *batch, u32 index);

struct agg_clear {
    u32 account;
    u32 source;                /* enum event_source; DIM_NONE: all events of the account */
    const struct slice *names; /* of a source's events, those with these names; 0: all */
    u32 name_count;
    /* With a source: all its events that stay, of whatever name. Until the clear is applied. */
    const struct agg_event *kept;
    u32 kept_count;
};

/* Of one clear; made and used by the writer thread, which changes no figure in between, nor lets
 * time go on: agg_advance() comes before. */
struct clearing;
/* ERR_NO_MEMORY. */
enum err agg_clear_plan(struct agg *agg, const struct agg_clear *clear, struct clearing **out);
void clearing_free(struct clearing *clearing);
/* The series that it takes events from, ascending, and how many events that is. */
const u32 *clearing_series(const struct clearing *clearing, u32 *count);
u64 clearing_events(const struct clearing *clearing);
/* Readers wait from here until agg_clear() or agg_adjust() has done its work, or the first step of
 * it: what else is to be seen in the same moment is shown between the two. Writer thread. */
void agg_change_begin(struct agg *agg);
/* Takes the events out and adds those of the batches, which are settled and durable, in their
 * place (as agg_apply(); `rows` names all of a batch's events). One step for readers: they wait for
 * a small clear (AGG_SMALL); while a larger one of a whole account is made, the account has no
 * events for them; only of a larger part of an account, more than uploads can be, they may see a
 * part. */
struct agg_rows {
    const struct event_batch *batch;
    const u32 *rows;
    u32 count;
};
void agg_clear(struct clearing *clearing, const struct agg_rows *added, u32 added_count);
#define AGG_SMALL (5 * UPLOAD_RECORDS_MAX) /* events that change while readers wait: 10 ms */

/* How often events of the account were taken out or changed. What is read in several steps is of
 * one state of these if the number is the same before and after. Takes the read lock itself. */
u64 agg_changes(struct agg *agg, u32 account);

/* --- another revenue -------------------------------------------------------------------------- */

struct agg_adjustment {
    struct agg_event event; /* as it counts until now */
    i64 revenue;            /* what it counts from now on */
    u32 part;
    struct slice trace; /* empty: none */
    struct slice agent;
};
/* Memory for that many; false: there is none. */
bool agg_adjust_reserve(struct agg *agg, u32 count);
/* Changes what events earn, with reserved memory; all of one account. In one step for readers up to
 * AGG_SMALL. */
void agg_adjust(struct agg *agg, const struct agg_adjustment *adjustments, u32 count);

#endif
