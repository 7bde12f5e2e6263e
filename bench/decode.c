/*
 * decode: what reading an event from JSON into columns costs (UTF-8, numbers, times, limits,
 * digest), plainly and by prediction, with each kernel, against simdjson On-Demand reading all
 * fields of the same bytes. Then the same where prediction never holds (members in any order,
 * members nobody expects): what trying costs against plain reading. `bench-decode [events]`,
 * default 1000 a body. The figure is the best of many passes; the contestants take turns, so that
 * what else the machine does hits all of them.
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
    u32 events;
};

static void *must(void *memory) {
    check(memory != NULL);
    return memory;
}

static u64 run(struct bench *bench, const struct contestant *contestant) {
    /* A fresh copy for everybody: it was just received, and decoding may write to it. */
    memcpy(bench->copy, bench->body, bench->bytes);
    if (contestant->decoder == NULL) {
        u64 begin_ns = clock_monotonic_ns();
        size_t events = simdjson_peer_read(bench->copy, bench->bytes, bench->capacity);
        u64 ns = clock_monotonic_ns() - begin_ns;
        check(events == bench->events);
        return ns;
    }
    struct event_batch *batch = bench->batch;
    struct decode_error error;
    batch->count = 0;
    batch->text = bench->copy;
    batch->text_bytes = (u32)bench->bytes;
    batch->text_bytes_max = (u32)(bench->capacity - EVENT_TEXT_PADDING);
    struct text_ref body = {0, (u32)bench->bytes};
    u64 begin_ns = clock_monotonic_ns();
    enum err err =
        decode_ingest(contestant->decoder, batch, body, 1777700000000, bench->result, &error);
    u64 ns = clock_monotonic_ns() - begin_ns;
    check(err == ERR_OK && batch->count == bench->events);
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

static void race(struct bench *bench, struct contestant *contestants, u32 count) {
    for (u32 pass = 0; pass < PASSES; pass++) {
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
    bench.bytes = generator_body(&generator, 0, events, bench.body);

    struct contestant contestants[CONTESTANTS_MAX] = {0};
    u32 count = line_up(contestants);
    race(&bench, contestants, count);
    report(&bench, contestants, count);
    generator.shuffled = true;
    bench.bytes = generator_body(&generator, 0, events, bench.body);
    race(&bench, contestants, count);
    report_miss(&bench, contestants, count, "shuffled");
    generator.shuffled = false;
    generator.unexpected = 2;
    bench.bytes = generator_body(&generator, 0, events, bench.body);
    race(&bench, contestants, count);
    report_miss(&bench, contestants, count, "unexpected");
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
