/*
 * recover.c: loads the newest snapshot that proves sound, then replays the log behind it through
 * the same steps as ingest. An unusable snapshot costs time, not data.
 *
 * Figures and keys have nothing in common but the log, so two threads read it, each only the
 * columns that it needs: this one adds to the figures, the other claims the keys. It stays behind,
 * for an event whose series nobody has defined is damage, and its key is free.
 */
#include "recover.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "pipeline/snapshot_tags.h"

#include <pthread.h>

#define PROGRESS_NS 2000000000u
#define REPLAY_TIME_END ((i64)1 << 46) /* ms; the figures take no later time */

#define FIGURE_COLUMNS                                                                             \
    (NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE) | NUM_BIT(NUM_USAGE) |           \
     NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT) | NUM_BIT(NUM_CACHED) | NUM_BIT(NUM_CACHE_WRITE) |   \
     NUM_BIT(NUM_DURATION) | TEXT_BIT(TEXT_AGENT) | TEXT_BIT(TEXT_TRACE))
#define KEY_COLUMNS (NUM_BIT(NUM_TIME) | TEXT_BIT(TEXT_KEY))

void recover_free(struct recovered *recovered) {
    agg_destroy(recovered->agg);
    dedup_destroy(recovered->dedup);
    usage_destroy(recovered->usage);
    recovered->agg = NULL;
    recovered->dedup = NULL;
    recovered->usage = NULL;
}

static enum err make_empty(const struct recover_options *options, struct recovered *out) {
    atomic_store(options->agg_place, NULL);
    recover_free(out);
    enum err err = agg_create(
        &(struct agg_options){.seed = options->series_seed, .caps = options->caps}, &out->agg);
    if (err == ERR_OK) {
        err = dedup_open(&options->keys, &out->dedup);
    }
    if (err == ERR_OK) {
        err = usage_create(&out->usage);
    }
    if (err == ERR_OK) {
        atomic_store(options->agg_place, out->agg);
        agg_advance(out->agg, options->now_ms);
    }
    return err;
}

/* --- snapshots -------------------------------------------------------------------------------- */

/* Keys on disk that are not what they were are no reason to do without the figures: those keys are
 * in the log. */
static void load_runs(struct recovered *out, const void *data, usize bytes) {
    enum err err = dedup_restore_runs(out->dedup, data, bytes);
    out->keys_lost = out->keys_lost || err != ERR_OK;
    if (err != ERR_OK) {
        log_warn("keys_lost", "reason=%s action=\"reading the keys from the log again\"",
                 err_text(err));
    }
}

static enum err load_sections(struct recovered *out, struct snapshot_reader *reader) {
    u32 tag;
    const void *data;
    usize bytes;
    out->keys_lost = false;
    while (snapshot_next(reader, &tag, &data, &bytes)) {
        enum err err = ERR_OK;
        if (tag == SNAPSHOT_TAG_DEDUP) {
            err = dedup_restore(out->dedup, data, bytes);
        } else if (tag == SNAPSHOT_TAG_RUNS) {
            load_runs(out, data, bytes);
        } else if (tag == SNAPSHOT_TAG_USAGE) {
            err = usage_snapshot_load(out->usage, data, bytes);
        } else {
            err = agg_snapshot_load(out->agg, tag, data, bytes);
        }
        if (err != ERR_OK) {
            return err;
        }
    }
    return agg_snapshot_loaded(out->agg);
}

/* Keys in files outlive their events (dedup_forget()). Of a snapshot that does not say how many do,
 * as many as there are too many. */
static void note_gone(const struct recover_options *options, const struct recovered *out) {
    struct store_stats stats;
    store_get_stats(options->store, &stats);
    u64 keys = dedup_count(out->dedup);
    u64 events = stats.events - stats.dropped;
    dedup_note_gone(out->dedup, keys - MIN(keys, events));
}

/* Tries snapshots from the newest on. Whatever is wrong with one (damage, a foreign owner, more
 * than fits the memory), the one before or the log can replace it. */
