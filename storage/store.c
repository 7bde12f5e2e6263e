/*
 * store.c: the data directory as one object (see store.h): takes the directory, opens the log, and
 * hands each request to the file that does it.
 */
#include "store.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/log.h"
#include "storage/merge.h"
#include "storage/scan.h"
#include "storage/snapshot.h"
#include "storage/text_hex.h"
#include "storage/verify.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct store {
    char *dir;
    int lock_fd; /* -1: none */
    bool read_only;
    struct log *log;
    struct block_builder *builder; /* of the appending thread */
    struct merge *merge;           /* made at the first merge; of the background thread */
    const u32 *(*series_dims)(void *context, u32 series);
    void *context;
    _Atomic u64 append_ns;
};

static enum err open_parts(struct store *store, const struct store_options *options, char *why,
                           usize why_bytes) {
    bool create = !options->read_only;
    enum err err = db_dir_prepare(options->dir, create, why, why_bytes);
    if (err == ERR_OK && create) {
        err = db_dir_lock(options->dir, &store->lock_fd, why, why_bytes);
        err = err == ERR_OK ? db_dir_upgrade(options->dir, why, why_bytes) : err;
    }
    if (err != ERR_OK) {
        return err;
    }
    struct log_options log_options = {
        .dir = options->dir,
        .map_bytes = options->log_map_bytes != 0 ? options->log_map_bytes : LOG_MAP_BYTES_DEFAULT,
        .read_only = options->read_only,
        .skip_sync = options->skip_sync,
    };
    err = log_open(&log_options, &store->log, why, why_bytes);
    return err == ERR_OK && create ? block_builder_create(TEXT_FAST, &store->builder) : err;
}

enum err store_open(const struct store_options *options, struct store **out, char *why,
                    usize why_bytes) {
    struct store *store = calloc(1, sizeof *store);
    char *dir = strdup(options->dir);
    snprintf(why, why_bytes, "out of memory");
    if (store == NULL || dir == NULL) {
        free(store);
        free(dir);
        return ERR_NO_MEMORY;
    }
    store->dir = dir;
    store->lock_fd = -1;
    store->read_only = options->read_only;
    store->series_dims = options->series_dims;
    store->context = options->context;
    enum err err = open_parts(store, options, why, why_bytes);
    if (err != ERR_OK) {
        store_close(store);
        return err;
    }
    if (!store->read_only) {
        snapshot_files_drop_past(store->dir, log_next_id(store->log));
    }
    why[0] = '\0';
    *out = store;
    return ERR_OK;
}

void store_close(struct store *store) {
    if (store != NULL) {
        merge_destroy(store->merge);
        block_builder_destroy(store->builder);
        log_close(store->log);
        if (store->lock_fd >= 0) {
            close(store->lock_fd);
        }
        free(store->dir);
        free(store);
    }
}

/* --- appending -------------------------------------------------------------------------------- */

u64 store_next_id(const struct store *store) {
    return log_next_id(store->log);
}

#define PACKED_AT_ONCE 64

void store_pack_keys(struct event_batch *batch) {
    struct slice keys[PACKED_AT_ONCE];
    bool good = true;
    while (good && batch->packed_count < batch->count) {
        u32 from = batch->packed_count;
        u32 count = MIN(batch->count - from, (u32)PACKED_AT_ONCE);
        for (u32 i = 0; i < count; i++) {
            keys[i] = event_text_of(batch, from + i, TEXT_KEY);
        }
        good = uuid_best()->pack(batch->packed[from].byte, keys, count);
        batch->packed_count += good ? count : 0;
    }
}

static enum err encode_group(struct store *store, const struct store_group *group,
                             struct slice *block, struct block_header *header) {
    u64 first_id = log_next_id(store->log);
    enum err err = ERR_OK;
    block_begin(store->builder, BLOCK_GROUP, first_id);
    for (u32 i = 0; i < group->part_count && err == ERR_OK; i++) {
        const struct store_part *part = &group->parts[i];
        err = block_add(store->builder, part->batch, part->rows, part->row_count);
    }
    for (u32 i = 0; i < group->def_count && err == ERR_OK; i++) {
        err = block_add_def(store->builder, &group->defs[i], first_id + group->event_count - 1);
    }
    if (err == ERR_OK) {
        err = block_finish(store->builder, log_chain(store->log), 0, block, header);
    }
    return err;
}

