/*
 * walk.c: adding up what a plan says. Everything is done in steps of a few thousand records, with
 * the lock given back in between: a query never makes ingest wait for longer than a step.
 */
#include "query/plan.h"

#include <stdlib.h>
#include <string.h>

#define STEP_RECORDS 4096
#define HAND_ENTITIES 24 /* how far ahead entities, cells and their bands are fetched */
#define HAND_CELLS 16
#define HAND_BANDS 8

struct walk {
    const struct plan *plan;
    struct agg *agg;
    struct groups *groups;
    u32 steps_left;
    bool ranked;
};

/* Lets the writer in from time to time. ERR_BUSY: the plan no longer holds. */
static enum err walk_breathe(struct walk *walk) {
    if (walk->steps_left-- > 0) {
        return ERR_OK;
    }
    walk->steps_left = STEP_RECORDS;
    agg_read_unlock(walk->agg);
    agg_read_lock(walk->agg);
    return plan_holds(walk->plan) ? ERR_OK : ERR_BUSY;
}

/* --- cells ------------------------------------------------------------------------------------ */

static void add_cell(const struct plan *plan, u32 index, u32 band_mask, struct figures *figures) {
    const struct agg *agg = plan->agg;
    const struct cell *cell = cell_at(agg, index);
    const struct cell_rest *rest = rest_at(agg, index);
    struct sums sums = {0};
    for (u32 mask = band_mask; mask != 0; mask &= mask - 1) {
        u32 band = (u32)__builtin_ctz(mask);
        if (band == 0 || rest->band[band - 1] != 0) {
            row_read(band_of(agg, &cell->newest, rest->band, band), &agg->wides, &sums);
        }
    }
    if (sums.events != 0) {
        figures_add_sums(figures, &sums);
        figures->last_seen = MAX(figures->last_seen, row_seen(&cell->newest));
        if (plan->whole_from) {
            figures->first_seen = MIN(figures->first_seen, rest->first);
        }
    }
}

/* Where each kind's keys stand among the dimensions. */
static void entity_dims(const struct entity *entity, u32 *dims) {
    for (u32 dim = 0; dim < STORE_DIMS; dim++) {
        dims[dim] = DIM_NONE;
    }
    dims[kind_dim((enum kind)entity->kind)] = entity->key[0];
    if (entity->kind == KIND_MODEL) {
        dims[DIM_PROVIDER] = entity->key[1];
    }
    dims[DIM_ACCOUNT] = entity->account;
}

bool walk_entity_row(const struct plan *plan, u32 index, struct query_row *row) {
    const struct entity *entity = entity_at(plan->agg, index);
    u32 dims[STORE_DIMS];
    entity_dims(entity, dims);
    *row = (struct query_row){0};
    figures_clear(&row->figures);
    for (u32 class = 0; class < CLASSES; class ++) {
        if (entity->cell[class] != 0 && (plan->class_mask >> class & 1) != 0) {
            add_cell(plan, entity->cell[class], plan->band_mask, &row->figures);
        }
    }
    for (u32 i = 0; i < plan->query->group_count; i++) {
        row->value[i] = dims[plan->query->group[i]];
    }
    return row->figures.events != 0;
}

static enum err add_entity(struct walk *walk, u32 index) {
    const struct plan *plan = walk->plan;
    u32 dims[STORE_DIMS];
    entity_dims(entity_at(walk->agg, index), dims);
    struct query_row row;
    if (!plan_matches(plan, dims) || !walk_entity_row(plan, index, &row)) {
        return ERR_OK;
    }
    if (walk->groups->streaming) {
        return groups_offer(walk->groups, &row);
    }
    struct figures *figures;
    enum err err = groups_at(walk->groups, dims, 0, &figures);
    if (err == ERR_OK) {
        figures_add(figures, &row.figures);
    }
    return err;
}

/* Asks for what looking at the entities behind this one needs. Inlined by force, see apply.h.
 */
