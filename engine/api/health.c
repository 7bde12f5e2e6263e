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
    METRICS_ROW(pipeline_stats, queued_events, GAUGE, "queued_events",
                "Events that wait for a commit."),
    METRICS_ROW(pipeline_stats, batches, GAUGE, "batches",
                "Batches being filled, waiting or under way."),
    METRICS_ROW(pipeline_stats, batches_most, GAUGE, "batches_max",
                "The most batches there may be; past it events are answered 503."),
    METRICS_ROW(pipeline_stats, held_bytes, GAUGE, "held_bytes",
                "Memory of batches and of bodies on their way."),
    METRICS_ROW(pipeline_stats, held_bytes_most, GAUGE, "held_bytes_max",
                "The most bodies may take; past it they are answered 503."),
    METRICS_ROW(pipeline_stats, disk_wait_ns, SECONDS, "disk_wait_seconds_total",
                "Time in which batches waited because the disk was busy."),
    METRICS_ROW(pipeline_stats, jobs, GAUGE, "jobs", "Reads that wait for a reader thread."),
    METRICS_ROW(pipeline_stats, jobs_most, GAUGE, "jobs_max",
                "The most reads that may wait; past it they are answered 503."),
    METRICS_ROW(pipeline_stats, heavy_jobs, GAUGE, "heavy_jobs",
                "Reads and logins that compute for long, waiting or running."),
    METRICS_ROW(pipeline_stats, heavy_jobs_most, GAUGE, "heavy_jobs_max", "The most of them."),
    METRICS_ROW(pipeline_stats, jobs_refused, COUNTER, "jobs_refused_total",
                "Reads answered 503 because too many waited."),
    METRICS_ROW(pipeline_stats, amendments, GAUGE, "amendments_waiting",
                "Uploads, clearings and other changes to what is stored, waiting or under way."),
    METRICS_ROW(pipeline_stats, amend_ns, SECONDS, "amend_seconds_total",
                "Time in which commits waited for changes to what is stored."),
    METRICS_ROW(pipeline_stats, merges, COUNTER, "merges_total", "Merges of small blocks."),
    METRICS_ROW(pipeline_stats, merge_ns, SECONDS, "merge_seconds_total",
                "Time spent in merges of blocks."),
    METRICS_ROW(pipeline_stats, merges_failed, COUNTER, "merges_failed_total",
                "Merges that failed; blocks stay as they are."),
    METRICS_ROW(pipeline_stats, memory_most, GAUGE, "memory_max_bytes",
                "The bound memory-max; 0: none."),
    METRICS_ROW(pipeline_stats, memory_full, GAUGE, "memory_full",
                "1 while events are refused for want of memory."),
    METRICS_ROW(pipeline_stats, memory_refused, COUNTER, "memory_refused_total",
                "Requests with events answered 503 for want of memory."),
    METRICS_ROW(pipeline_stats, links, GAUGE, "links_waiting",
                "Links with Stripe customers that wait to be made."),
    METRICS_ROW(pipeline_stats, links_most, GAUGE, "links_waiting_max",
                "The most links that may wait."),
    METRICS_ROW(pipeline_stats, links_left, COUNTER, "links_left_total",
                "Links left for the next event that names them, for want of room."),
    METRICS_ROW(pipeline_stats, expiring, GAUGE, "expiring",
                "1 while events leave for their age; other changes wait."),
    METRICS_ROW(pipeline_stats, retained_from_ms, GAUGE, "retained_from_timestamp_milliseconds",
                "Events from before are refused; 0: events are kept for ever."),
    METRICS_ROW(pipeline_stats, snapshots, COUNTER, "snapshots_total",
                "Snapshots written since start."),
    METRICS_ROW(pipeline_stats, snapshot_ns, SECONDS, "snapshot_seconds_total",
                "Time spent writing snapshots."),
    METRICS_ROW(pipeline_stats, snapshots_failed, COUNTER, "snapshots_failed_total",
                "Snapshots that failed; starts take longer."),
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
    METRICS_ROW(store_stats, amendments, GAUGE, "log_amendments",
                "Changes to what was stored, in the log."),
    METRICS_ROW(store_stats, readers, GAUGE, "log_readers",
                "Read transactions of the log open now, of all processes."),
    METRICS_ROW(store_stats, readers_most, GAUGE, "log_readers_max", "The most of them."),
    METRICS_ROW(
        store_stats, reader_lag, GAUGE, "log_reader_lag_commits",
        "Commits since the oldest open read transaction began; pages freed since wait for it."),
};

