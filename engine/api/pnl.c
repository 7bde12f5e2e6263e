/*
 * pnl.c: customers' profit and loss. The order of all customers comes from columns of cost and
 * revenue (query/revenue.h); figures are looked up for the rows of the page only.
 */
#include "api/error.h"
#include "api/reading.h"
#include "api/routes.h"

#include <stdlib.h>

#define WINDOW_DAYS 30
#define LOOKED_UP_MAX 512 /* rows; a longer list is read with the figures of all customers */

/* --- customers -------------------------------------------------------------------------------- */

struct entry {
    i128 percent; /* BELOW_ALL: there is no margin */
    i128 cost;
    u32 place;
};
#define BELOW_ALL (((i128)1 << 126) * -2)

struct line {
    struct entry entry;
    u32 value; /* DIM_NONE: no event knows the customer */
    struct figures figures;
};

struct pnl {
    struct context *context;
    struct query query;
    struct revenue revenue;
    struct entry *entries;
    struct line *lines;        /* of the page */
    u32 count;                 /* entries, then lines */
    struct query_result pairs; /* (customer, feature); none: each line asks for its own */
    const struct query_row **top;
};

/* Below 0: a comes first. */
static int compare_entries(const void *left, const void *right, void *context) {
    const struct entry *a = left;
    const struct entry *b = right;
    const struct pnl *pnl = context;
    if (a->percent != b->percent) {
        return a->percent < b->percent ? -1 : 1;
    }
    if (a->cost != b->cost) {
        return a->cost > b->cost ? -1 : 1;
    }
    return reading_compare(revenue_customer(pnl->context->agg, &pnl->revenue, a->place),
                           revenue_customer(pnl->context->agg, &pnl->revenue, b->place));
}

static struct entry entry_of(i128 cost, i128 revenue, u32 place) {
    struct entry entry = {.cost = cost, .place = place};
    if (!margin_percent(cost, revenue, &entry.percent)) {
        entry.percent = BELOW_ALL;
    }
    return entry;
}

/* The best so far are a heap whose root is the last of them. */
static void sink(struct pnl *pnl, u32 at, u32 count) {
    struct entry *entries = pnl->entries;
    struct entry entry = entries[at];
    for (;;) {
        u32 child = 2 * at + 1;
        if (child >= count) {
            break;
        }
        if (child + 1 < count && compare_entries(&entries[child + 1], &entries[child], pnl) > 0) {
            child++;
        }
        if (compare_entries(&entries[child], &entry, pnl) <= 0) {
            break;
        }
        entries[at] = entries[child];
        at = child;
    }
    entries[at] = entry;
}

/* Customers with events in the window or recurring revenue: the first `keep` of them in order. */
static enum err choose(struct pnl *pnl, u64 keep) {
    const struct revenue *revenue = &pnl->revenue;
    u32 room = (u32)MIN(keep, (u64)revenue->count);
    pnl->entries = malloc((room + (usize)1) * sizeof *pnl->entries);
    if (pnl->entries == NULL) {
        return ERR_NO_MEMORY;
    }
    for (u32 place = 0; place < revenue->count; place++) {
        if (revenue_is_none(revenue, place) ||
            (!revenue_has_events(revenue, place) && revenue->share[place] == 0)) {
            continue;
        }
        struct entry entry =
            entry_of(revenue_cost(revenue, place), revenue_total(revenue, place), place);
        if (pnl->count < room) {
            pnl->entries[pnl->count++] = entry;
            for (u32 at = room / 2; pnl->count == room && at-- > 0;) {
                sink(pnl, at, room);
            }
        } else if (room > 0 && compare_entries(&entry, &pnl->entries[0], pnl) < 0) {
            pnl->entries[0] = entry;
            sink(pnl, 0, room);
        }
    }
    qsort_r(pnl->entries, pnl->count, sizeof *pnl->entries, compare_entries, pnl);
    return ERR_OK;
}

