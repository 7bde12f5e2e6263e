/*
 * query.h: aggregate queries: group by, filters, window, bucket width, order, page. Answers come
 * from series, cells and time buckets; only explicit bounds that cut a bucket need the log's ragged
 * ends.
 */
#ifndef MARGIN_QUERY_QUERY_H
#define MARGIN_QUERY_QUERY_H

#include "agg/agg.h"
#include "store.h"

#define QUERY_GROUPS_MAX 3
#define QUERY_AGENT STORE_DIMS /* pseudo dimension: the agent; all time only, alone, no filters */
/* Another, enum revenue_source: known by model, provider and source only. */
#define QUERY_REVENUE_SOURCE (STORE_DIMS + 1)
#define QUERY_DIMS (STORE_DIMS + 2)

enum query_bucket { BUCKET_NONE, BUCKET_MINUTE, BUCKET_HOUR, BUCKET_DAY, BUCKET_MONTH };

enum query_order { /* ties by group texts ascending */
                   ORDER_KEY,
                   ORDER_EVENTS,
                   ORDER_COST,
                   ORDER_REVENUE,
                   ORDER_MARGIN, /* revenue - cost */
                   ORDER_USAGE,
                   ORDER_LAST_SEEN,
                   QUERY_ORDERS
};

struct query {
    u32 account;
    u8 group[QUERY_GROUPS_MAX]; /* enum store_dim, or QUERY_AGENT */
    u32 group_count;
    u32 filter_mask;                 /* bit d: dimension d equals filter[d] */
    struct slice filter[STORE_DIMS]; /* texts, empty: without a value; DIM_SOURCE as "sdk" */
    bool present_only;               /* leave out rows whose first group has no value */
    bool live;                       /* without source stripe */
    bool without_revenue;            /* without events named "revenue" */
    bool both_tokens;                /* with both token counts; known as revenue sources are */
    bool without_first;              /* first_seen is not wanted, which may make it faster */
    bool without_last;               /* last_seen likewise */
    bool unordered;                  /* all rows, in no order: `order` and page are not read */
    i64 from;                        /* ms inclusive; INT64_MIN: no bound */
    i64 to;                          /* ms exclusive; INT64_MAX: no bound */
    enum query_bucket bucket;        /* rows also by bucket start, ascending before `order` */
    enum query_order order;
    bool ascending;
    u32 offset;
    u32 limit; /* 1..QUERY_ROWS_MAX */
};

/* A rolling window: the last `window_ms` before now, its start rounded down to the minute up to 24
 * h and to the hour beyond. */
i64 query_window_start(i64 now_ms, i64 window_ms);

struct figures {
    u64 events;
    i128 cost;    /* picodollars; events in a foreign unit count 0 */
    i128 revenue; /* picodollars */
    i128 usage;   /* micro-units */
    u64 input;    /* tokens */
    u64 output;
    u64 cached;
    u64 cache_write;
    u64 duration_ms;    /* sum */
    u64 duration_count; /* events that had one */
    i64 first_seen;     /* ms; INT64_MAX without events, and where the window has a lower bound or
                           buckets */
    i64 last_seen;      /* ms; INT64_MIN without events */
    u64 unpriced;       /* events with cost_source unpriced */
};

struct query_row {
    u32 value[QUERY_GROUPS_MAX]; /* value ids; DIM_NONE where absent */
    i64 bucket_start;
    struct figures figures;
};

struct query_result {
    struct query_row *rows; /* those with events; owned; query_result_free */
    u32 row_count;
    u32 row_total;        /* rows before offset and limit */
    struct figures total; /* over all rows, before offset and limit */
    i64 from;             /* the bounds that were used */
    i64 to;
};

/* True if the answer needs events from the log (and so must not run on a front thread). */
bool query_needs_log(const struct agg *agg, const struct query *query);
/* True if the answer comes from few enough records in memory or from a ranking, for a front thread
 * to give it at once. */
bool query_is_short(const struct agg *agg, const struct query *query);

/* ERR_INVALID with *why (static) for a plan that cannot be; ERR_LIMIT too many rows; ERR_NO_MEMORY,
 * ERR_CORRUPT; ERR_BUSY: time outran the query again and again. `store` may be NULL if
 * query_needs_log() is false. Any thread. */
enum err query_run(struct agg *agg, struct store *store, const struct query *query,
                   struct query_result *result, const char **why);
void query_result_free(struct query_result *result);

/* The past, of which the figures seldom change: what is before `until` is the same as long as the
 * stamp is. Any thread. */
struct query_past {
    i64 until; /* ms, a day begins there */
    u64 late;
    u64 amended;
};
struct query_past query_past(struct agg *agg);
/* The rows of two results of the query's groups and buckets as one, in its order and page. */
enum err query_merge(struct agg *agg, const struct query *query, const struct query_result *first,
                     const struct query_result *second, struct query_result *result);

/* Instead of making rows: hands over pieces of them, in no order and any number to a row; so there
 * may be any number of rows. `value` has the query's groups. */
struct query_each {
    void (*begin)(void *context); /* what came before does not count: it begins again */
    void (*piece)(void *context, const u32 *value, i64 bucket_start, const struct figures *piece);
    void *context;
};
enum err query_run_each(struct agg *agg, struct store *store, const struct query *query,
                        const struct query_each *each, const char **why);

/* The figures of some customers, by their value ids; DIM_NONE has none. The query has a window and
 * a population, no groups and no filters. `at_once`: for front threads; ERR_BUSY if it takes more
 * than a look at each. Else any thread; errors as query_run(). */
enum err query_customers(struct agg *agg, struct store *store, const struct query *query,
                         const u32 *values, u32 count, bool at_once, struct figures *figures);
/* The text of a value of any dimension to group by, QUERY_* too. Any thread. */
struct slice query_value_text(const struct agg *agg, u32 dim, u32 value);

/* margin(C, R) of the API: false for null, else an integer percent R0((R - C) / R * 100). */
bool margin_percent(i128 cost, i128 revenue, i128 *percent);

/* --- traces ---------------------------------------------------------------------------------- */

#define TRACE_COST_TYPES_MAX 5
struct trace_summary {
    char id[EVENT_TRACE_MAX];
    u32 id_bytes;
    i64 start_ms;
    u64 spans;
    i128 cost;
    i128 revenue;
    i64 duration_max_ms; /* -1: none */
    u32 root_series;     /* of the earliest event: its name is the root event */
    u32 cost_type_count;
    u32 cost_type[TRACE_COST_TYPES_MAX]; /* value ids */
};
u32 query_trace_count(struct agg *agg, u32 account);
/* Traces by start, newest first; window on start [from, to). Sets *count and *total. */
enum err query_traces(struct agg *agg, u32 account, i64 from, i64 to, u32 offset, u32 limit,
                      struct trace_summary *out, u32 *count, u32 *total);

#endif
