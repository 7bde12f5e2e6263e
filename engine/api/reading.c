/* reading.c: see reading.h. */
#include "api/reading.h"

#include "api/auth.h"
#include "api/error.h"
#include "api/event_list.h"
#include "api/figures.h"
#include "api/params.h"
#include "api/past.h"
#include "api/routes.h"
#include "customer/directory.h"
#include "json/time.h"

#include <string.h>

#define RECENT_EVENTS 50

bool reading_query(struct http_call *call, u32 account, u32 days, struct query *query) {
    struct window window;
    struct page page = {QUERY_ROWS_MAX, 0};
    const char *why = params_window(call, days, &window);
    if (why == NULL && routes_has_pages(route_of(call))) {
        why = params_page(call, QUERY_ROWS_MAX, QUERY_ROWS_MAX, &page);
    }
    if (why != NULL) {
        error_invalid(call, why);
        return false;
    }
    *query = (struct query){.account = account,
                            .live = true,
                            .without_first = true,
                            .from = window.from,
                            .to = window.to,
                            .order = ORDER_COST,
                            .offset = (u32)MIN(page.offset, (u64)UINT32_MAX / 2),
                            .limit = page.limit};
    return true;
}

bool reading_has_dates(const struct http_call *call) {
    struct slice text;
    return (http_call_param(call, "date_from", &text) && text.bytes > 0) ||
           (http_call_param(call, "date_to", &text) && text.bytes > 0);
}

/* False: the reply says why not. */
static bool is_good(struct http_call *call, enum err err, const char *why) {
    if (err == ERR_INVALID) {
        error_invalid(call, why);
    } else if (err != ERR_OK) {
        error_of(call, err);
    }
    return err == ERR_OK;
}

bool reading_run(struct http_call *call, const struct query *query, struct query_result *result) {
    struct context *context = call->context;
    const char *why = NULL;
    enum err err = query_run(context->agg, context->store, query, result, &why);
    return is_good(call, err, why);
}

bool reading_run_past(struct http_call *call, const struct query *query,
                      struct query_result *result) {
    struct context *context = call->context;
    const char *why = NULL;
    enum err err = past_run(context->pasts, context->agg, context->store, query, result, &why);
    return is_good(call, err, why);
}

struct revenue_window reading_window(const struct http_call *call, const struct query *query) {
    const struct window window = {query->from, query->to};
    return (struct revenue_window){query->account, query->from, query->to,
                                   params_window_ms(call, &window)};
}

enum call_outcome reading_aside(struct http_call *call, slow_work work) {
    struct identity identity;
    return auth_require(call, &identity) ? slow_reply(call, identity.account, work) : CALL_DONE;
}