/* What has no other struct. */
struct process {
    u64 ready;
    u64 resident_bytes;
    u64 private_bytes;
    u64 rate_limited;
    u64 bad_credentials;
    u64 bad_logins;
    u64 windows;
    u64 windows_most;
    u64 control_bytes;
    u64 control_bytes_most;
};

static const struct metrics_row process_rows[] = {
    METRICS_ROW(process, ready, GAUGE, "ready", "1 once recovery is done."),
    METRICS_ROW(process, resident_bytes, GAUGE, "resident_bytes", "Memory of the process."),
    METRICS_ROW(process, private_bytes, GAUGE, "private_bytes",
                "Of that, pages that are no file's."),
    METRICS_ROW(process, rate_limited, COUNTER, "rate_limited_total",
                "Requests refused by a rate limit since start."),
    METRICS_ROW(process, bad_credentials, COUNTER, "bad_credentials_total",
                "Unknown, revoked or expired keys and tokens counted since start."),
    METRICS_ROW(process, bad_logins, COUNTER, "bad_logins_total",
                "Wrong passwords counted since start."),
    METRICS_ROW(process, windows, GAUGE, "rate_limit_windows", "Windows of rate limits open now."),
    METRICS_ROW(process, windows_most, GAUGE, "rate_limit_windows_max",
                "The most windows of rate limits; past it the oldest ones end early."),
    METRICS_ROW(process, control_bytes, GAUGE, "control_bytes",
                "Pages of accounts, keys, prices and customers in use, in bytes."),
    METRICS_ROW(process, control_bytes_most, GAUGE, "control_bytes_max",
                "The most that control data may use."),
};

struct figures_state {
    u64 series;
    u64 bytes;
    u64 counted_bytes;
    u64 traces_left_out;
    u64 agents_left_out;
};

static const struct metrics_row figures_rows[] = {
    METRICS_ROW(figures_state, series, GAUGE, "series", "Combinations of dimensions known."),
    METRICS_ROW(figures_state, bytes, GAUGE, "aggregate_bytes", "Memory of the figures."),
    METRICS_ROW(figures_state, counted_bytes, GAUGE, "counted_bytes",
                "Memory counted against memory-max."),
    METRICS_ROW(figures_state, traces_left_out, COUNTER, "traces_left_out_total",
                "Stored events whose new trace is past the bound on traces listed."),
    METRICS_ROW(figures_state, agents_left_out, COUNTER, "agents_left_out_total",
                "Stored events whose new agent is past the bound on agents listed."),
};

static void put_process(const struct http_call *call, struct buf *out) {
    const struct context *context = call->context;
    const struct resident resident = resident_now();
    struct limits *limits = context->door->limits;
    struct process process = {
        .ready = is_ready(call),
        .resident_bytes = resident.bytes,
        .private_bytes = resident.private,
        .rate_limited = limits_refused(limits),
        .bad_credentials = limits_counted(limits, LIMIT_FAILED),
        .bad_logins = limits_counted(limits, LIMIT_LOGIN),
        .windows = limits_open(limits, call->now_ms),
        .windows_most = LIMIT_SLOTS_MAX,
    };
    control_get_size(context->control, &process.control_bytes, &process.control_bytes_most);
    metrics_put_rows(out, process_rows, ARRAY_COUNT(process_rows), &process);
}

static void put_recovered(const struct context *context, struct buf *out) {
    struct pipeline_stats path;
    struct store_stats store;
    struct agg_left_out left_out = agg_left_out(context->agg);
    const struct figures_state figures = {
        .series = agg_series_count(context->agg),
        .bytes = agg_memory_bytes(context->agg),
        .counted_bytes = pipeline_memory_bytes(context->pipeline),
        .traces_left_out = left_out.traces,
        .agents_left_out = left_out.agents,
    };
    pipeline_get_stats(context->pipeline, &path);
    store_get_stats(context->store, &store);
    metrics_put_rows(out, path_rows, ARRAY_COUNT(path_rows), &path);
    metrics_put_rows(out, key_rows, ARRAY_COUNT(key_rows), &path.keys);
    metrics_put_rows(out, store_rows, ARRAY_COUNT(store_rows), &store);
    metrics_put_rows(out, figures_rows, ARRAY_COUNT(figures_rows), &figures);
}

enum call_outcome health_handle_metrics(struct http_call *call) {
    const struct context *context = call->context;
    struct buf *out = &call->reply;
    call->content_type = "text/plain; version=0.0.4; charset=utf-8";
    put_process(call, out);
    if (context->edge_metrics != NULL) {
        context->edge_metrics(context->wiring, out);
    }
    latency_put(out);
    if (is_ready(call)) {
        put_recovered(context, out);
    }
    return CALL_DONE;
}
