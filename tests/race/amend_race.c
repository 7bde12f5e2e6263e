/*
 * amend_race.c: one thread replaces an account's uploads again and again, another clears a second
 * account, while events come in for both, and readers look at figures, at the log and at traces:
 * they see the whole of one upload or of the next, never a part and never both.
 */
#include "base/clock.h"
#include "tests/support/engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 60
#define ROWS 50
#define BODIES 40
#define EVENTS 100

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
    return NULL;
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

static void *read_all(void *context) {
    struct race *race = context;
    static struct trace_summary traces[100];
    u32 count;
    u32 total;
    while (!atomic_load(&race->stop)) {
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