static inline __attribute__((always_inline)) void fetch_ahead(const struct walk *walk,
                                                              const struct list *list, u32 at) {
    const struct agg *agg = walk->agg;
    u32 class = (u32)__builtin_ctz(walk->plan->class_mask | 1u << CLASSES) % CLASSES;
    if (at + HAND_ENTITIES < list->count) {
        __builtin_prefetch(entity_at(agg, list_at(list, at + HAND_ENTITIES)));
    }
    if (at + HAND_CELLS < list->count) {
        u32 cell = entity_at(agg, list_at(list, at + HAND_CELLS))->cell[class];
        __builtin_prefetch(cell_at(agg, cell));
        __builtin_prefetch(rest_at(agg, cell));
    }
    if (at + HAND_BANDS < list->count) {
        u32 cell = entity_at(agg, list_at(list, at + HAND_BANDS))->cell[class];
        const u32 *band = rest_at(agg, cell)->band;
        for (u32 mask = walk->plan->band_mask >> 1; mask != 0; mask &= mask - 1) {
            __builtin_prefetch(band_at(agg, band[__builtin_ctz(mask)]));
        }
    }
}

static enum err walk_entities(struct walk *walk) {
    const struct plan *plan = walk->plan;
    u32 dim = kind_dim(plan->kind);
    if (plan->kind != KIND_MODEL && (plan->query->filter_mask >> dim & 1) != 0) {
        u32 value = plan->filter[dim];
        const struct account *account = account_at(walk->agg, plan->query->account);
        u32 only =
            value == DIM_NONE ? account->none[plan->kind] : value_at(walk->agg, dim, value)->entity;
        return only == 0 ? ERR_OK : add_entity(walk, only);
    }
    enum err err = ERR_OK;
    if (walk->ranked && ranked_fits(plan, walk->groups)) {
        err = ranked_run(plan, walk->groups);
        if (err != ERR_NOT_FOUND) {
            return err;
        }
        err = plan_holds(plan) ? ERR_OK : ERR_BUSY;
    }
    for (u32 i = 0; err == ERR_OK; i++) {
        const struct list *list =
            &account_at(walk->agg, plan->query->account)->entities[plan->kind];
        if (i >= list->count) {
            break;
        }
        fetch_ahead(walk, list, i);
        err = add_entity(walk, list_at(list, i));
        if (err == ERR_OK) {
            err = walk_breathe(walk);
        }
    }
    return err;
}

static enum err walk_agents(struct walk *walk) {
    enum err err = ERR_OK;
    for (u32 i = 0; err == ERR_OK; i++) {
        const struct list *list = &account_at(walk->agg, walk->plan->query->account)->agents;
        if (i >= list->count) {
            break;
        }
        struct query_row row = {.value = {list_at(list, i)}};
        figures_clear(&row.figures);
        add_cell(walk->plan, value_at(walk->agg, STORE_DIMS, list_at(list, i))->entity, 1,
                 &row.figures);
        err = row.figures.events == 0 ? ERR_OK : groups_offer(walk->groups, &row);
        if (err == ERR_OK) {
            err = walk_breathe(walk);
        }
    }
    return err;
}

/* --- series ----------------------------------------------------------------------------------- */

static bool series_matches(const struct walk *walk, u32 series) {
    return (walk->plan->class_mask >> link_at(walk->agg, series)->class & 1) != 0 &&
           plan_matches(walk->plan, dims_of(walk->agg, series));
}

/* The shortest list that has every series the filters allow. */
struct series_list {
    u32 head; /* series + 1 */
    u32 next; /* which link */
    u32 count;
};

static struct series_list rarest_list(const struct walk *walk) {
    const struct plan *plan = walk->plan;
    const struct account *account = account_at(walk->agg, plan->query->account);
    struct series_list best = {account->series_head, LIST_ACCOUNT, account->series_count};
    for (u32 dim = 0; dim < VALUE_DIMS; dim++) {
        if ((plan->query->filter_mask >> dim & 1) == 0 || plan->filter[dim] == DIM_NONE) {
            continue;
        }
        const struct value *value = value_at(walk->agg, dim, plan->filter[dim]);
        if (value->series_count < best.count) {
            best = (struct series_list){value->series_head, dim, value->series_count};
        }
    }
    return best;
}

