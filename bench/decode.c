/*
 * decode: what reading an event from JSON into columns costs (UTF-8, numbers, times, limits,
 * digest), plainly and by prediction, with each kernel, against simdjson On-Demand reading all
 * fields of the same bytes. Then the same where prediction never holds (members in any order,
 * members nobody expects): what trying costs against plain reading; and one event a body, shuffled,
 * and in the form of the single-event endpoint; and where members come or not. `bench-decode
 * [events]`, default 1000 a body. The figure is the best of many passes; the contestants take
 * turns, so that what else the machine does hits all of them.
 */
#include "base/clock.h"
#include "event/decoder.h"
#include "tools/client/generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSES 400
#define CONTESTANTS_MAX (2 * SCAN_KERNELS_MAX + 1)

/* bench/simdjson_peer.cc */
size_t simdjson_peer_read(const char *body, size_t bytes, size_t capacity);
const char *simdjson_peer_name(void);

struct contestant {
    char name[48];
    struct decoder *decoder; /* NULL: simdjson */
    u64 best_ns;
};

struct bench {
    struct event_batch *batch;
    struct decode_result *result;
    char *body;
    char *copy;
    usize bytes;
    usize capacity;
    const struct generator *fresh; /* not NULL: another body each pass */
    u32 events;
    u32 bodies; /* they stand one behind the other */
    u32 begin[INGEST_EVENTS_MAX + 1];
    bool single; /* bodies of the single-event endpoint */
};

static void *must(void *memory) {
    check(memory != NULL);
    return memory;
}

static u32 read_peer(const struct bench *bench) {
    u32 events = 0;
    for (u32 i = 0; i < bench->bodies; i++) {
        usize begin = bench->begin[i];
        usize bytes = bench->begin[i + 1] - begin;
        events += (u32)simdjson_peer_read(bench->copy + begin, bytes, bench->capacity - begin);
    }
    return events;
}

static void read_body(struct bench *bench, struct decoder *decoder, struct text_ref body) {
    const i64 now_ms = 1777700000000;
    struct decode_error error;
    enum err err = bench->single
                       ? decode_client_event(decoder, bench->batch, body, SLICE(""), now_ms, &error)
                       : decode_ingest(decoder, bench->batch, body, now_ms, bench->result, &error);
    check(err == ERR_OK);
}

static u64 run(struct bench *bench, const struct contestant *contestant) {
    /* A fresh copy for everybody: it was just received, and decoding may write to it. */
    memcpy(bench->copy, bench->body, bench->bytes);
    struct event_batch *batch = bench->batch;
    batch->count = 0;
    batch->text = bench->copy;
    batch->text_bytes = (u32)bench->bytes;
    batch->text_bytes_max = (u32)(bench->capacity - EVENT_TEXT_PADDING);
    u64 begin_ns = clock_monotonic_ns();
    if (contestant->decoder == NULL) {
        u32 events = read_peer(bench);
        u64 ns = clock_monotonic_ns() - begin_ns;
        check(events == bench->events);
        return ns;
    }
    for (u32 i = 0; i < bench->bodies; i++) {
        struct text_ref body = {bench->begin[i], bench->begin[i + 1] - bench->begin[i]};
        read_body(bench, contestant->decoder, body);
    }
    u64 ns = clock_monotonic_ns() - begin_ns;
    check(batch->count == bench->events);
    return ns;
}

static u32 line_up(struct contestant *contestants) {
    const struct scan_kernel *kernels[SCAN_KERNELS_MAX];
    u32 kernel_count = scan_list(kernels);
    u32 count = 0;
    for (u32 predict = 0; predict < 2; predict++) {
        for (u32 i = 0; i < kernel_count; i++) {
            struct contestant *one = &contestants[count++];
            snprintf(one->name, sizeof one->name, "%s_%s", kernels[i]->name,
                     predict ? "predicted" : "plain");
            check(decoder_create(1, &one->decoder) == ERR_OK);
            decoder_configure(one->decoder, kernels[i], predict != 0);
        }
    }
    snprintf(contestants[count].name, sizeof contestants[count].name, "simdjson_%s",
             simdjson_peer_name());
    return count + 1;
}

static void make_body(struct bench *bench, const struct generator *generator, u64 first) {
    bench->bytes = generator_body(generator, first, bench->events, bench->body);
    bench->bodies = 1;
    bench->begin[1] = (u32)bench->bytes;
}

static void race(struct bench *bench, struct contestant *contestants, u32 count) {
    for (u32 pass = 0; pass < PASSES; pass++) {
        if (bench->fresh != NULL) {
            make_body(bench, bench->fresh, (u64)pass * 100);
        }
        for (u32 i = 0; i < count; i++) {
            u64 ns = run(bench, &contestants[i]);
            contestants[i].best_ns = pass == 0 ? ns : MIN(ns, contestants[i].best_ns);
        }
    }
}

static void report(const struct bench *bench, const struct contestant *contestants, u32 count) {
    const struct contestant *peer = &contestants[count - 1];
    printf("%u events a body, %.1f bytes each\n", bench->events,
           (double)bench->bytes / bench->events);
    for (u32 i = 0; i < count; i++) {
        double ns = (double)contestants[i].best_ns / bench->events;
        printf("bench name=decode_%s value=%.2f unit=ns_per_event\n", contestants[i].name, ns);
    }
    /* The best kernel comes last of the predicted ones; it is the one a server runs with. */
    const struct contestant *best = &contestants[count - 2];
    printf("bench name=decode_predicted value=%.2f unit=ns_per_event\n",
           (double)best->best_ns / bench->events);
    printf("bench name=simdjson_ondemand value=%.2f unit=ns_per_event\n",
           (double)peer->best_ns / bench->events);
    printf("bench name=decode_ratio value=%.3f unit=x_simdjson\n",
           (double)peer->best_ns / (double)best->best_ns);
}

