/* routes.h: every HTTP endpoint of the server in one table, and the handlers behind it. */
#ifndef MARGIN_API_ROUTES_H
#define MARGIN_API_ROUTES_H

#include "http/call.h"

/* For the HTTP edge; call->context is a struct context (api/context.h). */
extern const struct http_route routes_table[];
extern const u32 routes_count;

enum call_outcome ingest_handle(struct http_call *call);        /* POST /api/events/ingest */
enum call_outcome client_events_handle(struct http_call *call); /* POST /api/v1/client/events */
enum call_outcome events_handle_list(struct http_call *call);
enum call_outcome events_handle_one(struct http_call *call);
enum call_outcome by_handle_feature(struct http_call *call);
enum call_outcome by_handle_customer(struct http_call *call);
enum call_outcome by_handle_model(struct http_call *call);
enum call_outcome by_handle_agent(struct http_call *call);
enum call_outcome by_handle_cost_type(struct http_call *call);
enum call_outcome test_event_handle(struct http_call *call);
enum call_outcome traces_handle_list(struct http_call *call);
enum call_outcome traces_handle_one(struct http_call *call);
enum call_outcome pricing_handle_models(struct http_call *call);
enum call_outcome health_handle_alive(struct http_call *call);
enum call_outcome health_handle_ready(struct http_call *call);
enum call_outcome health_handle_metrics(struct http_call *call);

#endif
