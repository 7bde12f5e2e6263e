/* log_write.c: what changes a log: blocks that are appended, amendments, and segments that take the
 * place of small blocks. See log.h. */
#include "storage/log_state.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OFFER_WAIT_NS 10000000   /* how long a segment waits for an append */
#define DROP_BLOCKS_MAX 64       /* dropped in one transaction: each frees a megabyte or more */
#define DROP_BYTES_MAX (4 * MIB) /* of those dropped before that are joined with them */

/* A segment that is ready to take the place of its blocks. It waits a moment for the next append,
 * so that one sync serves both; `write` guards it. */
struct offer {
    const struct log_run *run;
    const struct block_header *header;
    struct slice block;
    struct slice index;
    struct slice defs; /* second copy of the block's definitions; empty: it has none */
    bool done;
    enum err err;
};

/* Entries of a run: they are exactly there, for only the merging thread removes any. */
static usize run_entries(const struct log *log, const struct log_run *run, usize *from) {
    *from = log_entry_index(log, run->first_id);
    usize end = *from;
    check(log->entries[end].first_id == run->first_id);
    while (end < log->count && log->entries[end].first_id < run->end_id) {
        end++;
    }
    check(log->entries[end - 1].first_id + log->entries[end - 1].count == run->end_id);
    return end - *from;
}

/* The blocks' definitions are all in the one that replaces them, and so are their second copies:
 * those of many small commits would be most of what these take on disk. */
static void offer_put(struct log *log, struct db_txn *txn, const struct offer *offer) {
    u8 key[KEY_BYTES];
    usize from;
    usize count = run_entries(log, offer->run, &from);
    const struct block_header *header = offer->header;
    for (usize i = from; i < from + count; i++) {
        const struct log_entry *entry = &log->entries[i];
        struct slice at = key_make(key, entry->first_id, (u32)entry->count);
        db_delete(txn, TABLE_BLOCKS, at);
        if (entry->kind == BLOCK_SEGMENT) { /* dropped */
            db_delete_any(txn, TABLE_INDEX, at);
        }
        if (offer->defs.bytes > 0) {
            db_delete_any(txn, TABLE_DEFS, at);
        }
    }
    db_put(txn, TABLE_BLOCKS, key_make(key, header->first_id, header->count), offer->block,
           DB_REPLACE);
    if (offer->index.bytes > 0) {
        db_put(txn, TABLE_INDEX, key_make(key, header->first_id, header->count), offer->index,
               DB_REPLACE);
    }
    if (offer->defs.bytes > 0) {
        db_put(txn, TABLE_DEFS, key_make(key, header->first_id, header->count), offer->defs,
               DB_REPLACE);
    }
}

/* After the commit: the directory follows. */
static void offer_settle(struct log *log, const struct offer *offer) {
    usize from;
    usize count = run_entries(log, offer->run, &from);
    log->entries[from] = log_entry_of(offer->header);
    memmove(&log->entries[from + 1], &log->entries[from + count],
            (log->count - from - count) * sizeof *log->entries);
    log->count -= count - 1;
    log->small_from = MIN(log->small_from, from);
}

/* What one transaction does: any of a block with the second copy of its definitions, an offered
 * segment, and an amendment. */
struct change {
    struct slice block;
    struct slice defs;
    const struct block_header *header; /* NULL: no block */
    u32 series_end;
    const struct offer *offer;
    struct slice amendment;
    struct amend_plan *plan; /* NULL: no amendment */
};

static void change_put(struct log *log, struct db_txn *txn, const struct change *change) {
    u8 key[KEY_BYTES];
    if (change->header != NULL) {
        struct slice at = key_make(key, change->header->first_id, change->header->count);
        db_put(txn, TABLE_BLOCKS, at, change->block, log->disordered ? DB_REPLACE : DB_APPEND);
        if (change->defs.bytes > 0) {
            db_put(txn, TABLE_DEFS, at, change->defs, DB_REPLACE);
        }
    }
    if (change->plan != NULL) {
        amend_table_put(txn, TABLE_AMENDMENTS, change->plan->header.sequence, change->amendment);
    }
    if (change->offer != NULL) {
        offer_put(log, txn, change->offer);
    }
}

static void block_settle(struct log *log, const struct block_header *header, u32 series_end) {
    log->entries[log->count++] = log_entry_of(header);
    log->append_count++;
    if (series_end > 0) {
        atomic_store_explicit(&log->series_end, series_end, memory_order_release);
    }
    atomic_store_explicit(&log->next_id, header->first_id + header->count, memory_order_release);
}

/* After the commit, under the directory's lock: a reader sees all of it or nothing. An amendment
 * waits for log_show(). */
