/*
 * overview.c: the account in one answer: totals, the window before, who and what costs most, days.
 * Revenue is that of customers, subscriptions included (query/revenue.h), and of events without a
 * customer.
 */
#include "api/error.h"
#include "api/figures.h"
#include "api/past.h"
#include "api/reading.h"
#include "api/routes.h"
#include "json/time.h"

#include <stdlib.h>

#define WINDOW_DAYS 30
#define WINDOW_DAYS_MAX 365
#define TOP 5

struct totals {
    i128 cost;
    i128 revenue;
    u64 events;
};

struct overview {
    struct http_call *call;
    struct context *context;
    struct query query;
    struct revenue_window window;
    struct revenue revenue;
    struct totals now;
    struct totals before;
    struct figures figures; /* of all events */
    u32 customers;          /* with events */
    u32 unprofitable;
    u32 top_place[TOP];
    u32 top_count;
    struct query_result features;
    struct query_result models;
    struct query_result days;
};

/* --- reading -----------------------------------------------------------------------------------
 */

static enum err run(const struct overview *overview, const struct query *query,
                    struct query_result *result) {
    const char *why;
    return query_run(overview->context->agg, overview->context->store, query, result, &why);
}

/* The five customers that cost most, as far as they have an id. */
static void offer_top(struct overview *overview, u32 place) {
    const struct revenue *revenue = &overview->revenue;
    u32 at = overview->top_count;
    while (at > 0) {
        u32 other = overview->top_place[at - 1];
        i128 more = revenue_cost(revenue, place) - revenue_cost(revenue, other);
        const struct agg *agg = overview->context->agg;
        if (more < 0 || (more == 0 && reading_compare(revenue_customer(agg, revenue, place),
                                                      revenue_customer(agg, revenue, other)) > 0)) {
            break;
        }
        at--;
    }
    if (at == TOP) {
        return;
    }
    overview->top_count = MIN(overview->top_count + 1, (u32)TOP);
    for (u32 i = overview->top_count - 1; i > at; i--) {
        overview->top_place[i] = overview->top_place[i - 1];
    }
    overview->top_place[at] = place;
}

static void add_customers(struct overview *overview) {
    const struct revenue *revenue = &overview->revenue;
    for (u32 place = 0; place < revenue->count; place++) {
        i128 total = revenue_total(revenue, place);
        overview->now.revenue += total;
        if (revenue_is_none(revenue, place)) {
            continue;
        }
        overview->unprofitable += reading_is_unprofitable(revenue_cost(revenue, place), total);
        if (revenue_has_events(revenue, place)) {
            overview->customers++;
            offer_top(overview, place);
        }
    }
}

static enum err read_customers(struct overview *overview) {
    struct context *context = overview->context;
    enum err err = revenue_read(context->revenues, context->agg, context->store, &overview->window,
                                REVENUE_MONEY, &overview->revenue);
    if (err == ERR_OK) {
        add_customers(overview);
    }
    return err;
}

static enum err read_before(struct overview *overview) {
    struct context *context = overview->context;
    struct revenue_window window = overview->window;
    struct query query = overview->query;
    struct query_result result;
    struct revenue revenue;
    query.from = window.from = overview->window.from - overview->window.length_ms;
    query.to = window.to = overview->window.from;
    query.without_last = true;
    query.unordered = true;
    query.group[0] = DIM_MODEL;
    query.group[1] = DIM_PROVIDER;
    query.group_count = 2;
    enum err err = run(overview, &query, &result);
    if (err != ERR_OK) {
        return err;
    }
    overview->before.cost = result.total.cost;
    overview->before.events = result.total.events;
    query_result_free(&result);
    err = revenue_read(context->revenues, context->agg, context->store, &window, REVENUE_MONEY,
                       &revenue);
    if (err == ERR_OK) {
        for (u32 place = 0; place < revenue.count; place++) {
            overview->before.revenue += revenue_total(&revenue, place);
        }
        revenue_free(context->revenues, &revenue);
    }
    return err;
}

