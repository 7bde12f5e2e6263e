/*
 * clear_model.c: events that are taken out of the figures, and revenue that changes, against
 * figures made anew from the events that are left. Random events, clears of accounts and of
 * sources, expiries while others come, changes of revenue, snapshots in between, a clock that jumps
 * and creeps; then the two must answer every question alike. (That figures are the sums of their
 * events is agg_model's and activity_model's to show.)
 *
 * The log that ragged bounds ask for is the list of events.
 */
#include "agg/agg.h"
#include "agg/clear.h"
#include "agg/expire.h"
#include "agg/months.h"
#include "agg/tally.h"
#include "query/activity.h"
#include "query/query.h"
#include "store.h"
#include "tests/support/fact_group.h"
#include "tests/support/require.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 60000
#define ACCOUNTS 3
#define DAY ((i64)86400000)
#define HOUR ((i64)3600000)
#define MINUTE ((i64)60000)

static struct agg *agg;  /* lives on */
static struct agg *anew; /* made of what is left */
static struct agg_options options;
static struct fact *facts;
static u32 fact_count;
static struct event_batch *batch;

/* --- the log ---------------------------------------------------------------------------------- */

struct store_scan {
    struct store_scan_options options;
    u32 next;
    struct event_batch *batch;
};

static struct event_batch *scan_batch;
const struct store_filter store_filter_all = {
    .time_from = INT64_MIN, .time_to = INT64_MAX, .id_to = UINT64_MAX};

enum err store_scan_open(struct store *store, const struct store_scan_options *wanted,
                         struct store_scan **out) {
    (void)store;
    *out = calloc(1, sizeof **out);
    require(*out != NULL);
    (*out)->options = *wanted;
    (*out)->batch = scan_batch;
    return ERR_OK;
}

enum err store_scan_next(struct store_scan *scan, const struct event_batch **out,
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
        i64 time = fact->number[NUM_TIME];
        bool match = time >= filter->time_from && time < filter->time_to;
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
    *out = scan->batch;
    return ERR_OK;
}

void store_scan_close(struct store_scan *scan) {
    free(scan);
}

/* --- comparing -------------------------------------------------------------------------------- */

static bool same_figures(const struct figures *a, const struct figures *b, bool last) {
    return a->events == b->events && a->cost == b->cost && a->revenue == b->revenue &&
           a->usage == b->usage && a->input == b->input && a->output == b->output &&
           a->cached == b->cached && a->cache_write == b->cache_write &&
           a->duration_ms == b->duration_ms && a->duration_count == b->duration_count &&
           a->unpriced == b->unpriced && a->first_seen == b->first_seen &&
           (!last || a->last_seen == b->last_seen);
}

static void compare_query(const struct query *query) {
    struct query_result a;
    struct query_result b;
    const char *why = NULL;
    struct store *store = (struct store *)&facts;
    /* What a change of revenue leaves behind in its old source may look later than it is. */
    bool last = !query->both_tokens;
    for (u32 i = 0; i < query->group_count; i++) {
        last = last && query->group[i] != QUERY_REVENUE_SOURCE;
    }
    require(query_run(agg, store, query, &a, &why) == ERR_OK);
    require(query_run(anew, store, query, &b, &why) == ERR_OK);
    require(a.row_total == b.row_total && a.row_count == b.row_count);
    require(same_figures(&a.total, &b.total, last));
    for (u32 i = 0; i < a.row_count; i++) {
        const struct query_row *left = &a.rows[i];
        const struct query_row *right = &b.rows[i];
        require(left->bucket_start == right->bucket_start);
        require(same_figures(&left->figures, &right->figures, last));
        for (u32 g = 0; g < query->group_count; g++) {
            struct slice x = query_value_text(agg, query->group[g], left->value[g]);
            struct slice y = query_value_text(anew, query->group[g], right->value[g]);
            require(x.bytes == y.bytes && (x.bytes == 0 || memcmp(x.data, y.data, x.bytes) == 0));
        }
    }
    query_result_free(&a);
    query_result_free(&b);
}

