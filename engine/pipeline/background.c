/*
 * background.c: what must not delay the path: merging small blocks into segments, and snapshots. A
 * snapshot is fixed at a log position by the commit thread between two commits, which costs it
 * nothing; this thread then copies the fixed state out piece by piece while ingest goes on.
 */
#include "base/clock.h"
#include "base/log.h"
#include "pipeline/parts.h"
#include "pipeline/snapshot_tags.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MS 100
#define BACKGROUND_NICE 10 /* of this thread alone: on Linux niceness is the thread's */
#define RETRY_FIRST_NS ((u64)60 * 1000000000)  /* a failed snapshot is tried again after this, */
#define RETRY_LAST_NS ((u64)3600 * 1000000000) /* then after twice as long, up to this */
#define OUTDATED_NS ((u64)3 * 1000000000)      /* from an amendment to the snapshot that knows it */
#define PIECE_BYTES (1 * MIB)
#define MERGES_A_ROUND 4 /* then look whether a snapshot is due */

/* --- snapshots -------------------------------------------------------------------------------- */

/* The keys in memory, and the names of the runs that have the others. */
static enum err write_dedup(struct pipeline *pipeline, struct snapshot_writer *writer,
                            char *piece) {
    enum err err = ERR_OK;
    usize bytes;
    while (err == ERR_OK &&
           (bytes = dedup_snapshot_copy(pipeline->dedup, piece, PIECE_BYTES)) > 0) {
        err = snapshot_write(writer, SNAPSHOT_TAG_DEDUP, piece, bytes);
    }
    struct slice runs = dedup_snapshot_runs(pipeline->dedup);
    if (err == ERR_OK && runs.bytes > 0) {
        err = snapshot_write(writer, SNAPSHOT_TAG_RUNS, runs.data, runs.bytes);
    }
    return err;
}

static enum err write_agg(struct pipeline *pipeline, struct snapshot_writer *writer, char *piece) {
    for (;;) {
        u32 tag = 0;
        usize bytes = 0;
        enum err err = agg_snapshot_copy(pipeline->agg, piece, PIECE_BYTES, &tag, &bytes);
        if (err != ERR_OK || bytes == 0) {
            return err;
        }
        check(tag < SNAPSHOT_TAG_DEDUP);
        err = snapshot_write(writer, tag, piece, bytes);
        if (err != ERR_OK) {
            return err;
        }
    }
}

static enum err write_usage(struct pipeline *pipeline, struct snapshot_writer *writer) {
    struct slice state = usage_snapshot_bytes(pipeline->usage);
    return snapshot_write(writer, SNAPSHOT_TAG_USAGE, state.data, state.bytes);
}

enum err background_snapshot_begin(struct pipeline *pipeline) {
    enum err err = usage_snapshot_begin(pipeline->usage);
    if (err == ERR_OK) {
        err = agg_snapshot_begin(pipeline->agg);
        if (err != ERR_OK) {
            usage_snapshot_end(pipeline->usage);
        }
    }
    if (err != ERR_OK) {
        dedup_snapshot_end(pipeline->dedup);
    }
    return err;
}

/* Not fatal: the log is the truth, and the older snapshot is still there. But a disk that is full
 * for it is nearly full for the log, too, and memory that it lacks others lack: it is left alone
 * for a while. */
static void note_failure(struct pipeline *pipeline, enum err err) {
    pipeline->snapshot_wait_ns =
        MIN(MAX(pipeline->snapshot_wait_ns * 2, RETRY_FIRST_NS), RETRY_LAST_NS);
    pipeline->snapshot_after_ns = clock_monotonic_ns() + pipeline->snapshot_wait_ns;
    count_add(&pipeline->counters.snapshots_failed, 1);
    log_warn("snapshot_failed", "reason=%s events=%llu", err_text(err),
             (unsigned long long)(store_next_id(pipeline->options.store) - 1));
}

