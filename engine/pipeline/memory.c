/*
 * memory.c: how much memory is in use, and whether events are still taken. Counted is what grows
 * with what clients send: figures, keys, bodies and batches, customers and subscriptions; the rest
 * of the process is measured once, at the start. Counting knows at once and is ahead of the system,
 * which gives a page when it is touched; the system knows of merges, dirty pages of the log and
 * memory that was freed and is still there. So both are looked at, and the larger counts. A part of
 * the bound is left free for what comes and goes.
 */
#include "base/clock.h"
#include "base/held.h"
#include "base/log.h"
#include "base/resident.h"
#include "pipeline/parts.h"

#include <malloc.h>

#define FREE_SHARE 8        /* one part in so many is left free */
#define BACK_SHARE 32       /* it must fall by so much before events are taken again */
#define MEASURE_NS 10000000 /* how long what the system says holds */
#define TRIM_NS 1000000000u

static u64 counted(const struct pipeline *pipeline) {
    u64 bytes =
        agg_memory_bytes(pipeline->agg) + dedup_memory_bytes(pipeline->dedup) + held_bytes();
    for (u32 i = 0; i < pipeline->options.front_count; i++) {
        bytes += atomic_load_explicit(&pipeline->fronts[i].held_bytes, memory_order_relaxed);
    }
    return bytes;
}

void memory_begin(struct pipeline *pipeline) {
    u64 private = resident_now().private;
    pipeline->memory_base = private - MIN(private, counted(pipeline));
    memory_watch(pipeline);
}

u64 pipeline_memory_bytes(const struct pipeline *pipeline) {
    return pipeline->memory_base + counted(pipeline);
}

bool pipeline_is_full(const struct pipeline *pipeline) {
    return atomic_load_explicit(&pipeline->memory_full, memory_order_relaxed);
}

bool memory_has_room(const struct pipeline *pipeline, u64 bytes) {
    u64 measured = atomic_load_explicit(&pipeline->measured, memory_order_relaxed);
    u64 used = MAX(pipeline_memory_bytes(pipeline), measured);
    u64 most = pipeline->options.memory_max;
    return most == 0 || (used <= most && bytes <= most - used);
}

static u64 threshold(const struct pipeline *pipeline) {
    return pipeline->options.memory_max - pipeline->options.memory_max / FREE_SHARE;
}

void memory_watch(struct pipeline *pipeline) {
    if (pipeline->options.memory_max == 0) {
        return;
    }
    u64 now_ns = clock_monotonic_ns();
    if (now_ns - pipeline->measured_ns > MEASURE_NS) {
        pipeline->measured_ns = now_ns;
        atomic_store_explicit(&pipeline->measured, resident_now().private, memory_order_relaxed);
    }
    u64 measured = atomic_load_explicit(&pipeline->measured, memory_order_relaxed);
    u64 bytes = MAX(pipeline_memory_bytes(pipeline), measured);
    bool was_full = atomic_load_explicit(&pipeline->memory_full, memory_order_relaxed);
    u64 most = threshold(pipeline);
    bool full = bytes > (was_full ? most - most / BACK_SHARE : most);
    if (full != was_full) {
        atomic_store_explicit(&pipeline->memory_full, full, memory_order_relaxed);
        log_warn(full ? "memory_full" : "memory_free", "bytes=%llu memory_max=%llu action=\"%s\"",
                 (unsigned long long)bytes, (unsigned long long)pipeline->options.memory_max,
                 full ? "events are refused with 503; reads go on" : "events are taken again");
    }
}

void memory_trim(struct pipeline *pipeline) {
    bool high = pipeline->options.memory_max > 0 &&
                atomic_load_explicit(&pipeline->measured, memory_order_relaxed) >
                    threshold(pipeline) - threshold(pipeline) / FREE_SHARE;
    if (high && clock_monotonic_ns() - pipeline->trimmed_ns > TRIM_NS) {
        pipeline->trimmed_ns = clock_monotonic_ns();
        malloc_trim(0);
    }
}
