/*
 * agg_model.c: the figures against an oracle that keeps every event and adds up anew for every
 * question, with 128-bit numbers and strings. Random events (late, early, ahead, negative, in
 * foreign units, as large as numbers get), a clock that jumps over the edges of windows
 * or creeps over those of buckets, definitions taken back, snapshots written while events arrive,
 * and queries of every shape.
 *
 * The log that ragged bounds ask for is the oracle's own list of events.
 */
#include "agg/agg.h"
#include "query/query.h"
#include "store.h"
#include "tests/support/fact_group.h"
#include "tests/support/facts.h"
#include "tests/support/require.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 200000
#define ACCOUNTS 3
#define DAY ((i64)86400000)
#define HOUR ((i64)3600000)
#define MINUTE ((i64)60000)

static struct fact *facts;
static u32 fact_count;

/* --- the log, as the oracle has it ------------------------------------------------------------ */

struct store_scan {
    struct store_scan_options options;
    u32 next;
    struct event_batch *batch;
};

static struct agg *agg;
static struct event_batch *scan_batch;
const struct store_filter store_filter_all = {
    .time_from = INT64_MIN, .time_to = INT64_MAX, .id_to = UINT64_MAX};

enum err store_scan_open(struct store *store, const struct store_scan_options *options,
                         struct store_scan **out) {
    (void)store;
    *out = calloc(1, sizeof **out);
    require(*out != NULL);
    (*out)->options = *options;
    (*out)->batch = scan_batch;
    return ERR_OK;
}

enum err store_scan_next(struct store_scan *scan, const struct event_batch **batch,
                         const struct series_def **defs, u32 *def_count,
                         struct store_damage *damage) {
    (void)defs;
    (void)def_count;
    (void)damage;
    const struct store_filter *filter = &scan->options.filter;
    scan->batch->count = 0;
    scan->batch->text_bytes = 0;
    for (; scan->next < fact_count && scan->batch->count < EVENT_BATCH_MAX; scan->next++) {
        const struct fact *fact = &facts[scan->next];
        bool match =
            fact->number[NUM_TIME] >= filter->time_from && fact->number[NUM_TIME] < filter->time_to;
        const u32 *dims = agg_series_dims(agg, fact->series);
        for (u32 dim = 0; dim < STORE_DIMS && match; dim++) {
            match = (filter->dim_mask >> dim & 1) == 0 || dims[dim] == filter->dim_value[dim];
        }
        if (match) {
            u32 row = scan->batch->count;
            fact_put(scan->batch, row, fact);
            scan->batch->present[row] &= ~(TEXT_BIT(SERIES_TEXTS) - 1);
            scan->batch->series[row] = fact->series;
        }
    }
    *batch = scan->batch;
    return ERR_OK;
}

void store_scan_close(struct store_scan *scan) {
    free(scan);
}

/* --- questions -------------------------------------------------------------------------------- */

struct answer_row {
    u32 dim[QUERY_GROUPS_MAX]; /* index of the text, or the source */
    i64 bucket_start;
    struct figures figures;
};

static struct answer_row *answer;
static u32 answer_count;
static struct figures answer_total;

static const char *dim_text(u32 dim, u32 index) {
    if (dim == QUERY_AGENT) {
        return fact_agents[index];
    }
    return dim == DIM_SOURCE ? event_source_text((enum event_source)index) : fact_texts[dim][index];
}

static u32 fact_dim(const struct fact *fact, u32 dim) {
    if (dim == QUERY_AGENT) {
        return fact->agent;
    }
    return dim == DIM_SOURCE ? fact->source : fact->dim[dim];
}

