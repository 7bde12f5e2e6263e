/*
 * by.c: figures grouped by one dimension: feature, customer, model, agent, cost type. One plan and
 * one row writer each; what they share stands once. The figures come from memory; only explicit
 * bounds that cut a time bucket need the log, and those answers leave the front thread.
 */
#include "api/agent_figures.h"
#include "api/auth.h"
#include "api/context.h"
#include "api/error.h"
#include "api/figures.h"
#include "api/params.h"
#include "api/reading.h"
#include "api/routes.h"
#include "api/slow.h"
#include "customer/directory.h"
#include "json/time.h"

/* Where the names of values and customers are. */
struct names {
    const struct agg *agg;
    const struct book *book;
};

typedef void (*write_row)(struct json_writer *json, const struct names *names,
                          const struct query *query, const struct query_row *row);

/* What an endpoint asks and how it answers. */
struct by {
    u8 group[QUERY_GROUPS_MAX];
    u32 group_count;
    bool present_only;  /* events without the first dimension are left out */
    bool live;          /* population: without imported invoices and without events "revenue" */
    u32 days;           /* the default window */
    const char *member; /* NULL: the answer is the array itself */
    write_row write;
};

static void write_group(struct json_writer *json, const struct names *names,
                        const struct query *query, const struct query_row *row, u32 group,
                        const char *key) {
    u32 value = row->value[group];
    json_key(json, key);
    if (value == DIM_NONE) {
        json_null(json);
    } else {
        json_string(json, agg_value_text(names->agg, (enum store_dim)query->group[group], value));
    }
}

static void write_feature(struct json_writer *json, const struct names *names,
                          const struct query *query, const struct query_row *row) {
    write_group(json, names, query, row, 0, "feature_key");
    figures_write_sums(json, &row->figures);
    figures_write_usage(json, &row->figures);
    figures_write_margin(json, &row->figures);
    figures_write_last_seen(json, &row->figures);
}

static void write_customer(struct json_writer *json, const struct names *names,
                           const struct query *query, const struct query_row *row) {
    write_group(json, names, query, row, 0, "customer_id");
    reading_write_name(json, names->agg, names->book, row->value[0]);
    figures_write_sums(json, &row->figures);
    figures_write_margin(json, &row->figures);
    figures_write_last_seen(json, &row->figures);
}

static void write_model(struct json_writer *json, const struct names *names,
                        const struct query *query, const struct query_row *row) {
    write_group(json, names, query, row, 0, "model");
    write_group(json, names, query, row, 1, "model_provider");
    figures_write_sums(json, &row->figures);
    figures_write_usage(json, &row->figures);
    figures_write_margin(json, &row->figures);
    figures_write_last_seen(json, &row->figures);
}

static void write_agent_figures(struct json_writer *json, const struct figures *figures) {
    figures_write_sums(json, figures);
    figures_write_usage(json, figures);
    figures_write_margin_r1(json, figures);
    figures_write_last_seen(json, figures);
}

static void write_agent(struct json_writer *json, const struct names *names,
                        const struct query *query, const struct query_row *row) {
    write_group(json, names, query, row, 0, "agent_id");
    write_agent_figures(json, &row->figures);
}

static void write_cost_type(struct json_writer *json, const struct names *names,
                            const struct query *query, const struct query_row *row) {
    write_group(json, names, query, row, 0, "cost_type");
    figures_write_sums(json, &row->figures);
    figures_write_usage(json, &row->figures);
}

static const struct by by_feature = {{DIM_FEATURE}, 1, false, true, 90, NULL, write_feature};
static const struct by by_customer = {{DIM_CUSTOMER}, 1, false, true, 90, NULL, write_customer};
static const struct by by_model = {{DIM_MODEL, DIM_PROVIDER}, 2, true, true, 90, NULL, write_model};
static const struct by by_agent = {{QUERY_AGENT}, 1, true, false, WINDOW_ALL, NULL, write_agent};
static const struct by by_cost_type = {{DIM_COST_TYPE}, 1, false, false, 30, "breakdown",
                                       write_cost_type};

struct question {
    const struct by *by;
    struct query query;
};

/* The query a request stands for. NULL, or why the request is not valid. */
static const char *make_query(const struct http_call *call, u32 account, const struct by *by,
                              struct query *query) {
    struct window window;
    struct page page;
    const char *bad_page = params_page(call, QUERY_ROWS_MAX, QUERY_ROWS_MAX, &page);
    const char *why = params_window(call, by->days, &window);
    *query = (struct query){.account = account,
                            .group_count = by->group_count,
                            .present_only = by->present_only,
                            .live = by->live,
                            .without_revenue = by->live,
                            .from = window.from,
                            .to = window.to,
                            .order = ORDER_COST,
                            .offset = (u32)MIN(page.offset, (u64)UINT32_MAX / 2),
                            .limit = page.limit};
    for (u32 i = 0; i < by->group_count; i++) {
        query->group[i] = by->group[i];
    }
    return why != NULL ? why : bad_page;
}

