/*
 * agg.c: what the figures cost. Prints `bench name=... value=... unit=...` lines: nanoseconds per
 * event for resolving series and for applying, in the middle of a minute and where one begins, what
 * letting a minute pass costs for each series, the latency of "top 100 customers by margin", point
 * queries, a month by days, and memory per series, for few and many customers.
 */
#include "agg/agg.h"
#include "agg/series_cache.h"
#include "query/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCHES 32
#define FEATURES 20
#define MODELS 10
#define START ((i64)1790000000000)

static u64 state = 1;

static u32 random_below(u32 bound) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (u32)((state >> 32) * bound >> 32);
}

static void say(const char *name, u32 customers, double value, const char *unit) {
    printf("bench name=agg_%s_%u value=%.1f unit=%s\n", name, customers, value, unit);
}

static void put(struct event_batch *batch, u32 row, enum event_text text, const char *format,
                u32 number) {
    int bytes = snprintf(batch->text + batch->text_bytes, 64, format, number);
    batch->ref[text][row] = (struct text_ref){batch->text_bytes, (u32)bytes};
    batch->text_bytes += (u32)bytes;
    batch->present[row] |= TEXT_BIT(text);
}

static void fill(struct event_batch *batch, u32 customers, i64 time) {
    batch->count = EVENT_BATCH_MAX;
    batch->text_bytes = 0;
    batch->account = 1;
    for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
        u32 customer = random_below(customers);
        batch->present[i] = NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE) |
                            NUM_BIT(NUM_USAGE) | NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT) |
                            NUM_BIT(NUM_DURATION);
        batch->series[i] = SERIES_UNRESOLVED;
        batch->number[NUM_TIME][i] = time - random_below(1000);
        batch->number[NUM_COST][i] = random_below(1000000000);
        batch->number[NUM_REVENUE][i] = random_below(1500000000);
        batch->number[NUM_USAGE][i] = MICRO_PER_UNIT;
        batch->number[NUM_INPUT][i] = random_below(2000);
        batch->number[NUM_OUTPUT][i] = random_below(500);
        batch->number[NUM_DURATION][i] = random_below(3000);
        put(batch, i, TEXT_EVENT_NAME, "cost", 0);
        put(batch, i, TEXT_CUSTOMER, "customer-%06u", customer);
        put(batch, i, TEXT_FEATURE, "feature-%u", customer % FEATURES);
        put(batch, i, TEXT_MODEL, "model-%u", customer % MODELS);
        put(batch, i, TEXT_PROVIDER, "provider-%u", customer % MODELS % 3);
    }
}

/* CPU time of this thread: what the step costs, also on a busy machine. */
static u64 cpu_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (u64)time.tv_sec * 1000000000u + (u64)time.tv_nsec;
}

static double since(u64 start_ns, double count) {
    return (double)(cpu_ns() - start_ns) / count;
}

static void ask(struct agg *agg, u32 customers, const char *name, const struct query *query,
                u32 rounds) {
    u64 start = cpu_ns();
    for (u32 i = 0; i < rounds; i++) {
        struct query_result result;
        const char *why;
        if (query_run(agg, NULL, query, &result, &why) != ERR_OK) {
            printf("bench error: %s\n", why);
            return;
        }
        query_result_free(&result);
    }
    say(name, customers, since(start, rounds) / 1000, "us");
}

static void ask_all(struct agg *agg, u32 customers) {
    struct query top = {.account = 1,
                        .group = {DIM_CUSTOMER},
                        .group_count = 1,
                        .from = INT64_MIN,
                        .to = INT64_MAX,
                        .order = ORDER_MARGIN,
                        .limit = 100};
    ask(agg, customers, "top100_margin", &top, 100);
    top.present_only = true;
    top.without_revenue = true;
    top.live = true;
    top.from = query_window_start(START, (i64)30 * 86400000);
    ask(agg, customers, "top100_margin_30d", &top, 100);
    struct query point = {.account = 1,
                          .filter_mask = 1u << DIM_CUSTOMER,
                          .from = INT64_MIN,
                          .to = INT64_MAX,
                          .limit = 1};
    point.filter[DIM_CUSTOMER] = SLICE("customer-000001");
    ask(agg, customers, "point", &point, 100000);
    struct query hour = {.account = 1,
                         .group = {DIM_MODEL},
                         .group_count = 1,
                         .from = query_window_start(START, (i64)3600000),
                         .to = INT64_MAX,
                         .limit = 100};
    ask(agg, customers, "models_last_hour", &hour, 5);
    struct query month = {.account = 1,
                          .from = query_window_start(START, (i64)30 * 86400000),
                          .to = INT64_MAX,
                          .bucket = BUCKET_DAY,
                          .limit = 100};
    month.from -= month.from % 86400000;
    ask(agg, customers, "days_of_month", &month, 5);
}