static void add_fact(struct figures *figures, const struct fact *fact) {
    i64 time = fact->number[NUM_TIME];
    figures->events++;
    figures->cost += (fact->flags & EVENT_FLAG_FOREIGN_UNIT) != 0 ? 0 : fact->number[NUM_COST];
    figures->revenue += fact->number[NUM_REVENUE];
    figures->usage += fact->number[NUM_USAGE];
    figures->input += (u64)fact->number[NUM_INPUT];
    figures->output += (u64)fact->number[NUM_OUTPUT];
    figures->cached += (u64)fact->number[NUM_CACHED];
    figures->cache_write += (u64)fact->number[NUM_CACHE_WRITE];
    figures->duration_ms += (u64)fact->number[NUM_DURATION];
    figures->duration_count += (fact->present & NUM_BIT(NUM_DURATION)) != 0;
    figures->unpriced += fact->unpriced;
    figures->first_seen = MIN(figures->first_seen, time);
    figures->last_seen = MAX(figures->last_seen, time);
}

static bool fact_matches(const struct query *query, const struct fact *fact) {
    i64 time = fact->number[NUM_TIME];
    if (fact->account != query->account || time < query->from || time >= query->to) {
        return false;
    }
    if ((query->live && fact->source == SOURCE_STRIPE) ||
        (query->without_revenue && fact->dim[TEXT_EVENT_NAME] == 2)) {
        return false;
    }
    if (query->group_count > 0 && query->group[0] == QUERY_AGENT && fact->agent == 0) {
        return false;
    }
    if (query->present_only && query->group_count > 0 && query->group[0] != DIM_SOURCE &&
        fact_dim(fact, query->group[0]) == 0) {
        return false;
    }
    for (u32 dim = 0; dim < STORE_DIMS; dim++) {
        if ((query->filter_mask >> dim & 1) != 0) {
            const char *text = dim_text(dim, fact_dim(fact, dim));
            if (strlen(text) != query->filter[dim].bytes ||
                memcmp(text, query->filter[dim].data, query->filter[dim].bytes) != 0) {
                return false;
            }
        }
    }
    return true;
}

static const struct query *asked;

static int compare_answers(const void *left, const void *right) {
    const struct answer_row *a = left;
    const struct answer_row *b = right;
    if (a->bucket_start != b->bucket_start) {
        return a->bucket_start < b->bucket_start ? -1 : 1;
    }
    i128 keys[2] = {0, 0};
    for (u32 i = 0; i < 2; i++) {
        const struct figures *f = i == 0 ? &a->figures : &b->figures;
        keys[i] = asked->order == ORDER_EVENTS      ? (i128)f->events
                  : asked->order == ORDER_COST      ? f->cost
                  : asked->order == ORDER_REVENUE   ? f->revenue
                  : asked->order == ORDER_MARGIN    ? f->revenue - f->cost
                  : asked->order == ORDER_USAGE     ? f->usage
                  : asked->order == ORDER_LAST_SEEN ? (i128)f->last_seen
                                                    : 0;
    }
    if (keys[0] != keys[1]) {
        return (keys[0] < keys[1]) == asked->ascending ? -1 : 1;
    }
    for (u32 i = 0; i < asked->group_count; i++) {
        int order =
            strcmp(dim_text(asked->group[i], a->dim[i]), dim_text(asked->group[i], b->dim[i]));
        if (order != 0) {
            return asked->order == ORDER_KEY && !asked->ascending ? -order : order;
        }
    }
    return 0;
}

static void answer_naively(const struct query *query) {
    const struct figures none = {.first_seen = INT64_MAX, .last_seen = INT64_MIN};
    u32 capacity = 0;
    answer_count = 0;
    answer_total = none;
    free(answer);
    answer = NULL;
    for (u32 i = 0; i < fact_count; i++) {
        const struct fact *fact = &facts[i];
        if (!fact_matches(query, fact)) {
            continue;
        }
        struct answer_row row = {.figures = none};
        row.bucket_start = fact_bucket(query->bucket, fact->number[NUM_TIME]);
        for (u32 g = 0; g < query->group_count; g++) {
            row.dim[g] = fact_dim(fact, query->group[g]);
        }
        u32 at = answer_count;
        while (at > 0 && (memcmp(answer[at - 1].dim, row.dim, sizeof row.dim) != 0 ||
                          answer[at - 1].bucket_start != row.bucket_start)) {
            at--;
        }
        if (at == 0) {
            if (answer_count == capacity) {
                capacity = capacity * 2 + 16;
                answer = realloc(answer, capacity * sizeof *answer);
                require(answer != NULL);
            }
            answer[answer_count++] = row;
            at = answer_count;
        }
        add_fact(&answer[at - 1].figures, fact);
        add_fact(&answer_total, fact);
    }
    asked = query;
    if (answer_count > 0) {
        qsort(answer, answer_count, sizeof *answer, compare_answers);
    }
}

