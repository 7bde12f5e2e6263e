/*
 * months.h: in which months customers, features and models had live events (no imported invoices),
 * and how many of each a month had. A bit for each month of the last 32 and the first month ever
 * answer who was active, who came back, and when somebody began.
 *
 * An event looks only at whether its cell's latest event is of the same month: then the bit is set.
 */
#ifndef MARGIN_AGG_MONTHS_H
#define MARGIN_AGG_MONTHS_H

#include "agg/array.h"
#include "agg/run.h"

struct agg;

#define MONTH_BITS 32
#define MONTH_KINDS 3 /* customers, features, models: the first of enum kind */

struct activity { /* of an entity */
    u32 bits;     /* bit m % 32: events in month m, newest - 31 .. newest */
    u16 newest;   /* months since January 1970 */
    u16 first;    /* 0: no events yet */
};

struct month_row {
    u32 account;
    u32 month;
    u32 active[MONTH_KINDS]; /* entities with a value */
    u32 pad;
};

struct months {
    struct array activity; /* struct activity of each entity, as far as they have one */
    struct array rows;     /* struct month_row */
    i64 start;             /* the month that was asked for last; ms */
    i64 end;
    u32 month;
};

bool months_init(struct agg *agg);
/* Months since January 1970. */
u32 months_of(i64 time_ms);
/* When a month begins, ms. */
i64 months_start(u32 month);
/* An event of a cell whose latest event so far was of another month. */
void months_note(struct agg *agg, u32 kind, u32 cell, i64 time);
/* What a clear leaves of an entity's months: `lost` are those of `old` that are none any more. */
void months_change(struct agg *agg, u32 account, u32 kind, u32 entity, const struct activity *old,
                   const struct activity *next, u32 lost);
/* Months before this one are in nobody's activity any more. */
void months_expire(struct agg *agg, u32 account, u32 month);
enum err months_rebuild(struct agg *agg);

static inline bool months_same(const struct months *months, i64 time, i64 other) {
    return time >= months->start && time < months->end && other >= months->start &&
           other < months->end;
}

/* The entity's activity; all zero if it has none. Caller holds the lock. */
struct activity months_activity(const struct agg *agg, u32 entity);
static inline bool months_active(const struct activity *activity, u32 month) {
    return activity->first != 0 && month <= activity->newest &&
           activity->newest - month < MONTH_BITS && (activity->bits >> month % MONTH_BITS & 1) != 0;
}
/* How many entities of each kind the month had; caller holds the lock. */
void months_counts(const struct agg *agg, u32 account, u32 month, u32 active[MONTH_KINDS]);

#endif
