/*
 * reading.h: what the reading endpoints share: a query for the call's window and page, run on a
 * reader thread, and the members that several answers have.
 */
#ifndef MARGIN_API_READING_H
#define MARGIN_API_READING_H

#include "api/context.h"
#include "http/call.h"
#include "query/query.h"
#include "json/write.h"

/* A query over the account's live events, in order of cost, with the call's window (`days` by
 * default) and page (everything by default). False: the reply says why not. */
bool reading_query(struct http_call *call, u32 account, u32 days, struct query *query);
/* Runs it. False: the reply says why not. */
bool reading_run(struct http_call *call, const struct query *query, struct query_result *result);

/* (numerator / denominator) rounded half up: floor(x + 1/2). */
i128 reading_round(i128 numerator, i128 denominator);
/* sum / count in dollars, to 12 decimals; null without events. */
void reading_write_average(struct json_writer *json, const char *key, i128 sum, u64 count);
void reading_write_value(struct json_writer *json, const struct agg *agg, const char *key, u32 dim,
                         u32 value);
/* [{month, event_count, total_cost, total_revenue, total_usage}], of a query by months. */
void reading_write_months(struct json_writer *json, const struct query_result *result);
/* "YYYY-MM" or "YYYY-MM-DD". */
void reading_write_month(struct json_writer *json, const char *key, i64 time);
void reading_write_day(struct json_writer *json, const char *key, i64 time);

#endif
