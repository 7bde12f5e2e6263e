/*
 * feature_pricing.c: what an event of a feature earns (Observe 2.4 step 3): list, set, remove. A
 * change is answered when it is on disk and in force; events that are stored already keep what they
 * earned.
 */
#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/routes.h"
#include "api/slow.h"
#include "query/query.h"
#include "json/reader.h"
#include "json/write.h"

#define UNIT_LABEL_DEFAULT "call"
#define DIRECT_RULES_MAX 500 /* more are written by a reader thread */

/* --- the list -------------------------------------------------------------------------------- */

static void write_rule(struct json_writer *json, const struct feature_price *price) {
    json_object_begin(json);
    json_key(json, "feature_key");
    json_string(json, price->feature);
    json_key(json, "revenue_per_unit");
    json_decimal(json, price->revenue, 12);
    json_key(json, "unit_label");
    json_string(json, price->unit_label);
    json_key(json, "effective_from");
    json_time(json, price->effective_ms);
    json_key(json, "created_at");
    json_time(json, price->created_ms);
    json_object_end(json);
}

static void write_rules(struct http_call *call, const struct price_book *book) {
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "rules");
    json_array_begin(&json);
    for (u32 i = 0; book != NULL && i < book->feature_count; i++) {
        write_rule(&json, &book->features[i]);
    }
    json_array_end(&json);
    json_object_end(&json);
}

static void work_list(struct http_call *call, u32 account) {
    struct context *context = call->context;
    const struct price_view *view = prices_acquire(context->prices);
    write_rules(call, price_view_book(view, account));
    prices_release(context->prices, view);
}

enum call_outcome feature_pricing_handle_list(struct http_call *call) {
    struct context *context = call->context;
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    const struct price_view *view = prices_acquire(context->prices);
    const struct price_book *book = price_view_book(view, identity.account);
    bool direct = book == NULL || book->feature_count <= DIRECT_RULES_MAX;
    if (direct) {
        write_rules(call, book);
    }
    prices_release(context->prices, view);
    return direct ? CALL_DONE : slow_reply(call, identity.account, work_list);
}

/* --- features there are ---------------------------------------------------------------------- */

/* All features of events or prices; both lists are in order. */
static void write_features(struct http_call *call, const struct query_result *result,
                           const struct price_book *book) {
    struct context *context = call->context;
    struct json_writer json = json_writer(&call->reply);
    u32 priced = 0;
    u32 priced_count = book != NULL ? book->feature_count : 0;
    json_object_begin(&json);
    json_key(&json, "features");
    json_array_begin(&json);
    for (u32 row = 0; row < result->row_count || priced < priced_count;) {
        struct slice seen = {NULL, 0};
        if (row < result->row_count) {
            seen = agg_value_text(context->agg, DIM_FEATURE, result->rows[row].value[0]);
        }
        struct slice next = priced < priced_count ? book->features[priced].feature : seen;
        int order = row == result->row_count ? 1
                    : priced == priced_count ? -1
                                             : price_compare_text(seen, next);
        json_string(&json, order <= 0 ? seen : next);
        row += order <= 0;
        priced += order >= 0;
    }
    json_array_end(&json);
    json_object_end(&json);
}

static struct query features_query(u32 account) {
    return (struct query){.account = account,
                          .group = {DIM_FEATURE},
                          .group_count = 1,
                          .present_only = true,
                          .from = INT64_MIN,
                          .to = INT64_MAX,
                          .order = ORDER_KEY,
                          .ascending = true,
                          .limit = QUERY_ROWS_MAX};
}

static void work_features(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct query query = features_query(account);
    struct query_result result;
    const char *why = NULL;
    enum err err = query_run(context->agg, context->store, &query, &result, &why);
    if (err != ERR_OK) {
        error_of(call, err);
        return;
    }
    const struct price_view *view = prices_acquire(context->prices);
    write_features(call, &result, price_view_book(view, account));
    prices_release(context->prices, view);
    query_result_free(&result);
}

