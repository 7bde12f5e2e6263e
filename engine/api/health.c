/* health.c: /healthz (the process answers), /readyz (recovery is done), /metrics. */
#include <stdatomic.h>

#include "api/context.h"
#include "api/error.h"
#include "api/latency.h"
#include "api/metrics.h"
#include "api/routes.h"
#include "base/resident.h"

static bool is_ready(const struct http_call *call) {
    const struct context *context = call->context;
    return atomic_load_explicit(context->ready, memory_order_acquire);
}

enum call_outcome health_handle_alive(struct http_call *call) {
    buf_put_text(&call->reply, "{\"status\":\"ok\"}");
    return CALL_DONE;
}

enum call_outcome health_handle_ready(struct http_call *call) {
    if (!is_ready(call)) {
        return error_overloaded(call, "recovery is not done");
    }
    buf_put_text(&call->reply, "{\"status\":\"ready\"}");
    return CALL_DONE;
}

static const struct metrics_row path_rows[] = {
    METRICS_ROW(pipeline_stats, accepted, COUNTER, "events_accepted_total",
                "Events stored since start."),
    METRICS_ROW(pipeline_stats, duplicates, COUNTER, "events_duplicate_total",
                "Events left out because their key was known."),
    METRICS_ROW(pipeline_stats, conflicts, COUNTER, "events_conflict_total",
                "Duplicates whose payload differed from the stored event's."),
    METRICS_ROW(pipeline_stats, invalid, COUNTER, "events_invalid_total",
                "Events left out because they broke a rule."),
    METRICS_ROW(pipeline_stats, too_old, COUNTER, "events_too_old_total",
                "Events left out because they were older than events are kept."),
    METRICS_ROW(pipeline_stats, expired, COUNTER, "events_expired_total",
                "Stored events removed for their age."),
    METRICS_ROW(pipeline_stats, unpriced, COUNTER, "events_unpriced_total",
                "Stored events whose model had no price."),
    METRICS_ROW(pipeline_stats, commits, COUNTER, "commits_total", "Durable commits of the log."),
    METRICS_ROW(pipeline_stats, commit_ns, SECONDS, "commit_seconds_total",
                "Time spent in commits, from first duplicate check to last answer."),
    METRICS_ROW(pipeline_stats, overloaded, COUNTER, "overloaded_total",
                "Requests answered 503 because a queue was full."),
    METRICS_ROW(pipeline_stats, no_space, COUNTER, "no_space_total",
                "Commits refused because the disk or the map was full."),
    METRICS_ROW(pipeline_stats, queued_batches, GAUGE, "queued_batches",
                "Batches that wait for a commit."),
    METRICS_ROW(pipeline_stats, snapshots, COUNTER, "snapshots_total",
                "Snapshots written since start."),
    METRICS_ROW(pipeline_stats, snapshot_ms, GAUGE, "snapshot_timestamp_milliseconds",
                "When the last snapshot was written; 0: none yet."),
};

static const struct metrics_row key_rows[] = {
    METRICS_ROW(dedup_stats, keys, GAUGE, "keys", "Idempotency keys known."),
    METRICS_ROW(dedup_stats, cold_keys, GAUGE, "keys_on_disk", "Of them, such that left memory."),
    METRICS_ROW(dedup_stats, runs, GAUGE, "key_runs", "Files of keys in use."),
    METRICS_ROW(dedup_stats, run_bytes, GAUGE, "key_run_bytes", "Their sizes together."),
    METRICS_ROW(dedup_stats, filter_bytes, GAUGE, "key_filter_bytes",
                "Memory that keys on disk take."),
    METRICS_ROW(dedup_stats, reads, COUNTER, "key_reads_total",
                "Pages of keys read to tell whether a key is known."),
    METRICS_ROW(dedup_stats, false_hits, COUNTER, "key_reads_in_vain_total",
                "Of them, such for keys that were new."),
    METRICS_ROW(dedup_stats, read_ns, SECONDS, "key_read_seconds_total", "Time that took."),
    METRICS_ROW(dedup_stats, spills, COUNTER, "key_spills_total",
                "Times that keys left memory for a file."),
    METRICS_ROW(dedup_stats, spill_ns, SECONDS, "key_spill_seconds_total", "Time that took."),
    METRICS_ROW(dedup_stats, merges, COUNTER, "key_merges_total", "Merges of files of keys."),
    METRICS_ROW(dedup_stats, merge_ns, SECONDS, "key_merge_seconds_total",
                "Time from their begin to their end."),
};