static enum err load_newest(const struct recover_options *options, struct recovered *out) {
    for (u32 skip = 0;; skip++) {
        enum err err = make_empty(options, out);
        if (err != ERR_OK) {
            return err;
        }
        out->snapshot_id = 1;
        struct snapshot_reader *reader = NULL;
        u64 next_id = 0;
        err = snapshot_open(options->store, skip, &reader, &next_id);
        if (err == ERR_NOT_FOUND) {
            return ERR_OK;
        }
        if (err == ERR_OK) {
            err = load_sections(out, reader);
        }
        snapshot_close(reader);
        if (err == ERR_OK) {
            out->snapshot_id = next_id;
            note_gone(options, out);
            return ERR_OK;
        }
        log_warn("snapshot_unusable", "newest=%u reason=%s action=\"trying the one before\"", skip,
                 err_text(err));
    }
}

/* A replay from the beginning does not meet events that were removed; they were received all the
 * same. A snapshot knows. */
static void begin_usage(const struct recover_options *options, struct recovered *out) {
    u64 position;
    i64 month_ms;
    u64 count;
    for (u32 account = 0; account < ACCOUNTS_MAX && out->snapshot_id == 1; account++) {
        if (store_received(options->store, account, &position, &month_ms, &count)) {
            usage_begin(out->usage, account, month_ms, count);
        }
    }
}

/* --- the log -----------------------------------------------------------------------------------
 */

static void report_damage(u64 *counter, const struct store_damage *damage) {
    (*counter)++;
    log_error("block_damaged",
              "from_id=%llu to_id=%llu what=\"%s\" action=\"its events are missing "
              "from the figures; restore a backup\"",
              (unsigned long long)damage->id_from, (unsigned long long)damage->id_to, damage->what);
}

/* Checksums prove that a row is what was written, not that a sound program wrote it. */
static bool row_is_sound(const struct agg *agg, const struct event_batch *batch, u32 row) {
    i64 time = batch->number[NUM_TIME][row];
    return batch->series[row] < agg_series_count(agg) && time >= 0 && time < REPLAY_TIME_END &&
           batch->source[row] < EVENT_SOURCES && batch->revenue_source[row] < REVENUE_SOURCES;
}

/* Where the rows from `first` on stop to be all sound, or all unsound. */
static u32 run_end(const struct agg *agg, const struct event_batch *batch, u32 first, bool *sound) {
    *sound = row_is_sound(agg, batch, first);
    u32 end = first + 1;
    while (end < batch->count && row_is_sound(agg, batch, end) == *sound) {
        end++;
    }
    return end;
}

static enum err open_scan(const struct recover_options *options, u64 id_from, u32 columns,
                          struct store_scan **out) {
    struct store_scan_options scan_options = {.filter = store_filter_all,
                                              .columns = columns,
                                              .sound_columns = FIGURE_COLUMNS | KEY_COLUMNS,
                                              .want_defs = columns == FIGURE_COLUMNS};
    scan_options.filter.id_from = id_from;
    return store_scan_open(options->store, &scan_options, out);
}

/* A line now and then of how far it is. */
struct progress {
    const char *what;
    u64 id_from;
    u64 id_end;
    u64 said_ns;
};

static void tell_progress(struct progress *progress, u64 id) {
    u64 now_ns = clock_monotonic_ns();
    if (now_ns - progress->said_ns > PROGRESS_NS) {
        u64 total = progress->id_end - progress->id_from;
        u64 done = id - progress->id_from;
        progress->said_ns = now_ns;
        log_info("recovering", "what=%s events=%llu of=%llu percent=%llu", progress->what,
                 (unsigned long long)done, (unsigned long long)total,
                 (unsigned long long)(done * 100 / MAX(total, (u64)1)));
    }
}

/* --- keys --------------------------------------------------------------------------------------
 */