/* Writes the state that all parts have fixed, and lets them go on. */
static enum err write_fixed(struct pipeline *pipeline, u64 next_id, u64 amendments) {
    u64 start_ns = clock_monotonic_ns();
    struct snapshot_writer *writer = NULL;
    char *piece = malloc(PIECE_BYTES);
    enum err err = piece == NULL
                       ? ERR_NO_MEMORY
                       : snapshot_begin(pipeline->options.store, next_id, amendments, &writer);
    if (err == ERR_OK) {
        err = write_agg(pipeline, writer, piece);
    }
    agg_snapshot_end(pipeline->agg);
    /* Keys past the bound on memory leave it also where there will be no snapshot. */
    if (dedup_is_full(pipeline->dedup)) {
        enum err spilled = dedup_snapshot_spill(pipeline->dedup);
        err = err == ERR_OK ? spilled : err;
    }
    if (err == ERR_OK) {
        err = write_dedup(pipeline, writer, piece);
    }
    if (err == ERR_OK) {
        err = write_usage(pipeline, writer);
    }
    usage_snapshot_end(pipeline->usage);
    dedup_snapshot_end(pipeline->dedup);
    if (err == ERR_OK) {
        err = snapshot_finish(writer);
        if (err == ERR_OK) {
            dedup_snapshot_named(pipeline->dedup);
        }
    } else if (writer != NULL) {
        snapshot_abort(writer);
    }
    free(piece);
    u64 took_ns = clock_monotonic_ns() - start_ns;
    count_add(&pipeline->counters.snapshot_ns, took_ns);
    if (err != ERR_OK) {
        note_failure(pipeline, err);
        return err;
    }
    count_add(&pipeline->counters.snapshots, 1);
    atomic_store_explicit(&pipeline->counters.snapshot_ms, (u64)clock_wall_ms(),
                          memory_order_relaxed);
    pipeline->snapshot_wait_ns = 0;
    log_info("snapshot", "events=%llu took_ms=%llu", (unsigned long long)(next_id - 1),
             (unsigned long long)(took_ns / 1000000));
    pipeline->snapshot_last_id = next_id;
    pipeline->snapshot_last_amendments = amendments;
    return ERR_OK;
}

/* Asks the commit thread to fix the state; false if it could not, or there is no time. */
static bool fix_state(struct pipeline *pipeline) {
    pthread_mutex_lock(&pipeline->lock);
    pipeline->snapshot = SNAPSHOT_WANTED;
    pthread_cond_signal(&pipeline->work);
    while (pipeline->snapshot == SNAPSHOT_WANTED && !pipeline->stopping) {
        pthread_cond_wait(&pipeline->snapshot_fixed, &pipeline->lock);
    }
    bool fixed = pipeline->snapshot == SNAPSHOT_FIXED;
    enum err err = pipeline->snapshot == SNAPSHOT_IDLE ? pipeline->snapshot_err : ERR_OK;
    pipeline->snapshot = SNAPSHOT_IDLE;
    pthread_mutex_unlock(&pipeline->lock);
    if (err != ERR_OK) {
        note_failure(pipeline, err);
    }
    return fixed;
}

/* An amendment makes all snapshots from before it useless, so there is soon another one: not at
 * once, for amendments come in rows. */
static bool outdated_for_long(struct pipeline *pipeline) {
    u64 amendments = store_amendments(pipeline->options.store);
    u64 now_ns = clock_monotonic_ns();
    if (amendments == pipeline->snapshot_last_amendments) {
        pipeline->outdated_since_ns = 0;
        return false;
    }
    if (pipeline->outdated_since_ns == 0) {
        pipeline->outdated_since_ns = now_ns;
    }
    return now_ns - pipeline->outdated_since_ns >= OUTDATED_NS;
}

/* A snapshot is as large as everything remembered, so in a growing log it waits for a growing
 * number of events: what is written stays in proportion, and a start replays a third of the log at
 * most. Keys that have to leave memory do so with a snapshot, which is small then: it has no keys
 * but the names of their runs. */
static void snapshot_if_due(struct pipeline *pipeline) {
    u64 events = store_next_id(pipeline->options.store) - pipeline->snapshot_last_id;
    u64 due = MAX(pipeline->options.snapshot_events, pipeline->snapshot_last_id / 2);
    bool allowed = clock_monotonic_ns() >= pipeline->snapshot_after_ns;
    bool outdated = outdated_for_long(pipeline);
    bool keys = dedup_is_full(pipeline->dedup) || dedup_has_unnamed(pipeline->dedup);
    if (allowed && (events >= due || outdated || keys) && fix_state(pipeline)) {
        write_fixed(pipeline, pipeline->snapshot_id, pipeline->snapshot_amendments);
    }
}