int reading_compare(struct slice a, struct slice b) {
    usize bytes = MIN(a.bytes, b.bytes);
    int order = bytes == 0 ? 0 : memcmp(a.data, b.data, bytes);
    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

i128 reading_round(i128 numerator, i128 denominator) {
    i128 twice = 2 * numerator + denominator;
    i128 quotient = twice / (2 * denominator);
    return twice % (2 * denominator) < 0 ? quotient - 1 : quotient;
}

void reading_put_u64(struct json_writer *json, const char *key, u64 value) {
    json_key(json, key);
    json_u64(json, value);
}

void reading_put_money(struct json_writer *json, const char *key, i128 value) {
    json_key(json, key);
    json_decimal(json, value, 12);
}

void reading_put_margin(struct json_writer *json, const char *key, i128 cost, i128 revenue) {
    i128 percent;
    json_key(json, key);
    if (margin_percent(cost, revenue, &percent)) {
        json_decimal(json, percent, 0);
    } else {
        json_null(json);
    }
}

bool reading_is_unprofitable(i128 cost, i128 revenue) {
    /* R0((revenue - cost) / revenue * 100) is below 0 if the percent are below -1/2. */
    return revenue > 0 ? 200 * (cost - revenue) > revenue : cost > 0;
}

void reading_put_change(struct json_writer *json, const char *key, i128 now, i128 before) {
    json_key(json, key);
    if (before == 0) {
        json_null(json);
    } else {
        json_decimal(json, reading_round((now - before) * 1000, before < 0 ? -before : before), 1);
    }
}

void reading_write_average(struct json_writer *json, const char *key, i128 sum, u64 count) {
    json_key(json, key);
    if (count == 0) {
        json_null(json);
    } else {
        json_decimal(json, reading_round(sum, count), 12);
    }
}

void reading_write_value(struct json_writer *json, const struct agg *agg, const char *key, u32 dim,
                         u32 value) {
    json_key(json, key);
    if (value == DIM_NONE) {
        json_null(json);
    } else {
        json_string(json, query_value_text(agg, dim, value));
    }
}

void reading_write_month(struct json_writer *json, const char *key, i64 time) {
    char text[TIME_TEXT_BYTES];
    time_format(time, text);
    json_key(json, key);
    json_string(json, (struct slice){text, sizeof "YYYY-MM" - 1});
}

void reading_write_day(struct json_writer *json, const char *key, i64 time) {
    char text[TIME_TEXT_BYTES];
    time_format(time, text);
    json_key(json, key);
    json_string(json, (struct slice){text, sizeof "YYYY-MM-DD" - 1});
}

void reading_write_months(struct json_writer *json, const struct query_result *result) {
    json_array_begin(json);
    for (u32 i = 0; i < result->row_count; i++) {
        const struct query_row *row = &result->rows[i];
        json_object_begin(json);
        reading_write_month(json, "month", row->bucket_start);
        figures_write_sums(json, &row->figures);
        figures_write_usage(json, &row->figures);
        json_object_end(json);
    }
    json_array_end(json);
}

void reading_write_name(struct json_writer *json, const struct agg *agg, const struct book *book,
                        u32 value) {
    json_key(json, "customer_name");
    if (value == DIM_NONE) {
        json_null(json);
    } else {
        json_string(json, book_name(book, agg_value_text(agg, DIM_CUSTOMER, value)));
    }
}

/* --- parts of an answer ----------------------------------------------------------------------- */

struct event_object reading_object(struct context *context, u32 account, bool bodies) {
    return (struct event_object){context->agg, context->prices,
                                 directory_acquire(context->directory, account), bodies};
}

void reading_object_end(struct context *context, const struct event_object *object) {
    directory_release(context->directory, object->book);
}

bool reading_write_recent(struct http_call *call, const struct query *query, enum store_dim dim,
                          struct json_writer *json) {
    struct context *context = call->context;
    struct event_list list = {.filter = store_filter_all,
                              .count = *query,
                              .left_out = DIM_NONE,
                              .sort = event_list_sort((struct slice){NULL, 0}),
                              .limit = RECENT_EVENTS};
    u32 value = agg_value_find(context->agg, query->account, dim, query->filter[dim]);
    list.filter.dim_mask = 1u << DIM_ACCOUNT | 1u << dim;
    list.filter.dim_value[DIM_ACCOUNT] = query->account;
    list.filter.dim_value[dim] = value;
    list.filter.time_from = query->from;
    list.filter.time_to = query->to;
    list.count.live = false;
    u64 ids[RECENT_EVENTS];
    u32 count = 0;
    u64 total;
    enum err err = event_list_page(context->agg, context->store, &list, ids, &count, &total);
    json_key(json, "recent_events");
    json_array_begin(json);
    if (err == ERR_OK) {
        struct event_object object = reading_object(context, query->account, false);
        err = event_list_write(context->store, &object, &list.filter, ids, count, json);
        reading_object_end(context, &object);
    }
    json_array_end(json);
    if (err != ERR_OK) {
        error_of(call, err);
    }
    return err == ERR_OK;
}

bool reading_write_models(struct http_call *call, struct query query, struct json_writer *json) {
    const struct agg *agg = ((struct context *)call->context)->agg;
    struct query_result result;
    query.group[0] = DIM_MODEL;
    query.group[1] = DIM_PROVIDER;
    query.group_count = 2;
    query.present_only = true;
    if (!reading_run(call, &query, &result)) {
        return false;
    }
    json_key(json, "by_model");
    json_array_begin(json);
    for (u32 i = 0; i < result.row_count; i++) {
        const struct query_row *row = &result.rows[i];
        json_object_begin(json);
        reading_write_value(json, agg, "model", DIM_MODEL, row->value[0]);
        reading_write_value(json, agg, "model_provider", DIM_PROVIDER, row->value[1]);
        figures_write_sums(json, &row->figures);
        figures_write_usage(json, &row->figures);
        figures_write_margin(json, &row->figures);
        figures_write_last_seen(json, &row->figures);
        json_object_end(json);
    }
    json_array_end(json);
    query_result_free(&result);
    return true;
}

bool reading_write_features(struct http_call *call, struct query query, struct json_writer *json) {
    const struct agg *agg = ((struct context *)call->context)->agg;
    struct query_result result;
    query.group[0] = DIM_FEATURE;
    query.group_count = 1;
    if (!reading_run(call, &query, &result)) {
        return false;
    }
    json_key(json, "by_feature");
    json_array_begin(json);
    for (u32 i = 0; i < result.row_count; i++) {
        const struct query_row *row = &result.rows[i];
        json_object_begin(json);
        reading_write_value(json, agg, "feature_key", DIM_FEATURE, row->value[0]);
        figures_write_sums(json, &row->figures);
        figures_write_usage(json, &row->figures);
        figures_write_margin(json, &row->figures);
        figures_write_last_seen(json, &row->figures);
        json_object_end(json);
    }
    json_array_end(json);
    query_result_free(&result);
    return true;
}

void reading_days(const struct http_call *call, const struct query *query, i64 first_seen,
                  i64 last_seen, i64 *first, i64 *last) {
    bool open = query->to == INT64_MAX;
    i64 from = query->from == INT64_MIN ? first_seen : query->from;
    i64 to = open ? MAX(call->now_ms, last_seen) : query->to - 1;
    *first = from == INT64_MAX ? 1 : MAX(from, EVENT_TIME_MIN) / TIME_MS_PER_DAY;
    *last = from == INT64_MAX ? 0 : MIN(to, call->now_ms + EVENT_TIME_AHEAD_MS) / TIME_MS_PER_DAY;
}

void reading_write_days(struct json_writer *json, const struct http_call *call,
                        const struct query *query, const struct query_result *result) {
    static const struct figures none;
    i64 first;
    i64 last;
    u32 at = 0;
    u32 count = result->row_count;
    reading_days(call, query, count > 0 ? result->rows[0].bucket_start : INT64_MAX,
                 count > 0 ? result->rows[count - 1].bucket_start : INT64_MIN, &first, &last);
    json_array_begin(json);
    for (i64 day = first; day <= last; day++) {
        i64 start = day * TIME_MS_PER_DAY;
        bool there = at < result->row_count && result->rows[at].bucket_start == start;
        const struct figures *figures = there ? &result->rows[at++].figures : &none;
        json_object_begin(json);
        reading_write_day(json, "day", start);
        reading_put_money(json, "cost", figures->cost);
        reading_put_money(json, "revenue", figures->revenue);
        reading_put_u64(json, "event_count", figures->events);
        json_object_end(json);
    }
    json_array_end(json);
}
