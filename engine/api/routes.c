/*
 * routes.c: the table of endpoints. To add one: a row here, its handler's prototype in routes.h,
 * and its bodies in engine/api/schema/NAME.json, one file a resource: an object of JSON Schemas
 * (2020-12) by name, which refer to each other, over all files, by {"$ref":
 * "#/components/schemas/OTHER"}. Objects of answers say "additionalProperties": false and list in
 * "required" what is always there; those of requests may have "examples", which the page shows and
 * the tests send. A `{name}` in a path, and each name in `.query`, is a member of
 * schema/parameters.json. A unit test finds what is missing or unused; the system tests check every
 * answer against its schema.
 */
#include "api/routes.h"

#include <string.h>

#define WINDOW "date_from date_to days"

// clang-format off
const struct route routes_table[] = {
    /* --- events --- */
    {HTTP_POST, "/api/events/ingest", ingest_handle, SCOPE_EVENTS_WRITE,
     .tag = "Events", .summary = "Store up to 1000 events, durably and once",
     .request = "ingest_request", .response = "ingest_result",
     .limit = LIMIT_INGEST, .body_bytes_max = HTTP_BODY_INGEST_MAX},
    {HTTP_POST, "/api/v1/client/events", client_events_handle, SCOPE_EVENTS_WRITE,
     .tag = "Events", .summary = "Store one event",
     .request = "client_event", .response = "client_result", .status = 201,
     .limit = LIMIT_INGEST, .errors = "409"},
    {HTTP_POST, "/api/events/test", test_event_handle, SCOPE_EVENTS_WRITE,
     .tag = "Events", .summary = "Store one made-up event of a feature, and return it",
     .request = "test_event_request", .response = "event"},
    {HTTP_GET, "/api/events", events_handle_list, SCOPE_EVENTS_READ,
     .tag = "Events", .summary = "Events, filtered, sorted and paged",
     .query = "limit_50_200 offset_deep feature_key customer_id model source cost_type trace_id "
              "agent_id sort_by sort_dir " WINDOW,
     .response = "event_list"},
    {HTTP_GET, "/api/events/{id}", events_handle_one, SCOPE_EVENTS_READ,
     .tag = "Events", .summary = "One event", .response = "event"},
    {HTTP_GET, "/api/events/by-feature", by_handle_feature, SCOPE_EVENTS_READ,
     .tag = "Aggregations", .summary = "Figures by feature, of the last 90 days",
     .query = "limit_rows offset " WINDOW, .response = "by_feature"},
    {HTTP_GET, "/api/events/by-customer", by_handle_customer, SCOPE_EVENTS_READ,
     .tag = "Aggregations", .summary = "Figures by customer, of the last 90 days",
     .query = "limit_rows offset " WINDOW, .response = "by_customer"},
    {HTTP_GET, "/api/events/by-model", by_handle_model, SCOPE_EVENTS_READ,
     .tag = "Aggregations", .summary = "Figures by model and provider, of the last 90 days",
     .query = "limit_rows offset " WINDOW, .response = "by_model"},
    {HTTP_GET, "/api/events/by-agent", by_handle_agent, SCOPE_EVENTS_READ,
     .tag = "Aggregations", .summary = "Figures by agent, of all time",
     .query = "limit_rows offset " WINDOW, .response = "by_agent"},
    {HTTP_GET, "/api/events/by-cost-type", by_handle_cost_type, SCOPE_EVENTS_READ,
     .tag = "Aggregations", .summary = "Figures by cost type, of the last 30 days",
     .query = "limit_rows offset " WINDOW, .response = "by_cost_type"},
    {HTTP_GET, "/api/events/traces", traces_handle_list, SCOPE_EVENTS_READ,
     .tag = "Traces", .summary = "Traces, the latest start first",
     .query = "limit_50_200 offset_deep " WINDOW, .response = "trace_list"},
    {HTTP_GET, "/api/events/trace/{traceId}", traces_handle_one, SCOPE_EVENTS_READ,
     .tag = "Traces", .summary = "The spans of one trace, in ascending time",
     .query = "tree", .response = "trace"},

    /* --- features, models, customers, analytics --- */
    {HTTP_GET, "/api/features", features_handle_list, SCOPE_USAGE_READ,
     .tag = "Features", .summary = "Features with their figures, of all time",
     .query = "limit_rows offset " WINDOW, .response = "feature_list"},
    {HTTP_GET, "/api/features/{featureKey}", features_handle_one, SCOPE_USAGE_READ,
     .tag = "Features", .summary = "A feature by customer, model and month, and its newest events",
     .query = "limit_rows offset " WINDOW, .response = "feature_detail"},
    {HTTP_GET, "/api/models", models_handle_list, SCOPE_MODELS_READ,
     .tag = "Models", .summary = "Models with their figures of all time and prices of today",
     .query = "limit_rows offset " WINDOW, .response = "model_list"},
    {HTTP_GET, "/api/customers", customers_handle_list, SCOPE_CUSTOMERS_READ,
     .tag = "Customers", .summary = "Customers, newest first, with figures of the last 30 days",
     .query = "limit_100_500 offset " WINDOW, .response = "customer_list"},
    {HTTP_GET, "/api/customers/{customerId}", customers_handle_one, SCOPE_CUSTOMERS_READ,
     .tag = "Customers", .summary = "A customer, its subscriptions, figures and newest events",
     .query = "period_start period_end " WINDOW, .response = "customer_detail"},
    {HTTP_PATCH, "/api/customers/{customerId}/internal", customers_handle_internal,
     SCOPE_CUSTOMERS_WRITE,
     .tag = "Customers", .summary = "Say whether a customer is internal",
     .request = "customer_internal_request", .response = "customer_internal"},
    {HTTP_GET, "/api/subscriptions", subscriptions_handle_list, SCOPE_CUSTOMERS_READ,
     .tag = "Customers", .summary = "Subscriptions, newest first",
     .query = "limit_100_500 offset", .response = "subscription_list"},
    {HTTP_GET, "/api/plans", subscriptions_handle_plans, SCOPE_CUSTOMERS_READ,
     .tag = "Customers", .summary = "The plans that the account sells, by price",
     .response = "product_plans"},
    {HTTP_GET, "/api/metrics/summary", subscriptions_handle_summary, SCOPE_USAGE_READ,
     .tag = "Analytics", .summary = "How many customers, and what subscriptions are a month",
     .response = "metrics_summary"},
    {HTTP_GET, "/api/analytics/mrr-movements", subscriptions_handle_movements, SCOPE_USAGE_READ,
     .tag = "Analytics", .summary = "How each customer's monthly revenue moved in 60 days",
     .query = "limit_rows offset", .response = "mrr_movements"},
    {HTTP_GET, "/api/customers/{customerId}/timeseries", models_handle_customer_months,
     SCOPE_CUSTOMERS_READ,
     .tag = "Customers", .summary = "A customer's figures by month",
     .query = WINDOW, .response = "timeseries"},
    {HTTP_GET, "/api/metrics/source-breakdown", models_handle_sources, SCOPE_USAGE_READ,
     .tag = "Analytics", .summary = "Figures by source of events, of all time",
     .query = WINDOW, .response = "source_breakdown"},
    {HTTP_GET, "/api/analytics/daily-summary", analytics_handle_daily, SCOPE_USAGE_READ,
     .tag = "Analytics", .summary = "Cost, revenue and events of each day, of the last 30",
     .query = WINDOW, .response = "daily_summary"},
    {HTTP_GET, "/api/analytics/trends", analytics_handle_trends, SCOPE_USAGE_READ,
     .tag = "Analytics", .summary = "Months with events, and how they changed",
     .query = "months", .response = "trends"},
    {HTTP_GET, "/api/analytics/retention", analytics_handle_retention, SCOPE_USAGE_READ,
     .tag = "Analytics", .summary = "Customers who came back, by the month of their first event",
     .response = "retention"},
    {HTTP_GET, "/api/analytics/revenue-confidence", analytics_handle_confidence, SCOPE_USAGE_READ,
     .tag = "Analytics", .summary = "Where revenue is known from, of the last 30 days",
     .query = WINDOW, .response = "revenue_confidence"},
    {HTTP_GET, "/api/analytics/cost-by-token-type", analytics_handle_tokens, SCOPE_USAGE_READ,
     .tag = "Analytics", .summary = "What tokens in and out cost at today's prices, by day",
     .query = WINDOW, .response = "token_costs"},
    {HTTP_GET, "/api/analytics/customer-pnl", pnl_handle_customers, SCOPE_USAGE_READ,
     .tag = "Analytics", .summary = "Customers by margin, the worst first, of the last 30 days",
     .query = "limit_rows offset " WINDOW, .response = "customer_pnl"},
    {HTTP_GET, "/api/analytics/margin-alerts", margin_alerts_handle, SCOPE_USAGE_READ,
     .tag = "Analytics", .summary = "Customers, features and models that lose money",
     .query = "limit_rows offset " WINDOW, .response = "margin_alerts"},
    {HTTP_GET, "/api/analytics/overview", overview_handle, SCOPE_USAGE_READ,
     .tag = "Analytics", .summary = "The account as a whole, and against the window before",
     .query = WINDOW, .response = "overview"},
    {HTTP_POST, "/api/analytics/suggest-pricing", features_handle_suggest, SCOPE_USAGE_WRITE,
     .tag = "Analytics", .summary = "A price for each feature that leaves 60 percent of it",
     .query = "limit_rows offset " WINDOW, .request = "price_suggestion_request",
     .body_optional = true, .response = "price_suggestions"},

    /* --- prices --- */
    {HTTP_GET, "/api/pricing/models", pricing_handle_models, ROUTE_PUBLIC,
     .tag = "Prices", .summary = "The price table in force; with models.read, own prices first",
     .response = "price_table", .errors = "401 503"},
    {HTTP_PUT, "/api/pricing/models/{modelName}", pricing_handle_put, SCOPE_ADMIN,
     .tag = "Prices", .summary = "Set the account's own price of a model, for later events",
     .request = "own_price", .response = "success"},
    {HTTP_DELETE, "/api/pricing/models/{modelName}", pricing_handle_delete, SCOPE_ADMIN,
     .tag = "Prices", .summary = "Remove the account's own price of a model",
     .query = "provider", .response = "success"},
    {HTTP_GET, "/api/pricing/log", pricing_handle_log, SCOPE_MODELS_READ,
     .tag = "Prices", .summary = "Changes of model prices, newest first",
     .query = "limit_100_10000 offset", .response = "price_changes"},
    {HTTP_GET, "/api/feature-pricing", feature_pricing_handle_list, SCOPE_USAGE_READ,
     .tag = "Prices", .summary = "What an event of a feature earns, by feature",
     .response = "feature_prices"},
    {HTTP_POST, "/api/feature-pricing", feature_pricing_handle_set, SCOPE_USAGE_WRITE,
     .tag = "Prices", .summary = "Set what an event of a feature earns, for later events",
     .request = "feature_price_request", .response = "ok"},
    {HTTP_DELETE, "/api/feature-pricing/{featureKey}", feature_pricing_handle_delete,
     SCOPE_USAGE_WRITE,
     .tag = "Prices", .summary = "Remove a feature's price", .response = "ok"},
    {HTTP_GET, "/api/feature-pricing/features", feature_pricing_handle_features, SCOPE_USAGE_READ,
     .tag = "Prices", .summary = "Features that have events or a price, ascending",
     .response = "feature_keys"},

    {HTTP_POST, "/api/backfill/revenue", backfill_handle_revenue, SCOPE_USAGE_WRITE,
     .tag = "Prices", .summary = "Attribute the newest events without revenue by today's prices",
     .response = "backfill_result", .limit = LIMIT_EXPENSIVE},

    /* --- definitions --- */
    {HTTP_GET, "/api/feature-definitions", definitions_handle_list, SCOPE_USAGE_READ,
     .tag = "Definitions", .summary = "What features are, with their figures of all time",
     .response = "definition_list"},
    {HTTP_POST, "/api/feature-definitions", definitions_handle_create, SCOPE_USAGE_WRITE,
     .tag = "Definitions", .summary = "Define a feature before its first event",
     .request = "definition_request", .response = "definition_answer", .status = 201,
     .errors = "409"},
    {HTTP_PATCH, "/api/feature-definitions/{id}", definitions_handle_change, SCOPE_USAGE_WRITE,
     .tag = "Definitions", .summary = "Change what is given of a definition",
     .request = "definition_request", .response = "definition_answer"},
    {HTTP_DELETE, "/api/feature-definitions/{id}", definitions_handle_remove, SCOPE_USAGE_WRITE,
     .tag = "Definitions", .summary = "Remove a definition, until the feature's next event",
     .response = "success"},

    /* --- accounts and keys --- */
    {HTTP_POST, "/api/signup", signup_handle, ROUTE_PUBLIC,
     .tag = "Accounts", .summary = "Make an account, its owner and a key",
     .request = "signup_request", .response = "signup_result", .status = 201,
     .limit = LIMIT_SIGNUP, .errors = "403 409"},
    {HTTP_POST, "/api/auth/login", sessions_handle_login, ROUTE_PUBLIC,
     .tag = "Accounts", .summary = "Log in; the token is good for 7 days",
     .request = "login_request", .response = "login",
     .limit = LIMIT_AUTH, .errors = "401 403"},
    {HTTP_POST, "/api/auth/logout", sessions_handle_logout, ROUTE_ANY_CREDENTIAL,
     .caller = CALLER_SESSION_ALL, .tag = "Accounts", .summary = "End the session",
     .response = "success", .limit = LIMIT_AUTH},
    {HTTP_GET, "/api/auth/me", sessions_handle_me, ROUTE_PUBLIC,
     .tag = "Accounts", .summary = "Who is logged in", .response = "auth_me",
     .limit = LIMIT_AUTH, .errors = "401"},
    {HTTP_GET, "/api/me/accounts", sessions_handle_accounts, ROUTE_ANY_CREDENTIAL,
     .caller = CALLER_SESSION_ALL, .tag = "Accounts",
     .summary = "The accounts one belongs to; X-Account-Id selects another",
     .response = "my_accounts"},
    {HTTP_POST, "/api/sdk-keys", sdk_keys_handle_create, ROUTE_ANY_CREDENTIAL,
     .caller = CALLER_SESSION, .tag = "Keys", .summary = "Make a key, which is shown only here",
     .request = "key_request", .body_optional = true, .response = "new_key", .status = 201,
     .errors = "409"},
    {HTTP_GET, "/api/sdk-keys", sdk_keys_handle_list, SCOPE_EVENTS_WRITE,
     .tag = "Keys", .summary = "The active keys, newest first", .response = "key_list"},
    {HTTP_GET, "/api/sdk-keys/me", sdk_keys_handle_me, ROUTE_ANY_CREDENTIAL,
     .tag = "Keys", .summary = "The key or session that asks", .response = "key_me"},
    {HTTP_POST, "/api/sdk-keys/{id}/reset", sdk_keys_handle_reset, SCOPE_EVENTS_WRITE,
     .tag = "Keys", .summary = "Revoke a key and make one like it in its place",
     .response = "reset_key"},
    {HTTP_DELETE, "/api/sdk-keys/{id}", sdk_keys_handle_delete, SCOPE_EVENTS_WRITE,
     .tag = "Keys", .summary = "Revoke a key", .response = "success"},
    {HTTP_GET, "/api/plan", plan_handle, SCOPE_BILLING_READ,
     .tag = "Accounts", .summary = "The account's plan, what is used of it, and all plans",
     .response = "plan"},
    {HTTP_GET, "/api/usage", plan_handle_usage, SCOPE_BILLING_READ,
     .tag = "Accounts", .summary = "What is used this month", .response = "usage"},
    {HTTP_GET, "/api/usage/limits", plan_handle_limits, SCOPE_BILLING_READ,
     .tag = "Accounts", .summary = "Whether the plan's limits are reached",
     .response = "usage_limits"},

    {HTTP_GET, "/api/settings", settings_handle_get, ROUTE_ANY_CREDENTIAL,
     .tag = "Accounts", .summary = "What the account has set", .response = "settings"},
    {HTTP_PATCH, "/api/settings", settings_handle_change, SCOPE_ADMIN,
     .tag = "Accounts", .summary = "Set what is given",
     .request = "settings_request", .response = "settings"},

    /* --- data as a whole --- */
    {HTTP_GET, "/api/data/status", data_handle_status, SCOPE_CUSTOMERS_READ,
     .tag = "Data", .summary = "What data the account has", .response = "data_status"},
    {HTTP_POST, "/api/data/upload/costs", upload_handle_costs, SCOPE_CUSTOMERS_WRITE,
     .tag = "Data", .summary = "Replace uploaded monthly costs",
     .request = "costs_upload", .response = "upload_count",
     .body_bytes_max = HTTP_BODY_INGEST_MAX},
    {HTTP_POST, "/api/data/upload/usage", upload_handle_usage, SCOPE_CUSTOMERS_WRITE,
     .tag = "Data", .summary = "Replace uploaded monthly usage",
     .request = "usage_upload", .response = "upload_count",
     .body_bytes_max = HTTP_BODY_INGEST_MAX},
    {HTTP_POST, "/api/data/upload/provider-csv", upload_handle_provider, SCOPE_CUSTOMERS_WRITE,
     .tag = "Data", .summary = "Replace the uploaded bill of a provider",
     .request = "provider_upload", .response = "provider_uploaded",
     .body_bytes_max = HTTP_BODY_INGEST_MAX},
    {HTTP_POST, "/api/data/upload/revenue", upload_handle_revenue, SCOPE_CUSTOMERS_WRITE,
     .tag = "Data", .summary = "Replace uploaded customers, plans and subscriptions",
     .request = "revenue_upload", .response = "revenue_uploaded",
     .body_bytes_max = HTTP_BODY_INGEST_MAX},
    {HTTP_POST, "/api/data/upload/events-csv", upload_events_handle, SCOPE_CUSTOMERS_WRITE,
     .tag = "Data", .summary = "Store events that are rows of a text, named as members of an event",
     .request = "events_csv_request", .response = "ingest_result",
     .body_bytes_max = HTTP_BODY_INGEST_MAX},

    {HTTP_DELETE, "/api/data/clear", data_handle_clear, ROUTE_ANY_CREDENTIAL,
     .caller = CALLER_SESSION, .tag = "Data",
     .summary = "Remove all events, with their keys, and all that was uploaded",
     .response = "success"},
    {HTTP_DELETE, "/api/data/clear/revenue", data_handle_clear_revenue, ROUTE_ANY_CREDENTIAL,
     .caller = CALLER_SESSION, .tag = "Data",
     .summary = "Remove uploaded customers, plans and subscriptions", .response = "success"},
    {HTTP_DELETE, "/api/data/clear/costs", data_handle_clear_costs, ROUTE_ANY_CREDENTIAL,
     .caller = CALLER_SESSION, .tag = "Data",
     .summary = "Remove uploaded costs and provider bills", .response = "success"},
    {HTTP_DELETE, "/api/data/clear/usage", data_handle_clear_usage, ROUTE_ANY_CREDENTIAL,
     .caller = CALLER_SESSION, .tag = "Data", .summary = "Remove uploaded usage",
     .response = "success"},

    /* --- the server itself --- */
    {HTTP_GET, "/healthz", health_handle_alive, ROUTE_PUBLIC,
     .tag = "Server", .summary = "The process answers",
     .response = "health", .limit = LIMIT_NONE},
    {HTTP_GET, "/readyz", health_handle_ready, ROUTE_PUBLIC,
     .tag = "Server", .summary = "200 once recovery is done, 503 before",
     .response = "health", .limit = LIMIT_NONE},
    {HTTP_GET, "/metrics", health_handle_metrics, ROUTE_PUBLIC,
     .tag = "Server", .summary = "Counters and gauges in the Prometheus text format",
     .response = "text/plain", .limit = LIMIT_NONE},
    {HTTP_GET, "/openapi.json", docs_handle_openapi, ROUTE_PUBLIC,
     .tag = "Server", .summary = "This description, as an OpenAPI 3.1 document",
     .response = "openapi", .limit = LIMIT_NONE},
    {HTTP_GET, "/docs", docs_handle_page, ROUTE_PUBLIC,
     .tag = "Server", .summary = "This description, as a page",
     .response = "text/html", .limit = LIMIT_NONE},
    {HTTP_GET, "/llms.txt", docs_handle_text, ROUTE_PUBLIC,
     .tag = "Server", .summary = "This description, as plain text",
     .response = "text/plain", .limit = LIMIT_NONE},
};
// clang-format on
const u32 routes_count = ARRAY_COUNT(routes_table);