static bool same_figures(const struct figures *a, const struct figures *b, bool first) {
    return a->events == b->events && a->cost == b->cost && a->revenue == b->revenue &&
           a->usage == b->usage && a->input == b->input && a->output == b->output &&
           a->cached == b->cached && a->cache_write == b->cache_write &&
           a->duration_ms == b->duration_ms && a->duration_count == b->duration_count &&
           a->unpriced == b->unpriced && a->last_seen == b->last_seen &&
           (!first || a->first_seen == b->first_seen);
}

static void compare_query(const struct query *query) {
    answer_naively(query);
    struct query_result result;
    const char *why = NULL;
    require(query_run(agg, (struct store *)&facts, query, &result, &why) == ERR_OK);
    bool first = query->from == INT64_MIN && query->bucket == BUCKET_NONE;
    require(result.row_total == answer_count);
    require(same_figures(&result.total, &answer_total, first));
    u32 expected = answer_count > query->offset ? answer_count - query->offset : 0;
    require(result.row_count == MIN(expected, query->limit));
    for (u32 i = 0; i < result.row_count; i++) {
        const struct query_row *row = &result.rows[i];
        const struct answer_row *want = &answer[i + query->offset];
        require(row->bucket_start == want->bucket_start);
        for (u32 g = 0; g < query->group_count; g++) {
            struct slice text = agg_value_text(agg, (enum store_dim)query->group[g], row->value[g]);
            const char *wanted = dim_text(query->group[g], want->dim[g]);
            require(text.bytes == strlen(wanted) && memcmp(text.data, wanted, text.bytes) == 0);
        }
        require(same_figures(&row->figures, &want->figures, first));
    }
    query_result_free(&result);
}

static void random_window(struct query *query) {
    static const i64 windows[] = {HOUR, 3 * HOUR, DAY, 7 * DAY, 30 * DAY, 90 * DAY, 14 * DAY};
    query->from = INT64_MIN;
    query->to = INT64_MAX;
    switch (fact_below(5)) {
    case 0:
        break;
    case 1:
        query->from =
            query_window_start(fact_now - (i64)fact_below(3) * HOUR, windows[fact_below(7)]);
        break;
    case 2: /* ragged */
        query->from = fact_time();
        query->to = query->from + (i64)(fact_random() % (u64)(100 * DAY));
        break;
    case 3:
        query->to = fact_time();
        break;
    default: /* whole days or hours */
        query->from = fact_time();
        query->from -= query->from % (fact_one_in(2) ? DAY : HOUR);
        query->to = query->from + (i64)fact_below(60) * (fact_one_in(2) ? DAY : HOUR);
        break;
    }
}

