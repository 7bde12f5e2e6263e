/* latency.c: buckets double from 1/8 ms on, so a bucket is found by counting leading zeros. */
#include "api/latency.h"

#include <stdatomic.h>

#define FIRST_NS ((u64)125000)
#define BUCKETS 18 /* up to 16.4 s; the last one takes the rest */

struct latency {
    const char *name;
    const char *help;
    _Atomic u64 bucket[BUCKETS];
    _Atomic u64 sum_ns;
};

static struct latency latencies[LATENCY_KINDS] = {
    [LATENCY_INGEST] = {.name = "margind_ingest_duration_seconds",
                        .help = "Ingest requests that were answered, durable included."},
    [LATENCY_CLIENT] = {.name = "margind_client_event_duration_seconds",
                        .help = "Single-event requests that were answered, durable included."},
    [LATENCY_SLOW] = {.name = "margind_slow_read_duration_seconds",
                      .help = "Reads that went to a reader thread, waiting included."},
};

void latency_record(enum latency_kind kind, u64 start_ns, u64 end_ns) {
    u64 took_ns = end_ns > start_ns ? end_ns - start_ns : 0;
    u64 units = took_ns / FIRST_NS;
    u32 index = units == 0 ? 0 : 64 - (u32)__builtin_clzll(units);
    struct latency *latency = &latencies[kind];
    atomic_fetch_add_explicit(&latency->bucket[MIN(index, (u32)BUCKETS - 1)], 1,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&latency->sum_ns, took_ns, memory_order_relaxed);
}

static void put_seconds(struct buf *out, u64 ns) {
    buf_put_format(out, "%llu.%09llu", (unsigned long long)(ns / 1000000000),
                   (unsigned long long)(ns % 1000000000));
}

void latency_put(struct buf *out) {
    for (u32 kind = 0; kind < LATENCY_KINDS; kind++) {
        struct latency *latency = &latencies[kind];
        const char *name = latency->name;
        buf_put_format(out, "# HELP %s %s\n# TYPE %s histogram\n", name, latency->help, name);
        u64 count = 0;
        for (u32 i = 0; i < BUCKETS - 1; i++) {
            count += atomic_load_explicit(&latency->bucket[i], memory_order_relaxed);
            buf_put_format(out, "%s_bucket{le=\"", name);
            put_seconds(out, FIRST_NS << i);
            buf_put_format(out, "\"} %llu\n", (unsigned long long)count);
        }
        count += atomic_load_explicit(&latency->bucket[BUCKETS - 1], memory_order_relaxed);
        buf_put_format(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum ", name, (unsigned long long)count,
                       name);
        put_seconds(out, atomic_load_explicit(&latency->sum_ns, memory_order_relaxed));
        buf_put_format(out, "\n%s_count %llu\n", name, (unsigned long long)count);
    }
}
