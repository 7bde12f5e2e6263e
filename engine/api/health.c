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

static void put_path(struct buf *out, const struct pipeline_stats *stats) {
    metrics_put(out, METRICS_COUNTER, "margind_events_accepted_total", "Events stored since start.",
                stats->accepted);
    metrics_put(out, METRICS_COUNTER, "margind_events_duplicate_total",
                "Events left out because their key was known.", stats->duplicates);
    metrics_put(out, METRICS_COUNTER, "margind_events_conflict_total",
                "Duplicates whose payload differed from the stored event's.", stats->conflicts);
    metrics_put(out, METRICS_COUNTER, "margind_events_invalid_total",
                "Events left out because they broke a rule.", stats->invalid);
    metrics_put(out, METRICS_COUNTER, "margind_events_unpriced_total",
                "Stored events whose model had no price.", stats->unpriced);
    metrics_put(out, METRICS_COUNTER, "margind_commits_total", "Durable commits of the log.",
                stats->commits);
    metrics_put_seconds(out, "margind_commit_seconds_total",
                        "Time spent in commits, from first duplicate check to last answer.",
                        stats->commit_ns);
    metrics_put(out, METRICS_COUNTER, "margind_overloaded_total",
                "Requests answered 503 because a queue was full.", stats->overloaded);
    metrics_put(out, METRICS_COUNTER, "margind_no_space_total",
                "Commits refused because the disk or the map was full.", stats->no_space);
    metrics_put(out, METRICS_GAUGE, "margind_queued_batches", "Batches that wait for a commit.",
                stats->queued_batches);
    metrics_put(out, METRICS_COUNTER, "margind_snapshots_total", "Snapshots written since start.",
                stats->snapshots);
    metrics_put(out, METRICS_GAUGE, "margind_snapshot_timestamp_milliseconds",
                "When the last snapshot was written; 0: none yet.", stats->snapshot_ms);
}

static void put_store(struct buf *out, const struct store_stats *stats) {
    metrics_put(out, METRICS_GAUGE, "margind_log_events", "Events in the log.", stats->events);
    metrics_put(out, METRICS_GAUGE, "margind_log_blocks", "Blocks in the log.", stats->blocks);
    metrics_put(out, METRICS_GAUGE, "margind_log_segments", "Merged segments in the log.",
                stats->segments);
    metrics_put(out, METRICS_GAUGE, "margind_log_bytes", "Pages the log uses, in bytes.",
                stats->log_bytes);
    metrics_put(out, METRICS_GAUGE, "margind_log_payload_bytes", "Sum of block sizes.",
                stats->payload_bytes);
    metrics_put(out, METRICS_GAUGE, "margind_log_map_bytes", "The most the log can grow to.",
                stats->map_bytes);
    metrics_put(out, METRICS_COUNTER, "margind_append_total", "Blocks appended since start.",
                stats->append_count);
    metrics_put_seconds(out, "margind_append_seconds_total", "Time spent appending.",
                        stats->append_ns);
    metrics_put_seconds(out, "margind_sync_seconds_total", "Of that, time spent in synced commits.",
                        stats->sync_ns);
    metrics_put(out, METRICS_COUNTER, "margind_damaged_blocks_total",
                "Blocks found damaged since start.", stats->damaged_blocks);
}

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
    latency_put(out);
    if (is_ready(call)) {
        struct pipeline_stats path;
        struct store_stats store;
        pipeline_get_stats(context->pipeline, &path);
        store_get_stats(context->store, &store);
        put_path(out, &path);
        put_store(out, &store);
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
