/*
 * memory.c: how much memory is in use, and whether events are still taken. Counted is what grows
 * with what clients send: figures, keys, bodies and batches; the rest of the process is measured
 * once, at the start. A part of the bound is left free for what comes and goes: merges, snapshots,
 * answers, tables that grow while the old one is still there.
 */
#include "base/log.h"
#include "base/resident.h"
#include "pipeline/parts.h"

#define FREE_SHARE 8 /* one part in so many is left free */

static u64 counted(const struct pipeline *pipeline) {
    u64 bytes = agg_memory_bytes(pipeline->agg) + dedup_memory_bytes(pipeline->dedup);
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

void memory_watch(struct pipeline *pipeline) {
    u64 most = pipeline->options.memory_max;
    u64 bytes = most == 0 ? 0 : pipeline_memory_bytes(pipeline);
    bool full = bytes > most - most / FREE_SHARE;
    if (full != atomic_load_explicit(&pipeline->memory_full, memory_order_relaxed)) {
        atomic_store_explicit(&pipeline->memory_full, full, memory_order_relaxed);
        log_warn(full ? "memory_full" : "memory_free", "bytes=%llu memory_max=%llu action=\"%s\"",
                 (unsigned long long)bytes, (unsigned long long)most,
                 full ? "events are refused with 503; reads go on" : "events are taken again");
    }
}
