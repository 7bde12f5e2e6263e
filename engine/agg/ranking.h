/*
 * ranking.h: the customers of an account in the order of one measure, kept for questions like "the
 * 100 best by margin" that come again and again. A ranking remembers every customer's key; before
 * it answers it adds what events have added since, which the writer notes in a ring as long as
 * anybody asks. So a question costs a few nanoseconds for each event since the last one, whatever
 * the number of customers, and ingest pays one store an event.
 *
 * Which keys reach a bound, somewhat below the last ones that were asked for, is known, too: of the
 * others nobody looks at any. Should too few reach it, a lower one comes from the greatest key of
 * each RANKING_GROUP: the best k are in the k groups with the greatest maxima.
 */
#ifndef MARGIN_AGG_RANKING_H
#define MARGIN_AGG_RANKING_H

#include "agg/state.h"

#define RANKING_GROUP 64
#define RANKING_NONE (((i128)1 << 126) * -2) /* key of a customer without events in the window */

enum measure {
    MEASURE_EVENTS,
    MEASURE_COST,
    MEASURE_REVENUE,
    MEASURE_MARGIN,
    MEASURE_USAGE,
    MEASURE_LAST_SEEN
};

/* What a ranking is of; equal bytes mean the same ranking. */
struct ranking_key {
    u32 account;
    u32 class_mask;
    u32 band_mask;
    u32 measure;
    u32 ascending;
    u32 present_only;
};

struct ranked { /* a customer */
    i128 key;
    u32 place;
};

struct ranking {
    struct ranking_key key;
    i128 *keys;     /* by place in the account's list of customers */
    i128 *greatest; /* by group */
    u32 count;
    u32 capacity;
    u32 present;         /* keys that are not RANKING_NONE */
    i128 bound;          /* a guess: somewhat more than are asked for reach it */
    u64 *reached;        /* by group, a bit a customer: whose key may; nobody else's does */
    struct ranked *best; /* of the last question */
    u32 best_count;
    u32 best_capacity;
    u64 changed_seen; /* agg->changed_count that the keys belong to */
    u64 layout;
    u64 used;
    u32 kept_ms; /* it is kept up to date for so long without being asked for */
};

/* Has the writer note changes from now on, as many as the ring holds. So what whoever calls it is
 * behind by later is in the ring whenever the ring is long enough for it. Caller holds the read
 * lock. */
void changes_want(struct agg *agg);

/* Gives the ranking, caught up, with the read lock held (the caller must not hold it) until
 * ranking_give(). ERR_NO_MEMORY, ERR_BUSY (events or moving windows outran it again and again),
 * ERR_NOT_FOUND (no such account): nothing is held. Any thread. */
enum err ranking_take(struct agg *agg, const struct ranking_key *key, struct ranking **out);
void ranking_give(struct agg *agg);
/* Copies of the keys of up to RANKING_COLUMNS rankings of one account, all as of one moment, by
 * place. They stand one behind the other: the caller frees column[0]. `layout` is
 * the agg->layout of that moment. Takes the read lock itself, in slices. Errors as above. */
#define RANKING_COLUMNS 3
enum err ranking_columns(struct agg *agg, const struct ranking_key *keys, u32 columns,
                         i128 *column[RANKING_COLUMNS], u32 *count, u64 *layout);
/* Brings up to date what is behind by some thousand changes and has been asked for within
 * KEPT_FOR_MS; to be called every `ms`. True: there are such rankings. Any thread. */
#define KEPT_FOR_MS 60000
#define KEPT_BEHIND 8192 /* changes */
bool rankings_keep(struct agg *agg, u32 ms);
/* Would the ranking be taken without looking at everybody, and at once? Caller holds the read lock.
 */
bool ranking_is_ready(struct agg *agg, const struct ranking_key *key);

/* The best `k`, with all that tie with the last, in no order: they stand in ranking->best. False:
 * RANKED_MAX are not enough, or there is no memory. */
#define RANKED_MAX 16384
bool ranking_best(struct ranking *ranking, u32 k);

#endif
