/*
 * traces.c: GET /api/events/traces (from memory) and GET /api/events/trace/{traceId} (from the
 * log), the latter with the tree of spans on request.
 */
#include <stdlib.h>

#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/event_rows.h"
#include "api/params.h"
#include "api/reading.h"
#include "api/routes.h"
#include "api/slow.h"
#include "api/span_tree.h"
#include "query/query.h"

#define TRACES_LIMIT 50
#define TRACES_LIMIT_MAX 200

static void write_trace(struct json_writer *json, const struct agg *agg,
                        const struct trace_summary *trace) {
    const u32 *dims = agg_series_dims(agg, trace->root_series);
    json_object_begin(json);
    json_key(json, "trace_id");
    json_string(json, (struct slice){trace->id, trace->id_bytes});
    json_key(json, "start_time");
    json_time(json, trace->start_ms);
    json_key(json, "span_count");
    json_u64(json, trace->spans);
    json_key(json, "total_cost");
    json_decimal(json, trace->cost, 12);
    json_key(json, "total_revenue");
    json_decimal(json, trace->revenue, 12);
    json_key(json, "total_duration_ms");
    if (trace->duration_max_ms >= 0) {
        json_i64(json, trace->duration_max_ms);
    } else {
        json_null(json);
    }
    json_key(json, "root_event");
    json_string(json, agg_value_text(agg, DIM_EVENT_NAME, dims[DIM_EVENT_NAME]));
    json_key(json, "cost_types");
    json_array_begin(json);
    for (u32 i = 0; i < trace->cost_type_count; i++) {
        json_string(json, agg_value_text(agg, DIM_COST_TYPE, trace->cost_type[i]));
    }
    json_array_end(json);
    json_object_end(json);
}

static void answer_list(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct page page;
    struct window window;
    check(params_page(call, TRACES_LIMIT, TRACES_LIMIT_MAX, &page) == NULL);
    check(params_window(call, WINDOW_ALL, &window) == NULL);
    struct trace_summary *traces = calloc(page.limit, sizeof *traces);
    if (traces == NULL) {
        error_of(call, ERR_NO_MEMORY);
        return;
    }
    u32 count = 0;
    u32 total = 0;
    enum err err =
        query_traces(context->agg, account, window.from, window.to,
                     (u32)MIN(page.offset, (u64)UINT32_MAX), page.limit, traces, &count, &total);
    if (err != ERR_OK) {
        error_of(call, err);
    } else {
        struct json_writer json = json_writer(&call->reply);
        json_object_begin(&json);
        json_key(&json, "traces");
        json_array_begin(&json);
        for (u32 i = 0; i < count; i++) {
            write_trace(&json, context->agg, &traces[i]);
        }
        json_array_end(&json);
        json_object_end(&json);
    }
    free(traces);
}

enum call_outcome traces_handle_list(struct http_call *call) {
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    struct context *context = call->context;
    struct window window;
    struct page page;
    const char *why = params_window(call, WINDOW_ALL, &window);
    why = why != NULL ? why : params_page(call, TRACES_LIMIT, TRACES_LIMIT_MAX, &page);
    if (why != NULL) {
        return error_invalid(call, why);
    }
    if (query_trace_count(context->agg, identity.account) > DIRECT_RECORDS_MAX) {
        return slow_reply(call, identity.account, answer_list);
    }
    answer_list(call, identity.account);
    return CALL_DONE;
}

/* --- one trace -------------------------------------------------------------------------------- */

static int compare_rows(const void *a, const void *b) {
    const struct event_row *left = a;
    const struct event_row *right = b;
    if (left->time_ms != right->time_ms) {
        return left->time_ms < right->time_ms ? -1 : 1;
    }
    return (left->id > right->id) - (left->id < right->id);
}

static bool wants_tree(const struct http_call *call) {
    struct slice text;
    return http_call_param(call, "tree", &text) && text.bytes == 1 && text.data[0] == '1';
}

static enum err write_spans(struct http_call *call, struct event_rows *rows) {
    struct json_writer json = json_writer(&call->reply);
    json_object_begin(&json);
    json_key(&json, "trace_id");
    json_string(&json, call->capture[0]);
    json_key(&json, "spans");
    json_array_begin(&json);
    if (rows->count > 1) {
        qsort(rows->rows, rows->count, sizeof *rows->rows, compare_rows);
    }
    for (u32 i = 0; i < rows->count; i++) {
        json_raw(&json, event_rows_text(rows, &rows->rows[i]));
    }
    json_array_end(&json);
    enum err err = ERR_OK;
    if (wants_tree(call)) {
        json_key(&json, "tree");
        err = span_tree_write(&json, rows);
    }
    json_object_end(&json);
    return err;
}

static void work_trace(struct http_call *call, u32 account) {
    struct context *context = call->context;
    struct event_object object = reading_object(context, account, false);
    struct store_filter filter = store_filter_all;
    filter.dim_mask = 1u << DIM_ACCOUNT;
    filter.dim_value[DIM_ACCOUNT] = account;
    filter.trace = call->capture[0];
    struct event_rows rows;
    event_rows_init(&rows);
    enum err err = event_rows_read(&rows, context->store, &object, &filter, TRACE_SPANS_MAX);
    reading_object_end(context, &object);
    if (err == ERR_OK) {
        err = write_spans(call, &rows);
    }
    if (err == ERR_LIMIT) {
        error_invalid(call, "the trace has more than 10000 spans; read them by GET /api/events");
    } else if (err != ERR_OK) {
        error_of(call, err);
    }
    event_rows_free(&rows);
}

enum call_outcome traces_handle_one(struct http_call *call) {
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    if (call->capture[0].bytes == 0) {
        return error_not_found(call, "no such trace");
    }
    return slow_reply(call, identity.account, work_trace);
}
