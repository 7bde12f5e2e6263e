/* plan.c: the plan an account is on and what is used of it this month (Observe 1.6). */
#include "account/budget.h"
#include "account/usage.h"
#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/routes.h"
#include "json/write.h"

struct standing {
    const struct plan *plan;
    u64 used[PLAN_FEATURES];
};

/* False: the reply is complete. Only events are metered: uploads are bounded one by one, and what
 * would use insights is not built into this server. */
static bool find_standing(struct http_call *call, struct standing *out) {
    struct context *api = call->context;
    struct identity identity;
    struct account_info account;
    if (!auth_require(call, &identity)) {
        return false;
    }
    enum err err = accounts_get(api->accounts, identity.account, &account);
    if (err != ERR_OK) {
        error_of(call, err);
        return false;
    }
    *out = (struct standing){.plan = accounts_plan(api->accounts, &account)};
    out->used[PLAN_EVENT_INGEST] = usage_of(api->usage, identity.account, call->now_ms);
    return true;
}

static bool is_allowed(const struct standing *standing, u32 feature) {
    i64 limit = standing->plan->limit[feature];
    return limit == PLAN_UNLIMITED || standing->used[feature] < (u64)limit;
}

/* null: unlimited. */
static void put_limit(struct json_writer *json, const char *name, i64 limit) {
    json_key(json, name);
    if (limit == PLAN_UNLIMITED) {
        json_null(json);
    } else {
        json_i64(json, limit);
    }
}

static void put_used(struct json_writer *json, const struct standing *standing, u32 feature,
                     bool remaining) {
    i64 limit = standing->plan->limit[feature];
    u64 used = standing->used[feature];
    json_key(json, "used");
    json_u64(json, used);
    put_limit(json, "limit", limit);
    if (remaining) {
        bool spent = limit != PLAN_UNLIMITED && used >= (u64)limit;
        put_limit(json, "remaining",
                  limit == PLAN_UNLIMITED ? limit
                  : spent                 ? 0
                                          : limit - (i64)used);
    }
}

static void put_catalog(struct json_writer *json, const struct plans *plans) {
    json_key(json, "catalog");
    json_array_begin(json);
    for (u32 i = 0; i < plans->count; i++) {
        const struct plan *plan = &plans->plan[i];
        json_object_begin(json);
        json_key(json, "plan");
        json_text(json, plan->name);
        json_key(json, "price_usd_month");
        json_decimal(json, plan->price_cents, 2);
        json_key(json, "limits");
        json_object_begin(json);
        for (u32 feature = 0; feature < PLAN_FEATURES; feature++) {
            put_limit(json, plan_feature_text((enum plan_feature)feature), plan->limit[feature]);
        }
        json_object_end(json);
        json_object_end(json);
    }
    json_array_end(json);
}

enum call_outcome plan_handle(struct http_call *call) {
    struct context *api = call->context;
    struct standing standing;
    if (!find_standing(call, &standing)) {
        return CALL_DONE;
    }
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "plan");
    json_text(&json, standing.plan->name);
    json_key(&json, "features");
    json_array_begin(&json);
    for (u32 i = 0; i < PLAN_FEATURES; i++) {
        json_object_begin(&json);
        json_key(&json, "feature_key");
        json_text(&json, plan_feature_text((enum plan_feature)i));
        put_used(&json, &standing, i, true);
        json_key(&json, "allowed");
        json_bool(&json, is_allowed(&standing, i));
        json_key(&json, "reset");
        json_text(&json, "monthly");
        json_key(&json, "reset_at");
        json_time(&json, budget_next_month(call->now_ms));
        json_object_end(&json);
    }
    json_array_end(&json);
    put_catalog(&json, accounts_plans(api->accounts));
    json_object_end(&json);
    return CALL_DONE;
}

/* The highest used / limit * 100 in tenths, rounded half up; a limit of 0 is used up. */
static i64 find_percent_tenths(const struct standing *standing) {
    i128 most = 0;
    for (u32 i = 0; i < PLAN_FEATURES; i++) {
        i128 limit = standing->plan->limit[i];
        if (limit != PLAN_UNLIMITED) {
            i128 used = (i128)standing->used[i];
            i128 tenths = limit == 0 ? 1000 : (used * 2000 + limit) / (2 * limit);
            most = MAX(most, tenths);
        }
    }
    return (i64)MIN(most, (i128)INT64_MAX);
}

/* "2026-05" */
static void put_month(struct json_writer *json, i64 now_ms) {
    struct buf text;
    buf_init(&text, 64);
    struct json_writer inner = json_writer(&text);
    json_time(&inner, budget_this_month(now_ms)); /* "2026-05-01T..., with its quotes */
    json_key(json, "period");
    json_string(json, text.failed ? (struct slice){NULL, 0} : (struct slice){text.data + 1, 7});
    buf_free(&text);
}

enum call_outcome plan_handle_usage(struct http_call *call) {
    struct standing standing;
    if (!find_standing(call, &standing)) {
        return CALL_DONE;
    }
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    put_month(&json, call->now_ms);
    json_key(&json, "plan");
    json_text(&json, standing.plan->name);
    json_key(&json, "usage");
    json_object_begin(&json);
    for (u32 i = 0; i < PLAN_FEATURES; i++) {
        json_key(&json, plan_feature_text((enum plan_feature)i));
        json_object_begin(&json);
        put_used(&json, &standing, i, false);
        json_key(&json, "reset");
        json_text(&json, "monthly");
        json_object_end(&json);
    }
    json_object_end(&json);
    json_key(&json, "percent_used");
    json_decimal(&json, find_percent_tenths(&standing), 1);
    json_object_end(&json);
    return CALL_DONE;
}

enum call_outcome plan_handle_limits(struct http_call *call) {
    static const enum plan_feature shown[] = {PLAN_EVENT_INGEST, PLAN_AI_INSIGHTS};
    struct standing standing;
    if (!find_standing(call, &standing)) {
        return CALL_DONE;
    }
    bool configured = false;
    for (u32 i = 0; i < PLAN_FEATURES; i++) {
        configured |= standing.plan->limit[i] != PLAN_UNLIMITED;
    }
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "configured"); /* whether anything is limited */
    json_bool(&json, configured);
    for (u32 i = 0; i < ARRAY_COUNT(shown); i++) {
        json_key(&json, plan_feature_text(shown[i]));
        json_object_begin(&json);
        json_key(&json, "allowed");
        json_bool(&json, is_allowed(&standing, shown[i]));
        json_key(&json, "usage");
        json_object_begin(&json);
        put_used(&json, &standing, shown[i], true);
        json_object_end(&json);
        json_object_end(&json);
    }
    json_object_end(&json);
    return CALL_DONE;
}