/* All events are events of a model or of none. */
static enum err read_groups(struct overview *overview) {
    struct query query = overview->query;
    query.limit = TOP;
    query.present_only = true;
    query.group[0] = DIM_FEATURE;
    query.group_count = 1;
    enum err err = run(overview, &query, &overview->features);
    if (err == ERR_OK) {
        query.group[0] = DIM_MODEL;
        query.group[1] = DIM_PROVIDER;
        query.group_count = 2;
        err = run(overview, &query, &overview->models);
    }
    if (err == ERR_OK) {
        struct query_result all;
        query.present_only = false;
        err = run(overview, &query, &all);
        if (err == ERR_OK) {
            overview->figures = all.total;
            overview->now.cost = all.total.cost;
            overview->now.events = all.total.events;
            query_result_free(&all);
        }
    }
    if (err == ERR_OK) {
        query = overview->query;
        query.bucket = BUCKET_DAY;
        query.order = ORDER_KEY;
        query.limit = QUERY_ROWS_MAX;
        const struct context *context = overview->context;
        const char *why;
        err = past_run(context->pasts, context->agg, context->store, &query, &overview->days, &why);
    }
    return err;
}

/* --- writing -----------------------------------------------------------------------------------
 */

static i64 end_of(const struct overview *overview) {
    i64 to = overview->query.to;
    return to == INT64_MAX ? MAX(overview->call->now_ms, overview->query.from) : to;
}

static void write_period(const struct overview *overview, struct json_writer *json) {
    i64 days = (overview->window.length_ms + TIME_MS_PER_DAY - 1) / TIME_MS_PER_DAY;
    bool open = overview->query.to == INT64_MAX;
    json_key(json, "period");
    json_object_begin(json);
    reading_put_u64(json, "days", (u64)days);
    json_key(json, "from");
    json_time(json, overview->query.from);
    json_key(json, "to");
    json_time(json, end_of(overview) - !open); /* the last instant, as date_to */
    json_object_end(json);
}

static void put_points(struct json_writer *json, const struct totals *now,
                       const struct totals *before) {
    i128 percent;
    i128 was;
    json_key(json, "margin_pp");
    if (margin_percent(now->cost, now->revenue, &percent) &&
        margin_percent(before->cost, before->revenue, &was)) {
        json_decimal(json, percent - was, 0);
    } else {
        json_null(json);
    }
}

static void write_totals(const struct overview *overview, struct json_writer *json) {
    const struct totals *now = &overview->now;
    const struct totals *before = &overview->before;
    reading_put_money(json, "total_cost", now->cost);
    reading_put_money(json, "total_revenue", now->revenue);
    reading_put_money(json, "gross_profit", now->revenue - now->cost);
    reading_put_margin(json, "margin_pct", now->cost, now->revenue);
    reading_put_u64(json, "event_count", now->events);
    reading_put_u64(json, "active_customers", overview->customers);
    reading_put_u64(json, "active_features", overview->features.row_total);
    reading_put_u64(json, "models_used", overview->models.row_total);
    reading_write_average(json, "avg_cost_per_event", now->cost, now->events);
    reading_put_u64(json, "input_tokens", overview->figures.input);
    reading_put_u64(json, "output_tokens", overview->figures.output);
    reading_put_money(json, "mrr", overview->revenue.book->mrr);
    reading_put_u64(json, "unprofitable_customers", overview->unprofitable);
    json_key(json, "previous");
    json_object_begin(json);
    reading_put_money(json, "total_cost", before->cost);
    reading_put_money(json, "total_revenue", before->revenue);
    reading_put_margin(json, "margin_pct", before->cost, before->revenue);
    reading_put_u64(json, "event_count", before->events);
    json_object_end(json);
    json_key(json, "change");
    json_object_begin(json);
    reading_put_change(json, "cost_pct", now->cost, before->cost);
    reading_put_change(json, "revenue_pct", now->revenue, before->revenue);
    reading_put_change(json, "event_count_pct", now->events, before->events);
    put_points(json, now, before);
    json_object_end(json);
}

