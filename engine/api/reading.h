/*
 * reading.h: what the reading endpoints share: a query for the call's window and page, run on a
 * reader thread, and the members that several answers have.
 */
#ifndef MARGIN_API_READING_H
#define MARGIN_API_READING_H

#include "api/context.h"
#include "api/event_object.h"
#include "api/slow.h"
#include "http/call.h"
#include "query/query.h"
#include "query/revenue.h"
#include "json/write.h"

/* A query over the account's live events, in order of cost, with the call's window (`days` by
 * default) and page (everything by default). False: the reply says why not. */
bool reading_query(struct http_call *call, u32 account, u32 days, struct query *query);
/* Does the call bound its window by dates? */
bool reading_has_dates(const struct http_call *call);
/* Runs it. False: the reply says why not. */
bool reading_run(struct http_call *call, const struct query *query, struct query_result *result);

/* The same for days or months, or what tallies answer: days that are over are kept (past.h). */
bool reading_run_past(struct http_call *call, const struct query *query,
                      struct query_result *result);

/* What writing an account's events needs; to be ended. */
struct event_object reading_object(struct context *context, u32 account, bool bodies);
void reading_object_end(struct context *context, const struct event_object *object);

/* Members of an answer about one feature or customer, the value of `dim` that the query filters by:
 * its newest events, its rows by model, by feature. False: the reply says why not. */
bool reading_write_recent(struct http_call *call, const struct query *query, enum store_dim dim,
                          struct json_writer *json);
bool reading_write_models(struct http_call *call, struct query query, struct json_writer *json);
bool reading_write_features(struct http_call *call, struct query query, struct json_writer *json);

/* The query's window, for customers' revenue. */
struct revenue_window reading_window(const struct http_call *call, const struct query *query);

/* Has a reader thread do the work for who is logged in. */
enum call_outcome reading_aside(struct http_call *call, slow_work work);

/* Texts by their bytes; below 0: a comes first. */
int reading_compare(struct slice a, struct slice b);
/* (numerator / denominator) rounded half up: floor(x + 1/2). */
i128 reading_round(i128 numerator, i128 denominator);
void reading_put_u64(struct json_writer *json, const char *key, u64 value);
void reading_put_money(struct json_writer *json, const char *key, i128 value);
/* margin_pct, also under another name. */
void reading_put_margin(struct json_writer *json, const char *key, i128 cost, i128 revenue);
/* Margin below 0, or cost without revenue. */
bool reading_is_unprofitable(i128 cost, i128 revenue);
/* In percent of the amount before, one decimal; above 0 it rose, also from below 0. null if it was
 * 0. */
void reading_put_change(struct json_writer *json, const char *key, i128 now, i128 before);
/* sum / count in dollars, to 12 decimals; null without events. */
void reading_write_average(struct json_writer *json, const char *key, i128 sum, u64 count);
void reading_write_value(struct json_writer *json, const struct agg *agg, const char *key, u32 dim,
                         u32 value);
/* customer_name: what the directory calls the customer, or its id; null without a customer. */
void reading_write_name(struct json_writer *json, const struct agg *agg, const struct book *book,
                        u32 value);
/* [{month, event_count, total_cost, total_revenue, total_usage}], of a query by months. */
void reading_write_months(struct json_writer *json, const struct query_result *result);
/* The days of a query by days: all of the window, as far as it has bounds, and else from the first
 * day with events to the last or to today. None: first > last. */
void reading_days(const struct http_call *call, const struct query *query, i64 first_seen,
                  i64 last_seen, i64 *first, i64 *last);
/* [{day, cost, revenue, event_count}], each of those days. */
void reading_write_days(struct json_writer *json, const struct http_call *call,
                        const struct query *query, const struct query_result *result);
/* "YYYY-MM" or "YYYY-MM-DD". */
void reading_write_month(struct json_writer *json, const char *key, i64 time);
void reading_write_day(struct json_writer *json, const char *key, i64 time);

#endif