static void random_query(void) {
    struct query query = {.account = fact_below(ACCOUNTS + 1)};
    query.live = fact_one_in(3);
    query.without_revenue = fact_one_in(3);
    query.present_only = fact_one_in(3);
    query.order = (enum query_order)fact_below(QUERY_ORDERS);
    query.ascending = fact_one_in(2);
    query.offset = fact_one_in(3) ? fact_below(20) : 0;
    query.limit = fact_one_in(2) ? 1 + fact_below(10) : 1000;
    random_window(&query);
    if (fact_one_in(12)) {
        query = (struct query){.account = query.account,
                               .group = {QUERY_AGENT},
                               .group_count = 1,
                               .from = INT64_MIN,
                               .to = INT64_MAX,
                               .order = query.order,
                               .ascending = query.ascending,
                               .limit = query.limit};
        compare_query(&query);
        return;
    }
    for (u32 want = fact_below(4); query.group_count < want;) {
        u8 dim = (u8)fact_below(DIM_ACCOUNT);
        bool twice = false;
        for (u32 i = 0; i < query.group_count; i++) {
            twice = twice || query.group[i] == dim;
        }
        if (!twice) {
            query.group[query.group_count++] = dim;
        }
    }
    for (u32 i = fact_below(3); i > 0; i--) {
        u32 dim = fact_below(DIM_ACCOUNT);
        const char *text = dim_text(dim, dim == DIM_SOURCE ? fact_below(EVENT_SOURCES)
                                                           : fact_below(fact_text_counts[dim]));
        if (fact_one_in(10)) {
            text = "never seen";
        }
        query.filter_mask |= 1u << dim;
        query.filter[dim] = (struct slice){text, strlen(text)};
    }
    query.bucket = fact_one_in(3) ? (enum query_bucket)fact_below(5) : BUCKET_NONE;
    if (query.bucket == BUCKET_MINUTE && query.from == INT64_MIN) {
        query.from = fact_now - 2 * DAY;
        query.to = MAX(query.to, query.from);
    }
    compare_query(&query);
}

static u32 naive_traces(u32 account, struct trace_summary *list, u32 *spans_of, u32 max) {
    u32 count = 0;
    for (u32 i = 0; i < fact_count; i++) {
        const struct fact *fact = &facts[i];
        if (fact->account != account || fact->trace == 0) {
            continue;
        }
        u32 at = 0;
        while (at < count && spans_of[at] != fact->trace) {
            at++;
        }
        struct trace_summary *trace = &list[at];
        if (at == count) {
            require(count < max);
            spans_of[count++] = fact->trace;
            *trace = (struct trace_summary){.start_ms = INT64_MAX, .duration_max_ms = -1};
            trace->id_bytes = (u32)snprintf(trace->id, sizeof trace->id, "t%u", fact->trace);
        }
        if (fact->number[NUM_TIME] < trace->start_ms) {
            trace->start_ms = fact->number[NUM_TIME];
            trace->root_series = fact->series;
        }
        trace->spans++;
        trace->cost += (fact->flags & EVENT_FLAG_FOREIGN_UNIT) != 0 ? 0 : fact->number[NUM_COST];
        trace->revenue += fact->number[NUM_REVENUE];
        if ((fact->present & NUM_BIT(NUM_DURATION)) != 0) {
            trace->duration_max_ms = MAX(trace->duration_max_ms, fact->number[NUM_DURATION]);
        }
        trace->cost_type_count |= 1u << fact->dim[TEXT_COST_TYPE]; /* a set, for now */
    }
    return count;
}

static int compare_traces(const void *left, const void *right) {
    const struct trace_summary *a = left;
    const struct trace_summary *b = right;
    if (a->start_ms != b->start_ms) {
        return a->start_ms > b->start_ms ? -1 : 1;
    }
    return strcmp(a->id, b->id);
}

static void compare_cost_types(const struct trace_summary *got, u32 set) {
    const char *names[16];
    u32 count = 0;
    for (u32 i = 0; i < 16; i++) {
        if ((set >> i & 1) != 0) {
            u32 at = count++;
            while (at > 0 && strcmp(names[at - 1], fact_texts[TEXT_COST_TYPE][i]) > 0) {
                names[at] = names[at - 1];
                at--;
            }
            names[at] = fact_texts[TEXT_COST_TYPE][i];
        }
    }
    require(got->cost_type_count == MIN(count, (u32)TRACE_COST_TYPES_MAX));
    for (u32 i = 0; i < got->cost_type_count; i++) {
        struct slice text = agg_value_text(agg, DIM_COST_TYPE, got->cost_type[i]);
        require(text.bytes == strlen(names[i]) && memcmp(text.data, names[i], text.bytes) == 0);
    }
}

