/* engine.c: puts the parts together as main.c does, without edges: see engine.h. */
#include "tests/support/engine.h"

#include "base/clock.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const u32 *dims_of(void *context, u32 series) {
    struct engine *engine = context;
    return agg_series_dims(atomic_load(&engine->agg), series);
}

static void ignore_wake(void *context, u32 front) {
    (void)context;
    (void)front;
}

static void note_fatal(void *context) {
    struct engine *engine = context;
    atomic_store(&engine->fatal, true);
}

void engine_init(struct engine *engine) {
    memset(engine, 0, sizeof *engine);
    snprintf(engine->dir, sizeof engine->dir, "/tmp/margind-test-XXXXXX");
    check(mkdtemp(engine->dir) != NULL);
    engine->front_count = 1;
    engine->snapshot_events = UINT64_MAX;
    engine->map_bytes = GIB;
}

static void must(enum err err, const char *why) {
    if (err != ERR_OK) {
        fprintf(stderr, "engine: %s: %s\n", err_text(err), why);
    }
    check(err == ERR_OK);
}

static void open_pipeline(struct engine *engine) {
    const struct pipeline_options options = {.store = engine->store,
                                             .prices = engine->prices,
                                             .dedup_seed = 1,
                                             .series_seed = 2,
                                             .digest_seed = 3,
                                             .front_count = engine->front_count,
                                             .caps = engine->caps,
                                             .memory_max = engine->memory_max,
                                             .retention_days = engine->retention_days,
                                             .snapshot_events = engine->snapshot_events,
                                             .pool_bytes = GIB,
                                             .wake = ignore_wake,
                                             .fatal = note_fatal,
                                             .context = engine};
    must(pipeline_create(&options, &engine->pipeline), "pipeline");
}

void engine_start(struct engine *engine) {
    char why[256] = "";
    const struct store_options store_options = {.dir = engine->dir,
                                                .log_map_bytes = engine->map_bytes,
                                                .series_dims = dims_of,
                                                .context = engine};
    must(store_open(&store_options, &engine->store, why, sizeof why), why);
    struct price_table *table;
    must(price_table_load_embedded(&table, why, sizeof why), why);
    must(prices_create(table, &engine->prices), "prices");
    open_pipeline(engine);
    const struct dedup_options keys = {.dir = engine->key_memory > 0 ? engine->dir : NULL,
                                       .memory_bytes = engine->key_memory};
    const struct recover_options recover_options = {.store = engine->store,
                                                    .keys = keys,
                                                    .series_seed = 2,
                                                    .dedup_seed = 1,
                                                    .caps = engine->caps,
                                                    .now_ms = clock_wall_ms(),
                                                    .stop = &engine->stop,
                                                    .agg_place = &engine->agg};
    must(recover_run(&recover_options, &engine->recovered), "recovery");
    must(pipeline_start(engine->pipeline, engine->recovered.agg, engine->recovered.dedup,
                        engine->recovered.usage, engine->recovered.snapshot_id),
         "start");
}

void engine_stop(struct engine *engine) {
    pipeline_stop(engine->pipeline);
    pipeline_destroy(engine->pipeline);
    store_close(engine->store);
    atomic_store(&engine->agg, NULL);
    recover_free(&engine->recovered);
    prices_destroy(engine->prices);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

void engine_remove(struct engine *engine) {
    engine_stop(engine);
    nftw(engine->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void note_done(struct ingest *ingest) {
    *(bool *)ingest->context = true;
}

static void wait_for(struct engine *engine, u32 front, const bool *answered) {
    struct front *self = pipeline_front(engine->pipeline, front);
    front_on_turn(self);
    while (!*answered && !atomic_load(&engine->fatal)) {
        usleep(50);
        front_on_wake(self);
    }
}

enum err engine_ingest_at(struct engine *engine, u32 front, u32 account, struct slice body,
                          struct ingest *result, struct decode_error *error) {
    struct front *self = pipeline_front(engine->pipeline, front);
    bool answered = false;
    *result = (struct ingest){.account = account, .done = note_done, .context = &answered};
    struct block block = pool_take(front_pool(self), body.bytes + EVENT_TEXT_PADDING);
    check(block.data != NULL);
    memcpy(block.data, body.data, body.bytes);
    memset(block.data + body.bytes, 0, EVENT_TEXT_PADDING);
    enum err err = front_ingest(self, result, block, body.bytes, clock_wall_ms(), error);
    if (err == ERR_OK) {
        wait_for(engine, front, &answered);
        err = answered ? ERR_OK : ERR_IO;
    }
    return err;
}

enum err engine_ingest(struct engine *engine, u32 account, const char *body, struct ingest *result,
                       struct decode_error *error) {
    struct slice text = {body, strlen(body)};
    return engine_ingest_at(engine, 0, account, text, result, error);
}

struct figures engine_totals(struct engine *engine, u32 account) {
    const struct query query = {
        .account = account, .from = INT64_MIN, .to = INT64_MAX, .order = ORDER_KEY, .limit = 1};
    struct query_result result = {0};
    const char *why = "";
    must(query_run(engine->recovered.agg, NULL, &query, &result, &why), why);
    struct figures total = result.total;
    query_result_free(&result);
    return total;
}
