/*
 * pipeline_race.c: two front threads send, a third thread queries, snapshots and merges run behind
 * them, all under ThreadSanitizer; at the end every event counts once, also after a restart.
 */
#include "tests/support/engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 60
#define EVENTS 200
#define SENDERS 2

struct sender {
    struct engine *engine;
    u32 front;
    u64 accepted;
    u64 duplicates;
};

static usize body_of(char *body, usize bytes_max, u32 round) {
    int at = snprintf(body, bytes_max, "{\"events\":[");
    for (u32 i = 0; i < EVENTS; i++) {
        at += snprintf(
            body + at, bytes_max - (usize)at,
            "%s{\"eventName\":\"call\",\"customerReferenceId\":\"c%u\",\"featureKey\":\"f\","
            "\"costAmount\":0.5,\"idempotencyKey\":\"%u-%u\",\"agentId\":\"a%u\","
            "\"traceId\":\"t%u-%u\",\"durationMs\":%u}",
            i > 0 ? "," : "", (round + i) % 1000, round, i, i % 3, round, i / 4, i);
    }
    return (usize)at + (usize)snprintf(body + at, bytes_max - (usize)at, "]}");
}

/* Both senders send the same keys, so each is a duplicate for one of them. */
static void *send_all(void *context) {
    struct sender *sender = context;
    char *body = malloc(MIB);
    check(body != NULL);
    for (u32 round = 0; round < ROUNDS; round++) {
        struct ingest result;
        struct decode_error error;
        usize bytes = body_of(body, MIB, round);
        enum err err = engine_ingest_at(sender->engine, sender->front, 1,
                                        (struct slice){body, bytes}, &result, &error);
        check(err == ERR_OK && result.err == ERR_OK);
        sender->accepted += result.accepted;
        sender->duplicates += result.duplicates;
        ingest_free(&result);
    }
    free(body);
    return NULL;
}

struct reader {
    struct engine *engine;
    _Atomic bool stop;
};

static void *query_all(void *context) {
    struct reader *reader = context;
    u64 seen = 0;
    while (!atomic_load(&reader->stop)) {
        struct figures total = engine_totals(reader->engine, 1);
        check(total.events >= seen);
        check(total.cost == (i128)total.events * (PICO_PER_USD / 2));
        seen = total.events;
        struct query query = {.account = 1,
                              .group = {DIM_CUSTOMER},
                              .group_count = 1,
                              .from = INT64_MIN,
                              .to = INT64_MAX,
                              .order = ORDER_COST,
                              .limit = 10};
        struct query_result result = {0};
        const char *why = "";
        check(query_run(reader->engine->recovered.agg, NULL, &query, &result, &why) == ERR_OK);
        query_result_free(&result);
    }
    return NULL;
}

int main(void) {
    struct engine engine;
    engine_init(&engine);
    engine.front_count = SENDERS;
    engine.snapshot_events = 2000;
    engine_start(&engine);
    struct sender sender[SENDERS];
    struct reader reader = {.engine = &engine};
    pthread_t thread[SENDERS + 1];
    for (u32 i = 0; i < SENDERS; i++) {
        sender[i] = (struct sender){.engine = &engine, .front = i};
        check(pthread_create(&thread[i], NULL, send_all, &sender[i]) == 0);
    }
    check(pthread_create(&thread[SENDERS], NULL, query_all, &reader) == 0);
    for (u32 i = 0; i < SENDERS; i++) {
        pthread_join(thread[i], NULL);
    }
    atomic_store(&reader.stop, true);
    pthread_join(thread[SENDERS], NULL);
    check(sender[0].accepted + sender[1].accepted == ROUNDS * EVENTS);
    check(sender[0].duplicates + sender[1].duplicates == ROUNDS * EVENTS);
    check(engine_totals(&engine, 1).events == ROUNDS * EVENTS);
    engine_stop(&engine);
    engine_start(&engine);
    check(engine_totals(&engine, 1).events == ROUNDS * EVENTS);
    engine_remove(&engine);
    printf("pipeline_race: %d events, each once\n", ROUNDS * EVENTS);
    return 0;
}