static void random_window(struct query *query) {
    static const i64 windows[] = {HOUR, 3 * HOUR, DAY, 7 * DAY, 30 * DAY, 90 * DAY, 14 * DAY};
    query->from = INT64_MIN;
    query->to = INT64_MAX;
    switch (fact_below(5)) {
    case 0:
    case 1:
        break;
    case 2:
        query->from = query_window_start(fact_now, windows[fact_below(7)]);
        break;
    case 3:
        query->from = fact_time();
        query->to = query->from + (i64)(fact_random() % (u64)(100 * DAY));
        break;
    default:
        query->from = fact_time();
        query->from -= query->from % (fact_one_in(2) ? DAY : HOUR);
        query->to = query->from + (i64)(1 + fact_below(60)) * (fact_one_in(2) ? DAY : HOUR);
        break;
    }
}

static void random_query(u32 account) {
    static const u8 dims[] = {DIM_EVENT_NAME, DIM_CUSTOMER,  DIM_FEATURE, DIM_MODEL,
                              DIM_PROVIDER,   DIM_COST_TYPE, DIM_SOURCE};
    struct query query = {.account = account};
    query.live = fact_one_in(3);
    query.without_revenue = fact_one_in(3);
    query.present_only = fact_one_in(3);
    query.order = (enum query_order)fact_below(QUERY_ORDERS);
    query.ascending = fact_one_in(2);
    query.limit = fact_one_in(2) ? 1 + fact_below(10) : 1000;
    random_window(&query);
    if (fact_one_in(6)) {
        query = (struct query){.account = account,
                               .group = {QUERY_AGENT},
                               .group_count = 1,
                               .from = INT64_MIN,
                               .to = INT64_MAX,
                               .limit = 1000};
    } else if (fact_one_in(4)) {
        query.group[0] = QUERY_REVENUE_SOURCE;
        query.group_count = 1;
        query.order = ORDER_KEY;
        query.both_tokens = fact_one_in(3);
        query.from = query.from == INT64_MIN ? query.from : query.from / HOUR * HOUR;
        query.to = query.to == INT64_MAX ? query.to : query.to / HOUR * HOUR;
        query.bucket = fact_one_in(2) ? BUCKET_DAY : BUCKET_NONE;
    } else {
        for (u32 want = fact_below(3); query.group_count < want;) {
            u8 dim = dims[fact_below(ARRAY_COUNT(dims))];
            if (query.group_count == 0 || query.group[0] != dim) {
                query.group[query.group_count++] = dim;
            }
        }
        query.bucket = fact_one_in(3) ? (enum query_bucket)fact_below(5) : BUCKET_NONE;
    }
    if (query.bucket == BUCKET_MINUTE && query.from == INT64_MIN) {
        query.from = fact_now - 2 * DAY;
        query.to = MAX(query.to, query.from);
    }
    compare_query(&query);
}

static void compare_traces(u32 account) {
    static struct trace_summary a[512];
    static struct trace_summary b[512];
    u32 count[2];
    u32 total[2];
    require(query_traces(agg, account, INT64_MIN, INT64_MAX, 0, 512, a, &count[0], &total[0]) ==
            ERR_OK);
    require(query_traces(anew, account, INT64_MIN, INT64_MAX, 0, 512, b, &count[1], &total[1]) ==
            ERR_OK);
    require(count[0] == count[1] && total[0] == total[1]);
    require(query_trace_count(agg, account) == query_trace_count(anew, account));
    for (u32 i = 0; i < count[0]; i++) {
        require(a[i].id_bytes == b[i].id_bytes && memcmp(a[i].id, b[i].id, a[i].id_bytes) == 0);
        require(a[i].start_ms == b[i].start_ms && a[i].spans == b[i].spans &&
                a[i].cost == b[i].cost && a[i].revenue == b[i].revenue &&
                a[i].duration_max_ms == b[i].duration_max_ms);
    }
}

