/*
 * routes.c: path, handler, body bound and scope of every endpoint. The table is the whole truth
 * about who may call what. A management path is served as /api/X and as /X.
 */
#include "api/routes.h"

#include "api/auth.h"

#define GET(path, handler, scope)                                                                  \
    { HTTP_GET, path, handler, HTTP_BODY_MANAGE_MAX, scope }
#define GET_BOTH(path, handler, scope) GET("/api" path, handler, scope), GET(path, handler, scope)

const struct http_route routes_table[] = {
    {HTTP_POST, "/api/events/ingest", ingest_handle, HTTP_BODY_INGEST_MAX, SCOPE_EVENTS_WRITE},
    {HTTP_POST, "/events/ingest", ingest_handle, HTTP_BODY_INGEST_MAX, SCOPE_EVENTS_WRITE},
    {HTTP_POST, "/api/v1/client/events", client_events_handle, HTTP_BODY_MANAGE_MAX,
     SCOPE_EVENTS_WRITE},
    {HTTP_POST, "/api/events/test", test_event_handle, HTTP_BODY_MANAGE_MAX, SCOPE_EVENTS_WRITE},
    {HTTP_POST, "/events/test", test_event_handle, HTTP_BODY_MANAGE_MAX, SCOPE_EVENTS_WRITE},
    GET_BOTH("/events", events_handle_list, SCOPE_EVENTS_READ),
    GET_BOTH("/events/{id}", events_handle_one, SCOPE_EVENTS_READ),
    GET_BOTH("/events/by-feature", by_handle_feature, SCOPE_EVENTS_READ),
    GET_BOTH("/events/by-customer", by_handle_customer, SCOPE_EVENTS_READ),
    GET_BOTH("/events/by-model", by_handle_model, SCOPE_EVENTS_READ),
    GET_BOTH("/events/by-agent", by_handle_agent, SCOPE_EVENTS_READ),
    GET_BOTH("/events/by-cost-type", by_handle_cost_type, SCOPE_EVENTS_READ),
    GET_BOTH("/events/traces", traces_handle_list, SCOPE_EVENTS_READ),
    GET_BOTH("/events/trace/{traceId}", traces_handle_one, SCOPE_EVENTS_READ),
    GET_BOTH("/pricing/models", pricing_handle_models, ROUTE_PUBLIC),
    GET("/healthz", health_handle_alive, ROUTE_PUBLIC),
    GET("/readyz", health_handle_ready, ROUTE_PUBLIC),
    GET("/metrics", health_handle_metrics, ROUTE_PUBLIC),
};
const u32 routes_count = ARRAY_COUNT(routes_table);
