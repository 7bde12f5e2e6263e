/*
 * pipeline_race.c: two front threads send, a third thread queries, snapshots and merges run behind
 * them, all under ThreadSanitizer; at the end every event counts once, also after a restart.
 */
#include "account/budget.h"
#include "account/usage.h"
#include "base/clock.h"
#include "tests/support/engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 60
#define UNDER_WAY 20
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

static void note_done(struct ingest *ingest) {
    ++*(u32 *)ingest->context;
}

static void send_one(struct sender *sender, struct ingest *ingest, u32 round, u32 *answered) {
    struct front *front = pipeline_front(sender->engine->pipeline, sender->front);
    struct decode_error error;
    struct block block = pool_take(front_pool(front), MIB);
    check(block.data != NULL);
    usize bytes = body_of(block.data, MIB - EVENT_TEXT_PADDING, round);
    memset(block.data + bytes, 0, EVENT_TEXT_PADDING);
    *ingest = (struct ingest){.account = 1, .done = note_done, .context = answered};
    check(front_ingest(front, ingest, block, bytes, clock_wall_ms(), &error) == ERR_OK);
}

/* Both senders send the same keys, so each is a duplicate for one of them. Some requests are under
 * way at a time, so that a group is decided while another one is written. */
static void *send_all(void *context) {
    struct sender *sender = context;
    struct front *front = pipeline_front(sender->engine->pipeline, sender->front);
    struct ingest ingest[UNDER_WAY];
    for (u32 round = 0; round < ROUNDS; round += UNDER_WAY) {
        u32 answered = 0;
        for (u32 i = 0; i < UNDER_WAY; i++) {
            send_one(sender, &ingest[i], round + i, &answered);
            front_on_turn(front);
            front_on_wake(front);
        }
        while (answered < UNDER_WAY) {
            usleep(50);
            front_on_wake(front);
        }
        for (u32 i = 0; i < UNDER_WAY; i++) {
            check(ingest[i].err == ERR_OK);
            sender->accepted += ingest[i].accepted;
            sender->duplicates += ingest[i].duplicates;
            ingest_free(&ingest[i]);
        }
    }
    return NULL;
}

struct reader {
    struct engine *engine;
    _Atomic bool stop;
};

/* The month's count; it may end while this runs. */
static void check_usage(const struct engine *engine, i64 begin_ms) {
    i64 now_ms = clock_wall_ms();
    if (budget_this_month(begin_ms) == budget_this_month(now_ms)) {
        check(usage_of(engine->recovered.usage, 1, now_ms) == ROUNDS * EVENTS);
    }
}

static void *query_all(void *context) {
    struct reader *reader = context;
    u64 seen = 0;
    while (!atomic_load(&reader->stop)) {
        struct figures total = engine_totals(reader->engine, 1);
        check(total.events >= seen);
        check(total.cost == (i128)total.events * (PICO_PER_USD / 2));
        seen = total.events;
        u64 used = usage_of(reader->engine->recovered.usage, 1, clock_wall_ms());
        check(used <= ROUNDS * EVENTS);
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
    i64 begin_ms = clock_wall_ms();
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
    check_usage(&engine, begin_ms);
    engine_stop(&engine);
    engine_start(&engine);
    check(engine_totals(&engine, 1).events == ROUNDS * EVENTS);
    check_usage(&engine, begin_ms);
    engine_remove(&engine);
    printf("pipeline_race: %d events, each once\n", ROUNDS * EVENTS);
    return 0;
}
