/*
 * amend_race.c: one thread replaces an account's uploads again and again, another clears a second
 * account and a third one that is large, while events come in for the first two, and readers look
 * at figures, at the log and at traces: they see the whole of one upload or of the next, never a
 * part and never both, and of the large account all or nothing.
 */
#include "agg/clear.h"
#include "agg/months.h"
#include "base/clock.h"
#include "query/activity.h"
#include "tests/support/engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 60
#define ROWS 50
#define BODIES 40
#define EVENTS 100
#define LARGE 3 /* an account with more events than a small clear removes */
#define LARGE_BODIES 52
#define LARGE_EVENTS 1000
_Static_assert(LARGE_BODIES *LARGE_EVENTS > AGG_SMALL, "not a small clear");

struct race {
    struct engine engine;
    _Atomic bool stop;
};

/* --- changing --------------------------------------------------------------------------------- */

static void put(struct event_batch *batch, u32 row, enum event_text text, const char *data) {
    u32 bytes = (u32)strlen(data);
    memcpy(batch->text + batch->text_bytes, data, bytes);
    batch->ref[text][row] = (struct text_ref){batch->text_bytes, bytes};
    batch->text_bytes += bytes;
    batch->present[row] |= TEXT_BIT(text);
}

static void fill(struct event_batch *batch, u32 round) {
    batch->account = 1;
    batch->count = ROWS;
    batch->text_bytes = 0;
    for (u32 i = 0; i < ROWS; i++) {
        char customer[16];
        snprintf(customer, sizeof customer, "c%u", (round + i) % 70);
        batch->present[i] = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST);
        batch->series[i] = SERIES_UNRESOLVED;
        batch->source[i] = SOURCE_CSV;
        batch->cost_source[i] = COST_EXPLICIT;
        batch->number[NUM_TIME][i] = clock_wall_ms() - (i64)i * 86400000;
        batch->number[NUM_COST][i] = PICO_PER_USD;
        put(batch, i, TEXT_EVENT_NAME, "cost");
        put(batch, i, TEXT_CUSTOMER, customer);
        put(batch, i, TEXT_FEATURE, "uploaded");
    }
}

static void *upload_all(void *context) {
    struct race *race = context;
    struct event_batch *batch = calloc(1, sizeof *batch);
    check(batch != NULL);
    batch->text_bytes_max = 64 * KIB;
    batch->text = malloc(batch->text_bytes_max);
    check(batch->text != NULL);
    const struct slice name = SLICE("cost");
    for (u32 round = 0; round < ROUNDS; round++) {
        fill(batch, round);
        struct amend_request request = {.account = 1,
                                        .kind = STORE_CLEAR,
                                        .source = SOURCE_CSV,
                                        .names = &name,
                                        .name_count = 1,
                                        .batches = &batch,
                                        .batch_count = 1};
        check(pipeline_amend(race->engine.pipeline, &request) == ERR_OK);
        check(request.removed == (round > 0 ? ROWS : 0));
    }
    free(batch->text);
    free(batch);
    return NULL;
}

static void *clear_all(void *context) {
    struct race *race = context;
    for (u32 round = 0; round < ROUNDS / 4; round++) {
        struct amend_request request = {.account = 2, .kind = STORE_CLEAR, .source = DIM_NONE};
        check(pipeline_amend(race->engine.pipeline, &request) == ERR_OK);
    }
    struct amend_request large = {.account = LARGE, .kind = STORE_CLEAR, .source = DIM_NONE};
    check(pipeline_amend(race->engine.pipeline, &large) == ERR_OK);
    check(large.removed == LARGE_BODIES * LARGE_EVENTS);
    return NULL;
}

static void fill_large(struct race *race) {
    char *body = malloc(MIB);
    check(body != NULL);
    for (u32 round = 0; round < LARGE_BODIES; round++) {
        int at = snprintf(body, MIB, "{\"events\":[");
        for (u32 i = 0; i < LARGE_EVENTS; i++) {
            at += snprintf(body + at, MIB - (usize)at,
                           "%s{\"eventName\":\"call\",\"customerReferenceId\":\"c%u\","
                           "\"featureKey\":\"f%u\",\"costAmount\":1}",
                           i > 0 ? "," : "", i, round % 4);
        }
        snprintf(body + at, MIB - (usize)at, "]}");
        struct ingest result;
        struct decode_error error;
        check(engine_ingest(&race->engine, LARGE, body, &result, &error) == ERR_OK);
        check(result.err == ERR_OK && result.accepted == LARGE_EVENTS);
        ingest_free(&result);
    }
    free(body);
}

