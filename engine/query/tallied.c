/*
 * tallied.c: answers from tallies: days and hours of the account, by model and by source.
 * Whole days come from days' rows and the open hours that belong to them, the rest of a window from
 * hours; what is finer than an hour, or in an hour that is no longer kept, from the log.
 */
#include "query/plan.h"

#define STEP_ROWS 8192 /* between two times of letting the writer in */
#define HAND_ROWS 12   /* how far ahead rows are fetched */
#define CELL_RECORDS 4 /* what looking for a cell's tallies takes, in rows */

#define DIMS (1u << DIM_MODEL | 1u << DIM_PROVIDER | 1u << DIM_SOURCE | 1u << QUERY_REVENUE_SOURCE)

bool tallied_needed(const struct query *query) {
    bool needed = query->both_tokens;
    for (u32 i = 0; i < query->group_count; i++) {
        needed = needed || query->group[i] == QUERY_REVENUE_SOURCE;
    }
    return needed;
}

bool tallied_can(const struct query *query) {
    return plan_uses_only(query, DIMS);
}

/* --- time ------------------------------------------------------------------------------------- */

static i64 round_up(i64 time, i64 unit) {
    return (time + unit - 1) / unit * unit;
}

static void cover_log(struct plan *plan, i64 from, i64 to) {
    if (from < to && plan_any_events(plan->agg, from, to)) {
        check(plan->log_count < PLAN_LOGS_MAX);
        plan->logs[plan->log_count++] = (struct plan_log){from, to};
    }
}

static void cover_hours(struct plan *plan, i64 from, i64 to) {
    i64 begin = round_up(MAX(from, plan->agg->tallies.edge), HOUR_MS);
    i64 end = to / HOUR_MS * HOUR_MS;
    if (begin >= end) {
        cover_log(plan, from, to);
        return;
    }
    cover_log(plan, from, begin);
    plan->ranges[plan->range_count++] =
        (struct plan_range){WIDTH_HOUR, (u32)(begin / HOUR_MS), (u32)(end / HOUR_MS)};
    cover_log(plan, end, to);
}

static void cover(struct plan *plan) {
    const struct agg *agg = plan->agg;
    i64 from = plan->whole_from ? agg->oldest / DAY_MS * DAY_MS : plan->query->from;
    i64 to = plan->whole_to ? (agg->newest / DAY_MS + 1) * DAY_MS : plan->query->to;
    i64 begin = round_up(from, DAY_MS);
    i64 end = to / DAY_MS * DAY_MS;
    plan->range_count = 0;
    plan->log_count = 0;
    if (plan->query->bucket == BUCKET_HOUR || begin >= end) {
        cover_hours(plan, from, to);
        return;
    }
    if (from < begin) {
        cover_hours(plan, from, begin);
    }
    plan->ranges[plan->range_count++] =
        (struct plan_range){WIDTH_DAY, (u32)(begin / DAY_MS), (u32)(end / DAY_MS)};
    if (end < to) {
        cover_hours(plan, end, to);
    }
}

void tallied_plan(struct plan *plan) {
    const struct query *query = plan->query;
    bool needed = tallied_needed(query);
    bool first = plan->whole_from && query->bucket == BUCKET_NONE && !query->without_first;
    if (query->bucket == BUCKET_MINUTE || (first && !needed) || !tallied_can(query)) {
        return;
    }
    struct plan tallied = *plan;
    tallied.source = PLAN_TALLIES;
    tallied.by_bands = false;
    cover(&tallied);
    if (needed || tallied.log_count == 0) {
        *plan = tallied;
    }
}

bool tallied_holds(const struct plan *plan) {
    for (u32 i = 0; i < plan->range_count; i++) {
        const struct plan_range *range = &plan->ranges[i];
        if (range->width == WIDTH_HOUR && range->first * HOUR_MS < plan->agg->tallies.edge) {
            return false;
        }
    }
    return true;
}

/* --- tallies ---------------------------------------------------------------------------------- */

struct walk {
    const struct plan *plan;
    struct groups *groups;
    u32 dims[QUERY_DIMS];
    u32 steps_left;
    u64 count; /* of rows, if there are no groups */
    u64 max;
};

/* Sums up rows of one bucket of the answer, then hands them over. */
struct sum {
    i64 bucket_start;
    struct figures figures;
};

static enum err sum_flush(struct walk *walk, struct sum *sum) {
    if (sum->figures.events == 0) {
        return ERR_OK;
    }
    struct figures *figures;
    enum err err = groups_at(walk->groups, walk->dims, sum->bucket_start, &figures);
    if (err == ERR_OK) {
        figures_add(figures, &sum->figures);
    }
    figures_clear(&sum->figures);
    return err;
}

static enum err sum_row(struct walk *walk, struct sum *sum, u32 number, i64 start) {
    const struct agg *agg = walk->plan->agg;
    i64 bucket_start = plan_bucket_start(walk->plan, start);
    enum err err = ERR_OK;
    if (bucket_start != sum->bucket_start) {
        err = sum_flush(walk, sum);
        sum->bucket_start = bucket_start;
    }
    const struct row *row = row_at(&agg->tallies.rows, number);
    if (row_is_empty(row, &agg->wides)) {
        return err;
    }
    figures_add_row(&sum->figures, row, &agg->wides);
    sum->figures.last_seen = MAX(sum->figures.last_seen, start + row->last);
    return err;
}

