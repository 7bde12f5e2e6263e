/*
 * expire_race.c: old events leave while new ones come in, readers look at figures, at the log and
 * at traces, and another thread uploads: the days that are kept are exact for every reader, sums of
 * all time lose nothing else, and in the end both are what is left, also after a restart.
 */
#include "agg/months.h"
#include "base/clock.h"
#include "query/activity.h"
#include "tests/support/engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BODY_EVENTS 500
#define OLD_BODIES 48
#define YOUNG_BODIES 6
#define NEW_BODIES 60
_Static_assert((OLD_BODIES + YOUNG_BODIES) / 9 == YOUNG_BODIES, "one in nine is young");
#define OLD_EVENTS (OLD_BODIES * BODY_EVENTS)
#define YOUNG_EVENTS (YOUNG_BODIES * BODY_EVENTS)
#define DAY_MS ((i64)86400000)
#define RETENTION_DAYS 30

struct race {
    struct engine engine;
    _Atomic u64 sent; /* new events that were acknowledged */
    _Atomic bool stop;
};

/* Traces go on from old events to young ones and to new ones. */
static void send_body(struct race *race, u32 number, i64 days_ago) {
    char *body = malloc(MIB);
    char when[32];
    time_t seconds = (time_t)((clock_wall_ms() - days_ago * DAY_MS) / 1000);
    struct tm utc;
    check(body != NULL && gmtime_r(&seconds, &utc) != NULL);
    check(strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc) > 0);
    int at = snprintf(body, MIB, "{\"events\":[");
    for (u32 i = 0; i < BODY_EVENTS; i++) {
        at +=
            snprintf(body + at, MIB - (usize)at,
                     "%s{\"eventName\":\"call\",\"customerReferenceId\":\"c%u\",\"model\":\"m%u\","
                     "\"featureKey\":\"f%u\",\"costAmount\":1,\"idempotencyKey\":\"%u-%u\","
                     "\"traceId\":\"t%u\",\"agentId\":\"a%u\",\"timestamp\":\"%s\"}",
                     i > 0 ? "," : "", (number * 7 + i) % 900, i % 5, number % 4, number, i,
                     (number * 31 + i) % 4000, i % 3, when);
    }
    snprintf(body + at, MIB - (usize)at, "]}");
    struct ingest result;
    struct decode_error error;
    check(engine_ingest(&race->engine, 1, body, &result, &error) == ERR_OK);
    check(result.err == ERR_OK && result.accepted == BODY_EVENTS);
    ingest_free(&result);
    free(body);
}

static void *send_all(void *context) {
    struct race *race = context;
    for (u32 i = 0; i < NEW_BODIES; i++) {
        send_body(race, OLD_BODIES + YOUNG_BODIES + i, 0);
        atomic_fetch_add(&race->sent, BODY_EVENTS);
    }
    return NULL;
}

/* Changes to what is stored wait. */
static void *clear_all(void *context) {
    struct race *race = context;
    while (!atomic_load(&race->stop)) {
        struct amend_request request = {.account = 2, .kind = STORE_CLEAR, .source = DIM_NONE};
        enum err err = pipeline_amend(race->engine.pipeline, &request);
        check(err == ERR_OK || err == ERR_BUSY);
        usleep(1000);
    }
    return NULL;
}

static u64 events_since(struct race *race, i64 from) {
    const struct query query = {
        .account = 1, .from = from, .to = INT64_MAX, .order = ORDER_KEY, .limit = 1};
    struct query_result result = {0};
    const char *why = "";
    check(query_run(race->engine.recovered.agg, NULL, &query, &result, &why) == ERR_OK);
    u64 events = result.total.events;
    check(result.total.cost == (i128)events * PICO_PER_USD);
    query_result_free(&result);
    return events;
}

static void *read_all(void *context) {
    struct race *race = context;
    struct agg *agg = race->engine.recovered.agg;
    static struct trace_summary traces[100];
    i64 week = clock_wall_ms() / DAY_MS * DAY_MS - 7 * DAY_MS;
    u32 count;
    u32 total;
    while (!atomic_load(&race->stop)) {
        u64 sent = atomic_load(&race->sent);
        u64 kept = events_since(race, week);
        u64 all = events_since(race, INT64_MIN);
        u64 then = atomic_load(&race->sent) + BODY_EVENTS;
        check(kept >= YOUNG_EVENTS + sent && kept <= YOUNG_EVENTS + then);
        check(all >= YOUNG_EVENTS + sent && all <= OLD_EVENTS + YOUNG_EVENTS + then);
        check(query_traces(agg, 1, INT64_MIN, INT64_MAX, 0, 100, traces, &count, &total) == ERR_OK);
        check(count <= total && total <= 4000);
        query_active(agg, 1, months_of(clock_wall_ms()));
    }
    return NULL;
}

static void wait_expired(struct race *race) {
    struct pipeline_stats stats;
    do {
        usleep(1000);
        pipeline_get_stats(race->engine.pipeline, &stats);
        check(!atomic_load(&race->engine.fatal));
    } while (stats.expired < OLD_EVENTS || stats.expiring != 0);
    check(stats.expired == OLD_EVENTS);
}

int main(void) {
    static struct race race;
    void *(*const work[])(void *) = {send_all, read_all, clear_all};
    pthread_t thread[ARRAY_COUNT(work)];
    engine_init(&race.engine);
    race.engine.snapshot_events = 1000;
    engine_start(&race.engine);
    for (u32 i = 0; i < OLD_BODIES + YOUNG_BODIES; i++) {
        bool young = i % 9 == 8; /* between the old ones */
        send_body(&race, i, young ? 2 : 40 + i % 50);
    }
    engine_stop(&race.engine);
    race.engine.retention_days = RETENTION_DAYS;
    engine_start(&race.engine);
    for (u32 i = 0; i < ARRAY_COUNT(work); i++) {
        check(pthread_create(&thread[i], NULL, work[i], &race) == 0);
    }
    wait_expired(&race);
    for (u32 i = 0; i < ARRAY_COUNT(work); i++) {
        pthread_join(thread[i], NULL);
        atomic_store(&race.stop, true);
    }
    u64 left = YOUNG_EVENTS + (u64)NEW_BODIES * BODY_EVENTS;
    check(engine_totals(&race.engine, 1).events == left);
    engine_stop(&race.engine);
    engine_start(&race.engine);
    check(engine_totals(&race.engine, 1).events == left);
    engine_remove(&race.engine);
    printf("expire_race: good\n");
    return 0;
}