static const struct metrics_row store_rows[] = {
    METRICS_ROW(store_stats, events, GAUGE, "log_events", "Events in the log."),
    METRICS_ROW(store_stats, blocks, GAUGE, "log_blocks", "Blocks in the log."),
    METRICS_ROW(store_stats, segments, GAUGE, "log_segments", "Merged segments in the log."),
    METRICS_ROW(store_stats, log_bytes, GAUGE, "log_bytes", "Pages the log uses, in bytes."),
    METRICS_ROW(store_stats, payload_bytes, GAUGE, "log_payload_bytes", "Sum of block sizes."),
    METRICS_ROW(store_stats, map_bytes, GAUGE, "log_map_bytes", "The most the log can grow to."),
    METRICS_ROW(store_stats, append_count, COUNTER, "append_total", "Blocks appended since start."),
    METRICS_ROW(store_stats, append_ns, SECONDS, "append_seconds_total", "Time spent appending."),
    METRICS_ROW(store_stats, sync_ns, SECONDS, "sync_seconds_total",
                "Of that, time spent in synced commits."),
    METRICS_ROW(store_stats, damaged_blocks, COUNTER, "damaged_blocks_total",
                "Blocks found damaged since start."),
};

enum call_outcome health_handle_metrics(struct http_call *call) {
    struct context *context = call->context;
    struct buf *out = &call->reply;
    const struct resident resident = resident_now();
    call->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_put(out, METRICS_GAUGE, "margind_ready", "1 once recovery is done.", is_ready(call));
    metrics_put(out, METRICS_GAUGE, "margind_resident_bytes", "Memory of the process.",
                resident.bytes);
    metrics_put(out, METRICS_GAUGE, "margind_private_bytes", "Of that, pages that are no file's.",
                resident.private);
    if (context->edge_metrics != NULL) {
        context->edge_metrics(context->wiring, out);
    }
    metrics_put(out, METRICS_COUNTER, "margind_rate_limited_total",
                "Requests refused by a rate limit since start.",
                limits_refused(context->door->limits));
    metrics_put(out, METRICS_COUNTER, "margind_bad_credentials_total",
                "Unknown, revoked or expired keys and tokens counted since start.",
                limits_counted(context->door->limits, LIMIT_FAILED));
    metrics_put(out, METRICS_COUNTER, "margind_bad_logins_total",
                "Wrong passwords counted since start.",
                limits_counted(context->door->limits, LIMIT_LOGIN));
    latency_put(out);
    if (is_ready(call)) {
        struct pipeline_stats path;
        struct store_stats store;
        pipeline_get_stats(context->pipeline, &path);
        store_get_stats(context->store, &store);
        metrics_put_rows(out, path_rows, ARRAY_COUNT(path_rows), &path);
        metrics_put_rows(out, key_rows, ARRAY_COUNT(key_rows), &path.keys);
        metrics_put_rows(out, store_rows, ARRAY_COUNT(store_rows), &store);
        metrics_put(out, METRICS_GAUGE, "margind_series", "Combinations of dimensions known.",
                    agg_series_count(context->agg));
        metrics_put(out, METRICS_GAUGE, "margind_aggregate_bytes", "Memory of the figures.",
                    agg_memory_bytes(context->agg));
        metrics_put(out, METRICS_GAUGE, "margind_counted_bytes",
                    "Memory counted against memory-max.", pipeline_memory_bytes(context->pipeline));
        struct agg_left_out left_out = agg_left_out(context->agg);
        metrics_put(out, METRICS_COUNTER, "margind_traces_left_out_total",
                    "Stored events whose new trace is past the bound on traces listed.",
                    left_out.traces);
        metrics_put(out, METRICS_COUNTER, "margind_agents_left_out_total",
                    "Stored events whose new agent is past the bound on agents listed.",
                    left_out.agents);
    }
    return CALL_DONE;
}
