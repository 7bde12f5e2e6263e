/*
 * recover.c: loads the newest snapshot that proves sound, then replays the log behind it through
 * the same steps as ingest. An unusable snapshot costs time, not data.
 */
#include "recover.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "pipeline/snapshot_tags.h"

#define PROGRESS_NS 2000000000u
#define REPLAY_TIME_END ((i64)1 << 46) /* ms; the figures take no later time */

/* What replay needs of an event: the figures' inputs and the key. */
#define REPLAY_COLUMNS                                                                             \
    (NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_REVENUE) | NUM_BIT(NUM_USAGE) |           \
     NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_OUTPUT) | NUM_BIT(NUM_CACHED) | NUM_BIT(NUM_CACHE_WRITE) |   \
     NUM_BIT(NUM_DURATION) | TEXT_BIT(TEXT_KEY) | TEXT_BIT(TEXT_AGENT) | TEXT_BIT(TEXT_TRACE))

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

/* Keys in files outlive their events (dedup_forget()), and each costs memory: once most of them
 * have, reading those of the events that are left is little work. */
static bool keys_are_stale(const struct recover_options *options, const struct recovered *out) {
    struct store_stats stats;
    store_get_stats(options->store, &stats);
    u64 keys = dedup_count(out->dedup);
    bool stale = keys / 2 > stats.events - stats.dropped;
    if (stale) {
        log_info("keys_stale", "keys=%llu events=%llu action=\"reading the keys from the log\"",
                 (unsigned long long)keys, (unsigned long long)(stats.events - stats.dropped));
    }
    return stale;
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
            out->keys_lost = out->keys_lost || keys_are_stale(options, out);
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

/* --- the log's tail --------------------------------------------------------------------------- */

/* Keys are hashed with their account, and a block of the log may mix accounts: hash run by run. */
static void hash_keys(const struct recover_options *options, struct recovered *out,
                      struct event_batch *batch, u32 first, u32 until) {
    while (first < until) {
        u32 account = agg_series_dims(out->agg, batch->series[first])[DIM_ACCOUNT];
        u32 end = first + 1;
        while (end < until &&
               agg_series_dims(out->agg, batch->series[end])[DIM_ACCOUNT] == account) {
            end++;
        }
        batch->account = account;
        dedup_hash_keys(
            batch, first, end - first,
            dedup_epoch_seed(options->dedup_seed, store_key_epoch(options->store, account)));
        first = end;
    }
}

/* Keys that do not fit the memory go to disk as they do while events come in. That it cannot be
 * done is said there, and no reason to give up. */
static void keep_keys_small(struct dedup *dedup) {
    if (dedup_is_full(dedup)) {
        dedup_spill(dedup);
    }
    dedup_tend(dedup);
}

static void report_damage(struct recovered *out, const struct store_damage *damage) {
    out->damaged_blocks++;
    log_error("block_damaged",
              "from_id=%llu to_id=%llu what=\"%s\" action=\"its events are missing "
              "from the figures; restore a backup\"",
              (unsigned long long)damage->id_from, (unsigned long long)damage->id_to, damage->what);
}

/* Checksums prove that a row is what was written, not that a sound program wrote it. */
static bool row_is_sound(const struct recovered *out, const struct event_batch *batch, u32 row) {
    i64 time = batch->number[NUM_TIME][row];
    return batch->series[row] < agg_series_count(out->agg) && time >= 0 && time < REPLAY_TIME_END &&
           batch->source[row] < EVENT_SOURCES && batch->revenue_source[row] < REVENUE_SOURCES;
}

/* As for keys: run by run of one account. */
static void count_usage(const struct recover_options *options, struct recovered *out,
                        const struct event_batch *batch, const u32 *rows, u32 row_count) {
    for (u32 first = 0, end; first < row_count; first = end) {
        u32 account = agg_series_dims(out->agg, batch->series[rows[first]])[DIM_ACCOUNT];
        end = first + 1;
        while (end < row_count &&
               agg_series_dims(out->agg, batch->series[rows[end]])[DIM_ACCOUNT] == account) {
            end++;
        }
        u64 noted_before = 1;
        i64 month_ms;
        u64 noted;
        store_received(options->store, account, &noted_before, &month_ms, &noted);
        while (first < end && batch->id[rows[first]] < noted_before) {
            first++;
        }
        usage_count(out->usage, account, batch, rows + first, end - first);
    }
}

/* Rows [first, end) of the batch, all sound. */
static enum err replay_rows(const struct recover_options *options, struct recovered *out,
                            struct event_batch *batch, u32 first, u32 end) {
    u32 rows[EVENT_BATCH_MAX];
    u8 verdict[EVENT_BATCH_MAX];
    for (u32 i = first; i < end; i++) {
        rows[i - first] = i;
    }
    hash_keys(options, out, batch, first, end);
    enum err err = dedup_claim(out->dedup, batch, first, end - first, verdict);
    if (err == ERR_OK) {
        dedup_settle(out->dedup);
        keep_keys_small(out->dedup);
        agg_apply(out->agg, batch, rows, end - first);
        count_usage(options, out, batch, rows, end - first);
        out->events += end - first;
    }
    return err;
}

static enum err replay_batch(const struct recover_options *options, struct recovered *out,
                             struct event_batch *batch) {
    enum err err = ERR_OK;
    for (u32 first = 0, end; first < batch->count && err == ERR_OK; first = end) {
        bool sound = row_is_sound(out, batch, first);
        end = first + 1;
        while (end < batch->count && row_is_sound(out, batch, end) == sound) {
            end++;
        }
        if (sound) {
            err = replay_rows(options, out, batch, first, end);
        } else {
            struct store_damage damage = {.id_from = batch->id[first],
                                          .id_to = batch->id[end - 1] + 1,
                                          .what = "an unknown series or an impossible time"};
            report_damage(out, &damage);
        }
    }
    return err;
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
                       struct store_scan *scan) {
    u64 total = store_next_id(options->store) - out->snapshot_id;
    u64 said_ns = clock_monotonic_ns();
    struct store_damage damage = {.what = "no damage was seen"};
    for (;;) {
        const struct event_batch *batch = NULL;
        const struct series_def *defs = NULL;
        u32 def_count = 0;
        enum err err = store_scan_next(scan, &batch, &defs, &def_count, &damage);
        if (err == ERR_CORRUPT) {
            report_damage(out, &damage);
            continue;
        }
        if (err == ERR_OK) {
            err = define_all(out, defs, def_count, &damage);
        }
        if (err != ERR_OK || batch->count == 0) {
            return err;
        }
        err = replay_batch(options, out, (struct event_batch *)batch);
        fault_point("recover.replayed");
        if (err != ERR_OK) {
            return err;
        }
        if (atomic_load(options->stop)) {
            return ERR_BUSY;
        }
        if (clock_monotonic_ns() - said_ns > PROGRESS_NS) {
            said_ns = clock_monotonic_ns();
            log_info("recovering", "events=%llu of=%llu percent=%llu",
                     (unsigned long long)out->events, (unsigned long long)total,
                     (unsigned long long)(out->events * 100 / MAX(total, (u64)1)));
        }
    }
}

/* The keys of a batch whose events are in the figures already. */
static enum err replay_keys(const struct recover_options *options, struct recovered *out,
                            struct event_batch *batch) {
    u8 verdict[EVENT_BATCH_MAX];
    enum err err = ERR_OK;
    for (u32 first = 0, end; first < batch->count && err == ERR_OK; first = end) {
        bool known = batch->series[first] < agg_series_count(out->agg);
        end = first + 1;
        while (end < batch->count && (batch->series[end] < agg_series_count(out->agg)) == known) {
            end++;
        }
        if (known) { /* else it is reported by whoever reads the event */
            hash_keys(options, out, batch, first, end);
            err = dedup_claim(out->dedup, batch, first, end - first, verdict);
        }
    }
    dedup_settle(out->dedup);
    keep_keys_small(out->dedup);
    return err;
}

/* The snapshot's figures are good, its keys are not: a set is made of the log's, up to there. */
static enum err remake_keys(const struct recover_options *options, struct recovered *out) {
    struct store_scan_options scan_options = {.filter = store_filter_all,
                                              .columns = TEXT_BIT(TEXT_KEY)};
    scan_options.filter.id_to = out->snapshot_id;
    struct store_scan *scan = NULL;
    dedup_destroy(out->dedup);
    out->dedup = NULL;
    enum err err = dedup_open(&options->keys, &out->dedup);
    err = err == ERR_OK ? store_scan_open(options->store, &scan_options, &scan) : err;
    while (err == ERR_OK) {
        const struct event_batch *batch = NULL;
        struct store_damage damage;
        err = store_scan_next(scan, &batch, NULL, NULL, &damage);
        if (err == ERR_CORRUPT) {
            report_damage(out, &damage);
            err = ERR_OK;
            continue;
        }
        if (err != ERR_OK || batch->count == 0) {
            break;
        }
        err = replay_keys(options, out, (struct event_batch *)batch);
        if (err == ERR_OK && atomic_load(options->stop)) {
            err = ERR_BUSY;
        }
    }
    store_scan_close(scan);
    fault_point("keys.remade");
    return err;
}

static enum err replay_tail(const struct recover_options *options, struct recovered *out) {
    struct store_scan_options scan_options = {
        .filter = store_filter_all, .columns = REPLAY_COLUMNS, .want_defs = true};
    scan_options.filter.id_from = out->snapshot_id;
    struct store_scan *scan = NULL;
    enum err err = store_scan_open(options->store, &scan_options, &scan);
    if (err == ERR_OK) {
        err = replay(options, out, scan);
        store_scan_close(scan);
    }
    return err;
}

enum err recover_run(const struct recover_options *options, struct recovered *out) {
    *out = (struct recovered){0};
    u64 start_ns = clock_monotonic_ns();
    enum err err = load_newest(options, out);
    fault_point("recover.snapshot-loaded");
    if (err == ERR_OK && out->keys_lost) {
        err = remake_keys(options, out);
    }
    if (err == ERR_OK) {
        begin_usage(options, out);
        err = replay_tail(options, out);
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
