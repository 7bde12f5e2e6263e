/*
 * agg_race.c: one writer resolves, applies, lets time pass and begins snapshots, while readers ask
 * queries, read texts without lock and copy the snapshots. Run under ThreadSanitizer; besides, no
 * answer may ever be inconsistent: every event costs 2 and earns 3, so revenue * 2 == cost * 3, and
 * an answer for all time counts each event once, whatever hours move from band to band meanwhile.
 */
#include "agg/agg.h"
#include "query/query.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 150
#define EVENTS 300
#define READERS 3
#define START ((i64)1790000000000)

static struct agg *agg;
static atomic_bool done;
static atomic_int failures;
static atomic_int snapshot_running;
static atomic_uint snapshots;
static _Atomic u64 begun[2]; /* events of each account that may be counted */
static _Atomic u64 ended[2]; /* and those that must be */

static void put(struct event_batch *batch, u32 row, enum event_text text, const char *prefix,
                u32 number) {
    int bytes = snprintf(batch->text + batch->text_bytes, 32, "%s%u", prefix, number);
    batch->ref[text][row] = (struct text_ref){batch->text_bytes, (u32)bytes};
    batch->text_bytes += (u32)bytes;
    batch->present[row] |= TEXT_BIT(text);
}

static void fill(struct event_batch *batch, u32 round, i64 now) {
    batch->count = EVENTS;
    batch->text_bytes = 0;
    batch->account = round % 2;
    for (u32 i = 0; i < EVENTS; i++) {
        u32 mix = (round * 7919u + i * 104729u) % 65521;
        batch->present[i] = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE);
        batch->series[i] = SERIES_UNRESOLVED;
        batch->number[NUM_TIME][i] = now - (i64)(mix % 700) * 3600000;
        batch->number[NUM_COST][i] = 2;
        batch->number[NUM_REVENUE][i] = 3;
        put(batch, i, TEXT_EVENT_NAME, "call", 0);
        put(batch, i, TEXT_CUSTOMER, "c", mix % (round * 10 + 1));
        put(batch, i, TEXT_MODEL, "m", mix % 5);
        put(batch, i, TEXT_TRACE, "t", mix % 500);
        put(batch, i, TEXT_AGENT, "a", mix % 9);
    }
}

static void *write_all(void *context) {
    (void)context;
    struct event_batch *batch = calloc(1, sizeof *batch);
    u32 rows[EVENTS];
    if (batch == NULL || (batch->text = malloc(EVENTS * 256)) == NULL) {
        atomic_store(&failures, 1);
        atomic_store(&done, true);
        return NULL;
    }
    i64 now = START;
    for (u32 round = 0; round < ROUNDS; round++) {
        fill(batch, round, now + (i64)(round % 4) * 60000);
        for (u32 i = 0; i < EVENTS; i++) {
            rows[i] = i;
        }
        if (agg_resolve(agg, batch, rows, EVENTS) != ERR_OK) {
            atomic_fetch_add(&failures, 1);
        }
        agg_settle(agg);
        now += (i64)(round % 5) * 3600000;
        agg_advance(agg, now);
        atomic_fetch_add(&begun[batch->account], EVENTS);
        agg_apply(agg, batch, rows, EVENTS);
        atomic_fetch_add(&ended[batch->account], EVENTS);
        if (round % 10 == 3 && atomic_load(&snapshot_running) == 0 &&
            agg_snapshot_begin(agg) == ERR_OK) {
            atomic_store(&snapshot_running, 1);
        }
    }
    atomic_store(&done, true);
    free(batch->text);
    free(batch);
    return NULL;
}

static void ask(u32 round) {
    struct query query = {.account = round % 2,
                          .group = {(u8)(round % 3 == 0 ? DIM_MODEL : DIM_CUSTOMER)},
                          .group_count = round % 4 == 0 ? 0 : 1,
                          .from = round % 5 == 0 ? START : INT64_MIN,
                          .to = INT64_MAX,
                          .bucket = round % 7 == 0   ? BUCKET_HOUR
                                    : round % 7 == 3 ? BUCKET_DAY
                                                     : BUCKET_NONE,
                          .order = (enum query_order)(round % QUERY_ORDERS),
                          .limit = 50};
    struct query_result result;
    const char *why;
    if (query_needs_log(agg, &query)) {
        return;
    }
    u64 least = atomic_load(&ended[query.account]);
    enum err err = query_run(agg, NULL, &query, &result, &why);
    if (err != ERR_OK) {
        return; /* an edge moved in between and now it needs the log */
    }
    if (query.from == INT64_MIN &&
        (result.total.events < least || result.total.events > atomic_load(&begun[query.account]))) {
        atomic_fetch_add(&failures, 1);
    }
    if (result.total.cost * 3 != result.total.revenue * 2 ||
        (u64)(result.total.cost / 2) != result.total.events) {
        atomic_fetch_add(&failures, 1);
    }
    for (u32 i = 0; i < result.row_count; i++) {
        const struct figures *figures = &result.rows[i].figures;
        struct slice text = {NULL, 0};
        if (query.group_count > 0) {
            text = agg_value_text(agg, (enum store_dim)query.group[0], result.rows[i].value[0]);
        }
        if ((u64)(figures->cost / 2) != figures->events || text.bytes > 16) {
            atomic_fetch_add(&failures, 1);
        }
    }
    query_result_free(&result);
}

