/*
 * pipeline.c: the path of an event, on one page.
 *
 *  - front thread (pipeline/front.c): socket, HTTP or frame, decode, price, series, key hash. The
 *    result is a slot, an event batch that is handed over whole.
 *  - commit thread (pipeline/commit.c): duplicates and series of a group of slots.
 *  - disk thread (pipeline/disk.c): appends the group: one block, one transaction, one sync.
 *    Meanwhile the commit thread decides the next group.
 *  - commit thread: figures and answers, while the disk thread has the next group.
 *  - front thread: the same slot again, with a verdict for each event: the answer.
 *
 * Beside it: the reader threads run what touches the log for queries (pipeline/reader.c); the
 * background thread merges blocks and writes snapshots (pipeline/background.c).
 */
#include "pipeline.h"

#include "base/log.h"
#include "pipeline/parts.h"

#include <stdlib.h>
#include <time.h>

enum err pipeline_create(const struct pipeline_options *options, struct pipeline **out) {
    check(options->front_count >= 1 && options->front_count <= FRONT_THREADS_MAX);
    struct pipeline *pipeline = calloc(1, sizeof *pipeline);
    if (pipeline == NULL) {
        return ERR_NO_MEMORY;
    }
    pipeline->options = *options;
    atomic_init(&pipeline->oldest_ms, INT64_MIN);
    pthread_mutex_init(&pipeline->lock, NULL);
    /* Waits with a time-out go by the clock that nobody sets. */
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pipeline->work, &monotonic);
    pthread_cond_init(&pipeline->snapshot_fixed, NULL);
    pthread_cond_init(&pipeline->disk_work, NULL);
    pthread_cond_init(&pipeline->amended, NULL);
    pipeline->wake_events = UINT32_MAX;
    pthread_mutex_init(&pipeline->job_lock, NULL);
    pthread_cond_init(&pipeline->job_work, NULL);
    pthread_mutex_init(&pipeline->pause_lock, NULL);
    pthread_cond_init(&pipeline->pause, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pipeline->fronts = calloc(options->front_count, sizeof *pipeline->fronts);
    enum err err = pipeline->fronts == NULL ? ERR_NO_MEMORY : ERR_OK;
    if (err == ERR_OK && options->directory != NULL) {
        err = links_create(options->directory, options->control, options->store, &pipeline->links);
    }
    for (u32 i = 0; err == ERR_OK && i < options->front_count; i++) {
        err = front_open(&pipeline->fronts[i], pipeline, i);
    }
    *out = pipeline;
    return err;
}

enum err pipeline_start(struct pipeline *pipeline, struct agg *agg, struct dedup *dedup,
                        struct usage *usage, u64 snapshot_id) {
    pipeline->agg = agg;
    pipeline->dedup = dedup;
    pipeline->usage = usage;
    pipeline->snapshot_last_id = snapshot_id;
    pipeline->snapshot_last_amendments =
        snapshot_id > 1 ? store_amendments(pipeline->options.store) : 0;
    pipeline->started = true;
    expire_look_at_clock(pipeline);
    memory_begin(pipeline);
    int failed = pthread_create(&pipeline->commit_thread, NULL, commit_run, pipeline);
    check(failed == 0);
    failed = pthread_create(&pipeline->disk_thread, NULL, disk_run, pipeline);
    check(failed == 0);
    failed = pthread_create(&pipeline->background_thread, NULL, background_run, pipeline);
    check(failed == 0);
    for (u32 i = 0; i < READER_THREADS; i++) {
        pipeline->reader[i].pipeline = pipeline;
        failed =
            pthread_create(&pipeline->reader[i].thread, NULL, reader_run, &pipeline->reader[i]);
        check(failed == 0);
    }
    return ERR_OK;
}

struct front *pipeline_front(struct pipeline *pipeline, u32 front) {
    check(front < pipeline->options.front_count);
    return &pipeline->fronts[front];
}

void pipeline_stop(struct pipeline *pipeline) {
    if (!pipeline->started) {
        return;
    }
    pthread_mutex_lock(&pipeline->job_lock);
    pipeline->jobs_stopping = true;
    pthread_cond_broadcast(&pipeline->job_work);
    pthread_mutex_unlock(&pipeline->job_lock);
    for (u32 i = 0; i < READER_THREADS; i++) {
        pthread_join(pipeline->reader[i].thread, NULL);
    }

    pthread_mutex_lock(&pipeline->lock);
    pipeline->stopping = true;
    pthread_cond_signal(&pipeline->work);
    pthread_cond_signal(&pipeline->snapshot_fixed);
    pthread_mutex_unlock(&pipeline->lock);
    pthread_join(pipeline->commit_thread, NULL);
    disk_stop(pipeline);
    pthread_join(pipeline->disk_thread, NULL);

    pthread_mutex_lock(&pipeline->pause_lock);
    pipeline->background_stopping = true;
    pthread_cond_signal(&pipeline->pause);
    pthread_mutex_unlock(&pipeline->pause_lock);
    pthread_join(pipeline->background_thread, NULL);

    for (u32 i = 0; i < pipeline->options.front_count; i++) {
        front_on_wake(&pipeline->fronts[i]); /* the last answers: their connections are gone */
    }
    if (!expire_is_under_way(pipeline)) {
        background_snapshot_final(pipeline);
    }
    expire_free(pipeline->expire);
    pipeline->expire = NULL;
    store_scan_close(pipeline->sift_scan);
    pipeline->sift_scan = NULL;
    pipeline->started = false;
}