static enum err add_series(struct walk *walk, u32 index) {
    const struct series *series = series_at(walk->agg, index);
    struct figures sum;
    figures_clear(&sum);
    for (u32 mask = walk->plan->band_mask; mask != 0; mask &= mask - 1) {
        u32 band = (u32)__builtin_ctz(mask);
        figures_add_row(&sum, band_of(walk->agg, &series->newest, series->band, band),
                        &walk->agg->wides);
    }
    if (sum.events == 0) {
        return ERR_OK;
    }
    sum.last_seen = row_seen(&series->newest);
    sum.first_seen = walk->plan->whole_from ? series->first : INT64_MAX;
    struct figures *figures;
    enum err err = groups_at(walk->groups, dims_of(walk->agg, index), 0, &figures);
    if (err == ERR_OK) {
        figures_add(figures, &sum);
    }
    return err;
}

static enum err walk_series(struct walk *walk) {
    struct series_list list = rarest_list(walk);
    enum err err = ERR_OK;
    for (u32 at = list.head; at != 0 && err == ERR_OK;) {
        u32 series = at - 1;
        at = link_at(walk->agg, series)->next[list.next];
        if (at != 0) {
            __builtin_prefetch(series_at(walk->agg, at - 1));
            __builtin_prefetch(dims_of(walk->agg, at - 1));
        }
        if (series_matches(walk, series)) {
            err = add_series(walk, series);
        }
        if (err == ERR_OK) {
            err = walk_breathe(walk);
        }
    }
    return err;
}

/* --- buckets ---------------------------------------------------------------------------------- */

static bool wants_first(const struct plan *plan) {
    return plan->whole_from && plan->query->bucket == BUCKET_NONE && !plan->query->without_first &&
           !tallied_needed(plan->query);
}

static enum err add_bucket_row(struct walk *walk, const struct width_rows *width, u32 bucket,
                               const struct row *row) {
    i64 start = (i64)bucket * width->ms;
    struct figures sum;
    figures_clear(&sum);
    figures_add_row(&sum, row, &walk->agg->wides);
    if (sum.events == 0) {
        return ERR_OK; /* they were removed */
    }
    sum.last_seen = start + row->last;
    if (wants_first(walk->plan)) {
        sum.first_seen = series_at(walk->agg, row->series)->first;
    }
    struct figures *figures;
    enum err err = groups_at(walk->groups, dims_of(walk->agg, row->series),
                             plan_bucket_start(walk->plan, start), &figures);
    if (err == ERR_OK) {
        figures_add(figures, &sum);
    }
    return err;
}

/* All rows of the partition. */
static enum err scan_partition(struct walk *walk, enum width kind, u32 bucket) {
    const struct width_rows *width = &walk->agg->width[kind];
    const struct partition *partition = width_find(width, bucket);
    enum err err = ERR_OK;
    for (u32 place = 0; place < partition->row_count && err == ERR_OK; place++) {
        const struct row *row = array_at(&width->rows, partition_row_at(partition, place));
        if (series_matches(walk, row->series)) {
            err = add_bucket_row(walk, width, bucket, row);
        }
        if (err == ERR_OK) {
            err = walk_breathe(walk);
        }
    }
    return err;
}

/* The partition's rows of a few series. */
static enum err probe_partition(struct walk *walk, enum width kind, u32 bucket, const u32 *series,
                                u32 count) {
    const struct width_rows *width = &walk->agg->width[kind];
    const struct partition *partition = width_find(width, bucket);
    enum err err = ERR_OK;
    for (u32 i = 0; i < count && err == ERR_OK; i++) {
        u32 row = partition_find(partition, series[i]);
        if (row != 0) {
            err = add_bucket_row(walk, width, bucket, array_at(&width->rows, row));
        }
        if (err == ERR_OK) {
            err = walk_breathe(walk);
        }
    }
    return err;
}

