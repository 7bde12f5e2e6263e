/*
 * retention_model: two years of traffic, a body every other day, in some seconds, on a clock of
 * their own: the whole engine with a retention of 30 days, so little memory for keys that most are
 * on disk, customers that come and go, late events and repeated ones. Every two months what stays
 * is compared with a plain array, and nothing may have grown: the log's blocks, keys in memory and
 * on disk, memory but for the names of those that were there once. So it is after a restart.
 */
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "tests/support/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define DAY_MS ((i64)86400000)
#define KEPT_DAYS 30
#define DAYS 730
#define LOOK_DAYS 60
#define BODY_EVENTS 400
#define EVENTS_MAX (DAYS / 2 * BODY_EVENTS)
#define BODY_BYTES ((usize)200 * BODY_EVENTS)
#define NAME_BYTES_MAX 600 /* of a series that nothing is left of, with what only it had */
#define DEF_BYTES_MAX 16   /* of its definition, in the block that stands for what is gone */

struct fact {
    i64 time;
    u32 cost;
    u32 customer;
};

static struct engine engine;
static struct fact facts[EVENTS_MAX];
static u32 fact_count;
static u64 seed;
static char body[BODY_BYTES];
static _Atomic i64 passed_ms; /* beyond what has really */

/* --- the clock, in the place of the engine's ----------------------------------------------------
 */

static u64 real_ns(void) {
    struct timespec now;
    check(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (u64)now.tv_sec * 1000000000u + (u64)now.tv_nsec;
}

u64 clock_monotonic_ns(void) {
    return real_ns() + (u64)atomic_load(&passed_ms) * 1000000u;
}

i64 clock_wall_ms(void) {
    return 1800000000000 + (i64)(clock_monotonic_ns() / 1000000u % (u64)(DAY_MS * 3650));
}

/* --- traffic ------------------------------------------------------------------------------------
 */

static u32 below(u32 bound) {
    seed = hash_mix(seed + 0x9e3779b97f4a7c15u);
    return (u32)(seed % bound);
}

static void fail(const char *what, u64 got, u64 wanted) {
    fprintf(stderr, "retention_model: %s: %llu, not %llu\n", what, (unsigned long long)got,
            (unsigned long long)wanted);
    exit(1);
}

static int put_event(int at, u32 number) {
    const struct fact *fact = &facts[number];
    time_t seconds = (time_t)(fact->time / 1000);
    struct tm utc;
    char when[32];
    check(gmtime_r(&seconds, &utc) != NULL);
    check(strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc) > 0);
    return at +
           snprintf(body + at, BODY_BYTES - (usize)at,
                    "%s{\"eventName\":\"call\",\"customerReferenceId\":\"c%u\",\"model\":\"m\","
                    "\"featureKey\":\"f%u\",\"costAmount\":%u,\"idempotencyKey\":\"%u\","
                    "\"traceId\":\"t%u\",\"timestamp\":\"%s\"}",
                    at > 11 ? "," : "", fact->customer, number % 5, fact->cost, number, number / 3,
                    when);
}

static u32 send(u32 first, u32 count) {
    struct ingest result;
    struct decode_error error;
    int at = snprintf(body, BODY_BYTES, "{\"events\":[");
    for (u32 i = first; i < first + count; i++) {
        at = put_event(at, i);
    }
    snprintf(body + at, BODY_BYTES - (usize)at, "]}");
    check(engine_ingest(&engine, 1, body, &result, &error) == ERR_OK && result.err == ERR_OK);
    u32 accepted = result.accepted;
    if (accepted + result.duplicates != count) {
        fail("events that are neither new nor known", accepted + result.duplicates, count);
    }
    ingest_free(&result);
    return accepted;
}

/* Ten customers stay, others are there for some weeks. Some events are weeks late. */
static void send_day(u32 day) {
    i64 now = clock_wall_ms() / 1000 * 1000;
    u32 first = fact_count;
    for (u32 i = 0; i < BODY_EVENTS; i++) {
        bool late = below(20) == 0;
        u32 passing = 10 + (day + below(20)) * 2 + below(4);
        facts[fact_count++] =
            (struct fact){.time = now - (late ? (i64)below(KEPT_DAYS - 1) * DAY_MS : 0),
                          .cost = 1 + below(9),
                          .customer = below(3) == 0 ? below(10) : passing};
    }
    if (send(first, BODY_EVENTS) != BODY_EVENTS) {
        fail("new events of a day", 0, BODY_EVENTS);
    }
    u32 back = (1 + below(10)) * BODY_EVENTS;
    u32 again = first - MIN(first, back);
    bool kept = true;
    for (u32 i = again; i < again + 50; i++) {
        kept = kept && facts[i].time >= now - (KEPT_DAYS - 2) * DAY_MS;
    }
    if (kept && send(again, 50) != 0) {
        fail("events that were known", 1, 0);
    }
}