static void change_settle(struct log *log, const struct change *change) {
    if (change->plan != NULL) {
        struct log_hidden *hidden = &log->hidden;
        *hidden = (struct log_hidden){.waits = true,
                                      .has_block = change->header != NULL,
                                      .series_end = change->series_end,
                                      .plan = *change->plan};
        if (hidden->has_block) {
            hidden->header = *change->header;
        }
    } else if (change->header != NULL) {
        block_settle(log, change->header, change->series_end);
    }
    if (change->offer != NULL) {
        offer_settle(log, change->offer);
    }
}

/* Nobody else changes entries while `write` is held, so reading them needs no more. */
static enum err commit(struct log *log, const struct change *change) {
    struct db_txn txn;
    enum err err = db_begin(log->db, true, &txn);
    if (err != ERR_OK) {
        return err;
    }
    change_put(log, &txn, change);
    fault_point_if(change->header != NULL, "log.put");
    fault_point_if(change->plan != NULL, "log.amendment-put");
    fault_point_if(change->offer != NULL, "log.segment-put");
    u64 from_ns = clock_monotonic_ns();
    err = db_commit(&txn);
    u64 sync_ns = clock_monotonic_ns() - from_ns;
    if (err != ERR_OK) {
        return err;
    }
    fault_point_if(change->header != NULL, "log.committed");
    fault_point_if(change->plan != NULL, "log.amendment-committed");
    fault_point_if(change->offer != NULL, "log.segment-committed");
    pthread_mutex_lock(&log->directory);
    log->sync_ns += change->header != NULL ? sync_ns : 0;
    change_settle(log, change);
    pthread_mutex_unlock(&log->directory);
    return ERR_OK;
}

/* The definitions' second copy, to be written with the block and freed then. */
static enum err defs_copy(struct slice block, const struct block_header *header,
                          struct slice *out) {
    *out = (struct slice){NULL, 0};
    if (header->def_count == 0) {
        return ERR_OK;
    }
    u8 *copy = malloc(BLOCK_DEFS_BYTES(header));
    if (copy == NULL) {
        return ERR_NO_MEMORY;
    }
    block_copy_defs(copy, block, header);
    *out = (struct slice){(const char *)copy, BLOCK_DEFS_BYTES(header)};
    return ERR_OK;
}

static void defs_free(struct slice defs) {
    free((void *)(uintptr_t)defs.data);
}

/* With an offered segment, if one waits. */
static enum err write_change(struct log *log, struct change *change) {
    struct offer *offer = log->offer;
    pthread_mutex_lock(&log->directory);
    enum err err = log_entries_reserve(log, 1) ? ERR_OK : ERR_NO_MEMORY;
    pthread_mutex_unlock(&log->directory);
    if (err != ERR_OK) {
        return err;
    }
    change->offer = offer;
    err = commit(log, change);
    if (offer != NULL) {
        offer->err = err;
        offer->done = true;
        log->offer = NULL;
        pthread_cond_signal(&log->offer_done);
    }
    if (err == ERR_NO_SPACE && offer != NULL) {
        change->offer = NULL; /* the segment was too much, perhaps */
        err = commit(log, change);
    }
    return err;
}

enum err log_append(struct log *log, struct slice block, const struct block_header *header,
                    u32 series_end) {
    check(header->first_id == log_next_id(log));
    check((header->def_count > 0) == (series_end > 0));
    struct change change = {.block = block, .header = header, .series_end = series_end};
    enum err err = defs_copy(block, header, &change.defs);
    if (err != ERR_OK) {
        return err;
    }
    pthread_mutex_lock(&log->write);
    check(!log->hidden.waits);
    err = write_change(log, &change);
    pthread_mutex_unlock(&log->write);
    defs_free(change.defs);
    return err;
}

/* --- amendments ------------------------------------------------------------------------------- */

/* Under `write`: makes the record and what follows from it. */
static enum err plan_amendment(struct log *log, const struct store_amendment *amendment,
                               struct slice *record, struct amend_plan *plan) {
    const char *what;
    struct amends *amends = &log->amends;
    enum err err =
        amend_encode(amendment, amends->count + 1, log_next_id(log), amends->chain, record);
    if (err == ERR_OK) {
        err = amends_plan(amends, *record, false, plan, &what);
        check(err == ERR_OK || err == ERR_NO_MEMORY || err == ERR_CORRUPT);
    }
    return err == ERR_CORRUPT ? ERR_INVALID : err;
}