/* With what the page's customers have now, which is why a few may have to change places. */
static enum err look_up(struct pnl *pnl) {
    const struct context *context = pnl->context;
    struct query query = pnl->query;
    u32 *values = malloc((pnl->count + (usize)1) * sizeof *values);
    struct figures *figures = malloc((pnl->count + (usize)1) * sizeof *figures);
    enum err err = values == NULL || figures == NULL ? ERR_NO_MEMORY : ERR_OK;
    for (u32 i = 0; err == ERR_OK && i < pnl->count; i++) {
        values[i] = pnl->lines[i].value;
    }
    query.limit = 1;
    query.offset = 0;
    if (err == ERR_OK) {
        err = query_customers(context->agg, context->store, &query, values, pnl->count, false,
                              figures);
    }
    for (u32 i = 0; err == ERR_OK && i < pnl->count; i++) {
        struct line *line = &pnl->lines[i];
        u32 place = line->entry.place;
        line->figures = figures[i];
        line->entry =
            entry_of(figures[i].cost, MAX(figures[i].revenue, pnl->revenue.share[place]), place);
    }
    free(values);
    free(figures);
    qsort_r(pnl->lines, pnl->count, sizeof *pnl->lines, compare_entries, pnl);
    return err;
}

/* Makes lines of the page's entries. */
static enum err turn_to_page(struct pnl *pnl) {
    const struct revenue *revenue = &pnl->revenue;
    u32 first = MIN(pnl->query.offset, pnl->count);
    pnl->count = MIN(pnl->count - first, pnl->query.limit);
    pnl->lines = calloc(pnl->count + (usize)1, sizeof *pnl->lines);
    if (pnl->lines == NULL) {
        return ERR_NO_MEMORY;
    }
    for (u32 i = 0; i < pnl->count; i++) {
        struct line *line = &pnl->lines[i];
        line->entry = pnl->entries[first + i];
        u32 place = line->entry.place;
        line->value = place < revenue->known ? revenue->value[place] : DIM_NONE;
        line->figures.cost = revenue_cost(revenue, place);
        line->figures.revenue = revenue_earned(revenue, place);
        line->figures.events = revenue->events != NULL ? revenue->events[place] : 0;
    }
    return revenue->events != NULL ? ERR_OK : look_up(pnl);
}

/* --- the feature that costs most ---------------------------------------------------------------
 */

static bool costs_more(const struct agg *agg, const struct query_row *row,
                       const struct query_row *than) {
    if (than == NULL || row->figures.cost != than->figures.cost) {
        return than == NULL || row->figures.cost > than->figures.cost;
    }
    return reading_compare(agg_value_text(agg, DIM_FEATURE, row->value[1]),
                           agg_value_text(agg, DIM_FEATURE, than->value[1])) < 0;
}

/* Of all customers at once. */
static enum err read_pairs(struct pnl *pnl) {
    const struct context *context = pnl->context;
    struct query query = pnl->query;
    const char *why;
    query.group[0] = DIM_CUSTOMER;
    query.group[1] = DIM_FEATURE;
    query.group_count = 2;
    query.unordered = true;
    query.without_last = true;
    enum err err = query_run(context->agg, context->store, &query, &pnl->pairs, &why);
    if (err != ERR_OK) {
        return err;
    }
    pnl->top = calloc(pnl->revenue.count + (usize)1, sizeof *pnl->top);
    for (u32 i = 0; pnl->top != NULL && i < pnl->pairs.row_count; i++) {
        const struct query_row *row = &pnl->pairs.rows[i];
        if (row->value[0] == DIM_NONE || row->value[1] == DIM_NONE) {
            continue;
        }
        agg_read_lock(context->agg);
        u32 place = revenue_place(context->agg, query.account, row->value[0]);
        agg_read_unlock(context->agg);
        if (place < pnl->revenue.known && costs_more(context->agg, row, pnl->top[place])) {
            pnl->top[place] = row;
        }
    }
    return pnl->top == NULL ? ERR_NO_MEMORY : ERR_OK;
}