static void compare_trace_list(void) {
    static struct trace_summary list[1024];
    static struct trace_summary out[1024];
    static u32 ids[1024];
    u32 account = fact_below(ACCOUNTS);
    i64 from = fact_one_in(2) ? INT64_MIN : fact_now - (i64)fact_below(1000) * HOUR;
    i64 to = fact_one_in(2) ? INT64_MAX : fact_now - (i64)fact_below(100) * HOUR;
    u32 all = naive_traces(account, list, ids, 1024);
    u32 want = 0;
    for (u32 i = 0; i < all; i++) {
        if (list[i].start_ms >= from && list[i].start_ms < to) {
            list[want++] = list[i];
        }
    }
    qsort(list, want, sizeof *list, compare_traces);
    u32 offset = fact_below(30);
    u32 limit = 1 + fact_below(200);
    u32 count;
    u32 total;
    require(query_traces(agg, account, from, to, offset, limit, out, &count, &total) == ERR_OK);
    require(total == want);
    require(count == MIN(want > offset ? want - offset : 0, limit));
    for (u32 i = 0; i < count; i++) {
        const struct trace_summary *a = &out[i];
        const struct trace_summary *b = &list[i + offset];
        require(a->id_bytes == b->id_bytes && memcmp(a->id, b->id, a->id_bytes) == 0);
        require(a->start_ms == b->start_ms && a->spans == b->spans && a->cost == b->cost &&
                a->revenue == b->revenue && a->duration_max_ms == b->duration_max_ms);
        require(a->root_series == b->root_series);
        compare_cost_types(a, b->cost_type_count);
    }
}

/* --- doing ------------------------------------------------------------------------------------ */

static struct event_batch *batch_make(void) {
    struct event_batch *batch = calloc(1, sizeof *batch);
    require(batch != NULL);
    batch->text_bytes_max = 1024 * EVENT_BATCH_MAX;
    batch->text = malloc(batch->text_bytes_max);
    require(batch->text != NULL);
    return batch;
}

static void batch_free(struct event_batch *batch) {
    free(batch->text);
    free(batch);
}

/* The definitions a log would have, for recovery. */
static struct series_def *defs;
static u32 def_count;

static void keep_defs(u32 end) {
    defs = realloc(defs, (end + 1) * sizeof *defs);
    require(defs != NULL);
    while (def_count < end) {
        struct series_def *def = &defs[def_count];
        *def = agg_definition(agg, def_count);
        require(def->series == def_count++);
        for (u32 text = 0; text < SERIES_TEXTS; text++) {
            char *copy = malloc(def->text[text].bytes + 1);
            require(copy != NULL);
            memcpy(copy, def->text[text].data, def->text[text].bytes);
            def->text[text].data = copy;
        }
    }
}

static void group_settle(struct fact_group *group) {
    keep_defs(group->end.series);
    agg_settle_to(agg, group->end);
    require(agg_series_count(agg) == def_count);
}

static void group_apply(struct fact_group *group) {
    agg_advance(agg, fact_now);
    agg_apply(agg, group->batch, group->rows, group->count);
    require(fact_count + group->count <= EVENTS_MAX);
    for (u32 i = 0; i < group->count; i++) {
        group->fact[i].series = group->batch->series[i];
        facts[fact_count++] = group->fact[i];
    }
}

