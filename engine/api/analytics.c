/*
 * analytics.c: the account over time: days, months, cohorts of customers, where revenue is known
 * from, and what tokens in and out cost. All of it comes from tallies and months of activity; only
 * explicit bounds that cut an hour need the log.
 */
#include "agg/months.h"
#include "api/auth.h"
#include "api/error.h"
#include "api/figures.h"
#include "api/params.h"
#include "api/past.h"
#include "api/reading.h"
#include "api/routes.h"
#include "api/slow.h"
#include "base/hash.h"
#include "query/activity.h"
#include "json/time.h"

#include <stdlib.h>
#include <string.h>

#define SUMMARY_DAYS 30
#define SUMMARY_DAYS_MAX 90
#define TOKEN_DAYS_MAX 365
#define TREND_MONTHS 12
#define TREND_MONTHS_MAX 24

/* --- days ------------------------------------------------------------------------------------- */

/* A query by days whose `days` is at most `days_max`. */
static bool daily_query(struct http_call *call, u32 account, u32 days_max, struct query *query) {
    if (!reading_query(call, account, SUMMARY_DAYS, query)) {
        return false;
    }
    if (!reading_has_dates(call) && query->from != INT64_MIN) {
        i64 longest = query_window_start(call->now_ms, (i64)days_max * TIME_MS_PER_DAY);
        query->from = MAX(query->from, longest);
    }
    query->bucket = BUCKET_DAY;
    query->order = ORDER_KEY;
    query->ascending = true;
    query->offset = 0;
    query->limit = QUERY_ROWS_MAX;
    return true;
}

static void daily_summary(struct http_call *call, u32 account) {
    struct query query;
    struct query_result result;
    if (!daily_query(call, account, SUMMARY_DAYS_MAX, &query) ||
        !reading_run_past(call, &query, &result)) {
        return;
    }
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "data");
    reading_write_days(&json, call, &query, &result);
    json_object_end(&json);
    query_result_free(&result);
}

enum call_outcome analytics_handle_daily(struct http_call *call) {
    return reading_aside(call, daily_summary);
}

/* --- months ----------------------------------------------------------------------------------- */

static u32 months_wanted(const struct http_call *call) {
    struct slice text;
    u64 months;
    if (!http_call_param(call, "months", &text) || !params_u64(text, &months) || months == 0) {
        return TREND_MONTHS;
    }
    return (u32)MIN(months, (u64)TREND_MONTHS_MAX);
}

static void write_month(struct json_writer *json, struct agg *agg, u32 account,
                        const struct query_row *row, const struct figures *before) {
    static const struct figures none;
    const struct figures *figures = &row->figures;
    struct active_counts active = query_active(agg, account, months_of(row->bucket_start));
    before = before == NULL ? &none : before;
    json_object_begin(json);
    reading_write_month(json, "month", row->bucket_start);
    reading_put_money(json, "cost", figures->cost);
    reading_put_money(json, "revenue", figures->revenue);
    figures_write_margin(json, figures);
    reading_put_u64(json, "event_count", figures->events);
    reading_put_u64(json, "active_customers", active.customers);
    reading_put_u64(json, "active_features", active.features);
    reading_put_u64(json, "models_used", active.models);
    reading_put_change(json, "cost_change_pct", figures->cost, before->cost);
    reading_put_change(json, "revenue_change_pct", figures->revenue, before->revenue);
    reading_put_change(json, "event_count_change_pct", figures->events, before->events);
    json_object_end(json);
}

static void trends(struct http_call *call, u32 account) {
    struct agg *agg = ((struct context *)call->context)->agg;
    u32 wanted = months_wanted(call);
    u32 now = months_of(call->now_ms);
    struct query query = {.account = account,
                          .live = true,
                          .without_first = true,
                          .from = months_start(now + 1 - wanted),
                          .to = months_start(now + 1),
                          .bucket = BUCKET_MONTH,
                          .order = ORDER_KEY,
                          .limit = TREND_MONTHS_MAX};
    struct query_result result;
    if (!reading_run_past(call, &query, &result)) {
        return;
    }
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "months");
    json_array_begin(&json);
    for (u32 i = 0; i < result.row_count; i++) {
        write_month(&json, agg, account, &result.rows[i],
                    i > 0 ? &result.rows[i - 1].figures : NULL);
    }
    json_array_end(&json);
    reading_put_u64(&json, "period_months", wanted);
    json_object_end(&json);
    query_result_free(&result);
}

enum call_outcome analytics_handle_trends(struct http_call *call) {
    return reading_aside(call, trends);
}