static enum err write_top_customers(const struct overview *overview, struct json_writer *json) {
    const struct context *context = overview->context;
    const struct revenue *revenue = &overview->revenue;
    u32 values[TOP];
    struct figures figures[TOP];
    for (u32 i = 0; i < overview->top_count; i++) {
        values[i] = revenue->value[overview->top_place[i]];
    }
    enum err err = query_customers(context->agg, context->store, &overview->query, values,
                                   overview->top_count, false, figures);
    json_key(json, "top_customers");
    json_array_begin(json);
    for (u32 i = 0; err == ERR_OK && i < overview->top_count; i++) {
        u32 place = overview->top_place[i];
        struct slice id = revenue_customer(context->agg, revenue, place);
        i128 total = MAX(figures[i].revenue, revenue->share[place]);
        json_object_begin(json);
        json_key(json, "customer_id");
        json_string(json, id);
        json_key(json, "customer_name");
        json_string(json, book_name(revenue->book, id));
        reading_put_u64(json, "event_count", figures[i].events);
        reading_put_money(json, "total_cost", figures[i].cost);
        reading_put_money(json, "total_revenue", total);
        reading_put_margin(json, "margin_pct", figures[i].cost, total);
        json_object_end(json);
    }
    json_array_end(json);
    return err;
}

static void write_top(const struct overview *overview, struct json_writer *json) {
    const struct agg *agg = overview->context->agg;
    json_key(json, "top_features");
    json_array_begin(json);
    for (u32 i = 0; i < overview->features.row_count; i++) {
        const struct query_row *row = &overview->features.rows[i];
        json_object_begin(json);
        reading_write_value(json, agg, "feature_key", DIM_FEATURE, row->value[0]);
        figures_write_sums(json, &row->figures);
        figures_write_margin(json, &row->figures);
        json_object_end(json);
    }
    json_array_end(json);
    json_key(json, "top_models");
    json_array_begin(json);
    for (u32 i = 0; i < overview->models.row_count; i++) {
        const struct query_row *row = &overview->models.rows[i];
        json_object_begin(json);
        reading_write_value(json, agg, "model", DIM_MODEL, row->value[0]);
        reading_write_value(json, agg, "model_provider", DIM_PROVIDER, row->value[1]);
        figures_write_sums(json, &row->figures);
        figures_write_margin(json, &row->figures);
        json_object_end(json);
    }
    json_array_end(json);
}

static void write_overview(struct overview *overview) {
    struct json_writer json = json_writer(&overview->call->reply);
    json_object_begin(&json);
    write_period(overview, &json);
    write_totals(overview, &json);
    enum err err = write_top_customers(overview, &json);
    write_top(overview, &json);
    json_key(&json, "daily");
    reading_write_days(&json, overview->call, &overview->query, &overview->days);
    json_object_end(&json);
    if (err != ERR_OK) {
        error_of(overview->call, err);
    }
}

/* The window always has a beginning: at most a year before its end, if none was asked for. */
static bool window_read(struct overview *overview, u32 account) {
    struct http_call *call = overview->call;
    struct query *query = &overview->query;
    if (!reading_query(call, account, WINDOW_DAYS, query)) {
        return false;
    }
    i64 longest = (i64)WINDOW_DAYS_MAX * TIME_MS_PER_DAY;
    if (query->to != INT64_MAX && query->from == INT64_MIN) {
        query->from = query->to - longest;
    } else if (!reading_has_dates(call)) {
        query->from = MAX(query->from, query_window_start(call->now_ms, longest));
    }
    query->offset = 0;
    query->limit = QUERY_ROWS_MAX;
    overview->window = reading_window(call, query);
    return true;
}

static void overview_answer(struct http_call *call, u32 account) {
    struct overview overview = {.call = call, .context = call->context};
    if (!window_read(&overview, account)) {
        return;
    }
    enum err err = read_customers(&overview);
    bool held = err == ERR_OK;
    if (err == ERR_OK) {
        err = read_before(&overview);
    }
    if (err == ERR_OK) {
        err = read_groups(&overview);
    }
    if (err == ERR_OK) {
        write_overview(&overview);
    } else {
        error_of(call, err);
    }
    query_result_free(&overview.features);
    query_result_free(&overview.models);
    query_result_free(&overview.days);
    if (held) {
        revenue_free(overview.context->revenues, &overview.revenue);
    }
}

enum call_outcome overview_handle(struct http_call *call) {
    return reading_aside(call, overview_answer);
}