static u32 series_end_of(const struct store_group *group) {
    return group->def_count > 0 ? group->defs[group->def_count - 1].series + 1 : 0;
}

enum err store_append(struct store *store, const struct store_group *group) {
    check(!store->read_only);
    check(group->event_count > 0 && group->event_count <= COMMIT_GROUP_EVENTS_MAX);
    struct slice block;
    struct block_header header;
    u64 from_ns = clock_monotonic_ns();
    enum err err = encode_group(store, group, &block, &header);
    if (err == ERR_OK) {
        check(header.count == group->event_count);
        fault_point("store.encoded");
        err = log_append(store->log, block, &header, series_end_of(group));
    }
    block_shrink(store->builder);
    atomic_fetch_add(&store->append_ns, clock_monotonic_ns() - from_ns);
    return err;
}

enum err store_amend(struct store *store, const struct store_amendment *amendment,
                     const struct store_group *group) {
    check(!store->read_only);
    struct slice block = {NULL, 0};
    struct block_header header;
    if (group == NULL) {
        return log_amend(store->log, amendment, block, NULL, 0);
    }
    check(group->event_count > 0 && group->event_count <= COMMIT_GROUP_EVENTS_MAX);
    enum err err = encode_group(store, group, &block, &header);
    if (err == ERR_OK) {
        err = log_amend(store->log, amendment, block, &header, series_end_of(group));
    }
    block_shrink(store->builder);
    return err;
}

void store_show(struct store *store) {
    log_show(store->log);
}

u64 store_amendments(struct store *store) {
    return log_amendments(store->log);
}

u32 store_key_epoch(struct store *store, u32 account) {
    return log_amend_account(store->log, account).key_epoch;
}

bool store_received(struct store *store, u32 account, u64 *position, i64 *month_ms, u64 *count) {
    struct amend_account known = log_amend_account(store->log, account);
    *position = known.position;
    *month_ms = known.received_month_ms;
    *count = known.received;
    return known.position != 0;
}

bool store_event_stands(struct store *store, u32 series, u64 id, i64 time, i64 revenue,
                        u8 revenue_source) {
    u64 end_id;
    struct overlay *overlay = log_view_take(store->log, &end_id);
    const struct amended *amended = overlay != NULL ? overlay_find(overlay, id) : NULL;
    bool expired = overlay != NULL && time < overlay->expired_ms;
    bool stands = !expired && !overlay_removes(overlay, series, id) &&
                  (amended == NULL ||
                   (amended->revenue == revenue && amended->revenue_source == revenue_source));
    log_view_leave(store->log, overlay);
    return stands;
}

i64 store_expired(struct store *store) {
    u64 end_id;
    struct overlay *overlay = log_view_take(store->log, &end_id);
    i64 expired_ms = overlay == NULL ? 0 : overlay->expired_ms;
    log_view_leave(store->log, overlay);
    return expired_ms;
}

static enum err merge_or_drop(struct store *store, enum err (*step)(struct merge *merge, bool *did),
                              bool *did) {
    check(!store->read_only);
    *did = false;
    if (store->merge == NULL) {
        enum err err = merge_create(store->log, store->series_dims, store->context, &store->merge);
        if (err != ERR_OK) {
            return err;
        }
    }
    return step(store->merge, did);
}

enum err store_merge(struct store *store, bool *did) {
    return merge_or_drop(store, merge_step, did);
}

enum err store_drop(struct store *store, bool *did) {
    enum err err = merge_or_drop(store, merge_drop, did);
    return err == ERR_OK && !*did ? merge_or_drop(store, merge_thin, did) : err;
}

bool store_trim(struct store *store) {
    return log_trim(store->log);
}

/* --- reading ---------------------------------------------------------------------------------- */

enum err store_scan_open(struct store *store, const struct store_scan_options *options,
                         struct store_scan **out) {
    enum err err = store->read_only ? log_refresh(store->log) : ERR_OK;
    return err == ERR_OK ? scan_open(store->log, store->series_dims, store->context, options, out)
                         : err;
}