static void retention(struct http_call *call, u32 account) {
    struct cohort cohorts[RETENTION_MONTHS];
    u32 now = months_of(call->now_ms);
    query_retention(((struct context *)call->context)->agg, account, now, cohorts);
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "cohorts");
    json_array_begin(&json);
    for (u32 i = 0; i < RETENTION_MONTHS; i++) {
        const struct cohort *cohort = &cohorts[i];
        u32 age = RETENTION_MONTHS - 1 - i;
        if (cohort->size == 0) {
            continue;
        }
        json_object_begin(&json);
        reading_write_month(&json, "cohort_month", months_start(now - age));
        reading_put_u64(&json, "size", cohort->size);
        json_key(&json, "retention");
        json_array_begin(&json);
        for (u32 month = 0; month <= age; month++) {
            json_decimal(&json, reading_round((i128)cohort->active[month] * 100, cohort->size), 0);
        }
        json_array_end(&json);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
}

enum call_outcome analytics_handle_retention(struct http_call *call) {
    return reading_aside(call, retention);
}

/* --- confidence ------------------------------------------------------------------------------- */

/* How much a source of revenue is to be trusted, in tenths. */
static const u8 weights[REVENUE_SOURCES] = {
    [REVENUE_EXPLICIT] = 10, [REVENUE_FEATURE_PRICING] = 8, [REVENUE_PER_UNIT] = 8,
    [REVENUE_TIERED] = 8,    [REVENUE_HYBRID] = 6,          [REVENUE_SUBSCRIPTION] = 4,
};

static const char *confidence_label(i128 score) {
    return score >= 80 ? "High" : score >= 50 ? "Medium" : score >= 20 ? "Low" : "Very Low";
}

static void confidence(struct http_call *call, u32 account) {
    const struct agg *agg = ((struct context *)call->context)->agg;
    struct query query;
    struct query_result result;
    if (!reading_query(call, account, SUMMARY_DAYS, &query)) {
        return;
    }
    query.group[query.group_count++] = QUERY_REVENUE_SOURCE;
    query.order = ORDER_REVENUE;
    query.offset = 0;
    query.limit = REVENUE_SOURCES;
    if (!reading_run(call, &query, &result)) {
        return;
    }
    i128 total = result.total.revenue;
    i128 weighed = 0;
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "breakdown");
    json_array_begin(&json);
    for (u32 i = 0; i < result.row_count; i++) {
        const struct query_row *row = &result.rows[i];
        weighed += row->figures.revenue * weights[row->value[0]];
        json_object_begin(&json);
        reading_write_value(&json, agg, "source", QUERY_REVENUE_SOURCE, row->value[0]);
        reading_put_u64(&json, "event_count", row->figures.events);
        reading_put_money(&json, "revenue", row->figures.revenue);
        reading_put_money(&json, "cost", row->figures.cost);
        json_key(&json, "pct_of_revenue");
        json_decimal(&json, total > 0 ? reading_round(row->figures.revenue * 1000, total) : 0, 1);
        json_object_end(&json);
    }
    json_array_end(&json);
    i128 score = total > 0 ? reading_round(weighed * 10, total) : 0;
    json_key(&json, "confidence_score");
    json_decimal(&json, score, 0);
    json_key(&json, "confidence_label");
    json_text(&json, confidence_label(score));
    reading_put_money(&json, "total_revenue", total);
    reading_put_money(&json, "total_cost", result.total.cost);
    json_object_end(&json);
    query_result_free(&result);
}

enum call_outcome analytics_handle_confidence(struct http_call *call) {
    return reading_aside(call, confidence);
}

/* --- tokens ----------------------------------------------------------------------------------- */

#define QUOTES                                                                                     \
    256 /* models whose prices are at hand; another one in the same place displaces it             \
         */

struct token_day {
    i128 input;
    i128 output;
    bool seen; /* there are events */
};

/* Days from the first that an event can have; pieces come model by model, mostly. */
struct tokens {
    const struct context *context;
    u32 account;
    struct token_day *days;
    i64 first; /* number of days[0] */
    i64 count;
    struct quote_slot {
        bool used;
        u32 value[2];
        struct price_quote quote;
    } quotes[QUOTES];
};

static const struct price_quote *quote_of(struct tokens *tokens, const u32 *value) {
    u32 place = (u32)hash_mix((u64)value[0] << 32 | value[1]) % QUOTES;
    struct quote_slot *slot = &tokens->quotes[place];
    if (!slot->used || slot->value[0] != value[0] || slot->value[1] != value[1]) {
        const struct agg *agg = tokens->context->agg;
        *slot = (struct quote_slot){.used = true, .value = {value[0], value[1]}};
        if (!prices_quote(tokens->context->prices, tokens->account,
                          agg_value_text(agg, DIM_PROVIDER, value[1]),
                          agg_value_text(agg, DIM_MODEL, value[0]), &slot->quote)) {
            slot->quote = (struct price_quote){.input = 0, .output = 0};
        }
    }
    return &slot->quote;
}