static void write_rows(struct http_call *call, const struct by *by, const struct query *query,
                       const struct query_result *result) {
    struct context *context = call->context;
    const struct names names = {context->agg,
                                directory_acquire(context->directory, query->account)};
    struct json_writer json = json_writer(&call->reply);
    if (by->member != NULL) {
        json_object_begin(&json);
        json_key(&json, by->member);
    }
    json_array_begin(&json);
    for (u32 i = 0; i < result->row_count; i++) {
        json_object_begin(&json);
        by->write(&json, &names, query, &result->rows[i]);
        json_object_end(&json);
    }
    json_array_end(&json);
    if (by->member != NULL) {
        json_object_end(&json);
    }
    directory_release(context->directory, names.book);
}

/* The answers are arrays, so the bounds that were used stand in headers; none: no bound. */
static void put_bound(struct http_call *call, const char *name, i64 time_ms) {
    char text[TIME_TEXT_BYTES];
    if (time_ms != INT64_MIN && time_ms != INT64_MAX) {
        time_format(time_ms, text);
        buf_put_format(&call->headers, "%s: %.*s\r\n", name, (int)sizeof text, text);
    }
}

static void put_bounds(struct http_call *call, i64 from, i64 to) {
    put_bound(call, "X-Window-From", from);
    put_bound(call, "X-Window-To", to);
}

static void answer(struct http_call *call, void *request) {
    const struct question *question = request;
    struct context *context = call->context;
    struct query_result result;
    const char *why;
    enum err err = query_run(context->agg, context->store, &question->query, &result, &why);
    if (err == ERR_INVALID) {
        error_invalid(call, why);
    } else if (err != ERR_OK) {
        error_of(call, err);
    } else {
        put_bounds(call, result.from, result.to);
        if (result.row_total > result.row_count) { /* or nobody would know that it is not all */
            buf_put_format(&call->headers, "X-Total-Rows: %u\r\n", result.row_total);
        }
        write_rows(call, question->by, &question->query, &result);
        query_result_free(&result);
    }
}

/* Agents within bounds, which memory does not know. */
static void answer_agents(struct http_call *call, void *request) {
    struct context *context = call->context;
    const struct query *query = &((const struct question *)request)->query;
    struct agent_figures agents;
    enum err err =
        agent_figures_read(&agents, context->store, query->account, query->from, query->to);
    if (err != ERR_OK) {
        error_of(call, err);
    } else {
        put_bounds(call, query->from, query->to);
        struct json_writer json = json_writer(&call->reply);
        json_array_begin(&json);
        u32 first = MIN(query->offset, agents.count);
        u32 end = first + MIN(query->limit, agents.count - first);
        for (u32 i = first; i < end; i++) {
            json_object_begin(&json);
            json_key(&json, "agent_id");
            json_string(&json, agent_figures_text(&agents, &agents.rows[i]));
            write_agent_figures(&json, &agents.rows[i].figures);
            json_object_end(&json);
        }
        json_array_end(&json);
    }
    agent_figures_free(&agents);
}

static bool is_same(const void *one, const void *other) {
    const struct question *a = one;
    const struct question *b = other;
    return a->by == b->by && answers_same_query(&a->query, &b->query);
}

static enum call_outcome handle(struct http_call *call, const struct by *by) {
    struct identity identity;
    if (!auth_require(call, &identity)) {
        return CALL_DONE;
    }
    struct context *context = call->context;
    struct question question = {.by = by};
    const char *why = make_query(call, identity.account, by, &question.query);
    if (why != NULL) {
        return error_invalid(call, why);
    }
    const struct query *query = &question.query;
    if (by == &by_agent && (query->from != INT64_MIN || query->to != INT64_MAX)) {
        return slow_shared(call, answer_agents, is_same, &question, sizeof question);
    }
    if (!query_is_short(context->agg, query)) {
        return slow_shared(call, answer, is_same, &question, sizeof question);
    }
    answer(call, &question);
    return CALL_DONE;
}

enum call_outcome by_handle_feature(struct http_call *call) {
    return handle(call, &by_feature);
}
enum call_outcome by_handle_customer(struct http_call *call) {
    return handle(call, &by_customer);
}
enum call_outcome by_handle_model(struct http_call *call) {
    return handle(call, &by_model);
}
enum call_outcome by_handle_agent(struct http_call *call) {
    return handle(call, &by_agent);
}
enum call_outcome by_handle_cost_type(struct http_call *call) {
    return handle(call, &by_cost_type);
}
