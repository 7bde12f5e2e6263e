/*
 * store.c: the data directory as one object (see store.h): takes the directory, opens the log, and
 * hands each request to the file that does it.
 */
#include "store.h"

#include "base/clock.h"
#include "storage/merge.h"
#include "storage/scan.h"
#include "storage/snapshot.h"
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

enum err store_append(struct store *store, const struct store_group *group) {
    check(!store->read_only);
    check(group->event_count > 0 && group->event_count <= COMMIT_GROUP_EVENTS_MAX);
    struct slice block;
    struct block_header header;
    u64 from_ns = clock_monotonic_ns();
    enum err err = encode_group(store, group, &block, &header);
    if (err == ERR_OK) {
        check(header.count == group->event_count);
        err = log_append(store->log, block, &header);
    }
    atomic_fetch_add(&store->append_ns, clock_monotonic_ns() - from_ns);
    return err;
}

enum err store_merge(struct store *store, bool *did) {
    check(!store->read_only);
    *did = false;
    if (store->merge == NULL) {
        enum err err = merge_create(store->log, store->series_dims, store->context, &store->merge);
        if (err != ERR_OK) {
            return err;
        }
    }
    return merge_step(store->merge, did);
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

/* --- snapshots -------------------------------------------------------------------------------- */

enum err snapshot_begin(struct store *store, u64 next_id, struct snapshot_writer **out) {
    check(!store->read_only);
    return snapshot_file_begin(store->dir, next_id, out);
}

enum err snapshot_open(struct store *store, u32 skip, struct snapshot_reader **out, u64 *next_id) {
    return snapshot_file_open(store->dir, skip, out, next_id);
}