/* The thread of the keys; what follows the lock is shared. */
struct keys_thread {
    const struct recover_options *options;
    struct recovered *out;
    u64 id_from;
    u64 damaged_blocks; /* before the snapshot's place; the other thread meets the rest */
    enum err err;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    u64 defined_until; /* series of events before this id are defined, as far as they ever will */
    bool give_up;
    bool failed;
};

/* Keys that do not fit the memory go to disk as they do while events come in. That it cannot be
 * done is said there, and no reason to give up. */
static void keep_keys_small(struct dedup *dedup) {
    if (dedup_is_full(dedup)) {
        dedup_spill(dedup);
    }
    dedup_tend(dedup);
}

static enum err replay_keys(struct keys_thread *keys, struct event_batch *batch) {
    const struct recover_options *options = keys->options;
    u32 epoch = store_key_epoch(options->store, batch->account);
    u8 verdict[EVENT_BATCH_MAX];
    enum err err = ERR_OK;
    dedup_hash_keys(batch, 0, batch->count, dedup_epoch_seed(options->dedup_seed, epoch));
    for (u32 first = 0, end; first < batch->count && err == ERR_OK; first = end) {
        bool sound;
        end = run_end(keys->out->agg, batch, first, &sound);
        if (sound) { /* else whoever reads the event reports it */
            err = dedup_claim(keys->out->dedup, batch, first, end - first, verdict);
            for (u32 i = 0; i < end - first && err == ERR_OK && keys->id_from > 1; i++) {
                err = verdict[i] == DEDUP_CONFLICT ? ERR_EXISTS : ERR_OK;
            }
        }
    }
    dedup_settle(keys->out->dedup);
    keep_keys_small(keys->out->dedup);
    return err;
}

/* False: the other thread gave up. */
static bool await_series(struct keys_thread *keys, u64 id) {
    pthread_mutex_lock(&keys->lock);
    while (keys->defined_until <= id && !keys->give_up) {
        pthread_cond_wait(&keys->moved, &keys->lock);
    }
    bool go_on = !keys->give_up;
    pthread_mutex_unlock(&keys->lock);
    return go_on;
}

static enum err scan_keys(struct keys_thread *keys, struct store_scan *scan) {
    const struct recover_options *options = keys->options;
    struct progress progress = {.what = "keys",
                                .id_from = keys->id_from,
                                .id_end = store_next_id(options->store),
                                .said_ns = clock_monotonic_ns()};
    for (;;) {
        const struct event_batch *batch = NULL;
        struct store_damage damage;
        enum err err = store_scan_next(scan, &batch, NULL, NULL, &damage);
        if (err == ERR_CORRUPT) {
            if (damage.id_from < keys->out->snapshot_id) {
                report_damage(&keys->damaged_blocks, &damage);
            }
            continue;
        }
        if (err != ERR_OK || batch->count == 0) {
            return err;
        }
        u64 id = batch->id[batch->count - 1];
        if (!await_series(keys, id) || atomic_load(options->stop)) {
            return ERR_BUSY;
        }
        err = replay_keys(keys, (struct event_batch *)batch);
        if (err != ERR_OK) {
            return err;
        }
        tell_progress(&progress, id);
    }
}

static enum err read_keys(struct keys_thread *keys) {
    struct store_scan *scan = NULL;
    enum err err = open_scan(keys->options, keys->id_from, KEY_COLUMNS, &scan);
    if (err == ERR_OK) {
        err = scan_keys(keys, scan);
        store_scan_close(scan);
    }
    return err;
}

/* All of them, from the log. */
static enum err forget_keys(struct keys_thread *keys) {
    struct recovered *out = keys->out;
    out->keys_lost = true;
    keys->id_from = 1;
    dedup_destroy(out->dedup);
    out->dedup = NULL;
    return dedup_open(&keys->options->keys, &out->dedup);
}

/* The snapshot's files may be from before they were sifted (dedup.h): where a key whose event is
 * gone was taken for another one since, they still have it with the first one's digest. */
