/*
 * reading.h: what the reading endpoints share: a query for the call's window and page, run on a
 * reader thread, and the members that several answers have.
 */
#ifndef MARGIN_API_READING_H
#define MARGIN_API_READING_H

#include "api/context.h"
#include "api/event_object.h"
#include "http/call.h"
#include "query/query.h"
#include "json/write.h"

/* A query over the account's live events, in order of cost, with the call's window (`days` by
 * default) and page (everything by default). False: the reply says why not. */
bool reading_query(struct http_call *call, u32 account, u32 days, struct query *query);
/* Runs it. False: the reply says why not. */
bool reading_run(struct http_call *call, const struct query *query, struct query_result *result);

/* What writing an account's events needs; to be ended. */
struct event_object reading_object(struct context *context, u32 account, bool bodies);
void reading_object_end(struct context *context, const struct event_object *object);

/* Members of an answer about one feature or customer, the value of `dim` that the query filters by:
 * its newest events, its rows by model, by feature. False: the reply says why not. */
bool reading_write_recent(struct http_call *call, const struct query *query, enum store_dim dim,
                          struct json_writer *json);
bool reading_write_models(struct http_call *call, struct query query, struct json_writer *json);
bool reading_write_features(struct http_call *call, struct query query, struct json_writer *json);

/* (numerator / denominator) rounded half up: floor(x + 1/2). */
i128 reading_round(i128 numerator, i128 denominator);
/* sum / count in dollars, to 12 decimals; null without events. */
void reading_write_average(struct json_writer *json, const char *key, i128 sum, u64 count);
void reading_write_value(struct json_writer *json, const struct agg *agg, const char *key, u32 dim,
                         u32 value);
/* customer_name: what the directory calls the customer, or its id; null without a customer. */
void reading_write_name(struct json_writer *json, const struct agg *agg, const struct book *book,
                        u32 value);
/* [{month, event_count, total_cost, total_revenue, total_usage}], of a query by months. */
void reading_write_months(struct json_writer *json, const struct query_result *result);
/* "YYYY-MM" or "YYYY-MM-DD". */
void reading_write_month(struct json_writer *json, const char *key, i64 time);
void reading_write_day(struct json_writer *json, const char *key, i64 time);

#endif
