/*
 * query.c: running aggregate queries. A plan is made and carried out in slices; when time moves the
 * edge or drops the rows that the plan relied on, or an event is the first to be outside what it
 * took for all time, the query begins again. The next plan relies on less: a moving edge is left
 * for rows, a bucket that is being folded for finer ones, and dropped rows for the log; so a few
 * tries are enough, and no try keeps the lock.
 */
#include "query/query.h"

#include "query/plan.h"

#include <stdlib.h>
#include <string.h>

#define TRIES 8
#define QUICK_TRIES 3 /* a ranking that events outrun is left for looking at everybody */

i64 query_window_start(i64 now_ms, i64 window_ms) {
    i64 start = now_ms - window_ms;
    i64 unit = window_ms <= DAY_MS ? MINUTE_MS : HOUR_MS;
    i64 rest = start % unit;
    return start - (rest < 0 ? rest + unit : rest);
}

bool query_needs_log(const struct agg *agg, const struct query *query) {
    if (plan_check(query) != NULL) {
        return false;
    }
    struct agg *locked = (struct agg *)(usize)agg; /* only the lock in it changes */
    struct plan plan;
    agg_read_lock(locked);
    plan_make(&plan, locked, query);
    agg_read_unlock(locked);
    return plan.log_count > 0;
}

/* Rows come once and complete if the kind's own dimensions are grouped by. */
static bool plan_streams(const struct plan *plan) {
    u32 dims = plan->kind == KIND_MODEL ? 2 : 1;
    for (u32 i = 0; i < plan->query->group_count; i++) {
        dims -= plan->query->group[i] != DIM_ACCOUNT;
    }
    return plan->source == PLAN_AGENTS || (plan_is_cells(plan) && dims == 0);
}

bool query_is_short(const struct agg *agg, const struct query *query) {
    if (plan_check(query) != NULL) {
        return true;
    }
    struct agg *locked = (struct agg *)(usize)agg; /* only the lock in it changes */
    struct plan plan;
    agg_read_lock(locked);
    plan_make(&plan, locked, query);
    const struct groups groups = {.streaming = plan_streams(&plan),
                                  .keep = MIN(query->offset, (u32)1 << 30) + query->limit};
    bool is_short = plan.log_count == 0;
    if (is_short && walk_count(&plan, DIRECT_RECORDS_MAX) > DIRECT_RECORDS_MAX) {
        is_short = plan_is_cells(&plan) && ranked_is_ready(&plan, &groups);
    }
    agg_read_unlock(locked);
    return is_short;
}

static enum err run_once(struct agg *agg, struct store *store, const struct query *query,
                         struct query_result *result, const char **why, bool quick) {
    struct plan plan;
    struct groups groups;
    agg_read_lock(agg);
    if (quick) {
        plan_make(&plan, agg, query);
    } else {
        plan_make_firm(&plan, agg, query);
    }
    enum err err = groups_init(&groups, &plan, plan_streams(&plan));
    if (err == ERR_OK && plan.log_count > 0 && store == NULL) {
        *why = "these bounds need the log";
        err = ERR_INVALID;
    }
    if (err == ERR_OK) {
        err = walk_memory(&plan, &groups, quick);
    }
    agg_read_unlock(agg);
    if (err == ERR_OK) {
        err = walk_log(&plan, &groups, store);
    }
    if (err == ERR_OK && plan.log_count > 0 && !plan_is_one_state(&plan)) {
        err = ERR_BUSY; /* what was taken out of the log was in the figures, or the reverse */
    }
    if (err == ERR_OK) {
        err = groups_finish(&groups, result);
    }
    groups_free(&groups);
    return err;
}

enum err query_run(struct agg *agg, struct store *store, const struct query *query,
                   struct query_result *result, const char **why) {
    *result = (struct query_result){.from = query->from, .to = query->to};
    *why = plan_check(query);
    if (*why != NULL) {
        return ERR_INVALID;
    }
    enum err err = ERR_BUSY;
    for (u32 try = 1; try <= TRIES && err == ERR_BUSY; try++) {
        err = run_once(agg, store, query, result, why, try <= QUICK_TRIES);
    }
    return err;
}

struct query_past query_past(struct agg *agg) {
    agg_read_lock(agg);
    struct query_past past = {agg_past(agg), agg->past_events, agg->amended};
    past.until = agg->expiring ? INT64_MIN : past.until; /* what is over is just changing */
    agg_read_unlock(agg);
    return past;
}

static enum err merge_rows(struct groups *groups, const struct query_result *result) {
    const struct query *query = groups->plan->query;
    enum err err = ERR_OK;
    for (u32 i = 0; i < result->row_count && err == ERR_OK; i++) {
        const struct query_row *row = &result->rows[i];
        u32 dims[QUERY_DIMS] = {0};
        struct figures *figures;
        for (u32 group = 0; group < query->group_count; group++) {
            dims[query->group[group]] = row->value[group];
        }
        err = groups_at(groups, dims, row->bucket_start, &figures);
        if (err == ERR_OK) {
            figures_add(figures, &row->figures);
        }
    }
    return err;
}

enum err query_merge(struct agg *agg, const struct query *query, const struct query_result *first,
                     const struct query_result *second, struct query_result *result) {
    const struct plan plan = {.agg = agg, .query = query};
    struct groups groups;
    *result = (struct query_result){.from = query->from, .to = query->to};
    enum err err = groups_init(&groups, &plan, false);
    if (err == ERR_OK) {
        err = merge_rows(&groups, first);
    }
    if (err == ERR_OK) {
        err = merge_rows(&groups, second);
    }
    if (err == ERR_OK) {
        err = groups_finish(&groups, result);
    }
    groups_free(&groups);
    return err;
}

static enum err each_once(struct agg *agg, struct store *store, const struct query *query,
                          const struct query_each *each, const char **why, bool quick) {
    struct plan plan;
    struct groups groups = {.plan = &plan, .each = each};
    figures_clear(&groups.piece.figures);
    each->begin(each->context);
    agg_read_lock(agg);
    if (quick) {
        plan_make(&plan, agg, query);
    } else {
        plan_make_firm(&plan, agg, query);
    }
    enum err err = ERR_OK;
    if (plan.log_count > 0 && store == NULL) {
        *why = "these bounds need the log";
        err = ERR_INVALID;
    }
    if (err == ERR_OK) {
        err = walk_memory(&plan, &groups, false);
    }
    agg_read_unlock(agg);
    if (err == ERR_OK) {
        err = walk_log(&plan, &groups, store);
    }
    if (err == ERR_OK && plan.log_count > 0 && !plan_is_one_state(&plan)) {
        err = ERR_BUSY; /* what was taken out of the log was in the figures, or the reverse */
    }
    groups_hand_over(&groups);
    return err;
}

enum err query_run_each(struct agg *agg, struct store *store, const struct query *query,
                        const struct query_each *each, const char **why) {
    *why = plan_check(query);
    enum err err = *why != NULL ? ERR_INVALID : ERR_BUSY;
    for (u32 try = 1; try <= TRIES && err == ERR_BUSY; try++) {
        err = each_once(agg, store, query, each, why, try <= QUICK_TRIES);
    }
    return err;
}

struct slice query_value_text(const struct agg *agg, u32 dim, u32 value) {
    if (dim != QUERY_REVENUE_SOURCE || value == DIM_NONE) {
        return agg_value_text(agg, (enum store_dim)dim, value);
    }
    const char *text = revenue_source_text((enum revenue_source)value);
    return (struct slice){text, strlen(text)};
}

void query_result_free(struct query_result *result) {
    free(result->rows);
    result->rows = NULL;
}