enum err log_amend(struct log *log, const struct store_amendment *amendment, struct slice block,
                   const struct block_header *header, u32 series_end) {
    struct amend_plan plan = {0};
    struct change change = {
        .block = block, .header = header, .series_end = series_end, .plan = &plan};
    check(header == NULL || header->first_id == log_next_id(log));
    enum err err = header != NULL ? defs_copy(block, header, &change.defs) : ERR_OK;
    if (err != ERR_OK) {
        return err;
    }
    pthread_mutex_lock(&log->write);
    check(!log->hidden.waits);
    err = plan_amendment(log, amendment, &change.amendment, &plan);
    if (err == ERR_OK) {
        err = write_change(log, &change);
    }
    pthread_mutex_unlock(&log->write);
    if (err != ERR_OK) {
        amend_plan_drop(&plan);
    }
    free((void *)(uintptr_t)change.amendment.data);
    defs_free(change.defs);
    return err;
}

void log_show(struct log *log) {
    struct log_hidden *hidden = &log->hidden;
    pthread_mutex_lock(&log->write); /* held for moments only while something waits */
    check(hidden->waits);
    pthread_mutex_lock(&log->directory);
    overlay_leave(amends_take(&log->amends, &hidden->plan));
    if (hidden->has_block) {
        block_settle(log, &hidden->header, hidden->series_end);
    }
    pthread_mutex_unlock(&log->directory);
    *hidden = (struct log_hidden){.waits = false};
    pthread_cond_signal(&log->shown);
    pthread_mutex_unlock(&log->write);
}

/* --- merging ---------------------------------------------------------------------------------- */

/* Blocks that stay as they are. */
static bool is_final(const struct log_entry *entry) {
    return entry->kind == BLOCK_SEGMENT || entry->kind == BLOCK_DROPPED || entry->frozen;
}

struct candidate {
    usize from; /* entries from..end */
    usize end;
    u64 rows;
    usize groups; /* as committed, at its end */
    bool closed;  /* what follows cannot join */
};

/* Whether it holds nothing but events that are too old. */
static bool is_expired(const struct log *log, const struct log_entry *entry) {
    const struct overlay *overlay = log->amends.overlay;
    return overlay != NULL && entry->time_max < overlay->expired_ms;
}

/* The mergeable entries from `from` on, as many as one segment takes. Those that are to leave the
 * disk do not join those that stay: they would stay with them. */
static struct candidate candidate_at(const struct log *log, usize from) {
    struct candidate run = {.from = from, .end = from};
    u64 bytes = 0;
    while (run.end < log->count) {
        const struct log_entry *entry = &log->entries[run.end];
        if (is_final(entry) || run.rows + entry->count > SEGMENT_ROWS_MAX ||
            is_expired(log, entry) != is_expired(log, &log->entries[from]) ||
            (run.end > from && bytes + entry->bytes > MERGE_BYTES_MAX)) {
            run.closed = true;
            break;
        }
        run.groups = entry->kind == BLOCK_GROUP ? run.groups + 1 : 0;
        run.rows += entry->count;
        bytes += entry->bytes;
        run.end++;
    }
    return run;
}

static bool pick(struct log *log, struct candidate *run, enum block_kind *kind) {
    usize from = log->small_from;
    while (from < log->count) {
        if (is_final(&log->entries[from])) {
            from++;
            continue;
        }
        *run = candidate_at(log, from);
        if (run->closed || run->rows >= SEGMENT_ROWS_MIN) {
            *kind = BLOCK_SEGMENT;
            return true;
        }
        if (run->groups >= MERGE_BLOCKS_MIN) {
            run->from = run->end - run->groups;
            *kind = BLOCK_MERGED;
            return true;
        }
        break;
    }
    return false;
}

static struct log_run run_of(const struct log *log, const struct candidate *run,
                             enum block_kind kind) {
    const struct log_entry *last = &log->entries[run->end - 1];
    return (struct log_run){
        .first_id = log->entries[run->from].first_id,
        .end_id = last->first_id + last->count,
        .chain = last->chain,
        .kind = kind,
    };
}

bool log_pick_run(struct log *log, struct log_run *out) {
    struct candidate run;
    enum block_kind kind;
    pthread_mutex_lock(&log->directory);
    while (log->small_from < log->count && is_final(&log->entries[log->small_from])) {
        log->small_from++;
    }
    bool found = pick(log, &run, &kind);
    if (found) {
        *out = run_of(log, &run, kind);
    }
    pthread_mutex_unlock(&log->directory);
    return found;
}

/* Expired ones that follow each other, with what was dropped before them, so that one block comes
 * to stand for all that is gone. */