static int compare_values(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Nanoseconds per event for applying all batches, with new times in them. */
static double apply_all(struct agg *agg, struct event_batch **batches, i64 now) {
    static u32 rows[EVENT_BATCH_MAX];
    for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
        rows[i] = i;
    }
    for (u32 i = 0; i < BATCHES * EVENT_BATCH_MAX; i++) {
        batches[i / EVENT_BATCH_MAX]->number[NUM_TIME][i % EVENT_BATCH_MAX] =
            now - random_below(1000);
    }
    u64 start = cpu_ns();
    for (u32 i = 0; i < BATCHES; i++) {
        agg_apply(agg, batches[i], rows, EVENT_BATCH_MAX);
    }
    return since(start, BATCHES * EVENT_BATCH_MAX);
}

/* Nanoseconds per series that had an event for letting the time come. */
static double pass(struct agg *agg, i64 now, u32 series) {
    u64 start = cpu_ns();
    for (u32 i = 0; i < 100; i++) {
        agg_advance(agg, now);
    }
    return since(start, series);
}

#define ROUNDS 15

/* Minutes in which nothing is new but the time. */
static void run_minutes(struct agg *agg, u32 customers, struct event_batch **batches) {
    double begin[ROUNDS];
    double middle[ROUNDS];
    double passed[ROUNDS];
    u32 touched = MIN(customers, (u32)(BATCHES * EVENT_BATCH_MAX)); /* nearly */
    for (u32 round = 0; round < ROUNDS; round++) {
        i64 now = START + (i64)(round + 1) * 60000;
        begin[round] = apply_all(agg, batches, now);
        middle[round] = apply_all(agg, batches, now + 5000);
        passed[round] = pass(agg, now + 30000, touched);
    }
    qsort(begin, ROUNDS, sizeof *begin, compare_values);
    qsort(middle, ROUNDS, sizeof *middle, compare_values);
    qsort(passed, ROUNDS, sizeof *passed, compare_values);
    say("apply", customers, middle[ROUNDS / 2], "ns/event");
    say("apply_new_minute", customers, begin[ROUNDS / 2], "ns/event");
    say("pass_minute", customers, passed[ROUNDS / 2], "ns/series");
}

static void run(u32 customers, struct event_batch **batches) {
    struct agg *agg;
    struct series_cache *cache;
    u32 rows[EVENT_BATCH_MAX];
    struct agg_options options = {.seed = 1};
    if (agg_create(&options, &agg) != ERR_OK || series_cache_create(2, &cache) != ERR_OK) {
        return;
    }
    agg_advance(agg, START);
    for (u32 i = 0; i < EVENT_BATCH_MAX; i++) {
        rows[i] = i;
    }
    u32 rounds = MAX(customers * 4 / EVENT_BATCH_MAX / BATCHES, 4u);
    double resolve_ns = 0;
    double cache_ns = 0;
    for (u32 round = 0; round < rounds; round++) {
        bool last = round + 1 == rounds; /* the rest warms up */
        for (u32 i = 0; i < BATCHES; i++) {
            fill(batches[i], customers, START + (i64)round * 1000);
        }
        u64 start = cpu_ns();
        for (u32 i = 0; i < BATCHES; i++) {
            series_cache_resolve(cache, batches[i], 0, EVENT_BATCH_MAX);
        }
        cache_ns = last ? since(start, BATCHES * EVENT_BATCH_MAX) : cache_ns;
        start = cpu_ns();
        for (u32 i = 0; i < BATCHES; i++) {
            agg_resolve(agg, batches[i], rows, EVENT_BATCH_MAX);
            agg_settle(agg);
        }
        resolve_ns = round == 0 ? since(start, BATCHES * EVENT_BATCH_MAX) : resolve_ns;
        for (u32 i = 0; i < BATCHES; i++) {
            series_cache_learn(cache, batches[i]);
            agg_apply(agg, batches[i], rows, EVENT_BATCH_MAX);
        }
    }
    say("cache", customers, cache_ns, "ns/event");
    say("resolve_first", customers, resolve_ns, "ns/event");
    say("memory_first", customers, (double)agg_memory_bytes(agg) / agg_series_count(agg),
        "bytes/series");
    run_minutes(agg, customers, batches);
    say("memory", customers, (double)agg_memory_bytes(agg) / agg_series_count(agg), "bytes/series");
    ask_all(agg, customers);
    series_cache_destroy(cache);
    agg_destroy(agg);
}

int main(int argc, char **argv) {
    struct event_batch *batches[BATCHES];
    for (u32 i = 0; i < BATCHES; i++) {
        batches[i] = calloc(1, sizeof *batches[i]);
        if (batches[i] == NULL) {
            return 1;
        }
        batches[i]->text_bytes_max = EVENT_BATCH_MAX * 128;
        batches[i]->text = calloc(1, batches[i]->text_bytes_max);
        if (batches[i]->text == NULL) {
            return 1;
        }
    }
    static const u32 customers[] = {1000, 100000, 1000000};
    for (u32 i = 0; i < ARRAY_COUNT(customers); i++) {
        if (argc < 2 || strtoul(argv[1], NULL, 10) == customers[i]) {
            run(customers[i], batches);
        }
    }
    for (u32 i = 0; i < BATCHES; i++) {
        free(batches[i]->text);
        free(batches[i]);
    }
    return 0;
}
