/* reading.c: see reading.h. */
#include "api/reading.h"

#include "api/error.h"
#include "api/figures.h"
#include "api/params.h"
#include "json/time.h"

bool reading_query(struct http_call *call, u32 account, u32 days, struct query *query) {
    struct window window;
    const char *why = params_window(call, days, &window);
    if (why != NULL) {
        error_invalid(call, why);
        return false;
    }
    struct page page = params_page(call, QUERY_ROWS_MAX, QUERY_ROWS_MAX);
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

bool reading_run(struct http_call *call, const struct query *query, struct query_result *result) {
    struct context *context = call->context;
    const char *why = NULL;
    enum err err = query_run(context->agg, context->store, query, result, &why);
    if (err == ERR_INVALID) {
        error_invalid(call, why);
    } else if (err != ERR_OK) {
        error_of(call, err);
    }
    return err == ERR_OK;
}

i128 reading_round(i128 numerator, i128 denominator) {
    i128 twice = 2 * numerator + denominator;
    i128 quotient = twice / (2 * denominator);
    return twice % (2 * denominator) < 0 ? quotient - 1 : quotient;
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