static void compare_activity(u32 account) {
    u32 month = months_of(fact_now);
    for (u32 back = 0; back < 20; back++) {
        struct active_counts a = query_active(agg, account, month - back);
        struct active_counts b = query_active(anew, account, month - back);
        require(a.customers == b.customers && a.features == b.features && a.models == b.models);
    }
    struct cohort a[RETENTION_MONTHS];
    struct cohort b[RETENTION_MONTHS];
    query_retention(agg, account, month, a);
    query_retention(anew, account, month, b);
    require(memcmp(a, b, sizeof a) == 0);
    const struct query query = {.account = account,
                                .group = {DIM_FEATURE},
                                .group_count = 1,
                                .live = true,
                                .from = INT64_MIN,
                                .to = INT64_MAX,
                                .order = ORDER_KEY,
                                .limit = 1000};
    struct query_result left;
    struct query_result right;
    u32 counts[2][64];
    const char *why;
    require(query_run(agg, NULL, &query, &left, &why) == ERR_OK && left.row_count < 64);
    require(query_run(anew, NULL, &query, &right, &why) == ERR_OK);
    require(query_distinct(agg, NULL, &query, &left, DIM_CUSTOMER, counts[0]) == ERR_OK);
    require(query_distinct(anew, NULL, &query, &right, DIM_CUSTOMER, counts[1]) == ERR_OK);
    require(left.row_count == right.row_count);
    require(memcmp(counts[0], counts[1], left.row_count * sizeof counts[0][0]) == 0);
    query_result_free(&left);
    query_result_free(&right);
    for (u32 i = 1; i < fact_text_counts[TEXT_CUSTOMER]; i++) {
        struct slice id = {fact_texts[TEXT_CUSTOMER][i], strlen(fact_texts[TEXT_CUSTOMER][i])};
        require(agg_customer_created(agg, account, id) == agg_customer_created(anew, account, id));
    }
}

/* --- events ----------------------------------------------------------------------------------- */

static struct event_batch *batch_make(void) {
    struct event_batch *made = calloc(1, sizeof *made);
    require(made != NULL);
    made->text_bytes_max = 1024 * EVENT_BATCH_MAX;
    made->text = malloc(made->text_bytes_max);
    require(made->text != NULL);
    return made;
}

static u32 rows[EVENT_BATCH_MAX];
static i64 floor_ms; /* no event is from before */
static i64 receipt;  /* of the next event; in `month`, its place in the order of receipt */

static bool is_bare(u32 source) {
    return source == SOURCE_CSV || source == SOURCE_STRIPE;
}

/* Fills the batch with new events of one account. */
static u32 make_events(u32 account, u32 count) {
    batch->count = 0;
    batch->text_bytes = 0;
    batch->account = account;
    count = MIN(count, EVENTS_MAX - fact_count);
    for (u32 i = 0; i < count; i++) {
        struct fact *fact = &facts[fact_count + i];
        fact_make(fact, fact_one_in(5));
        fact->account = account;
        if (fact->number[NUM_TIME] < floor_ms) {
            fact->number[NUM_TIME] = floor_ms + (i64)fact_below((u32)DAY);
        }
        if (fact_one_in(3)) {
            fact->source = fact_one_in(3) ? SOURCE_STRIPE : SOURCE_CSV;
        }
        if (is_bare(fact->source)) {
            fact->agent = fact->trace = 0;
        }
        fact->month = (u32)++receipt;
        fact_put(batch, i, fact);
        batch->created[i] = fact->month;
        rows[i] = i;
    }
    return count;
}

static void keep_events(u32 count) {
    for (u32 i = 0; i < count; i++) {
        facts[fact_count + i].series = batch->series[i];
    }
    fact_count += count;
}

static void send_events(u32 account, u32 count) {
    count = make_events(account, count);
    require(agg_resolve(agg, batch, rows, count) == ERR_OK);
    agg_settle(agg);
    agg_advance(agg, fact_now);
    agg_apply(agg, batch, rows, count);
    keep_events(count);
}

static void read_event(const struct fact *fact, struct agg_event *event) {
    scan_batch->count = 0;
    scan_batch->text_bytes = 0;
    fact_put(scan_batch, 0, fact);
    scan_batch->series[0] = fact->series;
    agg_event_read(event, scan_batch, 0);
}

