/*
 * tally.h: figures over time by (model, provider), event source, source of revenue and whether both
 * token counts are known: what an account has few of, so that questions about its days and months
 * need not go through every series. Events without a model count under the entity without one, so
 * each event is in one tally, and the account is their sum.
 *
 * A tally has rows for hours (as long as hours are kept) and for days (for ever). An event of the
 * tally's latest hour adds to that row only; the row is added to its day when a later hour begins.
 * So a day's sum is its row and the open hour's, if that belongs to it. Late events add to hour and
 * day.
 */
#ifndef MARGIN_AGG_TALLY_H
#define MARGIN_AGG_TALLY_H

#include "agg/array.h"
#include "agg/row.h"
#include "agg/run.h"

struct agg;

struct tally { /* record 0: none */
    u32 cell;
    u32 part;
    u32 open_hour; /* its latest hour, which is not in its day's row; UINT32_MAX: none */
    u32 open_row;
};

struct tally_key { /* whose a row is; beside the rows, by the same numbers */
    u32 tally;     /* 0: nobody's */
    u32 bucket;    /* number of the hour or day << 1 | is day */
};

enum tally_width { TALLY_HOUR, TALLY_DAY, TALLY_WIDTHS };

/* (source * REVENUE_SOURCES + source of revenue) * 2 + both token counts are known */
#define TALLY_PARTS (EVENT_SOURCES * REVENUE_SOURCES * 2)
static inline u32 tally_part(const struct event_batch *batch, u32 index) {
    const u32 counts = NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT);
    u32 both = (batch->present[index] & counts) == counts;
    return ((u32)batch->source[index] * REVENUE_SOURCES + batch->revenue_source[index]) * 2 + both;
}
static inline u32 tally_part_source(u32 part) {
    return part / 2 / REVENUE_SOURCES;
}
/* The same with another source of revenue. */
static inline u32 tally_part_earning(u32 part, u32 revenue_source) {
    return (part / 2 / REVENUE_SOURCES * REVENUE_SOURCES + revenue_source) * 2 + part % 2;
}
#define TALLY_TABLE 128
_Static_assert(TALLY_PARTS <= TALLY_TABLE, "a table has all parts");

struct tallies {
    struct array tallies; /* struct tally */
    struct array rows;    /* struct row; `series` is the tally */
    struct array keys;    /* struct tally_key */
    struct array runs;    /* struct run[TALLY_WIDTHS] of each tally. Rebuilt, as all below */
    struct array cells;   /* u32: the number of each cell's table; 0: none */
    struct array tables;  /* u32[TALLY_TABLE]: tallies of a model's cell by part */
    i64 edge;             /* hours from here on are kept; ms */
    u32 drop_next;        /* tallies from here on may have hours before the edge */
};

#define SHIFT_TALLIES 12
#define SHIFT_TALLY_CELLS 13
#define SHIFT_TALLY_TABLES 6

bool tallies_init(struct agg *agg);
/* Makes room for a new cell. */
void tally_cell_make(struct agg *agg, u32 cell);
/* Adds an event for which the series' cursor does not fit: finds or makes its tally, and the row of
 * its open hour. */
struct series;
void tally_add_slow(struct agg *agg, struct series *series, u32 part, i64 time,
                    const struct delta *delta);
/* Of an open hour's row, so that cursors can tell it; closed ones have one that no hour has which
 * is kept at the same time. */
static inline u16 tally_stamp(u32 hour) {
    return (u16)hour;
}
/* The table of a model's cell, which has none yet. */
u32 *tally_table_make(struct agg *agg, u32 cell);
/* Drops hours that are no longer kept, some at a time. */
void tally_advance(struct agg *agg);
/* After loading a snapshot: checks all, rebuilds what is not in it. */
enum err tally_rebuild(struct agg *agg);

/* Takes an event out of a tally that counts it; the rows' latest event stays known as such. */
void tally_subtract(struct agg *agg, u32 tally, i64 time, const struct delta *delta);
/* Drops all rows of hours and days before a midnight. */
void tally_expire(struct agg *agg, u32 tally, i64 before);
/* Empties a tally. */
void tally_empty(struct agg *agg, u32 tally);
/* The tally of a part of a cell, or 0. */
u32 tally_find(const struct agg *agg, u32 cell, u32 part);
const struct run *tally_run(const struct agg *agg, u32 tally, enum tally_width width);

#endif