/* The series that the filters allow, if they are few: else NULL with *count UINT32_MAX. */
#define FEW_SERIES 16384

static enum err few_series(struct walk *walk, u32 **out, u32 *count) {
    struct series_list list = rarest_list(walk);
    *out = NULL;
    *count = UINT32_MAX;
    if (list.count > FEW_SERIES) {
        return ERR_OK;
    }
    u32 *series = malloc((list.count + 1) * sizeof *series);
    if (series == NULL) {
        return ERR_NO_MEMORY;
    }
    u32 found = 0;
    for (u32 at = list.head; at != 0; at = link_at(walk->agg, at - 1)->next[list.next]) {
        if (series_matches(walk, at - 1)) {
            series[found++] = at - 1;
        }
    }
    *out = series;
    *count = found;
    return ERR_OK;
}

static enum err walk_range(struct walk *walk, const struct plan_range *range, const u32 *series,
                           u32 count) {
    const struct width_rows *width = &walk->agg->width[range->width];
    enum err err = ERR_OK;
    for (u32 bucket = range->first; err == ERR_OK;) {
        u32 place = width_lower_bound(width, bucket);
        if (place >= width->count || width->list[place]->bucket >= range->end) {
            break;
        }
        bucket = width->list[place]->bucket;
        if (series != NULL && count < width->list[place]->row_count) {
            err = probe_partition(walk, range->width, bucket, series, count);
        } else {
            err = scan_partition(walk, range->width, bucket);
        }
        bucket++;
        if (err == ERR_OK) {
            err = walk_breathe(walk);
        }
    }
    return err;
}

static enum err walk_ranges(struct walk *walk) {
    u32 *series;
    u32 count;
    enum err err = few_series(walk, &series, &count);
    for (u32 i = 0; i < walk->plan->range_count && err == ERR_OK; i++) {
        err = walk_range(walk, &walk->plan->ranges[i], series, count);
    }
    free(series);
    return err;
}

static u64 count_ranges(const struct plan *plan, u64 series_count, u64 max) {
    u64 count = 0;
    for (u32 i = 0; i < plan->range_count; i++) {
        const struct plan_range *range = &plan->ranges[i];
        const struct width_rows *width = &plan->agg->width[range->width];
        u32 place = width_lower_bound(width, range->first);
        for (; place < width->count && width->list[place]->bucket < range->end; place++) {
            count += 1 + MIN(series_count, (u64)width->list[place]->row_count);
            if (count > max) {
                return count;
            }
        }
    }
    return count;
}

u64 walk_count(const struct plan *plan, u64 max) {
    const struct walk walk = {.plan = plan, .agg = plan->agg};
    const struct account *account = account_at(plan->agg, plan->query->account);
    switch (plan->source) {
    case PLAN_AGENTS:
        return account->agents.count;
    case PLAN_TALLIES:
        return tallied_count(plan, max);
    case PLAN_ENTITIES: {
        bool one =
            plan->kind != KIND_MODEL && (plan->query->filter_mask >> kind_dim(plan->kind) & 1) != 0;
        u64 count = one ? 1 : account->entities[plan->kind].count;
        return count + count_ranges(plan, rarest_list(&walk).count, max);
    }
    case PLAN_SERIES: {
        u64 count = rarest_list(&walk).count;
        return (plan->by_bands ? count : 0) + count_ranges(plan, count, max);
    }
    case PLAN_NOTHING:
        break;
    }
    return 0;
}

enum err walk_memory(const struct plan *plan, struct groups *groups, bool ranked) {
    struct walk walk = {plan, plan->agg, groups, STEP_RECORDS, ranked};
    enum err err = ERR_OK;
    switch (plan->source) {
    case PLAN_AGENTS:
        return walk_agents(&walk);
    case PLAN_ENTITIES:
        err = walk_entities(&walk);
        break;
    case PLAN_TALLIES:
        return tallied_walk(plan, groups);
    case PLAN_SERIES:
        err = plan->by_bands ? walk_series(&walk) : ERR_OK;
        break;
    case PLAN_NOTHING:
        break;
    }
    return err == ERR_OK && plan->range_count > 0 ? walk_ranges(&walk) : err;
}