static void *run_keys(void *context) {
    struct keys_thread *keys = context;
    pthread_setname_np(pthread_self(), "keys");
    keys->err = read_keys(keys);
    if (keys->err == ERR_EXISTS) {
        log_warn("keys_outdated", "action=\"reading the keys from the log again\"");
        keys->err = forget_keys(keys);
        keys->err = keys->err == ERR_OK ? read_keys(keys) : keys->err;
    }
    if (keys->out->keys_lost) {
        fault_point("keys.remade");
    }
    pthread_mutex_lock(&keys->lock);
    keys->failed = keys->err != ERR_OK;
    pthread_mutex_unlock(&keys->lock);
    return NULL;
}

/* Keys behind the snapshot, or all if the snapshot's are of no use. */
static enum err begin_keys(const struct recover_options *options, struct recovered *out,
                           struct keys_thread *keys) {
    *keys = (struct keys_thread){.options = options,
                                 .out = out,
                                 .id_from = out->snapshot_id,
                                 .defined_until = out->snapshot_id};
    enum err err = out->keys_lost ? forget_keys(keys) : ERR_OK;
    if (err == ERR_OK) {
        check(pthread_mutex_init(&keys->lock, NULL) == 0);
        check(pthread_cond_init(&keys->moved, NULL) == 0);
        err = pthread_create(&keys->thread, NULL, run_keys, keys) == 0 ? ERR_OK : ERR_NO_MEMORY;
    }
    return err;
}

/* False: the keys cannot be had, so the figures are of no use. */
static bool let_keys_follow(struct keys_thread *keys, u64 defined_until) {
    pthread_mutex_lock(&keys->lock);
    keys->defined_until = defined_until;
    bool go_on = !keys->failed;
    pthread_cond_signal(&keys->moved);
    pthread_mutex_unlock(&keys->lock);
    return go_on;
}

/* `err` is how the figures ended. */
static enum err end_keys(struct keys_thread *keys, enum err err) {
    pthread_mutex_lock(&keys->lock);
    keys->defined_until = UINT64_MAX;
    keys->give_up = err != ERR_OK;
    pthread_cond_signal(&keys->moved);
    pthread_mutex_unlock(&keys->lock);
    pthread_join(keys->thread, NULL);
    pthread_cond_destroy(&keys->moved);
    pthread_mutex_destroy(&keys->lock);
    keys->out->damaged_blocks += keys->damaged_blocks;
    bool because_of_keys = err == ERR_BUSY && keys->err != ERR_OK;
    return err == ERR_OK || because_of_keys ? keys->err : err;
}

/* --- figures -----------------------------------------------------------------------------------
 */

/* What was received before the account's last clear is noted with it. */
static void count_usage(const struct recover_options *options, struct recovered *out,
                        const struct event_batch *batch, const u32 *rows, u32 row_count) {
    u64 noted_before = 1;
    i64 month_ms;
    u64 noted;
    u32 first = 0;
    store_received(options->store, batch->account, &noted_before, &month_ms, &noted);
    while (first < row_count && batch->id[rows[first]] < noted_before) {
        first++;
    }
    usage_count(out->usage, batch->account, batch, rows + first, row_count - first);
}

/* Rows [first, end) of the batch, all sound. */
static void replay_rows(const struct recover_options *options, struct recovered *out,
                        const struct event_batch *batch, u32 first, u32 end) {
    u32 rows[EVENT_BATCH_MAX];
    u32 count = 0;
    check(first < end && end <= EVENT_BATCH_MAX);
    for (u32 row = first; row < end; row++) {
        rows[count++] = row;
    }
    agg_apply(out->agg, batch, rows, count);
    count_usage(options, out, batch, rows, count);
    out->events += count;
}

static void replay_batch(const struct recover_options *options, struct recovered *out,
                         const struct event_batch *batch) {
    for (u32 first = 0, end; first < batch->count; first = end) {
        bool sound;
        end = run_end(out->agg, batch, first, &sound);
        if (sound) {
            replay_rows(options, out, batch, first, end);
        } else {
            struct store_damage damage = {.id_from = batch->id[first],
                                          .id_to = batch->id[end - 1] + 1,
                                          .what = "an unknown series or an impossible time"};
            report_damage(&out->damaged_blocks, &damage);
        }
    }
}

