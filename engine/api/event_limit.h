/*
 * event_limit.h: the monthly limit of events of an account's plan (Observe 2.5). Below it a request
 * is taken whole, also if it crosses it; at or above it nothing is. An account without a limit pays
 * one look at a small table. Crossing 80 and 100 percent puts a mail into the outbox, once a month
 * each; what a crash loses between the events and the mail is made up by the next request.
 */
#ifndef MARGIN_API_EVENT_LIMIT_H
#define MARGIN_API_EVENT_LIMIT_H

#include "api/context.h"
#include "http/call.h"

#define EVENT_UPGRADE_URL "/plans"

struct event_limit {
    i64 limit;     /* PLAN_UNLIMITED: `used` is not looked up */
    u64 used;      /* received this calendar month */
    bool captures; /* for struct ingest: the account keeps bodies */
};

/* False: the account is at its limit. */
bool event_limit_allows(struct context *context, u32 account, i64 now_ms, struct event_limit *out);
/* 429 with the figures. */
enum call_outcome event_limit_refuse(struct http_call *call, const struct event_limit *limit);
/* After events were stored: queues the warnings that are due, on a reader thread. */
void event_limit_warn(struct context *context, u32 account, i64 now_ms);

#endif
