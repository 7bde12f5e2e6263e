/*
 * ranked.c: the best customers by way of a ranking: the candidates come from it, their figures and
 * the final order from the cells, the totals from the few cells of cost types.
 */
#include "agg/ranking.h"
#include "query/plan.h"

#include <stdlib.h>

#define KEEP_MAX 1024    /* deeper pages look at every customer */
#define PLACES_MAX 16384 /* candidates, with those that tie */

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

static enum err offer_best(const struct plan *plan, const struct ranking *ranking,
                           struct groups *groups) {
    const struct list *list = &account_at(plan->agg, plan->query->account)->entities[KIND_CUSTOMER];
    struct figures total;
    u32 count = PLACES_MAX;
    u32 *places = malloc(PLACES_MAX * sizeof *places);
    if (places == NULL) {
        return ERR_NO_MEMORY;
    }
    enum err err = ERR_OK;
    if (!total_of(plan, &total) || !ranking_best(ranking, groups->keep, places, &count)) {
        err = ERR_NOT_FOUND;
    }
    for (u32 i = 0; err == ERR_OK && i < count; i++) {
        struct query_row row;
        check(walk_entity_row(plan, list_at(list, places[i]), &row));
        err = groups_offer(groups, &row);
    }
    free(places);
    if (err == ERR_OK) {
        groups->total = total;
        groups->total_count = ranking->present;
    }
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