static void *send_all(void *context) {
    struct race *race = context;
    char *body = malloc(MIB);
    check(body != NULL);
    for (u32 round = 0; round < BODIES; round++) {
        int at = snprintf(body, MIB, "{\"events\":[");
        for (u32 i = 0; i < EVENTS; i++) {
            at += snprintf(body + at, MIB - (usize)at,
                           "%s{\"eventName\":\"call\",\"customerReferenceId\":\"c%u\","
                           "\"featureKey\":\"f\",\"costAmount\":1,\"idempotencyKey\":\"%u-%u\","
                           "\"traceId\":\"t%u\",\"agentId\":\"a\"}",
                           i > 0 ? "," : "", i, round, i, round * EVENTS + i);
        }
        snprintf(body + at, MIB - (usize)at, "]}");
        struct ingest result;
        struct decode_error error;
        struct slice text = {body, strlen(body)};
        check(engine_ingest_at(&race->engine, 0, 1 + round % 2, text, &result, &error) == ERR_OK);
        check(result.err == ERR_OK && result.accepted == EVENTS);
        ingest_free(&result);
    }
    free(body);
    return NULL;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void read_figures(struct race *race) {
    struct query query = {.account = 1,
                          .group = {DIM_CUSTOMER},
                          .group_count = 1,
                          .filter_mask = 1u << DIM_SOURCE,
                          .from = INT64_MIN,
                          .to = INT64_MAX,
                          .order = ORDER_COST,
                          .limit = 100};
    query.filter[DIM_SOURCE] = SLICE("csv");
    struct query_result result = {0};
    const char *why = "";
    check(query_run(race->engine.recovered.agg, NULL, &query, &result, &why) == ERR_OK);
    check(result.total.events == 0 || result.total.events == ROWS);
    check(result.total.cost == (i128)result.total.events * PICO_PER_USD);
    check(result.row_count == result.total.events);
    query_result_free(&result);
}

static void read_log(struct race *race) {
    struct store_scan_options options = {.filter = store_filter_all};
    struct store_scan *scan;
    const struct event_batch *batch;
    u32 seen = 0;
    check(store_scan_open(race->engine.store, &options, &scan) == ERR_OK);
    while (store_scan_next(scan, &batch, NULL, NULL, NULL) == ERR_OK && batch->count > 0) {
        for (u32 row = 0; row < batch->count; row++) {
            seen += batch->source[row] == SOURCE_CSV;
        }
    }
    store_scan_close(scan);
    check(seen == 0 || seen == ROWS);
}

static bool is_all_or_nothing(u64 events, u64 parts, u64 parts_all) {
    u64 all = LARGE_BODIES * LARGE_EVENTS;
    return (events == all && parts == parts_all) || (events == 0 && parts == 0);
}

/* Once it is gone for one look, it is for all that follow. */
static void read_large(struct race *race) {
    struct agg *agg = race->engine.recovered.agg;
    struct query query = {.account = LARGE,
                          .group = {DIM_CUSTOMER},
                          .group_count = 1,
                          .from = INT64_MIN,
                          .to = INT64_MAX,
                          .order = ORDER_COST,
                          .limit = 10};
    struct query_result result = {0};
    const char *why = "";
    check(query_run(agg, NULL, &query, &result, &why) == ERR_OK);
    check(is_all_or_nothing(result.total.events, result.row_total, LARGE_EVENTS));
    check(result.total.cost == (i128)result.total.events * PICO_PER_USD);
    bool gone = result.total.events == 0;
    query_result_free(&result);
    query.group[0] = DIM_FEATURE;
    query.from = clock_wall_ms() - 3600000; /* rows */
    check(query_run(agg, NULL, &query, &result, &why) == ERR_OK);
    check(is_all_or_nothing(result.total.events, result.row_total, 4));
    check(!gone || result.total.events == 0);
    query_result_free(&result);
    struct active_counts active = query_active(agg, LARGE, months_of(clock_wall_ms()));
    check(active.customers == 0 || (active.customers == LARGE_EVENTS && active.features == 4));
}

static void *read_all(void *context) {
    struct race *race = context;
    static struct trace_summary traces[100];
    u32 count;
    u32 total;
    while (!atomic_load(&race->stop)) {
        read_large(race);
        read_figures(race);
        read_log(race);
        check(query_traces(race->engine.recovered.agg, 2, INT64_MIN, INT64_MAX, 0, 100, traces,
                           &count, &total) == ERR_OK);
        check(count <= total && total <= BODIES * EVENTS);
    }
    return NULL;
}

int main(void) {
    static struct race race;
    void *(*const work[])(void *) = {upload_all, clear_all, send_all, read_all};
    pthread_t thread[ARRAY_COUNT(work)];
    engine_init(&race.engine);
    race.engine.snapshot_events = 1000;
    engine_start(&race.engine);
    fill_large(&race);
    for (u32 i = 0; i < ARRAY_COUNT(work); i++) {
        check(pthread_create(&thread[i], NULL, work[i], &race) == 0);
    }
    for (u32 i = 0; i < ARRAY_COUNT(work); i++) {
        atomic_store(&race.stop, i == ARRAY_COUNT(work) - 1);
        pthread_join(thread[i], NULL);
    }
    struct figures before[2] = {engine_totals(&race.engine, 1), engine_totals(&race.engine, 2)};
    check(before[0].events == ROWS + BODIES / 2 * EVENTS);
    engine_stop(&race.engine);
    engine_start(&race.engine);
    for (u32 account = 1; account <= 2; account++) {
        struct figures after = engine_totals(&race.engine, account);
        check(after.events == before[account - 1].events);
        check(after.cost == before[account - 1].cost);
    }
    engine_remove(&race.engine);
    printf("amend_race: good\n");
    return 0;
}