static struct http_route served[2 * ARRAY_COUNT(routes_table)];
static struct http_router router;
_Static_assert(ARRAY_COUNT(served) <= HTTP_ROUTES_MAX, "the router takes the table");

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

const struct http_router *routes_router(void) {
    if (router.count > 0) {
        return &router;
    }
    u32 at = 0;
    for (u32 row = 0; row < routes_count; row++) {
        const struct route *route = &routes_table[row];
        struct http_route one = {
            .method = route->method,
            .pattern = route->path,
            .handler = route->handler,
            .body_bytes_max = route->body_bytes_max != 0     ? route->body_bytes_max
                              : route->scope == ROUTE_PUBLIC ? HTTP_BODY_PUBLIC_MAX
                                                             : HTTP_BODY_MANAGE_MAX,
            .row = row,
        };
        served[at++] = one;
        if (starts_with(route->path, "/api/") && !starts_with(route->path, "/api/v1/")) {
            one.pattern += sizeof "/api" - 1;
            served[at++] = one;
        }
    }
    http_router_init(&router, served, at);
    return &router;
}

const struct route *route_of(const struct http_call *call) {
    return &routes_table[call->route->row];
}

bool routes_has_pages(const struct route *route) {
    return route->query != NULL && strstr(route->query, "offset") != NULL;
}