static bool is_cleared(const struct fact *fact, const struct agg_clear *clear) {
    bool named = clear->name_count == 0;
    const char *name = fact_texts[TEXT_EVENT_NAME][fact->dim[TEXT_EVENT_NAME]];
    for (u32 i = 0; i < clear->name_count; i++) {
        named = named || (strlen(name) == clear->names[i].bytes &&
                          memcmp(name, clear->names[i].data, clear->names[i].bytes) == 0);
    }
    return fact->account == clear->account &&
           (clear->source == DIM_NONE || (fact->source == clear->source && named));
}

static void clear_events(u32 account, bool replace) {
    struct slice names[] = {SLICE("revenue"), SLICE("never"), SLICE("call")};
    struct agg_clear clear = {.account = account, .source = DIM_NONE};
    if (!fact_one_in(4)) {
        clear.source = fact_one_in(3) ? SOURCE_STRIPE : SOURCE_CSV;
        clear.names = names;
        clear.name_count = fact_below(4);
    }
    struct agg_event *kept = aligned_alloc(64, (fact_count + 1) * sizeof *kept);
    require(kept != NULL);
    u64 removed = 0;
    for (u32 i = 0; i < fact_count; i++) {
        bool gone = is_cleared(&facts[i], &clear);
        removed += gone;
        if (!gone && facts[i].account == account && facts[i].source == clear.source) {
            read_event(&facts[i], &kept[clear.kept_count++]);
        }
    }
    clear.kept = kept;
    u32 count = replace ? make_events(account, 1 + fact_below(40)) : 0;
    struct clearing *clearing;
    agg_advance(agg, fact_now);
    require(agg_clear_plan(agg, &clear, &clearing) == ERR_OK);
    require(clearing_events(clearing) == removed);
    require(count == 0 || agg_resolve(agg, batch, rows, count) == ERR_OK);
    agg_settle(agg);
    const struct agg_rows added = {batch, rows, count};
    agg_change_begin(agg);
    agg_clear(clearing, &added, count > 0);
    u32 series_count;
    const u32 *series = clearing_series(clearing, &series_count);
    for (u32 i = 1; i < series_count; i++) {
        require(series[i] > series[i - 1]);
    }
    clearing_free(clearing);
    free(kept);
    u32 left = 0;
    u32 all = fact_count;
    for (u32 i = 0; i < all; i++) {
        if (!is_cleared(&facts[i], &clear)) {
            facts[left++] = facts[i];
        }
    }
    memmove(&facts[left], &facts[all], count * sizeof *facts);
    fact_count = left;
    keep_events(count);
}

/* The next facts of a list, as a batch from the log; returns how many. */
static u32 read_facts(const struct fact *from, u32 count) {
    u32 most = 1 + fact_below(EVENT_BATCH_MAX);
    count = MIN(count, most);
    scan_batch->count = 0;
    scan_batch->text_bytes = 0;
    for (u32 i = 0; i < count; i++) {
        fact_put(scan_batch, i, &from[i]);
        scan_batch->present[i] &= ~(TEXT_BIT(SERIES_TEXTS) - 1);
        scan_batch->series[i] = from[i].series;
        scan_batch->created[i] = from[i].month;
    }
    return count;
}

/* Events go on coming while old ones leave, and time passes. */
static void meanwhile(void) {
    if (fact_one_in(3)) {
        send_events(fact_below(ACCOUNTS), 1 + fact_below(40));
        fact_now += (i64)fact_below((u32)(fact_one_in(3) ? 3 * HOUR : MINUTE));
        agg_advance(agg, fact_now);
    }
}