/* --- the log ---------------------------------------------------------------------------------- */

/* As link.class, which needs the lock. */
static u32 class_of(const struct agg *agg, const u32 *dims) {
    u32 class = dims[DIM_SOURCE] == SOURCE_STRIPE ? CLASS_STRIPE : 0;
    u32 name = dims[DIM_EVENT_NAME];
    return name != DIM_NONE && value_at(agg, DIM_EVENT_NAME, name)->is_revenue
               ? class | CLASS_REVENUE
               : class;
}

static enum err add_log_event(const struct plan *plan, struct groups *groups,
                              const struct event_batch *batch, u32 index) {
    const u32 counts = NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT);
    u32 dims[QUERY_DIMS];
    memcpy(dims, agg_series_dims(plan->agg, batch->series[index]), sizeof(u32) * STORE_DIMS);
    dims[QUERY_AGENT] = DIM_NONE;
    dims[QUERY_REVENUE_SOURCE] = batch->revenue_source[index];
    if ((plan->class_mask >> class_of(plan->agg, dims) & 1) == 0 || !plan_matches(plan, dims) ||
        (plan->query->both_tokens && (batch->present[index] & counts) != counts)) {
        return ERR_OK;
    }
    i64 time = batch->number[NUM_TIME][index];
    struct figures *figures;
    enum err err = groups_at(groups, dims, plan_bucket_start(plan, time), &figures);
    if (err != ERR_OK) {
        return err;
    }
    struct delta delta;
    delta_read(&delta, batch, index);
    if (delta.wide) {
        figures_add_sums(figures, &delta.sums);
    } else {
        figures_add_row(figures, &delta.row, &plan->agg->wides);
    }
    figures->last_seen = MAX(figures->last_seen, time);
    if (wants_first(plan)) {
        figures->first_seen = MIN(figures->first_seen, time);
    }
    return ERR_OK;
}

static enum err walk_log_range(const struct plan *plan, struct groups *groups, struct store *store,
                               const struct plan_log *range) {
    struct store_scan_options options = {.filter = store_filter_all};
    options.filter.time_from = range->from;
    options.filter.time_to = range->to;
    options.filter.dim_mask = 1u << DIM_ACCOUNT;
    options.filter.dim_value[DIM_ACCOUNT] = plan->query->account;
    for (u32 dim = 0; dim < STORE_DIMS; dim++) {
        if ((plan->query->filter_mask >> dim & 1) != 0 && plan->filter[dim] != DIM_NONE) {
            options.filter.dim_mask |= 1u << dim;
            options.filter.dim_value[dim] = plan->filter[dim];
        }
    }
    options.columns = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE) |
                      NUM_BIT(NUM_USAGE) | NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT) |
                      NUM_BIT(NUM_CACHED) | NUM_BIT(NUM_CACHE_WRITE) | NUM_BIT(NUM_DURATION);
    struct store_scan *scan;
    enum err err = store_scan_open(store, &options, &scan);
    if (err != ERR_OK) {
        return err;
    }
    for (;;) {
        const struct event_batch *batch;
        const struct series_def *defs;
        u32 def_count;
        struct store_damage damage;
        err = store_scan_next(scan, &batch, &defs, &def_count, &damage);
        if (err != ERR_OK || batch->count == 0) {
            break;
        }
        for (u32 i = 0; i < batch->count && err == ERR_OK; i++) {
            err = add_log_event(plan, groups, batch, i);
        }
        if (err != ERR_OK) {
            break;
        }
    }
    store_scan_close(scan);
    return err;
}

enum err walk_log(const struct plan *plan, struct groups *groups, struct store *store) {
    enum err err = ERR_OK;
    for (u32 i = 0; i < plan->log_count && err == ERR_OK; i++) {
        err = walk_log_range(plan, groups, store, &plan->logs[i]);
    }
    return err;
}