static void send_events(struct event_batch *batch, u32 count, bool plain) {
    static struct fact made[EVENT_BATCH_MAX];
    struct fact_group group = {.batch = batch, .fact = made, .count = count};
    fact_group_make(&group, plain ? 1 : fact_below(ACCOUNTS), plain);
    fact_group_resolve(agg, &group);
    if (fact_one_in(4)) { /* the log refused: everything again, without one event */
        agg_undo(agg);
        fact_group_unresolve(agg, &group);
        fact_group_resolve_in_vain(agg, &group);
        fact_group_resolve(agg, &group);
    }
    group_settle(&group);
    group_apply(&group);
}

static struct event_batch *overlap_batch;

/* Two groups at a time: the second is resolved before the first is settled. */
static void send_overlapping(struct event_batch *batch) {
    static struct fact made[2][100];
    struct fact_group first = {.batch = batch, .fact = made[0], .count = 1 + fact_below(100)};
    struct fact_group second = {
        .batch = overlap_batch, .fact = made[1], .count = 1 + fact_below(100)};
    fact_group_make(&first, fact_below(ACCOUNTS), false);
    fact_group_make(&second, fact_below(ACCOUNTS), false);
    fact_group_resolve(agg, &first);
    if (fact_one_in(2)) { /* a batch of the second cannot be decided */
        fact_group_resolve_in_vain(agg, &second);
    }
    fact_group_resolve(agg, &second);
    switch (fact_below(3)) {
    case 0:
        group_settle(&first);
        group_apply(&first);
        break;
    case 1: /* the log refused the first, which comes again later */
        agg_undo_to(agg, first.begin);
        fact_group_unresolve(agg, &first);
        fact_group_unresolve(agg, &second);
        fact_group_resolve(agg, &second);
        group_settle(&second);
        fact_group_resolve(agg, &first);
        group_apply(&second);
        group_settle(&first);
        group_apply(&first);
        return;
    default: /* the log refused the second, before the first was applied */
        group_settle(&first);
        agg_undo_to(agg, second.begin);
        fact_group_unresolve(agg, &second);
        group_apply(&first);
        fact_group_resolve(agg, &second);
        break;
    }
    group_settle(&second);
    group_apply(&second);
    require(agg_mark(agg).series == def_count);
}

static void let_time_pass(void) {
    switch (fact_below(12)) {
    case 0:
        fact_now += DAY * fact_below(40);
        break;
    case 1:
        fact_now += HOUR * fact_below(30);
        break;
    case 2:
        fact_now += HOUR - fact_now % HOUR;
        break;
    default:
        fact_now += fact_below(100000);
        break;
    }
    agg_advance(agg, fact_now);
}

/* An hour passes an edge, a few rows at a time, while late events for it and questions come. */
static void pass_edge(struct event_batch *batch) {
    static const i64 ages[] = {7 * DAY, 30 * DAY, 90 * DAY};
    i64 age = ages[fact_below(3)];
    while (fact_one_in(2)) {
        agg_advance(agg, fact_now);
    }
    fact_hour = (fact_now - age) / HOUR * HOUR;
    send_events(batch, 200, false);
    fact_now += HOUR;
    for (u32 round = 0; round < 12; round++) {
        agg_advance(agg, fact_now);
        if (fact_one_in(3)) {
            send_events(batch, 1 + fact_below(5), false);
        }
        struct query query = {.account = fact_below(ACCOUNTS),
                              .group_count = fact_below(2),
                              .group = {(u8)(fact_one_in(2) ? DIM_CUSTOMER : DIM_EVENT_NAME)},
                              .from = fact_hour + (fact_one_in(2) ? HOUR : 0),
                              .to = INT64_MAX,
                              .limit = 100};
        compare_query(&query);
    }
    for (u32 i = 0; i < 3000; i++) { /* all hours pass: bands answer now */
        agg_advance(agg, fact_now);
    }
    struct query query = {.account = fact_below(ACCOUNTS),
                          .group_count = 1,
                          .group = {DIM_FEATURE},
                          .from = fact_hour + HOUR,
                          .to = INT64_MAX,
                          .limit = 100};
    compare_query(&query);
    fact_hour = 0;
}