void pipeline_destroy(struct pipeline *pipeline) {
    if (pipeline == NULL) {
        return;
    }
    check(!pipeline->started);
    for (u32 i = 0; pipeline->fronts != NULL && i < pipeline->options.front_count; i++) {
        front_close(&pipeline->fronts[i]);
    }
    free(pipeline->fronts);
    links_destroy(pipeline->links);
    pthread_cond_destroy(&pipeline->pause);
    pthread_mutex_destroy(&pipeline->pause_lock);
    pthread_cond_destroy(&pipeline->job_work);
    pthread_mutex_destroy(&pipeline->job_lock);
    pthread_cond_destroy(&pipeline->amended);
    pthread_cond_destroy(&pipeline->disk_work);
    pthread_cond_destroy(&pipeline->snapshot_fixed);
    pthread_cond_destroy(&pipeline->work);
    pthread_mutex_destroy(&pipeline->lock);
    free(pipeline);
}

void pipeline_fail(struct pipeline *pipeline, enum err err) {
    log_error("write_failed",
              "reason=%s action=\"stopping: what the disk holds is unknown; restart to recover\"",
              err_text(err));
    if (!atomic_exchange(&pipeline->failed, true)) {
        pipeline->options.fatal(pipeline->options.context);
    }
}

static u64 value_of(const _Atomic u64 *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

u64 pipeline_commit_count(const struct pipeline *pipeline) {
    return atomic_load_explicit(&pipeline->counters.commits, memory_order_acquire);
}

const struct pipeline_pulses *pipeline_pulses(const struct pipeline *pipeline) {
    return &pipeline->pulses;
}

void pipeline_get_stats(struct pipeline *pipeline, struct pipeline_stats *out) {
    const struct counters *counters = &pipeline->counters;
    *out = (struct pipeline_stats){
        .accepted = value_of(&counters->accepted),
        .duplicates = value_of(&counters->duplicates),
        .conflicts = value_of(&counters->conflicts),
        .invalid = value_of(&counters->invalid),
        .unpriced = value_of(&counters->unpriced),
        .commits = value_of(&counters->commits),
        .commit_ns = value_of(&counters->commit_ns),
        .overloaded = value_of(&counters->overloaded),
        .no_space = value_of(&counters->no_space),
        .snapshots = value_of(&counters->snapshots),
        .snapshot_ms = value_of(&counters->snapshot_ms),
        .queued_batches = value_of(&counters->queued_batches),
        .too_old = value_of(&counters->too_old),
        .expired = value_of(&counters->expired),
        .batches = value_of(&counters->batches),
        .batches_most = (u64)FRONT_BATCHES * pipeline->options.front_count,
        .held_bytes_most = (u64)pipeline->options.pool_bytes * pipeline->options.front_count,
        .disk_wait_ns = value_of(&counters->disk_wait_ns),
        .jobs_most = JOBS_MAX,
        .heavy_jobs_most = HEAVY_JOBS_MAX,
        .jobs_refused = value_of(&counters->jobs_refused),
        .amend_ns = value_of(&counters->amend_ns),
        .snapshot_ns = value_of(&counters->snapshot_ns),
        .snapshots_failed = value_of(&counters->snapshots_failed),
        .merge_ns = value_of(&counters->merge_ns),
        .merges = value_of(&counters->merges),
        .merges_failed = value_of(&counters->merges_failed),
        .memory_most = pipeline->options.memory_max,
        .memory_full = atomic_load_explicit(&pipeline->memory_full, memory_order_relaxed),
        .memory_refused = value_of(&counters->memory_refused),
        .links_most = LINKS_WAITING_MAX,
        .retained_from_ms = (u64)MAX(pipeline_oldest_ms(pipeline), (i64)0),
    };
    for (u32 i = 0; i < pipeline->options.front_count; i++) {
        out->held_bytes +=
            atomic_load_explicit(&pipeline->fronts[i].held_bytes, memory_order_relaxed);
    }
    pthread_mutex_lock(&pipeline->lock);
    out->queued_events = pipeline->waiting_events;
    out->expiring = pipeline->expiring;
    for (const struct amend_work *work = pipeline->amend; work != NULL; work = work->next) {
        out->amendments++;
    }
    pthread_mutex_unlock(&pipeline->lock);
    pthread_mutex_lock(&pipeline->job_lock);
    out->jobs = pipeline->job_count;
    out->heavy_jobs = pipeline->heavy_job_count;
    pthread_mutex_unlock(&pipeline->job_lock);
    if (pipeline->links != NULL) {
        links_count(pipeline->links, &out->links, &out->links_left);
    }
    if (pipeline->dedup != NULL) {
        dedup_get_stats(pipeline->dedup, &out->keys);
    }
}
