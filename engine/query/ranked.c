/*
 * ranked.c: the best customers by way of a ranking: they and their order come from it, their
 * figures from the cells, the totals from the few cells of cost types.
 */
#include "agg/ranking.h"
#include "query/plan.h"

#include <stdlib.h>

#define KEEP_MAX 1024 /* deeper pages look at every customer */

static bool measure_for(enum query_order order, u32 *measure) {
    static const u32 measures[QUERY_ORDERS] = {
        [ORDER_EVENTS] = MEASURE_EVENTS,   [ORDER_COST] = MEASURE_COST,
        [ORDER_REVENUE] = MEASURE_REVENUE, [ORDER_MARGIN] = MEASURE_MARGIN,
        [ORDER_USAGE] = MEASURE_USAGE,     [ORDER_LAST_SEEN] = MEASURE_LAST_SEEN,
    };
    *measure = measures[order];
    return order != ORDER_KEY;
}

bool ranked_fits(const struct plan *plan, const struct groups *groups) {
    u32 measure;
    return plan->kind == KIND_CUSTOMER && groups->streaming && plan->query->group_count == 1 &&
           plan->query->filter_mask == 0 && measure_for(plan->query->order, &measure) &&
           groups->keep <= KEEP_MAX &&
           account_at(plan->agg, plan->query->account)->entities[KIND_CUSTOMER].count >=
               plan->agg->ranked_min;
}

/* Sums over all customers: what all cost types have, less what belongs to no customer. False: the
 * first or last event may be one without customer, which sums cannot take away. */
static bool total_of(const struct plan *plan, struct figures *total) {
    const struct account *account = account_at(plan->agg, plan->query->account);
    const struct list *list = &account->entities[KIND_COST_TYPE];
    struct query_row row;
    figures_clear(total);
    for (u32 i = 0; i < list->count; i++) {
        if (walk_entity_row(plan, list_at(list, i), &row)) {
            figures_add(total, &row.figures);
        }
    }
    u32 none = account->none[KIND_CUSTOMER];
    if (!plan->query->present_only || none == 0 || !walk_entity_row(plan, none, &row)) {
        return true;
    }
    const struct figures *less = &row.figures;
    total->events -= less->events;
    total->cost -= less->cost;
    total->revenue -= less->revenue;
    total->usage -= less->usage;
    total->input -= less->input;
    total->output -= less->output;
    total->cached -= less->cached;
    total->cache_write -= less->cache_write;
    total->duration_ms -= less->duration_ms;
    total->duration_count -= less->duration_count;
    total->unpriced -= less->unpriced;
    return less->last_seen < total->last_seen &&
           (!plan->whole_from || less->first_seen > total->first_seen);
}

/* --- the best --------------------------------------------------------------------------------- */

struct best {
    i128 key;
    u32 entity;
    u32 value;
};

static int compare_best(const void *left, const void *right, void *agg) {
    const struct best *a = left;
    const struct best *b = right;
    if (a->key != b->key) {
        return a->key > b->key ? -1 : 1;
    }
    return compare_slices(agg_value_text(agg, DIM_CUSTOMER, a->value),
                          agg_value_text(agg, DIM_CUSTOMER, b->value));
}

/* Asks for what looking at a customer needs, all of them at once: each is far away. */
static void fetch_cells(const struct plan *plan, const struct entity *entity) {
    for (u32 class = 0; class < CLASSES; class ++) {
        if (entity->cell[class] != 0 && (plan->class_mask >> class & 1) != 0) {
            __builtin_prefetch(cell_at(plan->agg, entity->cell[class]));
            __builtin_prefetch(rest_at(plan->agg, entity->cell[class]));
        }
    }
}

static void fetch_bands(const struct plan *plan, const struct entity *entity) {
    for (u32 class = 0; class < CLASSES; class ++) {
        if (entity->cell[class] != 0 && (plan->class_mask >> class & 1) != 0) {
            const u32 *band = rest_at(plan->agg, entity->cell[class])->band;
            for (u32 mask = plan->band_mask >> 1; mask != 0; mask &= mask - 1) {
                __builtin_prefetch(band_at(plan->agg, band[__builtin_ctz(mask)]));
            }
        }
    }
}

/* In their order; reads their entities. */
static void order_best(const struct plan *plan, const struct ranked *ranked, struct best *best,
                       u32 count) {
    struct agg *agg = plan->agg;
    const struct list *list = &account_at(agg, plan->query->account)->entities[KIND_CUSTOMER];
    for (u32 i = 0; i < count; i++) {
        best[i] = (struct best){ranked[i].key, list_at(list, ranked[i].place), 0};
        __builtin_prefetch(entity_at(agg, best[i].entity));
    }
    for (u32 i = 0; i < count; i++) {
        const struct entity *entity = entity_at(agg, best[i].entity);
        best[i].value = entity->key[0];
        if (best[i].value != DIM_NONE) {
            __builtin_prefetch(value_at(agg, DIM_CUSTOMER, best[i].value));
        }
        fetch_cells(plan, entity);
    }
    qsort_r(best, count, sizeof *best, compare_best, agg);
}

/* Their rows, once all that they need was asked for. */
static enum err write_rows(const struct plan *plan, const struct best *best, struct groups *groups,
                           u32 count) {
    struct query_row *rows;
    enum err err = groups_take_rows(groups, count, &rows);
    for (u32 i = 0; i < count && err == ERR_OK; i++) {
        fetch_bands(plan, entity_at(plan->agg, best[i].entity));
    }
    for (u32 i = 0; i < count && err == ERR_OK; i++) {
        check(walk_entity_row(plan, best[i].entity, &rows[i]));
    }
    return err;
}

static enum err offer_best(const struct plan *plan, struct ranking *ranking,
                           struct groups *groups) {
    struct figures total;
    if (!total_of(plan, &total) || !ranking_best(ranking, groups->keep)) {
        return ERR_NOT_FOUND;
    }
    u32 count = ranking->best_count;
    struct best *best = malloc((count + 1) * sizeof *best);
    if (best == NULL) {
        return ERR_NO_MEMORY;
    }
    order_best(plan, ranking->best, best, count);
    enum err err = write_rows(plan, best, groups, MIN(count, groups->keep));
    free(best);
    groups->total = total;
    groups->total_count = ranking->present;
    return err;
}

static struct ranking_key key_of(const struct plan *plan) {
    const struct query *query = plan->query;
    struct ranking_key key = {.account = query->account,
                              .class_mask = plan->class_mask,
                              .band_mask = plan->band_mask,
                              .ascending = query->ascending,
                              .present_only = query->present_only};
    measure_for(query->order, &key.measure);
    return key;
}

bool ranked_is_ready(const struct plan *plan, const struct groups *groups) {
    struct ranking_key key = key_of(plan);
    return ranked_fits(plan, groups) && ranking_is_ready(plan->agg, &key);
}

enum err ranked_run(const struct plan *plan, struct groups *groups) {
    struct ranking_key key = key_of(plan);
    struct ranking *ranking;
    agg_read_unlock(plan->agg);
    enum err err = ranking_take(plan->agg, &key, &ranking);
    if (err == ERR_OK) {
        err = plan_holds(plan) ? offer_best(plan, ranking, groups) : ERR_BUSY;
        ranking_give(plan->agg);
    } else if (err == ERR_NO_MEMORY) {
        err = ERR_NOT_FOUND;
    }
    agg_read_lock(plan->agg);
    return err;
}