enum err background_snapshot_final(struct pipeline *pipeline) {
    u64 next_id = store_next_id(pipeline->options.store);
    u64 amendments = store_amendments(pipeline->options.store);
    bool known = next_id == pipeline->snapshot_last_id &&
                 amendments == pipeline->snapshot_last_amendments &&
                 !dedup_has_unnamed(pipeline->dedup);
    if (known || atomic_load(&pipeline->failed)) {
        return ERR_OK;
    }
    enum err err;
    do {
        err = dedup_snapshot_begin(pipeline->dedup);
    } while (err == ERR_BUSY);
    if (err != ERR_OK) {
        return err;
    }
    err = background_snapshot_begin(pipeline);
    return err == ERR_OK ? write_fixed(pipeline, next_id, amendments) : err;
}

/* --- the thread ------------------------------------------------------------------------------- */

static void rewrite_some(struct pipeline *pipeline,
                         enum err (*rewrite)(struct store *store, bool *did)) {
    bool did = true;
    enum err err = ERR_OK;
    for (u32 i = 0; i < MERGES_A_ROUND && did && err == ERR_OK; i++) {
        u64 begin_ns = clock_monotonic_ns();
        err = rewrite(pipeline->options.store, &did);
        if (did || err != ERR_OK) {
            count_add(&pipeline->counters.merge_ns, clock_monotonic_ns() - begin_ns);
            count_add(
                err == ERR_OK ? &pipeline->counters.merges : &pipeline->counters.merges_failed, 1);
        }
        if (err == ERR_IO) {
            pipeline_fail(pipeline, err);
        }
        if (err != ERR_OK && err != pipeline->merge_err) { /* said once, not ten times a second */
            log_warn("merge_failed", "reason=%s action=\"blocks stay as they are, and whole\"",
                     err_text(err));
        }
        pipeline->merge_err = err;
    }
}

static void trim_if_due(struct pipeline *pipeline) {
    u64 now_ns = clock_monotonic_ns();
    if (now_ns >= pipeline->trim_ns) {
        bool more = store_trim(pipeline->options.store);
        pipeline->trim_ns = more ? now_ns : now_ns + (u64)TRIM_PAUSE_MS * 1000000;
    }
}

/* Sleeps a little; false: the process is stopping. */
static bool pause_a_while(struct pipeline *pipeline) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += PAUSE_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&pipeline->pause_lock);
    if (!pipeline->background_stopping) {
        pthread_cond_timedwait(&pipeline->pause, &pipeline->pause_lock, &until);
    }
    bool stopping = pipeline->background_stopping;
    pthread_mutex_unlock(&pipeline->pause_lock);
    return !stopping;
}

void *background_run(void *context) {
    struct pipeline *pipeline = context;
    pthread_setname_np(pthread_self(), "background");
    /* Under full load merging falls behind rather than slow ingest down, and catches up later. No
     * lower than this: it holds locks that queries and the commit thread wait for. */
    setpriority(PRIO_PROCESS, (id_t)gettid(), BACKGROUND_NICE);
    struct pulse *pulse = &pipeline->pulses.background;
    /* After a failed write the log is left as it is. */
    while (pause_a_while(pipeline) && !atomic_load(&pipeline->failed)) {
        pulse_work(pulse);
        expire_work(pipeline); /* before blocks that are too old are merged with others */
        pulse_work(pulse);
        rewrite_some(pipeline, store_merge);
        if (!expire_is_under_way(pipeline)) {
            pulse_work(pulse);
            rewrite_some(pipeline, store_drop);
            pulse_work(pulse);
            snapshot_if_due(pipeline);
        }
        trim_if_due(pipeline);
        sift_work(pipeline);
        dedup_tend(pipeline->dedup);
        memory_trim(pipeline);
        if (pipeline->links != NULL) {
            links_work(pipeline->links, pipeline->agg);
        }
        pulse_rest(pulse);
    }
    return NULL;
}