enum call_outcome feature_pricing_handle_features(struct http_call *call) {
    struct context *context = call->context;
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    struct query query = features_query(identity.account);
    if (!query_is_short(context->agg, &query)) {
        return slow_reply(call, identity.account, work_features);
    }
    work_features(call, identity.account);
    return CALL_DONE;
}

/* --- changes --------------------------------------------------------------------------------- */

struct rule {
    struct slice feature;
    struct slice unit_label;
    i64 revenue; /* -1: not given */
};

static bool read_member(struct json_reader *reader, struct slice name, struct rule *rule) {
    if (slice_is(name, "feature_key")) {
        return json_read_string(reader, &rule->feature);
    }
    if (slice_is(name, "unit_label")) {
        return json_read_null(reader) || json_read_string(reader, &rule->unit_label);
    }
    if (!slice_is(name, "revenue_per_unit")) {
        return json_read_skip(reader);
    }
    if (!json_read_decimal(reader, 12, NUMBER_HALF_EVEN, &rule->revenue)) {
        return false;
    }
    if (rule->revenue < 0 || rule->revenue > EVENT_MONEY_MAX) {
        return json_read_refuse(reader, ERR_LIMIT, "revenue_per_unit is from 0 to 9000000");
    }
    return true;
}

/* False: the reply says why not. */
static bool read_rule(struct http_call *call, struct rule *rule) {
    struct json_reader reader = json_reader((char *)call->body.data, call->body.bytes);
    struct slice name;
    *rule = (struct rule){.unit_label = SLICE(UNIT_LABEL_DEFAULT), .revenue = -1};
    if (json_read_object(&reader)) {
        while (json_read_member(&reader, &name) && read_member(&reader, name, rule)) {
        }
    }
    const char *why = NULL;
    if (!json_read_finish(&reader)) {
        error_invalid_at(call, reader.error.text, reader.error.position);
        return false;
    }
    if (rule->feature.bytes == 0 || rule->feature.bytes > EVENT_FEATURE_MAX) {
        why = "feature_key must be a string of 1 to 128 bytes";
    } else if (rule->revenue < 0) {
        why = "revenue_per_unit is required";
    } else if (rule->unit_label.bytes == 0 || rule->unit_label.bytes > UNIT_LABEL_MAX) {
        why = "unit_label must be a string of 1 to 64 bytes";
    }
    if (why != NULL) {
        error_invalid(call, why);
    }
    return why == NULL;
}

static void work_set(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct rule rule;
    if (!read_rule(call, &rule)) {
        return;
    }
    enum err err = ledger_set_feature(context->ledger, account, rule.feature, rule.revenue,
                                      rule.unit_label, call->now_ms);
    if (err == ERR_LIMIT) {
        error_invalid(call, "an account may price 10000 features");
    } else if (err != ERR_OK) {
        error_of(call, err);
    } else {
        buf_put_text(&call->reply, "{\"ok\":true}");
    }
}

static void work_delete(struct http_call *call, u32 account) {
    struct context *context = call->context;
    enum err err = ledger_delete_feature(context->ledger, account, call->capture[0]);
    if (err == ERR_NOT_FOUND) {
        error_not_found(call, "the feature has no price");
    } else if (err != ERR_OK) {
        error_of(call, err);
    } else {
        buf_put_text(&call->reply, "{\"ok\":true}");
    }
}

static enum call_outcome handle(struct http_call *call, slow_work work) {
    struct identity identity;
    return auth_require(call, &identity) ? slow_reply(call, identity.account, work) : CALL_DONE;
}

enum call_outcome feature_pricing_handle_set(struct http_call *call) {
    return handle(call, work_set);
}
enum call_outcome feature_pricing_handle_delete(struct http_call *call) {
    return handle(call, work_delete);
}