/* Ids of series are dense, so a gap is what damage took. Nothing can stand in for it: later events
 * and indexes name series and values by their numbers. */
static enum err define_all(struct recovered *out, const struct series_def *defs, u32 def_count,
                           const struct store_damage *last) {
    for (u32 i = 0; i < def_count; i++) {
        /* A block at the snapshot's edge may repeat definitions that the snapshot has. */
        u32 known = agg_series_count(out->agg);
        if (defs[i].series < known) {
            continue;
        }
        enum err err = agg_define(out->agg, &defs[i]);
        if (err == ERR_CORRUPT) {
            log_error("definitions_missing",
                      "series_known=%u next=%u damaged_from_id=%llu to_id=%llu what=\"%s\" "
                      "action=\"both copies are lost; restore a backup\"",
                      known, defs[i].series, (unsigned long long)last->id_from,
                      (unsigned long long)last->id_to, last->what);
        }
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

static enum err replay(const struct recover_options *options, struct recovered *out,
                       struct store_scan *scan, struct keys_thread *keys) {
    struct progress progress = {.what = "figures",
                                .id_from = out->snapshot_id,
                                .id_end = store_next_id(options->store),
                                .said_ns = clock_monotonic_ns()};
    struct store_damage damage = {.what = "no damage was seen"};
    for (;;) {
        const struct event_batch *batch = NULL;
        const struct series_def *defs = NULL;
        u32 def_count = 0;
        enum err err = store_scan_next(scan, &batch, &defs, &def_count, &damage);
        if (err == ERR_CORRUPT) {
            report_damage(&out->damaged_blocks, &damage);
            continue;
        }
        if (err == ERR_OK) {
            err = define_all(out, defs, def_count, &damage);
        }
        if (err != ERR_OK || batch->count == 0) {
            return err;
        }
        u64 id = batch->id[batch->count - 1];
        if (!let_keys_follow(keys, id + 1) || atomic_load(options->stop)) {
            return ERR_BUSY;
        }
        replay_batch(options, out, batch);
        fault_point("recover.replayed");
        tell_progress(&progress, id);
    }
}

static enum err replay_figures(const struct recover_options *options, struct recovered *out,
                               struct keys_thread *keys) {
    struct store_scan *scan = NULL;
    enum err err = open_scan(options, out->snapshot_id, FIGURE_COLUMNS, &scan);
    if (err == ERR_OK) {
        err = replay(options, out, scan, keys);
        store_scan_close(scan);
    }
    return err;
}

static enum err replay_log(const struct recover_options *options, struct recovered *out) {
    struct keys_thread keys;
    enum err err = begin_keys(options, out, &keys);
    if (err != ERR_OK) {
        return err;
    }
    begin_usage(options, out);
    return end_keys(&keys, replay_figures(options, out, &keys));
}

enum err recover_run(const struct recover_options *options, struct recovered *out) {
    *out = (struct recovered){0};
    u64 start_ns = clock_monotonic_ns();
    enum err err = load_newest(options, out);
    fault_point("recover.snapshot-loaded");
    if (err == ERR_OK) {
        err = replay_log(options, out);
    }
    if (err == ERR_OK) {
        dedup_restored(out->dedup);
    }
    if (err != ERR_OK) {
        atomic_store(options->agg_place, NULL);
        recover_free(out);
        return err;
    }
    log_info("recovered",
             "snapshot_events=%llu replayed_events=%llu keys=%llu series=%u took_ms=%llu",
             (unsigned long long)(out->snapshot_id - 1), (unsigned long long)out->events,
             (unsigned long long)dedup_count(out->dedup), agg_series_count(out->agg),
             (unsigned long long)((clock_monotonic_ns() - start_ns) / 1000000));
    out->snapshot_id = out->keys_lost ? 1 : out->snapshot_id; /* it names files that are gone */
    return ERR_OK;
}