/* Sets the feature's id, or DIM_NONE. */
static enum err top_feature(const struct pnl *pnl, const struct line *line, u32 *feature) {
    const struct context *context = pnl->context;
    *feature = DIM_NONE;
    if (line->value == DIM_NONE || line->figures.events == 0) {
        return ERR_OK;
    }
    if (pnl->top != NULL) {
        const struct query_row *row = pnl->top[line->entry.place];
        *feature = row == NULL ? DIM_NONE : row->value[1];
        return ERR_OK;
    }
    struct query query = pnl->query;
    struct query_result result;
    const char *why;
    query.group[0] = DIM_FEATURE;
    query.group_count = 1;
    query.present_only = true;
    query.filter_mask = 1u << DIM_CUSTOMER;
    query.filter[DIM_CUSTOMER] = agg_value_text(context->agg, DIM_CUSTOMER, line->value);
    query.without_last = true;
    query.order = ORDER_COST;
    query.offset = 0;
    query.limit = 1;
    enum err err = query_run(context->agg, context->store, &query, &result, &why);
    if (err == ERR_OK) {
        *feature = result.row_count > 0 ? result.rows[0].value[0] : DIM_NONE;
        query_result_free(&result);
    }
    return err;
}

/* --- the answer --------------------------------------------------------------------------------
 */

static enum err write_customer(const struct pnl *pnl, const struct line *line,
                               struct json_writer *json) {
    const struct agg *agg = pnl->context->agg;
    const struct book *book = pnl->revenue.book;
    const struct figures *figures = &line->figures;
    u32 place = line->entry.place;
    struct slice id = revenue_customer(agg, &pnl->revenue, place);
    i128 revenue = MAX(figures->revenue, pnl->revenue.share[place]);
    u32 feature;
    enum err err = top_feature(pnl, line, &feature);
    if (err != ERR_OK) {
        return err;
    }
    json_object_begin(json);
    json_key(json, "customer_id");
    json_string(json, id);
    json_key(json, "customer_name");
    json_string(json, book_name(book, id));
    reading_put_money(json, "total_revenue", revenue);
    reading_put_money(json, "total_cost", figures->cost);
    reading_put_margin(json, "margin_pct", figures->cost, revenue);
    reading_put_u64(json, "event_count", figures->events);
    json_key(json, "unprofitable");
    json_bool(json, reading_is_unprofitable(figures->cost, revenue));
    reading_write_value(json, agg, "top_cost_feature", DIM_FEATURE, feature);
    reading_put_money(json, "event_revenue", figures->revenue);
    reading_put_money(json, "subscription_mrr", book_mrr(book, id));
    reading_put_money(json, "profit", revenue - figures->cost);
    json_object_end(json);
    return ERR_OK;
}

static void write_customers(struct http_call *call, const struct pnl *pnl) {
    struct json_writer json = json_writer(&call->reply);
    enum err err = ERR_OK;
    json_object_begin(&json);
    json_key(&json, "customers");
    json_array_begin(&json);
    for (u32 i = 0; i < pnl->count && err == ERR_OK; i++) {
        err = write_customer(pnl, &pnl->lines[i], &json);
    }
    json_array_end(&json);
    json_object_end(&json);
    if (err != ERR_OK) {
        error_of(call, err);
    }
}

static void customer_pnl(struct http_call *call, u32 account) {
    struct pnl pnl = {.context = call->context};
    if (!reading_query(call, account, WINDOW_DAYS, &pnl.query)) {
        return;
    }
    struct context *context = pnl.context;
    const struct revenue_window window = reading_window(call, &pnl.query);
    u64 keep = (u64)pnl.query.offset + pnl.query.limit;
    bool is_short = keep <= LOOKED_UP_MAX;
    enum err err = revenue_read(context->revenues, context->agg, context->store, &window,
                                is_short ? REVENUE_MONEY : REVENUE_EVENTS, &pnl.revenue);
    if (err != ERR_OK) {
        error_of(call, err);
        return;
    }
    err = choose(&pnl, keep);
    if (err == ERR_OK) {
        err = turn_to_page(&pnl);
    }
    if (err == ERR_OK && pnl.revenue.events != NULL) {
        err = read_pairs(&pnl);
    }
    if (err == ERR_OK) {
        write_customers(call, &pnl);
    } else {
        error_of(call, err);
    }
    query_result_free(&pnl.pairs);
    free(pnl.top);
    free(pnl.entries);
    free(pnl.lines);
    revenue_free(context->revenues, &pnl.revenue);
}

enum call_outcome pnl_handle_customers(struct http_call *call) {
    return reading_aside(call, customer_pnl);
}