static void *read_all(void *context) {
    u32 round = (u32)(usize)context;
    struct trace_summary traces[20];
    while (!atomic_load(&done)) {
        ask(round++);
        u32 count;
        u32 total;
        query_traces(agg, round % 2, INT64_MIN, INT64_MAX, 0, 20, traces, &count, &total);
        u32 series = agg_series_count(agg);
        if (series > 0) {
            const u32 *dims = agg_series_dims(agg, series - 1);
            struct slice text = agg_value_text(agg, DIM_MODEL, dims[DIM_MODEL]);
            if (agg_value_find(agg, dims[DIM_ACCOUNT], DIM_MODEL, text) != dims[DIM_MODEL]) {
                atomic_fetch_add(&failures, 1);
            }
        }
    }
    return NULL;
}

static void *copy_all(void *context) {
    (void)context;
    static char piece[65536];
    while (!atomic_load(&done) || atomic_load(&snapshot_running) != 0) {
        if (atomic_load(&snapshot_running) == 0) {
            sched_yield();
            continue;
        }
        u32 tag;
        usize bytes = 1;
        while (bytes > 0) {
            if (agg_snapshot_copy(agg, piece, sizeof piece, &tag, &bytes) != ERR_OK) {
                atomic_fetch_add(&failures, 1);
                break;
            }
        }
        agg_snapshot_end(agg);
        atomic_fetch_add(&snapshots, 1);
        atomic_store(&snapshot_running, 0);
    }
    return NULL;
}

/* The rankings that were kept up while everything went on give what a look at everybody gives. */
static void compare_rankings(void) {
    for (u32 round = 0; round < 2 * QUERY_ORDERS; round++) {
        struct query query = {.account = round % 2,
                              .group = {DIM_CUSTOMER},
                              .group_count = 1,
                              .from = INT64_MIN,
                              .to = INT64_MAX,
                              .order = (enum query_order)(round / 2),
                              .limit = 50};
        struct query_result some;
        struct query_result all;
        const char *why;
        bool good = query_run(agg, NULL, &query, &some, &why) == ERR_OK;
        query.limit = QUERY_ROWS_MAX; /* too many for a ranking */
        good = query_run(agg, NULL, &query, &all, &why) == ERR_OK && good;
        good = good && some.row_count == 50 && some.row_total == all.row_total;
        for (u32 i = 0; good && i < some.row_count; i++) {
            good = memcmp(&some.rows[i], &all.rows[i], sizeof all.rows[i]) == 0;
        }
        atomic_fetch_add(&failures, good ? 0 : 1);
        query_result_free(&some);
        query_result_free(&all);
    }
}

int main(void) {
    struct agg_options options = {.seed = 5, .advance_rows = 50, .ranked_min = 10};
    if (agg_create(&options, &agg) != ERR_OK) {
        return 1;
    }
    agg_advance(agg, START);
    pthread_t threads[READERS + 2];
    pthread_create(&threads[0], NULL, write_all, NULL);
    pthread_create(&threads[1], NULL, copy_all, NULL);
    for (u32 i = 0; i < READERS; i++) {
        pthread_create(&threads[2 + i], NULL, read_all, (void *)(usize)i);
    }
    for (u32 i = 0; i < READERS + 2; i++) {
        pthread_join(threads[i], NULL);
    }
    compare_rankings();
    agg_destroy(agg);
    if (atomic_load(&failures) != 0 || atomic_load(&snapshots) == 0) {
        fprintf(stderr, "agg_race: %d failures, %u snapshots\n", atomic_load(&failures),
                atomic_load(&snapshots));
        return 1;
    }
    return 0;
}
