/*
 * price: what pricing an event costs, with names that repeat as traffic repeats them, and what
 * finding a name costs the first time.
 */
#include "base/clock.h"
#include "price/prices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 8000
#define BATCH 1000           /* events: a full request */
#define EVENT_TEXT_BYTES 300 /* distance between the names of neighbouring events */
#define FEATURES 1000        /* that an account has priced */

struct bench {
    struct price_table *table;
    struct price_cache *cache;
    struct event_batch *batch;
    u8 revenue; /* enum revenue_source that events come with */
};

static struct text_ref put_text(struct event_batch *batch, u32 *at, const char *text) {
    u32 bytes = (u32)strlen(text);
    struct text_ref ref = {*at, bytes};
    memcpy(batch->text + *at, text, bytes);
    *at += bytes + 9;
    return ref;
}

/* Events of `models` different models, in no order. */
static void fill(struct event_batch *batch, const char *const *models, u32 model_count,
                 bool provider) {
    u32 random = 1;
    batch->count = BATCH;
    for (u32 i = 0; i < BATCH; i++) {
        u32 at = i * EVENT_TEXT_BYTES;
        random = random * 1664525 + 1013904223;
        char feature[32];
        snprintf(feature, sizeof feature, "feature-%u", (random >> 8) % FEATURES);
        batch->present[i] = TEXT_BIT(TEXT_MODEL) | TEXT_BIT(TEXT_CUSTOMER) |
                            TEXT_BIT(TEXT_FEATURE) | NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT) |
                            NUM_BIT(NUM_TIME) | NUM_BIT(NUM_REVENUE);
        batch->ref[TEXT_FEATURE][i] = put_text(batch, &at, feature);
        batch->ref[TEXT_CUSTOMER][i] = put_text(batch, &at, "customer_0012345");
        batch->ref[TEXT_MODEL][i] = put_text(batch, &at, models[(random >> 16) % model_count]);
        if (provider) {
            batch->ref[TEXT_PROVIDER][i] = put_text(batch, &at, "openrouter");
            batch->present[i] |= TEXT_BIT(TEXT_PROVIDER);
        }
        batch->number[NUM_INPUT][i] = random >> 16;
        batch->number[NUM_OUTPUT][i] = random >> 20;
        batch->number[NUM_TIME][i] = 1777593600000;
    }
}

static void run(struct bench *bench, const char *what) {
    struct event_batch *batch = bench->batch;
    u32 overflow[BATCH];
    u32 overflow_count = 0;
    u32 *present = malloc(sizeof batch->present);
    check(present != NULL);
    memcpy(present, batch->present, sizeof batch->present);
    u64 best_ns = UINT64_MAX; /* other work on the machine only adds */
    for (u32 round = 0; round < ROUNDS; round++) {
        memcpy(batch->present, present, sizeof batch->present);
        memset(batch->cost_source, 0, sizeof batch->cost_source);
        memset(batch->revenue_source, bench->revenue, sizeof batch->revenue_source);
        batch->text_bytes = BATCH * EVENT_TEXT_BYTES;
        u64 begin_ns = clock_monotonic_ns();
        price_events(bench->cache, batch, 0, BATCH, overflow, &overflow_count);
        best_ns = MIN(best_ns, clock_monotonic_ns() - begin_ns);
        check(overflow_count == 0);
    }
    printf("%-44s %6.1f ns an event\n", what, (double)best_ns / BATCH);
    free(present);
}

/* The account of the events gets prices of its own. */
static void set_book(struct prices *prices, const char *const *models, u32 model_count) {
    static char names[FEATURES][32];
    static struct feature_price features[FEATURES];
    struct model_price own[16];
    struct price_book *book;
    for (u32 i = 0; i < FEATURES; i++) {
        int bytes = snprintf(names[i], sizeof names[i], "feature-%u", i);
        features[i] = (struct feature_price){.feature = {names[i], (usize)bytes}, .revenue = i};
    }
    for (u32 i = 0; i < model_count; i++) {
        own[i] = (struct model_price){
            .model = {models[i], strlen(models[i])}, .input = 1, .output = 2, .cached = -1};
    }
    check(price_book_make(features, FEATURES, own, model_count, &book) == ERR_OK);
    check(prices_set_book(prices, 0, book) == ERR_OK);
}

static void bench_find(struct bench *bench, const char *model, const char *what) {
    struct slice name = {model, strlen(model)};
    u32 found = 0;
    u64 begin_ns = clock_monotonic_ns();
    for (u32 i = 0; i < 100000; i++) {
        found ^= price_find(bench->table, (struct slice){NULL, 0}, name);
    }
    check(found == 0);
    printf("%-44s %6.1f ns\n", what, (double)(clock_monotonic_ns() - begin_ns) / 100000);
}

int main(void) {
    static const char *const flat[] = {
        "gpt-4o-mini",      "gpt-4o",  "claude-sonnet-4-5", "gemini-2.5-flash",
        "claude-haiku-4-5", "o4-mini", "gpt-4.1-nano",      "mistral-small-latest"};
    static const char *const timed[] = {"claude-opus-4-6", "deepseek-v4-pro", "gpt-5.6-sol"};
    struct bench bench = {.batch = calloc(1, sizeof(struct event_batch)),
                          .revenue = REVENUE_EXPLICIT};
    char why[200];
    check(bench.batch != NULL);
    u64 begin_ns = clock_monotonic_ns();
    check(price_table_load_embedded(&bench.table, why, sizeof why) == ERR_OK);
    printf("loading %u models: %.2f ms\n", price_count(bench.table),
           (double)(clock_monotonic_ns() - begin_ns) / 1e6);
    struct prices *prices;
    check(prices_create(bench.table, &prices) == ERR_OK);
    check(price_cache_create(prices, &bench.cache) == ERR_OK);
    bench.batch->text = malloc(2 * BATCH * EVENT_TEXT_BYTES);
    bench.batch->text_bytes_max = 2 * BATCH * EVENT_TEXT_BYTES - EVENT_TEXT_PADDING;
    check(bench.batch->text != NULL);
    memset(bench.batch->text, 'x', 2 * BATCH * EVENT_TEXT_BYTES);
    fill(bench.batch, flat, 1, false);
    run(&bench, "one model, provider inferred");
    fill(bench.batch, flat, ARRAY_COUNT(flat), false);
    run(&bench, "8 models, provider inferred");
    fill(bench.batch, flat, ARRAY_COUNT(flat), true);
    run(&bench, "8 models, provider given");
    fill(bench.batch, timed, ARRAY_COUNT(timed), false);
    run(&bench, "prices with periods, hours or tiers");
    fill(bench.batch, flat, ARRAY_COUNT(flat), false);
    bench.revenue = REVENUE_NONE;
    run(&bench, "8 models, no revenue given");
    set_book(prices, flat, ARRAY_COUNT(flat));
    run(&bench, "the same, 8 own prices, 1000 priced features");
    bench_find(&bench, "gpt-4o-mini-2024-07-18", "finding a snapshot, not remembered");
    bench_find(&bench, "openrouter/anthropic/claude-none", "finding nothing, not remembered");
    price_cache_destroy(bench.cache);
    prices_destroy(prices);
    free(bench.batch->text);
    free(bench.batch);
    return 0;
}
