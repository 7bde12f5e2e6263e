/*
 * wire_aggregate.c: group-by queries. Answers that come from memory and are short are given at
 * once; those that need the log, or write very many rows, run on a reader thread. There, whoever
 * asks what somebody else already waits for gets the same answer, as long as its computing has not
 * begun: what was acknowledged before the question is then in it. So the same question from a
 * thousand dashboards is computed once at a time and not a thousand times.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "api/wire_service.h"

#define ROWS_AT_ONCE_MAX 2000 /* asked for by a query that is answered on the front thread */
#define QUERY_FLAGS (WIRE_LIVE | WIRE_WITHOUT_REVENUE | WIRE_ASCENDING | WIRE_PRESENT_ONLY)

struct asker {
    struct asker *next;
    struct wire_session *session;
    u32 request;
};

struct aggregate {
    struct job job;
    struct aggregate *next; /* in the context's list */
    struct context *context;
    struct asker *askers; /* the front thread's */
    _Atomic bool begun;
    struct query query;
    u64 commits; /* before it ran */
    enum err err;
    const char *why;
    struct query_result result;
    char text[WIRE_FILTERS_MAX][EVENT_CUSTOMER_MAX]; /* behind the query's filters */
};

/* NULL, or why the payload is no query (static). */
static const char *read_filters(struct wire_reader *reader, u32 count, struct query *query) {
    struct wire_filter filters[WIRE_FILTERS_MAX];
    if (!wire_service_filters(reader, count, filters)) {
        return "the query's filters are malformed";
    }
    for (u32 i = 0; i < count; i++) {
        u8 dimension = filters[i].dimension;
        if (dimension > WIRE_DIM_SOURCE || filters[i].text.bytes > EVENT_CUSTOMER_MAX ||
            (query->filter_mask >> dimension & 1) != 0) {
            return "a filter's dimension or text is not valid";
        }
        query->filter_mask |= (u32)1 << dimension;
        query->filter[dimension] = filters[i].text;
    }
    return NULL;
}

static const char *read_query(const struct wire_call *call, struct query *query) {
    struct wire_reader reader = wire_reader(call->payload);
    *query = (struct query){.account = call->session->account};
    query->group_count = wire_read_u8(&reader);
    for (u32 i = 0; i < QUERY_GROUPS_MAX; i++) {
        query->group[i] = wire_read_u8(&reader);
    }
    u8 bucket = wire_read_u8(&reader);
    u8 order = wire_read_u8(&reader);
    u8 flags = wire_read_u8(&reader);
    u32 filter_count = wire_read_u8(&reader);
    u32 window_s = wire_read_u32(&reader);
    query->offset = wire_read_u32(&reader);
    query->limit = wire_read_u32(&reader);
    query->from = wire_read_i64(&reader);
    query->to = wire_read_i64(&reader);
    if (reader.failed || query->group_count > QUERY_GROUPS_MAX || bucket > WIRE_BUCKET_MONTH ||
        order > WIRE_ORDER_LAST_SEEN || (flags & ~QUERY_FLAGS) != 0) {
        return "the query is malformed";
    }
    for (u32 i = 0; i < query->group_count; i++) {
        if (query->group[i] > WIRE_DIM_AGENT || query->group[i] == DIM_ACCOUNT) {
            return "the query groups by an unknown dimension";
        }
    }
    if (query->limit == 0 || query->limit > QUERY_ROWS_MAX) {
        return "the query's limit must be 1 to 100000";
    }
    query->bucket = (enum query_bucket)bucket;
    query->order = (enum query_order)order;
    query->ascending = (flags & WIRE_ASCENDING) != 0;
    query->present_only = (flags & WIRE_PRESENT_ONLY) != 0;
    query->live = (flags & WIRE_LIVE) != 0;
    query->without_revenue = (flags & WIRE_WITHOUT_REVENUE) != 0;
    if (window_s != 0) {
        query->from = query_window_start(call->now_ms, (i64)window_s * 1000);
        query->to = INT64_MAX;
    }
    return read_filters(&reader, filter_count, query);
}

static struct slice value_text(const struct agg *agg, u8 group, u32 value) {
    if (value == DIM_NONE) {
        return (struct slice){NULL, 0};
    }
    struct slice text = agg_value_text(agg, (enum store_dim)group, value);
    return text.data == NULL ? SLICE("") : text;
}

static usize reply_bytes(const struct agg *agg, const struct query *query,
                         const struct query_result *result) {
    usize bytes = WIRE_AGGREGATED_BYTES + WIRE_FIGURES_BYTES;
    for (u32 i = 0; i < result->row_count; i++) {
        bytes += 8 + WIRE_FIGURES_BYTES;
        for (u32 g = 0; g < query->group_count; g++) {
            bytes += 2 + value_text(agg, query->group[g], result->rows[i].value[g]).bytes;
        }
    }
    return bytes;
}