/* --- looking ------------------------------------------------------------------------------------
 */

static i64 horizon(void) {
    i64 oldest = clock_wall_ms() - KEPT_DAYS * DAY_MS;
    return oldest - oldest % DAY_MS;
}

static struct figures figures_from(i64 from) {
    const struct query query = {
        .account = 1, .from = from, .to = INT64_MAX, .order = ORDER_KEY, .limit = 1};
    struct query_result result = {0};
    const char *why = "";
    check(query_run(engine.recovered.agg, NULL, &query, &result, &why) == ERR_OK);
    struct figures total = result.total;
    query_result_free(&result);
    return total;
}

static u64 compare(i64 from) {
    u64 events = 0;
    u64 cost = 0;
    struct figures found = figures_from(from);
    for (u32 i = 0; i < fact_count; i++) {
        bool counts = facts[i].time >= MAX(from, horizon());
        events += counts;
        cost += counts ? facts[i].cost : 0;
    }
    if (found.events != events || found.cost != (i128)cost * PICO_PER_USD) {
        fail("events that are kept", found.events, events);
    }
    return events;
}

struct sizes {
    u64 keys;
    u64 run_bytes;
    u64 payload_bytes;
    u64 agg_bytes;
    u32 series;
};

static bool is_quiet(struct sizes *out, u64 kept) {
    struct pipeline_stats pipeline;
    struct store_stats store;
    pipeline_get_stats(engine.pipeline, &pipeline);
    store_get_stats(engine.store, &store);
    *out = (struct sizes){.keys = pipeline.keys.keys,
                          .run_bytes = pipeline.keys.run_bytes,
                          .payload_bytes = store.payload_bytes,
                          .agg_bytes = agg_memory_bytes(engine.recovered.agg),
                          .series = agg_series_count(engine.recovered.agg)};
    return pipeline.expiring == 0 && store_expired(engine.store) >= horizon() &&
           out->keys <= kept * 5 / 2 + BODY_EVENTS;
}

/* Waits until the background thread has caught up, and compares. */
static struct sizes look(void) {
    struct sizes sizes;
    u64 kept = 0;
    for (u32 i = 0; i < fact_count; i++) {
        kept += facts[i].time >= horizon();
    }
    for (u32 tries = 0; !is_quiet(&sizes, kept); tries++) {
        if (tries > 6000 || atomic_load(&engine.fatal)) {
            fail("keys of events that are kept", sizes.keys, kept);
        }
        usleep(10000);
        if (send(fact_count - 1, 1) != 0) { /* the commit thread takes up what was made */
            fail("the newest event is new", 1, 0);
        }
    }
    compare(INT64_MIN);
    compare(horizon() + 9 * DAY_MS);
    compare(clock_wall_ms() / DAY_MS * DAY_MS - 3 * DAY_MS);
    return sizes;
}

static void not_more(const char *what, u64 got, u64 most) {
    if (got > most) {
        fail(what, got, most);
    }
}

int main(int argc, char **argv) {
    u64 first_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20261120;
    struct sizes begin = {0};
    struct sizes now = {0};
    seed = first_seed;
    log_set_level(LOG_ERROR);
    engine_init(&engine);
    engine.retention_days = KEPT_DAYS;
    engine.key_memory = 4000 * 64;
    engine_start(&engine);
    for (u32 day = 0; day < DAYS; day += 2) {
        atomic_fetch_add(&passed_ms, 2 * DAY_MS);
        send_day(day);
        if (day % LOOK_DAYS == LOOK_DAYS - 2) {
            now = look();
            begin = day < 2 * LOOK_DAYS ? now : begin;
        }
        if (day == DAYS / 2 / 2 * 2) {
            engine_stop(&engine);
            engine_start(&engine);
            look();
        }
    }
    printf("retention_model: seed %llu: series %u -> %u, memory %llu -> %llu, keys %llu -> %llu, "
           "runs %llu -> %llu, blocks %llu -> %llu\n",
           (unsigned long long)first_seed, begin.series, now.series,
           (unsigned long long)begin.agg_bytes, (unsigned long long)now.agg_bytes,
           (unsigned long long)begin.keys, (unsigned long long)now.keys,
           (unsigned long long)begin.run_bytes, (unsigned long long)now.run_bytes,
           (unsigned long long)begin.payload_bytes, (unsigned long long)now.payload_bytes);
    u64 names = (u64)(now.series - begin.series) * NAME_BYTES_MAX;
    not_more("memory of figures", now.agg_bytes, begin.agg_bytes * 5 / 4 + names);
    not_more("bytes of runs", now.run_bytes, now.keys * 24 + 64 * KIB);
    not_more("bytes of blocks", now.payload_bytes,
             begin.payload_bytes * 5 / 4 + (u64)(now.series - begin.series) * DEF_BYTES_MAX);
    engine_stop(&engine);
    engine_start(&engine);
    look();
    engine_remove(&engine);
    return 0;
}