/* With the best kernel, which comes last of the plain and of the predicted ones. */
static void report_miss(const struct bench *bench, const struct contestant *contestants, u32 count,
                        const char *what) {
    const struct contestant *plain = &contestants[(count - 1) / 2 - 1];
    const struct contestant *predicted = &contestants[count - 2];
    const struct contestant *peer = &contestants[count - 1];
    double events = bench->events;
    printf("bench name=%s_plain value=%.2f unit=ns_per_event\n", what,
           (double)plain->best_ns / events);
    printf("bench name=%s_predicted value=%.2f unit=ns_per_event\n", what,
           (double)predicted->best_ns / events);
    printf("bench name=%s_simdjson value=%.2f unit=ns_per_event\n", what,
           (double)peer->best_ns / events);
    printf("bench name=%s_ratio value=%.3f unit=x_plain\n", what,
           (double)predicted->best_ns / (double)plain->best_ns);
}

/* 2, 4 and 8 shapes take turns by chance, which no processor can learn by heart: bodies differ. */
static void race_shapes(struct bench *bench, struct contestant *contestants, u32 count,
                        struct generator *generator) {
    bench->fresh = generator;
    for (generator->optional = 1; generator->optional <= 3; generator->optional++) {
        char what[16];
        snprintf(what, sizeof what, "shapes_%u", 1u << generator->optional);
        race(bench, contestants, count);
        report_miss(bench, contestants, count, what);
    }
}

static void report_single(const struct bench *bench, const struct contestant *contestants,
                          u32 count) {
    const struct contestant *plain = &contestants[(count - 1) / 2 - 1];
    printf("bench name=single_plain value=%.2f unit=ns_per_event\n",
           (double)plain->best_ns / bench->events);
}

static usize write_single(const struct generator *generator, u32 index, char *to) {
    struct generated_event event;
    generator_event(generator, index, &event);
    int bytes = snprintf(
        to, GENERATED_JSON_MAX,
        "{\"eventName\":\"%s\",\"customerReferenceId\":\"%s\",\"featureKey\":\"%s\","
        "\"occurredAt\":\"2026-05-01T%02u:%02u:%02u.000Z\",\"costInput\":{\"model\":\"%s\","
        "\"modelProvider\":\"%s\",\"inputTokens\":%lld,\"outputTokens\":%lld},"
        "\"revenueAmount\":0.%04lld,\"eventIdempotencyKey\":\"%s\"}",
        event.event_name, event.customer, event.feature, index / 100 % 24, index % 60, index % 59,
        event.model, event.provider, (long long)event.input_tokens, (long long)event.output_tokens,
        (long long)(event.revenue_pico / 100000000 % 10000), event.key);
    check(bytes > 0 && bytes < GENERATED_JSON_MAX);
    return (usize)bytes;
}

/* One event in each. */
static void make_bodies(struct bench *bench, const struct generator *generator) {
    bench->bytes = 0;
    bench->bodies = bench->events;
    for (u32 i = 0; i < bench->events; i++) {
        char *to = bench->body + bench->bytes;
        bench->bytes +=
            bench->single ? write_single(generator, i, to) : generator_body(generator, i, 1, to);
        bench->begin[i + 1] = (u32)bench->bytes;
    }
}

int main(int argc, char **argv) {
    u32 events = argc > 1 ? (u32)strtoul(argv[1], NULL, 10) : INGEST_EVENTS_MAX;
    if (events == 0 || events > INGEST_EVENTS_MAX) {
        fprintf(stderr, "usage: %s [events a body, 1 to %d]\n", argv[0], INGEST_EVENTS_MAX);
        return 2;
    }
    struct bench bench = {.events = events};
    bench.capacity = (usize)events * GENERATED_JSON_MAX + 4 * KIB;
    bench.batch = must(calloc(1, sizeof *bench.batch));
    bench.result = must(calloc(1, sizeof *bench.result));
    bench.body = must(calloc(1, bench.capacity));
    bench.copy = must(calloc(1, bench.capacity));
    buf_init(&bench.result->messages, MIB);
    struct generator generator = generator_default(7, 1777600000000);
    make_body(&bench, &generator, 0);

    struct contestant contestants[CONTESTANTS_MAX] = {0};
    u32 count = line_up(contestants);
    race(&bench, contestants, count);
    report(&bench, contestants, count);
    generator.shuffled = true;
    make_body(&bench, &generator, 0);
    race(&bench, contestants, count);
    report_miss(&bench, contestants, count, "shuffled");
    make_bodies(&bench, &generator);
    race(&bench, contestants, count);
    report_miss(&bench, contestants, count, "one_a_body");
    bench.single = true;
    make_bodies(&bench, &generator);
    race(&bench, contestants, count - 1); /* simdjson's program does not know this form */
    report_single(&bench, contestants, count);
    bench.single = false;
    generator.shuffled = false;
    generator.unexpected = 2;
    make_body(&bench, &generator, 0);
    race(&bench, contestants, count);
    report_miss(&bench, contestants, count, "unexpected");
    generator.unexpected = 0;
    race_shapes(&bench, contestants, count, &generator);
    for (u32 i = 0; i < count; i++) {
        decoder_destroy(contestants[i].decoder);
    }
    buf_free(&bench.result->messages);
    free(bench.batch);
    free(bench.result);
    free(bench.body);
    free(bench.copy);
    return 0;
}