/* A minute, an hour or a day ends, and is folded a few rows at a time, while events for it and for
 * what is left of it come, late and early ones, and questions whose buckets and bounds are there.
 */
static void pass_folds(struct event_batch *batch) {
    static const i64 units[] = {MINUTE, HOUR, DAY};
    i64 unit = units[fact_below(3)];
    i64 edge = (fact_now / unit + 1) * unit;
    fact_now = edge - (i64)fact_below(90000);
    fact_few = fact_one_in(2);
    agg_advance(agg, fact_now);
    for (u32 round = 0; round < 25; round++) {
        fact_span = (i64)(1 + fact_below(6)) * MINUTE;
        fact_hour = (fact_one_in(3) ? edge + MINUTE : fact_now) - fact_span;
        send_events(batch, 1 + fact_below(12), false);
        fact_now += fact_one_in(12) ? (i64)fact_below(3 * 3600000) : (i64)fact_below(40000);
        for (u32 i = fact_below(3); i > 0; i--) {
            agg_advance(agg, fact_now);
        }
        i64 whole = fact_one_in(2) ? DAY : fact_one_in(2) ? HOUR : MINUTE;
        struct query query = {.account = fact_below(ACCOUNTS),
                              .group_count = fact_below(2),
                              .group = {(u8)(fact_one_in(2) ? DIM_CUSTOMER : DIM_EVENT_NAME)},
                              .from = (edge - (i64)fact_below(3) * whole) / whole * whole,
                              .to = fact_one_in(3) ? edge + (i64)fact_below(3) * MINUTE : INT64_MAX,
                              .bucket = (enum query_bucket)fact_below(5),
                              .limit = 1000};
        query.to = MAX(query.to, query.from);
        if (fact_one_in(4)) {
            query.from = INT64_MIN;
            query.bucket = fact_one_in(2) ? BUCKET_DAY : BUCKET_MONTH;
        }
        compare_query(&query);
    }
    fact_few = false;
    fact_hour = 0;
    fact_span = HOUR;
}

/* --- snapshots -------------------------------------------------------------------------------- */

struct piece {
    u32 tag;
    usize bytes;
    char *data;
};

/* Copies a snapshot while events go on arriving; returns its pieces. */
static struct piece *copy_snapshot(struct event_batch *batch, u32 *count) {
    struct piece *pieces = NULL;
    usize room = (usize)4096 << fact_below(6);
    u32 sends = 40;
    require(agg_snapshot_begin(agg) == ERR_OK);
    for (*count = 0;; (*count)++) {
        pieces = realloc(pieces, (*count + 1) * sizeof *pieces);
        require(pieces != NULL);
        struct piece *piece = &pieces[*count];
        piece->data = malloc(room);
        require(piece->data != NULL);
        require(agg_snapshot_copy(agg, piece->data, room, &piece->tag, &piece->bytes) == ERR_OK);
        if (piece->bytes == 0) {
            free(piece->data);
            break;
        }
        if (sends > 0 && fact_one_in(room < 20000 ? 40 : 4)) {
            sends--;
            send_events(batch, 1 + fact_below(60), fact_one_in(4));
            send_overlapping(batch);
            let_time_pass();
        }
        if (fact_one_in(30)) {
            random_query();
        }
    }
    agg_snapshot_end(agg);
    return pieces;
}

/* Applies what came after the snapshot, as recovery does: definitions and events of the log. */
static void apply_tail(struct event_batch *batch, u32 first) {
    static u32 rows[EVENT_BATCH_MAX];
    for (u32 i = agg_series_count(agg); i < def_count; i++) {
        require(agg_define(agg, &defs[i]) == ERR_OK);
    }
    require(agg_series_count(agg) == def_count);
    while (first < fact_count) {
        u32 some = 1 + fact_below(EVENT_BATCH_MAX);
        u32 count = MIN(fact_count - first, some);
        batch->count = 0;
        batch->text_bytes = 0;
        for (u32 i = 0; i < count; i++) {
            fact_put(batch, i, &facts[first + i]);
            batch->present[i] &= ~(TEXT_BIT(SERIES_TEXTS) - 1);
            batch->series[i] = facts[first + i].series;
            rows[i] = i;
        }
        agg_apply(agg, batch, rows, count);
        first += count;
    }
}

