/*
 * features.c: features with their figures, one feature in detail, and a price for each that would
 * leave 60 % of it. Everything comes from memory but a feature's newest events.
 */
#include "api/auth.h"
#include "api/error.h"
#include "api/figures.h"
#include "api/params.h"
#include "api/reading.h"
#include "api/routes.h"
#include "api/slow.h"
#include "customer/directory.h"
#include "query/activity.h"
#include "query/allocation.h"
#include "json/reader.h"
#include "json/time.h"

#include <stdlib.h>

#define TARGET_MARGIN 60 /* percent; the price is cost / (1 - 0.6) */

#define ALLOCATED_DAYS 30 /* where the call's window has no bounds */

/* What features earn with their parts of subscriptions, and what they cost in the same window. */
struct allocated {
    struct allocation parts;
    struct query_result figures; /* by feature, in no order */
    bool of_recent;              /* not of the window that was asked for, which has no bounds */
};

/* False: the reply says why not. */
static bool allocated_read(struct http_call *call, const struct query *asked,
                           struct allocated *allocated) {
    struct context *context = call->context;
    struct query query = *asked;
    struct revenue_window window = reading_window(call, asked);
    allocated->of_recent = asked->from == INT64_MIN && asked->to == INT64_MAX;
    if (allocated->of_recent) {
        window.length_ms = (i64)ALLOCATED_DAYS * TIME_MS_PER_DAY;
        query.from = window.from = query_window_start(call->now_ms, window.length_ms);
    }
    query.group[0] = DIM_FEATURE;
    query.group_count = 1;
    query.unordered = true;
    query.without_last = true;
    enum err err = allocation_read(context->allocations, context->agg, context->store, &window,
                                   &allocated->parts);
    if (err != ERR_OK) {
        error_of(call, err);
        return false;
    }
    if (!reading_run(call, &query, &allocated->figures)) {
        allocation_free(&allocated->parts);
        return false;
    }
    return true;
}

static void allocated_free(struct allocated *allocated) {
    allocation_free(&allocated->parts);
    query_result_free(&allocated->figures);
}

static void write_allocated(struct json_writer *json, struct agg *agg, u32 account, u32 feature,
                            const struct allocated *allocated) {
    u32 customers;
    i128 revenue = allocation_of(&allocated->parts, agg, account, feature, &customers);
    i128 cost = 0;
    for (u32 i = 0; i < allocated->figures.row_count; i++) {
        const struct query_row *row = &allocated->figures.rows[i];
        if (row->value[0] == feature) {
            cost = row->figures.cost;
            revenue += row->figures.revenue;
            break;
        }
    }
    reading_put_money(json, "allocated_revenue", revenue);
    reading_put_margin(json, "allocated_margin_pct", cost, revenue);
}

static void write_feature(struct json_writer *json, const struct agg *agg,
                          const struct query_row *row, u32 customers) {
    const struct figures *figures = &row->figures;
    reading_write_value(json, agg, "feature_key", DIM_FEATURE, row->value[0]);
    figures_write_sums(json, figures);
    json_key(json, "customer_count");
    json_u64(json, customers);
    figures_write_usage(json, figures);
    reading_write_average(json, "avg_cost_per_event", figures->cost, figures->events);
    reading_write_average(json, "avg_revenue_per_event", figures->revenue, figures->events);
    figures_write_margin(json, figures);
    figures_write_last_seen(json, figures);
}

/* The customers of each row; NULL: the reply says why not. */
static u32 *count_customers(struct http_call *call, const struct query *query,
                            const struct query_result *result, const struct allocated *allocated) {
    struct context *context = call->context;
    u32 *counts = calloc(result->row_count + (usize)1, sizeof *counts);
    enum err err = counts == NULL ? ERR_NO_MEMORY : ERR_OK;
    if (err == ERR_OK && allocated->of_recent) { /* those of all time are kept */
        err = query_distinct(context->agg, context->store, query, result, DIM_CUSTOMER, counts);
    }
    for (u32 i = 0; err == ERR_OK && !allocated->of_recent && i < result->row_count; i++) {
        allocation_of(&allocated->parts, context->agg, query->account, result->rows[i].value[0],
                      &counts[i]);
    }
    if (err != ERR_OK) {
        error_of(call, err);
        free(counts);
        return NULL;
    }
    return counts;
}

static void list_features(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct query query;
    struct query_result result;
    if (!reading_query(call, account, WINDOW_ALL, &query)) {
        return;
    }
    query.group[query.group_count++] = DIM_FEATURE;
    if (!reading_run(call, &query, &result)) {
        return;
    }
    struct allocated allocated;
    if (!allocated_read(call, &query, &allocated)) {
        query_result_free(&result);
        return;
    }
    u32 *counts = count_customers(call, &query, &result, &allocated);
    if (counts != NULL) {
        struct json_writer json = json_writer(&call->reply);
        json_array_begin(&json);
        for (u32 i = 0; i < result.row_count; i++) {
            json_object_begin(&json);
            write_feature(&json, context->agg, &result.rows[i], counts[i]);
            write_allocated(&json, context->agg, account, result.rows[i].value[0], &allocated);
            json_object_end(&json);
        }
        json_array_end(&json);
    }
    allocated_free(&allocated);
    free(counts);
    query_result_free(&result);
}

enum call_outcome features_handle_list(struct http_call *call) {
    return reading_aside(call, list_features);
}

/* --- one feature ------------------------------------------------------------------------------ */

