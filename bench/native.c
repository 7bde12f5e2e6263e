/*
 * native.c: what an event costs in the native batch: building it in the client, and each step of
 * the front thread in the server, against the same steps for a batch that does not say where its
 * texts repeat, as JSON does not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agg/series_cache.h"
#include "dedup/dedup.h"
#include "event/digest.h"
#include "event/native.h"
#include "price/prices.h"
#include "tools/client/codec.h"
#include "tools/client/generate.h"

#define EVENTS 4000
#define ROUNDS 500
#define NOW ((i64)1780000000000)

static struct event_batch batch;
static struct decode_result result;
static struct dicts dicts;

static struct slice text(const char *text) {
    return (struct slice){text, strlen(text)};
}

static void build(struct margin_batch *made, const struct generated_event *events) {
    margin_batch_clear(made);
    for (u32 i = 0; i < EVENTS; i++) {
        const struct generated_event *event = &events[i];
        margin_batch_event(made);
        margin_batch_text(made, WIRE_TEXT_EVENT_NAME, text(event->event_name));
        margin_batch_text(made, WIRE_TEXT_CUSTOMER, text(event->customer));
        margin_batch_text(made, WIRE_TEXT_FEATURE, text(event->feature));
        margin_batch_text(made, WIRE_TEXT_MODEL, text(event->model));
        margin_batch_text(made, WIRE_TEXT_PROVIDER, text(event->provider));
        margin_batch_text(made, WIRE_TEXT_KEY, text(event->key));
        margin_batch_number(made, WIRE_NUM_TIME, event->time_ms);
        margin_batch_number(made, WIRE_NUM_INPUT, event->input_tokens);
        margin_batch_number(made, WIRE_NUM_OUTPUT, event->output_tokens);
        margin_batch_number(made, WIRE_NUM_REVENUE, event->revenue_pico);
        margin_batch_number(made, WIRE_NUM_DURATION, event->duration_ms);
    }
}

static void decode(struct slice payload) {
    struct decode_error error;
    batch.count = 0;
    batch.text_bytes = 0;
    enum err err = native_decode(&batch, payload, NOW, &dicts, &result, &error);
    check(err == ERR_OK && result.count == EVENTS);
}

/* Processor time, so that a busy machine does not count. */
static u64 used_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (u64)time.tv_sec * 1000000000 + (u64)time.tv_nsec;
}

static double each_ns(u64 begin_ns, u32 rounds) {
    return (double)(used_ns() - begin_ns) / EVENTS / rounds;
}

struct steps {
    struct price_cache *prices;
    struct series_cache *series;
    struct digest_keys digest_keys;
    u64 ns[4]; /* digest, price, series, keys */
};

static void lap(u64 *total_ns, u64 *at_ns) {
    u64 now_ns = used_ns();
    *total_ns += now_ns - *at_ns;
    *at_ns = now_ns;
}

/* The steps after decoding. */
static void take_steps(struct steps *steps, const struct dicts *known) {
    u32 overflow[EVENT_BATCH_MAX];
    u32 overflow_count = 0;
    u64 at_ns = used_ns();
    event_digest_dicts(&batch, known, &steps->digest_keys);
    lap(&steps->ns[0], &at_ns);
    price_events(steps->prices, &batch, 0, batch.count, overflow, &overflow_count);
    check(overflow_count == 0);
    lap(&steps->ns[1], &at_ns);
    series_cache_resolve_dicts(steps->series, &batch, known);
    lap(&steps->ns[2], &at_ns);
    dedup_hash_keys(&batch, 0, batch.count, 3);
    lap(&steps->ns[3], &at_ns);
}

static void bench_steps(struct slice payload, const struct dicts *known, const char *what) {
    char why[200];
    struct price_table *table;
    struct prices *prices;
    struct steps steps = {0};
    check(price_table_load_embedded(&table, why, sizeof why) == ERR_OK);
    check(prices_create(table, &prices) == ERR_OK);
    check(price_cache_create(prices, &steps.prices) == ERR_OK);
    check(series_cache_create(2, &steps.series) == ERR_OK);
    digest_keys_make(1, &steps.digest_keys);
    for (u32 i = 0; i < ROUNDS; i++) {
        decode(payload);
        take_steps(&steps, known);
        if (i == 0) {
            for (u32 row = 0; row < batch.count; row++) {
                batch.series[row] = row;
            }
            series_cache_learn(steps.series, &batch);
            memset(steps.ns, 0, sizeof steps.ns);
        }
    }
    static const char *const names[] = {"digest", "price", "series", "keys"};
    for (u32 i = 0; i < ARRAY_COUNT(names); i++) {
        printf("native %s, %-10s %6.1f ns an event\n", what, names[i],
               (double)steps.ns[i] / EVENTS / (ROUNDS - 1));
    }
    series_cache_destroy(steps.series);
    price_cache_destroy(steps.prices);
    prices_destroy(prices);
}

int main(void) {
    struct generator generator = generator_default(1, NOW - (i64)86400000 * 30);
    generator.customers = 100000;
    struct generated_event *events = calloc(EVENTS, sizeof *events);
    struct margin_batch *made = margin_batch_create();
    check(events != NULL && made != NULL);
    for (u32 i = 0; i < EVENTS; i++) {
        generator_event(&generator, i, &events[i]);
    }
    build(made, events);
    usize bytes = codec_batch_bytes(made);
    char *payload = malloc(bytes);
    batch.text = malloc(bytes + 1024 + EVENT_TEXT_PADDING);
    check(payload != NULL && batch.text != NULL);
    batch.text_bytes_max = (u32)bytes + 1024;
    buf_init(&result.messages, MIB);
    u64 begin_ns = used_ns();
    for (u32 i = 0; i < ROUNDS / 5; i++) {
        build(made, events);
        codec_write_batch(payload, made);
    }
    printf("native build   %6.1f ns an event, %.1f bytes an event\n", each_ns(begin_ns, ROUNDS / 5),
           (double)bytes / EVENTS);
    decode((struct slice){payload, bytes});
    begin_ns = used_ns();
    for (u32 i = 0; i < ROUNDS; i++) {
        decode((struct slice){payload, bytes});
    }
    printf("native decode  %6.1f ns an event\n", each_ns(begin_ns, ROUNDS));
    static const struct dicts nothing; /* says of no text where it repeats */
    bench_steps((struct slice){payload, bytes}, &dicts, "by entry");
    bench_steps((struct slice){payload, bytes}, &nothing, "by event");
    free(batch.text);
    free(payload);
    margin_batch_free(made);
    free(events);
    buf_free(&result.messages);
    return 0;
}