static void tokens_begin(void *context) {
    struct tokens *tokens = context;
    memset(tokens->days, 0, (usize)tokens->count * sizeof *tokens->days);
}

static void tokens_piece(void *context, const u32 *value, i64 bucket_start,
                         const struct figures *piece) {
    struct tokens *tokens = context;
    i64 day = bucket_start / TIME_MS_PER_DAY - tokens->first;
    const struct price_quote *quote = quote_of(tokens, value);
    if (day < 0 || day >= tokens->count) {
        return;
    }
    tokens->days[day].input += (i128)piece->input * MAX(quote->input, 0);
    tokens->days[day].output += (i128)piece->output * MAX(quote->output, 0);
    tokens->days[day].seen = true;
}

/* tokens * price: picodollars a million tokens, so 1e-18 dollars; to four decimals. */
static void put_cost(struct json_writer *json, const char *key, i128 cost) {
    json_key(json, key);
    json_decimal(json, reading_round(cost, (i128)PICO_PER_USD * 100), 4);
}

/* Makes rows of the days: cost stands for input, revenue for output. */
static enum err take_days(const struct tokens *tokens, struct query_result *result) {
    result->rows = malloc((usize)tokens->count * sizeof *result->rows);
    if (result->rows == NULL) {
        return ERR_NO_MEMORY;
    }
    for (i64 day = 0; day < tokens->count; day++) {
        if (tokens->days[day].seen) {
            result->rows[result->row_count++] =
                (struct query_row){.bucket_start = (tokens->first + day) * TIME_MS_PER_DAY,
                                   .figures = {.events = 1,
                                               .cost = tokens->days[day].input,
                                               .revenue = tokens->days[day].output}};
        }
    }
    return ERR_OK;
}

/* What the tokens of each day of a part of the window cost at the prices of now. */
static enum err make_days(void *context, const struct query *part, struct query_result *result,
                          const char **why) {
    const struct http_call *call = context;
    struct tokens tokens = {.context = call->context, .account = part->account};
    struct query query = *part;
    query.group[0] = DIM_MODEL;
    query.group[1] = DIM_PROVIDER;
    query.group_count = 2;
    query.present_only = true;
    *result = (struct query_result){.from = part->from, .to = part->to};
    tokens.first = MAX(query.from, EVENT_TIME_MIN) / TIME_MS_PER_DAY;
    tokens.count =
        MAX(MIN(query.to, call->now_ms + EVENT_TIME_AHEAD_MS) / TIME_MS_PER_DAY - tokens.first + 2,
            (i64)1);
    tokens.days = malloc((usize)tokens.count * sizeof *tokens.days);
    const struct query_each each = {tokens_begin, tokens_piece, &tokens};
    enum err err = tokens.days == NULL ? ERR_NO_MEMORY
                                       : query_run_each(tokens.context->agg, tokens.context->store,
                                                        &query, &each, why);
    if (err == ERR_OK) {
        err = take_days(&tokens, result);
    }
    free(tokens.days);
    return err;
}

static void write_token_days(struct http_call *call, const struct query *query,
                             const struct query_result *result) {
    static const struct figures none;
    u32 count = result->row_count;
    u32 at = 0;
    i64 first;
    i64 last;
    reading_days(call, query, count > 0 ? result->rows[0].bucket_start : INT64_MAX,
                 count > 0 ? result->rows[count - 1].bucket_start : INT64_MIN, &first, &last);
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "series");
    json_array_begin(&json);
    for (i64 day = first; day <= last; day++) {
        i64 start = day * TIME_MS_PER_DAY;
        bool there = at < count && result->rows[at].bucket_start == start;
        const struct figures *sums = there ? &result->rows[at++].figures : &none;
        json_object_begin(&json);
        reading_write_day(&json, "date", start);
        put_cost(&json, "input_cost", sums->cost);
        put_cost(&json, "output_cost", sums->revenue);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
}

static void token_costs(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct query query;
    struct query_result result;
    const char *why = NULL;
    if (!daily_query(call, account, TOKEN_DAYS_MAX, &query)) {
        return;
    }
    query.both_tokens = true;
    u64 version = prices_version(context->prices); /* before any is read */
    enum err err = past_run_made(context->pasts, context->agg, &query, version, make_days, call,
                                 &result, &why);
    if (err == ERR_OK) {
        write_token_days(call, &query, &result);
        query_result_free(&result);
    } else if (err == ERR_INVALID) {
        error_invalid(call, why);
    } else {
        error_of(call, err);
    }
}

enum call_outcome analytics_handle_tokens(struct http_call *call) {
    return reading_aside(call, token_costs);
}