static struct candidate expired_at(const struct log *log, usize from) {
    struct candidate run = {.from = from, .end = from};
    u64 bytes = 0;
    while (run.from > 0 && log->entries[run.from - 1].kind == BLOCK_DROPPED) {
        const struct log_entry *entry = &log->entries[run.from - 1];
        if (run.rows + entry->count > DROPPED_ROWS_MAX / 2 ||
            bytes + entry->bytes > DROP_BYTES_MAX) {
            break;
        }
        run.rows += entry->count;
        bytes += entry->bytes;
        run.from--;
    }
    while (run.end < log->count && run.end - from < DROP_BLOCKS_MAX) {
        const struct log_entry *entry = &log->entries[run.end];
        if (entry->frozen || !is_expired(log, entry) ||
            run.rows + entry->count > DROPPED_ROWS_MAX) {
            break;
        }
        run.rows += entry->count;
        run.end++;
    }
    return run;
}

bool log_pick_expired(struct log *log, struct log_run *out) {
    pthread_mutex_lock(&log->directory);
    const struct overlay *overlay = log->amends.overlay;
    usize at = overlay == NULL || overlay->expired_ms == 0 ? log->count : 0;
    while (at < log->count && (log->entries[at].kind == BLOCK_DROPPED || log->entries[at].frozen ||
                               !is_expired(log, &log->entries[at]))) {
        at++;
    }
    bool found = at < log->count;
    if (found) {
        struct candidate run = expired_at(log, at);
        *out = run_of(log, &run, BLOCK_DROPPED);
    }
    pthread_mutex_unlock(&log->directory);
    return found;
}

bool log_pick_mixed(struct log *log, u64 from_id, struct log_run *out, i64 *before_ms) {
    pthread_mutex_lock(&log->directory);
    const struct overlay *overlay = log->amends.overlay;
    *before_ms = overlay != NULL ? overlay->expired_ms : 0;
    usize at = *before_ms == 0 || log->count == 0 ? log->count : log_entry_index(log, from_id);
    for (; at < log->count; at++) {
        const struct log_entry *entry = &log->entries[at];
        if (entry->first_id >= from_id && entry->kind == BLOCK_SEGMENT && !entry->frozen &&
            entry->time_min < *before_ms && entry->time_max >= *before_ms) {
            break;
        }
    }
    bool found = at < log->count;
    if (found) {
        *out = run_of(log, &(struct candidate){.from = at, .end = at + 1}, BLOCK_SEGMENT);
    }
    pthread_mutex_unlock(&log->directory);
    return found;
}

/* Waits for an append to carry the offer; false if none came. */
static bool offer_wait(struct log *log, struct offer *offer) {
    struct timespec until;
    check(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_nsec += OFFER_WAIT_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    log->offer = offer;
    int code = 0;
    while (!offer->done && code != ETIMEDOUT) {
        code = pthread_cond_timedwait(&log->offer_done, &log->write, &until);
        check(code == 0 || code == ETIMEDOUT);
    }
    log->offer = NULL;
    return offer->done;
}

enum err log_replace(struct log *log, const struct log_run *run, struct slice block,
                     const struct block_header *header, struct slice index) {
    check(header->first_id == run->first_id && header->first_id + header->count == run->end_id);
    struct offer offer = {.run = run, .header = header, .block = block, .index = index};
    enum err err = defs_copy(block, header, &offer.defs);
    if (err != ERR_OK) {
        return err;
    }
    pthread_mutex_lock(&log->write);
    const struct change change = {.offer = &offer};
    bool taken = offer_wait(log, &offer);
    while (!taken && log->hidden.waits) {
        pthread_cond_wait(&log->shown, &log->write);
    }
    err = taken ? offer.err : commit(log, &change);
    pthread_mutex_unlock(&log->write);
    defs_free(offer.defs);
    return err;
}

/* --- giving space back ------------------------------------------------------------------------ */

/* Under load pages are taken again within seconds, and one that the file system has taken back
 * costs more to write. What stays free would be all that a file of merged blocks has to spare. */
bool log_trim(struct log *log) {
    struct log_trim *trim = &log->trim;
    if (trim->place.commit == 0) {
        bool over = trim->to == trim->seen;
        trim->to = trim->seen;
        trim->seen = db_version(log->db);
        if ((over && trim->to == trim->seen) || trim->refused) {
            return false;
        }
        trim->place = (struct db_trim){.commit = 1};
    }
    enum err err = db_trim(log->db, &trim->place, trim->to, TRIM_PAGES_MIN);
    if (err != ERR_OK) { /* nothing but space is lost */
        trim->place = (struct db_trim){0};
        trim->refused = err != ERR_NO_MEMORY && err != ERR_NO_SPACE;
        log_info("space_kept", "reason=%s", err_text(err));
    }
    return trim->place.commit != 0;
}