static void expire_events(void) {
    i64 before = fact_now - (i64)(1 + fact_below(fact_one_in(2) ? 400 : 60)) * DAY;
    before -= before % DAY;
    if (before <= floor_ms) {
        return;
    }
    while (!agg_expire_ready(agg, before)) {
        agg_advance(agg, fact_now);
    }
    floor_ms = before;
    struct agg_expiry *expiry;
    require(agg_expire_begin(agg, before, &expiry) == ERR_OK);
    struct fact *gone = malloc((fact_count + 1) * sizeof *gone);
    require(gone != NULL);
    u32 gone_count = 0;
    u32 left = 0;
    for (u32 i = 0; i < fact_count; i++) {
        bool old = facts[i].number[NUM_TIME] < before;
        *(old ? &gone[gone_count++] : &facts[left++]) = facts[i];
    }
    fact_count = left;
    for (u32 i = 0; i < gone_count;) {
        i += read_facts(gone + i, gone_count - i);
        require(agg_expire_take(expiry, scan_batch) == ERR_OK);
        meanwhile();
    }
    require(agg_expire_removed(expiry) == gone_count);
    u32 late = fact_count;
    for (bool more = true; more;) {
        require(agg_expire_note(expiry, &more) == ERR_OK);
        meanwhile();
    }
    do {
        meanwhile();
    } while (agg_expire_look(expiry));
    for (u32 i = 0; i < late;) {
        i += read_facts(facts + i, late - i);
        agg_expire_read(expiry, scan_batch, false);
        meanwhile();
    }
    for (u32 i = late; i < fact_count;) {
        i += read_facts(facts + i, fact_count - i);
        agg_expire_read(expiry, scan_batch, true);
    }
    agg_expire_follow(expiry);
    u32 small = fact_below(60); /* steps, at first */
    for (bool more = true; more; small -= small > 0) {
        u32 steps = 1 + fact_below(small > 0 ? 100 : 6000);
        require(agg_expire_end(expiry, steps, &more) == ERR_OK);
        meanwhile();
    }
    agg_expire_free(expiry);
    free(gone);
    i64 oldest = INT64_MAX;
    for (u32 i = 0; i < fact_count; i++) {
        oldest = MIN(oldest, facts[i].number[NUM_TIME]);
    }
    require(agg_oldest(agg) == oldest);
}

static void change_revenue(u32 account) {
    static struct agg_adjustment adjustments[2000];
    static char traces[2000][16];
    u32 count = 0;
    require(agg_adjust_reserve(agg, 2000));
    agg_advance(agg, fact_now);
    for (u32 i = 0; i < fact_count && count < 2000; i++) {
        struct fact *fact = &facts[i];
        if (fact->account != account || !fact_one_in(6)) {
            continue;
        }
        struct agg_adjustment *one = &adjustments[count];
        *one = (struct agg_adjustment){0};
        read_event(fact, &one->event);
        fact->number[NUM_REVENUE] = fact_one_in(5)   ? EVENT_MONEY_MAX
                                    : fact_one_in(4) ? -EVENT_MONEY_MAX
                                                     : (i64)fact_below(1000000);
        fact->revenue_source = (u8)fact_below(REVENUE_SOURCES);
        one->revenue = fact->number[NUM_REVENUE];
        one->part = tally_part_earning(one->event.part, fact->revenue_source);
        const char *agent = fact_agents[fact->agent];
        one->agent = (struct slice){agent, strlen(agent)};
        if (fact->trace != 0) {
            int bytes = snprintf(traces[count], sizeof traces[0], "t%u", fact->trace);
            one->trace = (struct slice){traces[count], (usize)bytes};
        }
        count++;
    }
    agg_change_begin(agg);
    agg_adjust(agg, adjustments, count);
}

/* --- figures made anew ------------------------------------------------------------------------ */

static void build_anew(void) {
    if (anew != NULL) {
        agg_destroy(anew);
    }
    struct agg_options fresh = options;
    fresh.plain = fact_one_in(2);
    require(agg_create(&fresh, &anew) == ERR_OK);
    agg_advance(anew, fact_now - (fact_one_in(2) ? 0 : 100 * DAY));
    for (u32 i = 0; i < agg_series_count(agg); i++) {
        struct series_def def = agg_definition(agg, i);
        require(agg_define(anew, &def) == ERR_OK);
    }
    for (u32 first = 0; first < fact_count; first += EVENT_BATCH_MAX) {
        u32 count = MIN(fact_count - first, (u32)EVENT_BATCH_MAX);
        scan_batch->count = 0;
        scan_batch->text_bytes = 0;
        for (u32 i = 0; i < count; i++) {
            fact_put(scan_batch, i, &facts[first + i]);
            scan_batch->present[i] &= ~(TEXT_BIT(SERIES_TEXTS) - 1);
            scan_batch->series[i] = facts[first + i].series;
            scan_batch->created[i] = facts[first + i].month;
            rows[i] = i;
        }
        agg_apply(anew, scan_batch, rows, count);
    }
    agg_advance(anew, fact_now);
}