static bool write_customers(struct http_call *call, struct query query, struct json_writer *json) {
    struct context *context = call->context;
    const struct agg *agg = context->agg;
    struct query_result result;
    query.group[0] = DIM_CUSTOMER;
    query.group_count = 1;
    if (!reading_run(call, &query, &result)) {
        return false;
    }
    const struct book *book = directory_acquire(context->directory, query.account);
    json_key(json, "by_customer");
    json_array_begin(json);
    for (u32 i = 0; i < result.row_count; i++) {
        const struct query_row *row = &result.rows[i];
        json_object_begin(json);
        reading_write_value(json, agg, "customer_id", DIM_CUSTOMER, row->value[0]);
        reading_write_name(json, agg, book, row->value[0]);
        figures_write_sums(json, &row->figures);
        figures_write_margin(json, &row->figures);
        figures_write_last_seen(json, &row->figures);
        json_object_end(json);
    }
    json_array_end(json);
    directory_release(context->directory, book);
    query_result_free(&result);
    return true;
}

static bool write_timeseries(struct http_call *call, struct query query, struct json_writer *json) {
    struct query_result result;
    query.group_count = 0;
    query.bucket = BUCKET_MONTH;
    query.offset = 0;
    query.limit = QUERY_ROWS_MAX;
    if (!reading_run_past(call, &query, &result)) {
        return false;
    }
    json_key(json, "timeseries");
    reading_write_months(json, &result);
    query_result_free(&result);
    return true;
}

static void one_feature(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct query query;
    struct query_result result;
    if (!reading_query(call, account, WINDOW_ALL, &query)) {
        return;
    }
    struct query figures = query;
    figures.filter_mask = query.filter_mask = 1u << DIM_FEATURE;
    figures.filter[DIM_FEATURE] = query.filter[DIM_FEATURE] = call->capture[0];
    figures.group[figures.group_count++] = DIM_FEATURE;
    figures.offset = 0;
    if (!reading_run(call, &figures, &result)) {
        return;
    }
    struct allocated allocated;
    struct query whole = query;
    whole.filter_mask = 0;
    if (result.row_count == 0) {
        error_not_found(call, "no event of this feature");
    }
    if (result.row_count == 0 || !allocated_read(call, &whole, &allocated)) {
        query_result_free(&result);
        return;
    }
    u32 *counts = count_customers(call, &figures, &result, &allocated);
    if (counts != NULL) {
        struct json_writer json = json_writer(&call->reply);
        json_object_begin(&json);
        write_feature(&json, context->agg, &result.rows[0], counts[0]);
        write_allocated(&json, context->agg, account, result.rows[0].value[0], &allocated);
        if (reading_write_recent(call, &query, DIM_FEATURE, &json) &&
            write_customers(call, query, &json) && reading_write_models(call, query, &json) &&
            write_timeseries(call, query, &json)) {
            json_object_end(&json);
        }
    }
    allocated_free(&allocated);
    free(counts);
    query_result_free(&result);
}

enum call_outcome features_handle_one(struct http_call *call) {
    return reading_aside(call, one_feature);
}

/* --- prices ----------------------------------------------------------------------------------- */

static void write_suggestion(struct json_writer *json, const struct agg *agg,
                             const struct query_row *row) {
    const i128 cost = row->figures.cost;
    const i128 unit = PICO_PER_USD / 10000; /* four decimals */
    json_object_begin(json);
    reading_write_value(json, agg, "feature_key", DIM_FEATURE, row->value[0]);
    json_key(json, "suggested_price");
    json_decimal(json, reading_round(cost * 5, (i128)row->figures.events * 2 * unit), 4);
    json_key(json, "unit_label");
    json_text(json, "call");
    json_key(json, "rationale");
    json_text(json, "2.5 times the average cost of an event leaves 60 % of the price.");
    reading_write_average(json, "current_cost_per_unit", cost, row->figures.events);
    json_key(json, "target_margin_pct");
    json_u64(json, TARGET_MARGIN);
    json_object_end(json);
}

/* The body is optional: {"feature_key"} asks about one feature only. False: the reply says why not.
 */
static bool read_wish(struct http_call *call, struct slice *feature) {
    struct json_reader reader = json_reader((char *)call->body.data, call->body.bytes);
    struct slice name;
    *feature = (struct slice){NULL, 0};
    if (call->body.bytes == 0) {
        return true;
    }
    if (json_read_object(&reader)) {
        while (json_read_member(&reader, &name)) {
            if (!slice_is(name, "feature_key")) {
                json_read_skip(&reader);
            } else if (!json_read_null(&reader) && json_read_string(&reader, feature) &&
                       feature->bytes == 0) {
                json_read_refuse(&reader, ERR_INVALID, "feature_key is empty");
            }
        }
    }
    if (!json_read_finish(&reader)) {
        error_invalid_at(call, reader.error.text, reader.error.position);
        return false;
    }
    return true;
}

static void suggest(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct query query;
    struct query_result result;
    struct slice feature;
    if (!read_wish(call, &feature) || !reading_query(call, account, WINDOW_ALL, &query)) {
        return;
    }
    if (feature.bytes > 0) {
        query.filter_mask = 1u << DIM_FEATURE;
        query.filter[DIM_FEATURE] = feature;
    }
    query.group[query.group_count++] = DIM_FEATURE;
    query.present_only = true;
    if (!reading_run(call, &query, &result)) {
        return;
    }
    if (result.row_total == 0) {
        error_invalid(call, "there is no feature with events to suggest a price for");
    } else {
        struct json_writer json = json_writer(&call->reply);
        json_object_begin(&json);
        json_key(&json, "suggestions");
        json_array_begin(&json);
        for (u32 i = 0; i < result.row_count; i++) {
            write_suggestion(&json, context->agg, &result.rows[i]);
        }
        json_array_end(&json);
        json_object_end(&json);
    }
    query_result_free(&result);
}

enum call_outcome features_handle_suggest(struct http_call *call) {
    return reading_aside(call, suggest);
}
