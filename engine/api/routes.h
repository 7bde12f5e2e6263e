/*
 * routes.h: every HTTP endpoint of the server in one table (routes.c), which is the single source
 * of who may call what, how often, and what the documentation says: /openapi.json, /docs and
 * /llms.txt are made from it and from the schemas in engine/api/schema/.
 */
#ifndef MARGIN_API_ROUTES_H
#define MARGIN_API_ROUTES_H

#include "account/account.h"
#include "api/limit.h"
#include "http/route.h"

#define ROUTE_PUBLIC UINT32_MAX               /* a route's scope: no credential needed */
#define ROUTE_ANY_CREDENTIAL (UINT32_MAX - 1) /* and: any good one, whatever its scopes */

/* Which credentials a route takes, unless it is public. */
enum route_caller {
    CALLER_ANY,           /* a key with the scope, or a session; a viewer's session only reads */
    CALLER_SESSION,       /* a session and no key (403); a viewer only reads */
    CALLER_SESSION_ALL,   /* a session and no key; a viewer too, whatever the method */
    CALLER_SESSION_OWNER, /* the session of an owner */
};

/* One endpoint. Zero is a good value of everything behind `scope` but the tag, the summary and the
 * response. */
struct route {
    enum http_method method;
    const char *path; /* "/api/X" is served as "/X" too, but for "/api/v1/X" */
    http_handler handler;
    u32 scope; /* enum scope, or one of the above */
    enum route_caller caller;
    enum limit_class limit;
    usize body_bytes_max; /* 0: HTTP_BODY_MANAGE_MAX, or of strangers _PUBLIC_MAX */

    const char *tag;      /* the heading it stands under */
    const char *summary;  /* one line, without a full stop */
    const char *query;    /* names in schema/parameters.json, one blank between them; NULL: none */
    const char *request;  /* schema of the body; NULL: none is read */
    bool body_optional;   /* it may be left out */
    const char *response; /* schema of the body of `status`; with a '/': a media type, not JSON */
    u16 status;           /* of success; 0: 200 */
    const char *errors;   /* statuses besides those every such route has, e.g. "409 502" */
};

extern const struct route routes_table[];
extern const u32 routes_count;

/* Finds the rows by path, for the HTTP layer; lasts as long as the process. The first call makes
 * it, before there are threads. */
const struct http_router *routes_router(void);

/* The row that serves a call. */
const struct route *route_of(const struct http_call *call);
/* Does it take limit and offset? */
bool routes_has_pages(const struct route *route);

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
enum call_outcome upload_handle_costs(struct http_call *call);
enum call_outcome upload_handle_usage(struct http_call *call);
enum call_outcome upload_handle_provider(struct http_call *call);
enum call_outcome upload_handle_revenue(struct http_call *call);
enum call_outcome data_handle_clear(struct http_call *call);
enum call_outcome data_handle_clear_revenue(struct http_call *call);
enum call_outcome data_handle_clear_costs(struct http_call *call);
enum call_outcome data_handle_clear_usage(struct http_call *call);
enum call_outcome data_handle_status(struct http_call *call);
enum call_outcome settings_handle_get(struct http_call *call);
enum call_outcome settings_handle_change(struct http_call *call);
enum call_outcome upload_events_handle(struct http_call *call);
enum call_outcome signup_handle(struct http_call *call);
enum call_outcome sessions_handle_login(struct http_call *call);
enum call_outcome sessions_handle_logout(struct http_call *call);
enum call_outcome sessions_handle_me(struct http_call *call);
enum call_outcome sessions_handle_accounts(struct http_call *call);
enum call_outcome sdk_keys_handle_create(struct http_call *call);
enum call_outcome sdk_keys_handle_list(struct http_call *call);
enum call_outcome sdk_keys_handle_me(struct http_call *call);
enum call_outcome sdk_keys_handle_reset(struct http_call *call);
enum call_outcome sdk_keys_handle_delete(struct http_call *call);
enum call_outcome plan_handle(struct http_call *call);
enum call_outcome plan_handle_usage(struct http_call *call);
enum call_outcome plan_handle_limits(struct http_call *call);
enum call_outcome pricing_handle_models(struct http_call *call);
enum call_outcome pricing_handle_put(struct http_call *call);
enum call_outcome pricing_handle_delete(struct http_call *call);
enum call_outcome pricing_handle_log(struct http_call *call);
enum call_outcome feature_pricing_handle_list(struct http_call *call);
enum call_outcome feature_pricing_handle_set(struct http_call *call);
enum call_outcome feature_pricing_handle_delete(struct http_call *call);
enum call_outcome feature_pricing_handle_features(struct http_call *call);
enum call_outcome backfill_handle_revenue(struct http_call *call);
enum call_outcome definitions_handle_list(struct http_call *call);
enum call_outcome definitions_handle_create(struct http_call *call);
enum call_outcome definitions_handle_change(struct http_call *call);
enum call_outcome definitions_handle_remove(struct http_call *call);
enum call_outcome features_handle_list(struct http_call *call);
enum call_outcome features_handle_one(struct http_call *call);
enum call_outcome features_handle_suggest(struct http_call *call);
enum call_outcome models_handle_list(struct http_call *call);
enum call_outcome customers_handle_list(struct http_call *call);
enum call_outcome customers_handle_one(struct http_call *call);
enum call_outcome customers_handle_internal(struct http_call *call);
enum call_outcome subscriptions_handle_list(struct http_call *call);
enum call_outcome subscriptions_handle_plans(struct http_call *call);
enum call_outcome subscriptions_handle_summary(struct http_call *call);
enum call_outcome subscriptions_handle_movements(struct http_call *call);
enum call_outcome models_handle_customer_months(struct http_call *call);
enum call_outcome models_handle_sources(struct http_call *call);
enum call_outcome analytics_handle_daily(struct http_call *call);
enum call_outcome analytics_handle_trends(struct http_call *call);
enum call_outcome analytics_handle_retention(struct http_call *call);
enum call_outcome analytics_handle_confidence(struct http_call *call);
enum call_outcome analytics_handle_tokens(struct http_call *call);
enum call_outcome pnl_handle_customers(struct http_call *call);
enum call_outcome margin_alerts_handle(struct http_call *call);
enum call_outcome overview_handle(struct http_call *call);
enum call_outcome docs_handle_openapi(struct http_call *call);
enum call_outcome docs_handle_page(struct http_call *call);
enum call_outcome docs_handle_text(struct http_call *call);
enum call_outcome health_handle_alive(struct http_call *call);
enum call_outcome health_handle_ready(struct http_call *call);
enum call_outcome health_handle_metrics(struct http_call *call);

#endif