static void compare_all(void) {
    build_anew();
    for (u32 i = 0; i < 12; i++) {
        random_query(fact_below(ACCOUNTS));
    }
    for (u32 account = 0; account < ACCOUNTS; account++) {
        compare_traces(account);
        compare_activity(account);
        const struct query query = {.account = account,
                                    .group = {DIM_CUSTOMER},
                                    .group_count = 1,
                                    .from = INT64_MIN,
                                    .to = INT64_MAX,
                                    .order = ORDER_MARGIN,
                                    .limit = 5};
        compare_query(&query);
    }
}

/* --- snapshots -------------------------------------------------------------------------------- */

/* Goes on with figures from a snapshot that was begun now and copied while things go on; what came
 * since is void. */
static void restart(void) {
    static char piece[65536];
    struct agg *next;
    require(agg_create(&options, &next) == ERR_OK);
    struct fact *kept = malloc((fact_count + 1) * sizeof *kept);
    require(kept != NULL);
    memcpy(kept, facts, fact_count * sizeof *kept);
    u32 kept_count = fact_count;
    u32 series_count = agg_series_count(agg);
    require(agg_snapshot_begin(agg) == ERR_OK);
    for (u32 i = 0;; i++) {
        u32 tag;
        usize bytes;
        require(agg_snapshot_copy(agg, piece, sizeof piece, &tag, &bytes) == ERR_OK);
        if (bytes == 0) {
            break;
        }
        require(agg_snapshot_load(next, tag, piece, bytes) == ERR_OK);
        if (i % 8 == 3) {
            clear_events(fact_below(ACCOUNTS), fact_one_in(2));
            change_revenue(fact_below(ACCOUNTS));
        }
    }
    agg_snapshot_end(agg);
    require(agg_snapshot_loaded(next) == ERR_OK);
    require(agg_series_count(next) == series_count);
    agg_destroy(agg);
    agg = next;
    memcpy(facts, kept, kept_count * sizeof *kept);
    fact_count = kept_count;
    free(kept);
}

static void let_time_pass(void) {
    static const i64 steps[] = {1000, MINUTE, 20 * MINUTE, 5 * HOUR, 3 * DAY, 20 * DAY};
    fact_now += steps[fact_below(6)] + (i64)fact_below(1000);
    agg_advance(agg, fact_now);
}

int main(int argc, char **argv) {
    seed_used = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    fact_seed = seed_used;
    fact_now = (i64)1780000000000 + fact_below(100000000);
    facts = malloc(EVENTS_MAX * sizeof *facts);
    require(facts != NULL);
    options = (struct agg_options){.seed = fact_random(),
                                   .minutes_kept = fact_one_in(2) ? 0 : 1500,
                                   .advance_rows = fact_one_in(2) ? 0 : 1 + fact_below(20),
                                   .ranked_min = fact_one_in(2) ? 0 : 1};
    require(agg_create(&options, &agg) == ERR_OK);
    batch = batch_make();
    scan_batch = batch_make();
    for (u32 round = 0; round < 60; round++) {
        send_events(fact_below(ACCOUNTS), 1 + fact_below(300));
        send_events(fact_below(ACCOUNTS), 1 + fact_below(100));
        switch (fact_below(6)) {
        case 0:
        case 1:
            clear_events(fact_below(ACCOUNTS), fact_one_in(2));
            break;
        case 2:
            change_revenue(fact_below(ACCOUNTS));
            break;
        case 3:
            restart();
            break;
        case 4:
            expire_events();
            break;
        default:
            break;
        }
        let_time_pass();
        compare_all();
    }
    agg_destroy(agg);
    agg_destroy(anew);
    free(batch->text);
    free(batch);
    free(scan_batch->text);
    free(scan_batch);
    free(facts);
    printf("clear_model: good (seed %llu)\n", (unsigned long long)seed_used);
    return 0;
}
