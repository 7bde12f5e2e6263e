/*
 * data.c: what an account has, and taking it away: DELETE /api/data/clear and its parts, GET
 * /api/data/status. Only people may clear (and no viewers): a key that leaks must not be able to.
 *
 * To clear everything removes all events with their idempotency keys and what was uploaded of
 * customers, plans and subscriptions. People, keys, prices, definitions and settings stay, and so
 * do customers that are more than an upload (flagged by hand, of Stripe).
 */
#include "api/auth.h"
#include "api/error.h"
#include "api/routes.h"
#include "api/slow.h"
#include "api/upload.h"
#include "customer/roster.h"
#include "query/query.h"
#include "json/write.h"

/* --- clearing ----------------------------------------------------------------------------------
 */

static void put_cleared(struct http_call *call, enum err err) {
    if (err != ERR_OK) {
        error_of(call, err);
    } else {
        buf_put_text(&call->reply, "{\"success\":true}");
    }
}

static void work_all(struct http_call *call, u32 account) {
    put_cleared(call, upload_clear(call->context, account, true, call->now_ms));
}

static void work_revenue(struct http_call *call, u32 account) {
    put_cleared(call, upload_clear(call->context, account, false, call->now_ms));
}

static void work_costs(struct http_call *call, u32 account) {
    const struct slice names[] = {SLICE("cost"), SLICE("provider_import")};
    put_cleared(call, upload_replace(call->context, account, NULL, names, ARRAY_COUNT(names)));
}

static void work_usage(struct http_call *call, u32 account) {
    const struct slice names[] = {SLICE("usage")};
    put_cleared(call, upload_replace(call->context, account, NULL, names, ARRAY_COUNT(names)));
}

/* --- status ------------------------------------------------------------------------------------
 */

/* Events of source csv with a name; grouped, the rows too. */
static enum err count_uploaded(struct context *context, u32 account, const char *name,
                               bool by_customer, u64 *events, u64 *customers) {
    struct query query = {
        .account = account,
        .group = {by_customer ? DIM_CUSTOMER : DIM_EVENT_NAME},
        .group_count = 1,
        .filter_mask = (u32)1 << DIM_SOURCE | (u32)1 << DIM_EVENT_NAME,
        .from = INT64_MIN,
        .to = INT64_MAX,
        .order = ORDER_KEY,
        .limit = 1,
    };
    query.filter[DIM_SOURCE] = SLICE("csv");
    query.filter[DIM_EVENT_NAME] = (struct slice){name, __builtin_strlen(name)};
    struct query_result result;
    const char *why;
    enum err err = query_run(context->agg, context->store, &query, &result, &why);
    if (err == ERR_OK) {
        *events += result.total.events;
        *customers += result.row_total;
        query_result_free(&result);
    }
    return err;
}

static enum err count_events(struct context *context, u32 account, u64 *events) {
    struct query query = {.account = account,
                          .group = {DIM_SOURCE},
                          .group_count = 1,
                          .from = INT64_MIN,
                          .to = INT64_MAX,
                          .order = ORDER_KEY,
                          .limit = 1};
    struct query_result result;
    const char *why;
    enum err err = query_run(context->agg, context->store, &query, &result, &why);
    if (err == ERR_OK) {
        *events = result.total.events;
        query_result_free(&result);
    }
    return err;
}

struct status {
    u64 events;
    u64 customers;
    u64 uploaded; /* plans and subscriptions */
    u64 revenues;
    u64 revenue_customers;
    u64 costs;
    u64 usages;
};

static enum err read_status(struct context *context, u32 account, struct status *status) {
    struct roster_page page = {.limit = 0};
    u64 ignored = 0;
    *status = (struct status){.events = 0};
    enum err err = roster_read(context->rosters, context->agg, account, false, &page);
    if (err != ERR_OK) {
        return err;
    }
    status->customers = page.total;
    status->uploaded = (u64)page.book->product_count + page.book->subscription_count;
    directory_release(context->directory, page.book);
    err = count_events(context, account, &status->events);
    if (err == ERR_OK) {
        err = count_uploaded(context, account, "revenue", true, &status->revenues,
                             &status->revenue_customers);
    }
    if (err == ERR_OK) {
        err = count_uploaded(context, account, "cost", false, &status->costs, &ignored);
    }
    if (err == ERR_OK) {
        err = count_uploaded(context, account, "provider_import", false, &status->costs, &ignored);
    }
    return err == ERR_OK
               ? count_uploaded(context, account, "usage", false, &status->usages, &ignored)
               : err;
}

static void work_status(struct http_call *call, u32 account) {
    struct status status;
    enum err err = read_status(call->context, account, &status);
    if (err != ERR_OK) {
        error_of(call, err);
        return;
    }
    bool has_data = status.events > 0 || status.customers > 0 || status.uploaded > 0;
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "data_mode");
    json_text(&json, has_data ? "user" : "none");
    json_key(&json, "has_data");
    json_bool(&json, has_data);
    json_key(&json, "customer_count");
    json_u64(&json, status.customers);
    json_key(&json, "has_revenue");
    json_bool(&json, status.revenues > 0);
    json_key(&json, "has_costs");
    json_bool(&json, status.costs > 0);
    json_key(&json, "has_usage");
    json_bool(&json, status.usages > 0);
    json_key(&json, "revenue_customer_count");
    json_u64(&json, status.revenue_customers);
    json_key(&json, "costs_record_count");
    json_u64(&json, status.costs);
    json_key(&json, "usage_record_count");
    json_u64(&json, status.usages);
    json_key(&json, "last_sync_at"); /* of a payment provider's data; there is no connection */
    json_null(&json);
    json_object_end(&json);
}

/* --- routes ------------------------------------------------------------------------------------
 */

static enum call_outcome handle(struct http_call *call, slow_work work) {
    struct identity identity;
    return auth_require(call, &identity) ? slow_reply(call, identity.account, work) : CALL_DONE;
}

enum call_outcome data_handle_clear(struct http_call *call) {
    return handle(call, work_all);
}

enum call_outcome data_handle_clear_revenue(struct http_call *call) {
    return handle(call, work_revenue);
}

enum call_outcome data_handle_clear_costs(struct http_call *call) {
    return handle(call, work_costs);
}

enum call_outcome data_handle_clear_usage(struct http_call *call) {
    return handle(call, work_usage);
}

enum call_outcome data_handle_status(struct http_call *call) {
    return handle(call, work_status);
}