static enum err add_range(struct walk *walk, u32 tally, const struct plan_range *range) {
    const struct agg *agg = walk->plan->agg;
    bool days = range->width == WIDTH_DAY;
    i64 ms = days ? DAY_MS : HOUR_MS;
    const struct run *run = tally_run(agg, tally, days ? TALLY_DAY : TALLY_HOUR);
    struct sum sum = {0};
    figures_clear(&sum.figures);
    enum err err = ERR_OK;
    u32 place = run_lower_bound(run, range->first);
    for (; place < run->count && run_bucket(run, place) < range->end && err == ERR_OK; place++) {
        if (place + HAND_ROWS < run->count) {
            __builtin_prefetch(row_at(&agg->tallies.rows, run_number(run, place + HAND_ROWS)));
        }
        err = sum_row(walk, &sum, run_number(run, place), run_bucket(run, place) * ms);
    }
    const struct tally *known = array_at(&agg->tallies.tallies, tally);
    if (err == ERR_OK && days && known->open_row != 0) {
        i64 start = known->open_hour * HOUR_MS;
        if (start / DAY_MS >= range->first && start / DAY_MS < range->end) {
            err = sum_row(walk, &sum, known->open_row, start);
        }
    }
    return err == ERR_OK ? sum_flush(walk, &sum) : err;
}

static u32 rows_in(const struct agg *agg, u32 tally, const struct plan_range *range) {
    const struct run *run =
        tally_run(agg, tally, range->width == WIDTH_DAY ? TALLY_DAY : TALLY_HOUR);
    return run_lower_bound(run, range->end) - run_lower_bound(run, range->first) + 1;
}

static enum err take_tally(struct walk *walk, u32 tally) {
    const struct plan *plan = walk->plan;
    enum err err = ERR_OK;
    for (u32 i = 0; i < plan->range_count && err == ERR_OK; i++) {
        u32 rows = rows_in(plan->agg, tally, &plan->ranges[i]);
        walk->count += rows;
        walk->steps_left -= MIN(walk->steps_left, rows);
        if (walk->groups != NULL) {
            err = add_range(walk, tally, &plan->ranges[i]);
        }
    }
    return err;
}

static enum err take_cell(struct walk *walk, u32 cell) {
    const struct plan *plan = walk->plan;
    enum err err = ERR_OK;
    walk->count += CELL_RECORDS;
    for (u32 part = 0; part < TALLY_PARTS && err == ERR_OK; part++) {
        u32 tally = tally_find(plan->agg, cell, part);
        walk->dims[DIM_SOURCE] = part / 2 / REVENUE_SOURCES;
        walk->dims[QUERY_REVENUE_SOURCE] = part / 2 % REVENUE_SOURCES;
        if (tally != 0 && (part % 2 == 1 || !plan->query->both_tokens) &&
            plan_matches(plan, walk->dims)) {
            err = take_tally(walk, tally);
        }
    }
    return err;
}

static enum err take_entity(struct walk *walk, u32 index) {
    const struct plan *plan = walk->plan;
    const struct entity *entity = entity_at(plan->agg, index);
    for (u32 dim = 0; dim < QUERY_DIMS; dim++) {
        walk->dims[dim] = DIM_NONE;
    }
    walk->dims[DIM_ACCOUNT] = entity->account;
    walk->dims[DIM_MODEL] = entity->key[0];
    walk->dims[DIM_PROVIDER] = entity->key[1];
    enum err err = ERR_OK;
    for (u32 class = 0; class < CLASSES && err == ERR_OK; class ++) {
        if (entity->cell[class] != 0 && (plan->class_mask >> class & 1) != 0) {
            err = take_cell(walk, entity->cell[class]);
        }
    }
    return err;
}

static enum err breathe(struct walk *walk) {
    if (walk->groups == NULL || walk->steps_left > 0) {
        return ERR_OK;
    }
    walk->steps_left = STEP_ROWS;
    agg_read_unlock(walk->plan->agg);
    agg_read_lock(walk->plan->agg);
    return plan_holds(walk->plan) ? ERR_OK : ERR_BUSY;
}

static enum err take_all(struct walk *walk) {
    const struct plan *plan = walk->plan;
    enum err err = ERR_OK;
    for (u32 i = 0; err == ERR_OK && walk->count <= walk->max; i++) {
        const struct list *list =
            &account_at(plan->agg, plan->query->account)->entities[KIND_MODEL];
        if (i >= list->count) {
            break;
        }
        err = take_entity(walk, list_at(list, i));
        if (err == ERR_OK) {
            err = breathe(walk);
        }
    }
    return err;
}

enum err tallied_walk(const struct plan *plan, struct groups *groups) {
    struct walk walk = {.plan = plan, .groups = groups, .steps_left = STEP_ROWS, .max = UINT64_MAX};
    return take_all(&walk);
}

u64 tallied_count(const struct plan *plan, u64 max) {
    struct walk walk = {.plan = plan, .max = max};
    take_all(&walk);
    return walk.count;
}