/* Goes on with figures made from a snapshot and the tail of the log, or from the log alone. */
static void restart(struct event_batch *batch, const struct agg_options *options, bool from_log) {
    u32 first = from_log ? 0 : fact_count;
    u32 count = 0;
    struct piece *pieces = from_log ? NULL : copy_snapshot(batch, &count);
    u32 known = agg_series_count(agg);
    u32 *dims = malloc((known + 1) * sizeof(u32) * STORE_DIMS);
    require(dims != NULL);
    for (u32 i = 0; i < known; i++) {
        memcpy(dims + i * STORE_DIMS, agg_series_dims(agg, i), sizeof(u32) * STORE_DIMS);
    }
    agg_destroy(agg);
    require(agg_create(options, &agg) == ERR_OK);
    if (fact_one_in(2)) {
        agg_advance(agg, fact_now);
    }
    for (u32 i = 0; i < count; i++) {
        require(agg_snapshot_load(agg, pieces[i].tag, pieces[i].data, pieces[i].bytes) == ERR_OK);
        free(pieces[i].data);
    }
    free(pieces);
    require(from_log || agg_snapshot_loaded(agg) == ERR_OK);
    apply_tail(batch, first);
    for (u32 i = 0; i < known; i++) { /* ids of values are what indexes on disk hold */
        require(memcmp(dims + i * STORE_DIMS, agg_series_dims(agg, i), sizeof(u32) * STORE_DIMS) ==
                0);
    }
    free(dims);
    if (fact_one_in(2)) {
        agg_advance(agg, fact_now);
    }
}

int main(int argc, char **argv) {
    seed_used = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    fact_seed = seed_used;
    fact_now = (i64)1780000000000 + fact_below(100000000);
    facts = malloc(EVENTS_MAX * sizeof *facts);
    require(facts != NULL);
    struct agg_options options = {.seed = fact_random(),
                                  .minutes_kept = fact_one_in(2) ? 0 : 1500,
                                  .advance_rows = fact_one_in(2) ? 0 : 1 + fact_below(20),
                                  .ranked_min = fact_one_in(2) ? 0 : 1,
                                  .plain = fact_one_in(3)};
    require(agg_create(&options, &agg) == ERR_OK);
    struct event_batch *batch = batch_make();
    scan_batch = batch_make();
    overlap_batch = batch_make();
    for (u32 round = 0; round < 120; round++) {
        send_events(batch, 1 + fact_below(150), false);
        send_overlapping(batch);
        let_time_pass();
        for (u32 i = 0; i < 25; i++) {
            random_query();
        }
        compare_trace_list();
        if (fact_one_in(3)) {
            pass_edge(batch);
        }
        if (fact_one_in(3)) {
            pass_folds(batch);
        }
        if (fact_one_in(8)) {
            restart(batch, &options, fact_one_in(4));
        }
    }
    for (u32 round = 0; round < 20; round++) { /* rows overflow into wide sums */
        send_events(batch, EVENT_BATCH_MAX, true);
    }
    for (u32 round = 0; round < 15; round++) {
        let_time_pass();
        random_query();
        if (round == 7) {
            restart(batch, &options, fact_one_in(2));
        }
    }
    batch_free(batch);
    batch_free(overlap_batch);
    batch_free(scan_batch);
    for (u32 i = 0; i < def_count; i++) {
        for (u32 text = 0; text < SERIES_TEXTS; text++) {
            free((void *)(usize)defs[i].text[text].data);
        }
    }
    free(defs);
    free(facts);
    free(answer);
    agg_destroy(agg);
    return 0;
}
