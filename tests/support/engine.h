/*
 * engine.h: a whole engine without a network, for tests: storage in a temporary directory, recovery
 * and the pipeline, driven by calls. What a front thread's loop would do, engine_wait() does.
 */
#ifndef MARGIN_TESTS_SUPPORT_ENGINE_H
#define MARGIN_TESTS_SUPPORT_ENGINE_H

#include "pipeline.h"
#include "query/query.h"
#include "recover.h"

struct engine {
    char dir[64];
    struct store *store;
    struct prices *prices; /* the built-in table, and no account has its own */
    struct pipeline *pipeline;
    struct recovered recovered;
    _Atomic(struct agg *) agg;
    _Atomic bool stop;
    _Atomic bool fatal;
    u32 front_count;
    u64 snapshot_events;
    usize map_bytes;
    struct agg_caps caps;
    u64 memory_max;
    u32 retention_days;
    u64 key_memory; /* 0: keys never leave memory */
};

/* Makes a temporary directory; then engine_start may be called, and again after engine_stop. */
void engine_init(struct engine *engine);
void engine_start(struct engine *engine);
void engine_stop(struct engine *engine);
/* Stops and removes the directory. */
void engine_remove(struct engine *engine);

/* One JSON body through front 0, waiting for the answer. ERR_OK: *result is the answer (free it
 * with ingest_free). Otherwise what front_ingest said, or ERR_IO: a write failed, there is no
 * answer. */
enum err engine_ingest(struct engine *engine, u32 account, const char *body, struct ingest *result,
                       struct decode_error *error);
/* The same through any front, for threads that each own one. */
enum err engine_ingest_at(struct engine *engine, u32 front, u32 account, struct slice body,
                          struct ingest *result, struct decode_error *error);

/* Totals of an account over all time. */
struct figures engine_totals(struct engine *engine, u32 account);

#endif