static void reply(struct wire_session *session, u32 request, const struct query *query,
                  const struct query_result *result) {
    const struct agg *agg = wire_service_context(session)->agg;
    usize bytes = reply_bytes(agg, query, result);
    char *to = bytes <= WIRE_FRAME_BYTES_MAX ? wire_reply_begin(session, bytes) : NULL;
    if (to == NULL) {
        wire_reply_error(session, request, WIRE_LIMIT,
                         "the answer is too long; ask for fewer rows at a time");
        return;
    }
    to = wire_write_u32(to, result->row_count);
    to = wire_write_u32(to, result->row_total);
    to = wire_write_i64(to, result->from);
    to = wire_write_i64(to, result->to);
    to = wire_write_u64(to, query->group_count); /* and seven zeros */
    to = wire_service_write_figures(to, &result->total);
    for (u32 i = 0; i < result->row_count; i++) {
        const struct query_row *row = &result->rows[i];
        to = wire_write_i64(to, row->bucket_start);
        to = wire_service_write_figures(to, &row->figures);
        for (u32 g = 0; g < query->group_count; g++) {
            to = wire_write_text(to, value_text(agg, query->group[g], row->value[g]));
        }
    }
    wire_reply_end(session, WIRE_AGGREGATE | WIRE_REPLY, request, to);
}

static void finish(struct wire_session *session, u32 request, const struct query *query,
                   const struct query_result *result, enum err err, const char *why) {
    if (err == ERR_OK) {
        reply(session, request, query, result);
    } else if (err == ERR_INVALID) {
        wire_reply_error(session, request, WIRE_INVALID, why);
    } else {
        wire_service_error(session, request, err);
    }
}

static void run(struct job *job) {
    struct aggregate *aggregate = job->context;
    struct context *context = aggregate->context;
    atomic_store(&aggregate->begun, true); /* before anything is read */
    aggregate->commits = pipeline_commit_count(context->pipeline);
    aggregate->err = query_run(context->agg, context->store, &aggregate->query, &aggregate->result,
                               &aggregate->why);
}

static void leave_list(struct aggregate *aggregate) {
    struct aggregate **at = &aggregate->context->aggregates;
    while (*at != aggregate) {
        at = &(*at)->next;
    }
    *at = aggregate->next;
}

static void done(struct job *job) {
    struct aggregate *aggregate = job->context;
    struct context *context = aggregate->context;
    const struct query_result *result = &aggregate->result;
    leave_list(aggregate);
    if (job->dropped) {
        aggregate->err = ERR_BUSY;
    } else if (aggregate->err == ERR_OK && result->row_count <= ANSWERS_ROWS_MAX) {
        result = answers_keep(&context->answers, aggregate->commits, &aggregate->query,
                              &aggregate->result);
    }
    while (aggregate->askers != NULL) {
        struct asker *asker = aggregate->askers;
        aggregate->askers = asker->next;
        finish(asker->session, asker->request, &aggregate->query, result, aggregate->err,
               aggregate->why);
        wire_session_end(asker->session);
        free(asker);
    }
    query_result_free(&aggregate->result); /* empty if it was kept */
    free(aggregate);
}

/* The same query with its texts where they outlive the request. */
static void copy_query(struct aggregate *to, const struct query *query) {
    to->query = *query;
    u32 count = 0;
    for (u32 dim = 0; dim < STORE_DIMS; dim++) {
        if ((query->filter_mask >> dim & 1) != 0) {
            memcpy(to->text[count], query->filter[dim].data, query->filter[dim].bytes);
            to->query.filter[dim].data = to->text[count++];
        }
    }
}

/* The same query that waits for a reader thread, or a new one. */
static struct aggregate *find_or_make(struct context *context, const struct query *query) {
    struct aggregate *aggregate = context->aggregates;
    while (aggregate != NULL &&
           (atomic_load(&aggregate->begun) || !answers_same_query(&aggregate->query, query))) {
        aggregate = aggregate->next;
    }
    if (aggregate != NULL || (aggregate = calloc(1, sizeof *aggregate)) == NULL) {
        return aggregate;
    }
    aggregate->context = context;
    copy_query(aggregate, query);
    aggregate->job =
        (struct job){.run = run, .done = done, .context = aggregate, .front = context->front};
    aggregate->next = context->aggregates;
    context->aggregates = aggregate;
    return aggregate;
}

static void run_aside(struct wire_call *call, const struct query *query) {
    struct context *context = wire_service_context(call->session);
    struct asker *asker = malloc(sizeof *asker);
    struct aggregate *aggregate = asker == NULL ? NULL : find_or_make(context, query);
    if (aggregate == NULL) {
        free(asker);
        wire_service_error(call->session, call->request, ERR_NO_MEMORY);
        return;
    }
    bool first = aggregate->askers == NULL;
    *asker = (struct asker){aggregate->askers, call->session, call->request};
    aggregate->askers = asker;
    wire_session_begin(call->session);
    enum err err = first ? front_job(context->front, &aggregate->job) : ERR_OK;
    if (err != ERR_OK) {
        leave_list(aggregate);
        free(aggregate);
        free(asker);
        wire_service_error(call->session, call->request, err);
        wire_session_end(call->session);
    }
}

void wire_aggregate_rows(struct wire_call *call) {
    struct context *context = wire_service_context(call->session);
    if (!wire_service_may(call, SCOPE_EVENTS_READ)) {
        return;
    }
    struct query query;
    const char *why = read_query(call, &query);
    if (why != NULL) {
        wire_reply_error(call->session, call->request, WIRE_INVALID, why);
        return;
    }
    u64 commits = pipeline_commit_count(context->pipeline);
    const struct query_result *result = answers_find(&context->answers, commits, &query);
    enum err err = ERR_OK;
    if (result == NULL) {
        if (query.limit > ROWS_AT_ONCE_MAX || !query_is_short(context->agg, &query)) {
            run_aside(call, &query);
            return;
        }
        err = answers_run(&context->answers, context->agg, commits, &query, &result, &why);
    }
    finish(call->session, call->request, &query, result, err, why);
}
