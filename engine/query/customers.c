/*
 * customers.c: figures of the few customers of a page. Where the window is a sum of bands, as that
 * of a dashboard is, each is one look at its cells; otherwise each is a query of its own.
 */
#include "query/plan.h"

/* False: the window is no sum of bands. */
static bool read_cells(struct agg *agg, const struct query *query, const u32 *values, u32 count,
                       struct figures *figures) {
    struct plan plan;
    struct query by_customer = *query;
    by_customer.group[by_customer.group_count++] = DIM_CUSTOMER;
    agg_read_lock(agg);
    plan_make(&plan, agg, &by_customer);
    bool good = plan.source == PLAN_NOTHING || plan_is_cells(&plan);
    for (u32 i = 0; i < count && good; i++) {
        u32 entity = plan.source == PLAN_NOTHING || values[i] == DIM_NONE
                         ? 0
                         : value_at(agg, DIM_CUSTOMER, values[i])->entity;
        struct query_row row;
        figures_clear(&figures[i]);
        if (entity != 0 && walk_entity_row(&plan, entity, &row)) {
            figures[i] = row.figures;
        }
    }
    agg_read_unlock(agg);
    return good;
}

enum err query_customers(struct agg *agg, struct store *store, const struct query *query,
                         const u32 *values, u32 count, bool at_once, struct figures *figures) {
    check(query->group_count == 0 && query->filter_mask == 0);
    if (read_cells(agg, query, values, count, figures)) {
        return ERR_OK;
    }
    enum err err = at_once ? ERR_BUSY : ERR_OK;
    for (u32 i = 0; i < count && err == ERR_OK; i++) {
        struct query one = *query;
        struct query_result result;
        const char *why;
        figures_clear(&figures[i]);
        if (values[i] == DIM_NONE) {
            continue;
        }
        one.filter_mask = 1u << DIM_CUSTOMER;
        one.filter[DIM_CUSTOMER] = agg_value_text(agg, DIM_CUSTOMER, values[i]);
        err = query_run(agg, store, &one, &result, &why);
        if (err == ERR_OK) {
            figures[i] = result.total;
            query_result_free(&result);
        }
    }
    return err;
}
