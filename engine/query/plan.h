/*
 * plan.h: what a query will read. Made under the read lock, valid while plan_holds(): a query works
 * in slices between which the writer goes on, and begins again if time has moved meanwhile.
 */
#ifndef MARGIN_QUERY_PLAN_H
#define MARGIN_QUERY_PLAN_H

#include "agg/state.h"
#include "query/query.h"

struct plan_range { /* buckets [first, end) of a width */
    enum width width;
    u32 first;
    u32 end;
};

struct plan_log { /* events [from, to) that no bucket gives */
    i64 from;
    i64 to;
};

#define PLAN_RANGES_MAX 8
#define PLAN_LOGS_MAX 8

enum plan_source { PLAN_NOTHING, PLAN_AGENTS, PLAN_ENTITIES, PLAN_TALLIES, PLAN_SERIES };

struct plan {
    struct agg *agg;
    const struct query *query;
    enum plan_source source;
    enum kind kind;         /* of PLAN_ENTITIES */
    u32 filter[STORE_DIMS]; /* value ids where query->filter_mask says */
    u32 class_mask;         /* bit c: class c belongs to the population */
    bool whole_from;        /* no event is earlier than the window */
    bool whole_to;          /* no event is later */
    bool by_bands;          /* else by ranges and logs; with them, if `split` is not 0 */
    u32 band_mask;
    struct plan_range ranges[PLAN_RANGES_MAX];
    u32 range_count;
    struct plan_log logs[PLAN_LOGS_MAX];
    u32 log_count;
    i64 reached[WIDTHS]; /* up to where buckets are folded that are not whole; 0: they are */
    u64 changes;         /* the account's when it was made */
    bool firm;           /* only whole buckets are read: folding does not concern it */
    u32 edge;            /* by_bands: where the bands begin; EDGES: they have no beginning */
    i64 split;           /* the edge's time, if the window begins before; 0: it does not */
    u32 edge_to;         /* by_bands: where it ends; EDGES: it has no end */
};

/* NULL, or why the query cannot be answered. Needs no lock. */
const char *plan_check(const struct query *query);
/* Caller holds the read lock. */
void plan_make(struct plan *plan, struct agg *agg, const struct query *query);
/* Reads more rows, but those of buckets that are still being folded into wider ones only. */
void plan_make_firm(struct plan *plan, struct agg *agg, const struct query *query);
bool plan_holds(const struct plan *plan);
/* Do the cells of a kind have all of it? */
static inline bool plan_is_cells(const struct plan *plan) {
    return plan->source == PLAN_ENTITIES && plan->split == 0;
}
/* Have no events of the account been taken out or changed since? Takes the read lock itself. */
bool plan_is_one_state(const struct plan *plan);

/* Could there be events in [from, to) at all? Asks the finest buckets that are kept there. */
bool plan_any_events(const struct agg *agg, i64 from, i64 to);
bool plan_matches(const struct plan *plan, const u32 *dims);
/* Does it filter or group by nothing but dimensions of the mask (and the account)? */
bool plan_uses_only(const struct query *query, u32 dims);
/* The start of the query's bucket that contains the time; 0 without buckets. */
i64 plan_bucket_start(const struct plan *plan, i64 time);

/* --- groups.c --------------------------------------------------------------------------------- */

/* Rows by group and bucket, and the best few of them in order. */
struct distinct;
struct groups {
    const struct plan *plan;
    struct distinct *distinct;     /* rows are not summed up, but counted: distinct.c */
    const struct query_each *each; /* nor made at all: handed over in pieces */
    struct query_row piece;        /* the one that is being made */
    struct query_row *rows;
    u32 count;
    u32 capacity;
    u32 *slots; /* row + 1; 0: empty */
    u32 slot_mask;
    bool streaming; /* rows come complete and once: only the best `keep` are kept, as a heap */
    bool ordered;   /* rows stand in their order already */
    u32 keep;
    u32 total_count;
    struct figures total;
};
#define GROUPS_MAX ((u32)1 << 21)

enum err groups_init(struct groups *groups, const struct plan *plan, bool streaming);
void groups_free(struct groups *groups);
/* The figures of a group, made if needed; lasts until the next call. ERR_NO_MEMORY, ERR_LIMIT. */
enum err groups_at(struct groups *groups, const u32 *dims, i64 bucket_start, struct figures **out);
/* Streaming: offers a complete row. */
enum err groups_offer(struct groups *groups, const struct query_row *row);
/* Instead of offering: room for all rows there are, to be written in their order. */
enum err groups_take_rows(struct groups *groups, u32 count, struct query_row **rows);
/* Of `each`: the last piece. */
void groups_hand_over(struct groups *groups);
/* Orders, pages, sums. The result owns the rows. */
enum err groups_finish(struct groups *groups, struct query_result *result);

/* Below 0: a comes first in the order of texts. */
int compare_slices(struct slice a, struct slice b);
void figures_clear(struct figures *figures);
void figures_add_sums(struct figures *figures, const struct sums *sums);
void figures_add_row(struct figures *figures, const struct row *row, const struct array *wides);
void figures_add(struct figures *figures, const struct figures *more);

/* --- distinct.c ------------------------------------------------------------------------------- */

/* groups_at() of groups that are counted. */
enum err distinct_at(struct groups *groups, const u32 *dims, struct figures **out);

/* --- ranked.c --------------------------------------------------------------------------------- */

/* Can a ranking answer it? Caller holds the read lock. */
bool ranked_fits(const struct plan *plan, const struct groups *groups);
/* And would it be found made, and not far behind? Caller holds the read lock. */
bool ranked_is_ready(const struct plan *plan, const struct groups *groups);
/* Offers the best customers and sets the totals. Gives up the read lock meanwhile. ERR_BUSY: the
 * plan no longer holds; ERR_NOT_FOUND: it has to be done without a ranking. */
enum err ranked_run(const struct plan *plan, struct groups *groups);

/* --- tallied.c -------------------------------------------------------------------------------- */

/* Can only tallies answer it? */
bool tallied_needed(const struct query *query);
/* Does it use only dimensions that tallies have? */
bool tallied_can(const struct query *query);
/* Makes a plan that goes through series one that goes through tallies, where they can answer it
 * and it does not take events of the log for which series have buckets. */
void tallied_plan(struct plan *plan);
/* Are the hours that the plan relies on still kept? */
bool tallied_holds(const struct plan *plan);
/* Rows it would look at; counting stops past `max`. */
u64 tallied_count(const struct plan *plan, u64 max);
/* As walk_memory(). */
enum err tallied_walk(const struct plan *plan, struct groups *groups);

/* --- walk.c ----------------------------------------------------------------------------------- */

/* The row of a customer, feature, model or cost type; false without events in the window. */
bool walk_entity_row(const struct plan *plan, u32 entity, struct query_row *row);
/* Records that walk_memory() would look at, without a ranking; counting stops past `max`. Caller
 * holds the read lock. */
u64 walk_count(const struct plan *plan, u64 max);
/* Adds all that memory knows, by a ranking where one fits. Gives the read lock, which the caller
 * holds, and takes it again, every few thousand records. ERR_BUSY: the plan no longer holds. */
enum err walk_memory(const struct plan *plan, struct groups *groups, bool ranked);
/* Adds the events of the log; without lock. */
enum err walk_log(const struct plan *plan, struct groups *groups, struct store *store);

#endif