void store_get_stats(struct store *store, struct store_stats *out) {
    log_get_stats(store->log, out);
    out->append_ns = atomic_load(&store->append_ns);
}

enum err store_verify(struct store *store,
                      void (*report)(void *context, const struct store_damage *),
                      void (*progress)(void *context, u64 done, u64 total), void *context) {
    enum err err = store->read_only ? log_refresh(store->log) : ERR_OK;
    return err == ERR_OK ? verify_log(store->log, report, progress, context) : err;
}

void store_verify_beside(const char *dir, void (*report)(void *context, const char *what),
                         void *context) {
    verify_beside(dir, report, context);
}

/* --- snapshots -------------------------------------------------------------------------------- */

/* What tells this log from another one with as many events: the event before the position. Blocks
 * around it are merged in time, the event stays. 0: it cannot be read. */
static enum err position_of(struct store *store, u64 next_id, struct snapshot_position *out) {
    struct store_scan_options options = {
        .filter = store_filter_all, .columns = TEXT_BIT(TEXT_KEY), .as_received = true};
    options.filter.id_from = next_id - 1;
    options.filter.id_to = next_id;
    *out = (struct snapshot_position){.next_id = next_id};
    struct store_scan *scan;
    const struct event_batch *batch;
    enum err err = store_scan_open(store, &options, &scan);
    if (err != ERR_OK) {
        return err;
    }
    err = store_scan_next(scan, &batch, NULL, NULL, NULL);
    if (err == ERR_OK && batch->count == 1) {
        struct slice key = event_text_of(batch, 0, TEXT_KEY);
        u64 facts[] = {batch->id[0],
                       batch->account,
                       batch->series[0],
                       (u64)batch->created[0],
                       (u64)batch->number[NUM_TIME][0],
                       batch->digest[0]};
        out->log_hash =
            hash64(facts, sizeof facts, key.bytes > 0 ? hash64(key.data, key.bytes, 0) : 0);
    }
    store_scan_close(scan);
    return err == ERR_CORRUPT ? ERR_OK : err;
}

enum err snapshot_begin(struct store *store, u64 next_id, u64 amendments,
                        struct snapshot_writer **out) {
    check(!store->read_only);
    check(next_id > 0 && next_id <= log_next_id(store->log));
    check(amendments <= log_amendments(store->log));
    struct snapshot_position position;
    enum err err = position_of(store, next_id, &position);
    position.amendments = amendments;
    return err == ERR_OK ? snapshot_file_begin(store->dir, position, out) : err;
}

/* A snapshot is of this log if both have the same event before its position. Where the log's copy
 * of that event is damaged, the snapshot is the better witness. */
static enum err position_check(struct store *store, const struct snapshot_position *position) {
    if (position->next_id == 0 || position->next_id > log_next_id(store->log)) {
        return ERR_CORRUPT;
    }
    u64 amendments = log_amendments(store->log);
    if (position->amendments != amendments) {
        log_info("snapshot_outdated", "next_id=%llu amendments=%llu of=%llu",
                 (unsigned long long)position->next_id, (unsigned long long)position->amendments,
                 (unsigned long long)amendments);
        return ERR_VERSION;
    }
    struct snapshot_position own;
    enum err err = position_of(store, position->next_id, &own);
    if (err == ERR_OK && own.log_hash != position->log_hash && own.log_hash != 0 &&
        position->log_hash != 0) {
        log_warn("snapshot_foreign", "next_id=%llu reason=\"it was made from another log\"",
                 (unsigned long long)position->next_id);
        err = ERR_CORRUPT;
    }
    return err;
}

enum err snapshot_open(struct store *store, u32 skip, struct snapshot_reader **out, u64 *next_id) {
    struct snapshot_position position;
    struct snapshot_reader *reader;
    enum err err = snapshot_file_open(store->dir, skip, &reader, &position);
    if (err != ERR_OK) {
        return err;
    }
    err = position_check(store, &position);
    if (err != ERR_OK) {
        snapshot_close(reader);
        return err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
    }
    *next_id = position.next_id;
    *out = reader;
    return ERR_OK;
}
