/* events.c: GET /api/events and GET /api/events/{id}. Both read the log, so both are slow work. */
#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/event_list.h"
#include "api/event_rows.h"
#include "api/params.h"
#include "api/reading.h"
#include "api/routes.h"
#include "api/slow.h"

#define EVENTS_LIMIT 50

static const struct {
    const char *param;
    enum store_dim dim;
} filters[] = {
    {"feature_key", DIM_FEATURE}, {"customer_id", DIM_CUSTOMER}, {"model", DIM_MODEL},
    {"source", DIM_SOURCE},       {"cost_type", DIM_COST_TYPE},
};

/* A list of all the account's events; what the request names narrows it. */
static void start_list(struct context *context, u32 account, struct event_list *list) {
    *list = (struct event_list){.filter = store_filter_all};
    list->filter.dim_mask = 1u << DIM_ACCOUNT;
    list->filter.dim_value[DIM_ACCOUNT] = account;
    list->count = (struct query){.account = account,
                                 .without_revenue = true,
                                 .from = INT64_MIN,
                                 .to = INT64_MAX,
                                 .limit = 1};
    list->left_out = agg_value_find(context->agg, account, DIM_EVENT_NAME, SLICE("revenue"));
}

/* False: a filter names a value that no event has. */
static bool add_filters(const struct http_call *call, u32 account, struct event_list *list) {
    struct context *context = call->context;
    for (u32 i = 0; i < ARRAY_COUNT(filters); i++) {
        struct slice text;
        if (!http_call_param(call, filters[i].param, &text) || text.bytes == 0) {
            continue;
        }
        enum store_dim dim = filters[i].dim;
        u32 value = agg_value_find(context->agg, account, dim, text);
        if (value == DIM_NONE) {
            return false;
        }
        list->filter.dim_mask |= 1u << dim;
        list->filter.dim_value[dim] = value;
        list->count.filter_mask |= 1u << dim;
        list->count.filter[dim] = text;
    }
    http_call_param(call, "trace_id", &list->filter.trace);
    http_call_param(call, "agent_id", &list->filter.agent);
    list->by_scan = list->filter.trace.bytes > 0 || list->filter.agent.bytes > 0;
    return true;
}

/* NULL, or why the request is not valid. */
static const char *add_order(const struct http_call *call, struct event_list *list,
                             struct page *page) {
    struct window window;
    const char *why = params_window(call, WINDOW_ALL, &window);
    if (why != NULL) {
        return why;
    }
    list->filter.time_from = list->count.from = window.from;
    list->filter.time_to = list->count.to = window.to;
    struct slice text;
    http_call_param(call, "sort_by", &text);
    list->sort = event_list_sort(text);
    http_call_param(call, "sort_dir", &text);
    list->ascending = text.bytes == 3 && text.data[0] == 'a';
    why = params_page(call, EVENTS_LIMIT, PAGE_EVENTS_MAX, page);
    list->limit = page->limit;
    list->offset = page->offset;
    return why;
}

static void write_list(struct http_call *call, const struct event_list *list, const u64 *ids,
                       u32 count, u64 total) {
    struct context *context = call->context;
    struct event_object object =
        reading_object(context, list->filter.dim_value[DIM_ACCOUNT], false);
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "events");
    json_array_begin(&json);
    enum err err = event_list_write(context->store, &object, &list->filter, ids, count, &json);
    reading_object_end(context, &object);
    json_array_end(&json);
    json_key(&json, "total");
    json_u64(&json, total);
    json_key(&json, "limit");
    json_u64(&json, list->limit);
    json_key(&json, "offset");
    json_u64(&json, list->offset);
    json_object_end(&json);
    if (err != ERR_OK) {
        error_of(call, err);
    }
}

static void work_list(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct event_list list;
    struct page page;
    start_list(context, account, &list);
    bool known = add_filters(call, account, &list);
    const char *why = add_order(call, &list, &page);
    if (why != NULL) {
        error_invalid(call, why);
        return;
    }
    u64 ids[PAGE_EVENTS_MAX];
    u32 count = 0;
    u64 total = 0;
    enum err err =
        known ? event_list_page(context->agg, context->store, &list, ids, &count, &total) : ERR_OK;
    if (err == ERR_LIMIT) {
        error_invalid(call, "offset + limit is above 1000000; narrow the list with filters");
    } else if (err != ERR_OK) {
        error_of(call, err);
    } else {
        write_list(call, &list, ids, count, total);
    }
}

enum call_outcome events_handle_list(struct http_call *call) {
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    return slow_reply(call, identity.account, work_list);
}

static void work_one(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct event_object object = reading_object(context, account, true);
    struct store_filter filter = store_filter_all;
    filter.dim_mask = 1u << DIM_ACCOUNT;
    filter.dim_value[DIM_ACCOUNT] = account;
    u64 id = 0;
    check(params_u64(call->capture[0], &id));
    struct event_rows rows;
    event_rows_init(&rows);
    enum err err = event_rows_fetch(&rows, context->store, &object, &filter, &id, 1);
    reading_object_end(context, &object);
    if (err != ERR_OK) {
        error_of(call, err);
    } else if (rows.count == 0 && rows.damaged) {
        error_of(call, ERR_CORRUPT);
    } else if (rows.count == 0) {
        error_not_found(call, "no such event");
    } else {
        buf_put_slice(&call->reply, event_rows_text(&rows, &rows.rows[0]));
    }
    event_rows_free(&rows);
}

enum call_outcome events_handle_one(struct http_call *call) {
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    u64 id;
    if (!params_u64(call->capture[0], &id) || id == 0 || id == UINT64_MAX) {
        return error_not_found(call, "no such event");
    }
    return slow_reply(call, identity.account, work_one);
}
