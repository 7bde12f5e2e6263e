/* models.c: models with their figures and today's prices, customers by month, events by source. */
#include "api/auth.h"
#include "api/error.h"
#include "api/figures.h"
#include "api/params.h"
#include "api/reading.h"
#include "api/routes.h"
#include "api/slow.h"
#include "query/activity.h"

#include <stdlib.h>

static void put_price(struct json_writer *json, const char *key, i64 price) {
    json_key(json, key);
    if (price >= 0) {
        json_decimal(json, price, 12);
    } else {
        json_null(json);
    }
}

static void write_model(struct json_writer *json, const struct context *context, u32 account,
                        const struct query_row *row, const u32 *counts) {
    const struct agg *agg = context->agg;
    const struct figures *figures = &row->figures;
    struct price_quote quote = {.input = -1, .output = -1};
    struct slice provider = agg_value_text(agg, DIM_PROVIDER, row->value[1]);
    if (!prices_quote(context->prices, account, provider,
                      agg_value_text(agg, DIM_MODEL, row->value[0]), &quote)) {
        quote = (struct price_quote){.input = -1, .output = -1};
    }
    json_object_begin(json);
    reading_write_value(json, agg, "model", DIM_MODEL, row->value[0]);
    reading_write_value(json, agg, "model_provider", DIM_PROVIDER, row->value[1]);
    figures_write_sums(json, figures);
    reading_put_u64(json, "customer_count", counts[0]);
    reading_put_u64(json, "feature_count", counts[1]);
    figures_write_usage(json, figures);
    reading_put_u64(json, "total_input_tokens", figures->input);
    reading_put_u64(json, "total_output_tokens", figures->output);
    reading_write_average(json, "avg_cost_per_event", figures->cost, figures->events);
    figures_write_margin(json, figures);
    figures_write_last_seen(json, figures);
    put_price(json, "input_cost_per_million", quote.input);
    put_price(json, "output_cost_per_million", quote.output);
    json_object_end(json);
}

static void write_models(struct http_call *call, const struct query *query,
                         const struct query_result *result) {
    struct context *context = call->context;
    u32 *customers = calloc(2 * (usize)result->row_count + 1, sizeof *customers);
    if (customers == NULL) {
        error_of(call, ERR_NO_MEMORY);
        return;
    }
    u32 *features = customers + result->row_count;
    enum err err =
        query_distinct(context->agg, context->store, query, result, DIM_CUSTOMER, customers);
    if (err == ERR_OK) {
        err = query_distinct(context->agg, context->store, query, result, DIM_FEATURE, features);
    }
    if (err != ERR_OK) {
        error_of(call, err);
        free(customers);
        return;
    }
    struct json_writer json = json_writer(&call->reply);
    json_array_begin(&json);
    for (u32 i = 0; i < result->row_count; i++) {
        const u32 counts[] = {customers[i], features[i]};
        write_model(&json, context, query->account, &result->rows[i], counts);
    }
    json_array_end(&json);
    free(customers);
}

static void list_models(struct http_call *call, u32 account) {
    struct query query;
    struct query_result result;
    if (!reading_query(call, account, WINDOW_ALL, &query)) {
        return;
    }
    query.group[0] = DIM_MODEL;
    query.group[1] = DIM_PROVIDER;
    query.group_count = 2;
    query.present_only = true;
    if (reading_run(call, &query, &result)) {
        write_models(call, &query, &result);
        query_result_free(&result);
    }
}

enum call_outcome models_handle_list(struct http_call *call) {
    return reading_aside(call, list_models);
}

static void customer_months(struct http_call *call, u32 account) {
    struct query query;
    struct query_result result;
    if (!reading_query(call, account, WINDOW_ALL, &query)) {
        return;
    }
    query.filter_mask = 1u << DIM_CUSTOMER;
    query.filter[DIM_CUSTOMER] = call->capture[0];
    query.bucket = BUCKET_MONTH;
    if (reading_run_past(call, &query, &result)) {
        struct json_writer json = json_writer(&call->reply);
        json_object_begin(&json);
        json_key(&json, "timeseries");
        reading_write_months(&json, &result);
        json_object_end(&json);
        query_result_free(&result);
    }
}

enum call_outcome models_handle_customer_months(struct http_call *call) {
    return reading_aside(call, customer_months);
}

static void source_breakdown(struct http_call *call, u32 account) {
    const struct agg *agg = ((struct context *)call->context)->agg;
    struct query query;
    struct query_result result;
    if (!reading_query(call, account, WINDOW_ALL, &query)) {
        return;
    }
    query.live = false; /* imported invoices are a source, too */
    query.group[query.group_count++] = DIM_SOURCE;
    if (!reading_run_past(call, &query, &result)) {
        return;
    }
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "sources");
    json_array_begin(&json);
    for (u32 i = 0; i < result.row_count; i++) {
        json_object_begin(&json);
        reading_write_value(&json, agg, "source", DIM_SOURCE, result.rows[i].value[0]);
        figures_write_sums(&json, &result.rows[i].figures);
        json_object_end(&json);
    }
    json_array_end(&json);
    reading_put_u64(&json, "total_events", result.total.events);
    json_object_end(&json);
    query_result_free(&result);
}

enum call_outcome models_handle_sources(struct http_call *call) {
    return reading_aside(call, source_breakdown);
}
