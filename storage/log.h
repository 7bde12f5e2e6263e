/*
 * log.h: the blocks of all events, in order, in an LMDB environment of their own, and a directory
 * of them in memory. Keys are the first id and the row count, big-endian, so that order is id order
 * and the extent of a block is known even when the block is damaged. LMDB keeps no checksums: a key
 * that a sound header contradicts is put right when the log is opened.
 *
 * Definitions of series are kept twice, in their block and in a table of their own, written in one
 * transaction: whoever loses a block must not lose the meaning of all that follow it. When blocks
 * are merged, so are their copies.
 *
 * One thread appends; another may replace runs of small blocks by segments. Both change the
 * directory only after their commit, under one write lock, so the directory follows the commits.
 * Readers look blocks up by id: a block that has been merged in the meantime is found inside its
 * segment.
 */
#ifndef MARGIN_STORAGE_LOG_H
#define MARGIN_STORAGE_LOG_H

#include "storage/amend_table.h"
#include "storage/block.h"
#include "storage/db.h"
#include "store.h"

struct log;

struct log_options {
    const char *dir;
    usize map_bytes;
    bool read_only;
    bool skip_sync;
};
enum err log_open(const struct log_options *options, struct log **out, char *why, usize why_bytes);
void log_close(struct log *log);

struct log_entry {
    u64 first_id;
    u64 chain; /* what the next block's `previous` must be */
    i64 time_min;
    i64 time_max;
    u64 count;
    u32 bytes;
    u8 kind;      /* enum block_kind */
    bool damaged; /* its header does not hold, or it is missing */
    bool frozen;  /* something in it does not hold: never merged, kept for whoever repairs it */
};

u64 log_next_id(const struct log *log);
u64 log_chain(struct log *log);
/* Read-only logs: the last block, whose events begin here, does not say how many it has, so there
 * may be more than log_next_id() says; or 0. A log to write to is not opened then. */
u64 log_lost_from(const struct log *log);
/* Series of rows before `end_id` are below it. SERIES_MAX where the definitions' end is not known,
 * as for a block that somebody has made meanwhile of more than we know of. */
u32 log_series_end(const struct log *log, u64 end_id);
/* The entry that covers `id`; false from log_next_id() on. */
bool log_find(struct log *log, u64 id, struct log_entry *out);
/* A block, or what a filter leaves of it. A damaged one may have any time. */
struct log_span {
    u64 first_id;
    u64 end_id;
    i64 time_min;
    i64 time_max;
};
/* Writes the first `room` of the blocks that may hold what the filter's ids and times allow, in the
 * order of their ids; returns how many there are. */
usize log_spans(struct log *log, const struct store_filter *filter, struct log_span *out,
                usize room);
/* Counts a damaged block once and keeps it from being merged. */
void log_note_damage(struct log *log, u64 id);
/* Read-only logs: takes in what another process has committed since. */
enum err log_refresh(struct log *log);
void log_get_stats(struct log *log, struct store_stats *out);

/* --- writing ---------------------------------------------------------------------------------- */

/* Appends a block that follows log_next_id() and log_chain(); durable when it returns ERR_OK. Its
 * definitions are also kept apart. `series_end`: behind the last defined series; 0: defines none.
 */
enum err log_append(struct log *log, struct slice block, const struct block_header *header,
                    u32 series_end);

/* Makes an amendment, with a block as log_append() or without (`header` NULL), in one transaction.
 * Durable when it returns ERR_OK; readers see neither before log_show(), which comes before
 * anything else is written. ERR_INVALID: it is no amendment. */
enum err log_amend(struct log *log, const struct store_amendment *amendment, struct slice block,
                   const struct block_header *header, u32 series_end);
void log_show(struct log *log);
u64 log_amendments(struct log *log);
struct amend_account log_amend_account(struct log *log, u32 account);
/* Calls `report` for each index that no block has: the block that should have it is read without.
 */
enum err log_verify_indexes(struct log *log,
                            void (*report)(void *context, u64 from, u64 to, const char *what),
                            void *context);
enum err log_verify_amendments(struct log *log,
                               void (*report)(void *context, u64 from, u64 to, const char *what),
                               void *context);

/* All amendments whose first copy holds, in order, until `visit` returns false. */
enum err log_each_amendment(struct log *log,
                            bool (*visit)(void *context, const struct amend_header *header),
                            void *context);

#define RUN_BLOCKS_MAX 65536
struct log_run {
    u64 first_id;
    u64 end_id;
    u64 previous; /* the ends of the chain */
    u64 chain;
    enum block_kind kind; /* of what it becomes */
};
/* Finds a run of blocks that is worth merging; false if there is none. */
bool log_pick_run(struct log *log, struct log_run *run);
/* The same, of blocks that hold nothing but expired events: they become one of BLOCK_DROPPED. */
bool log_pick_expired(struct log *log, struct log_run *run);
/* The first segment from an id on that may hold expired events and others; `before_ms` is the time
 * that tells them apart. */
bool log_pick_mixed(struct log *log, u64 from_id, struct log_run *run, i64 *before_ms);
/* Replaces exactly the run's blocks by one, with its index (may be empty): in the transaction of
 * the next append, or in one of its own if none comes for a moment. */
enum err log_replace(struct log *log, const struct log_run *run, struct slice block,
                     const struct block_header *header, struct slice index);

/* Gives the file system back what merges and drops have freed, and no commit has taken again since
 * they were looked at before. True: there is more of it. Of the merging thread. */
bool log_trim(struct log *log);

/* --- reading ---------------------------------------------------------------------------------- */

/* What a reader takes together: the amendments in force (NULL: none), and where the log ends. With
 * log_view_renew() the end goes on as long as no amendment has come: so whoever reads never sees
 * the one part of the log without and the other with it. */
struct overlay *log_view_take(struct log *log, u64 *end_id);
void log_view_renew(struct log *log, const struct overlay *overlay, u64 *end_id);
void log_view_leave(struct log *log, struct overlay *overlay);

/* A block and its index, inside a read transaction: keep it short. */
struct log_read {
    struct db_txn txn;
    u64 first_id; /* from the key: good even if the block is not */
    u32 count;
    struct slice block;
    struct slice index; /* empty: none */
};
/* The block that covers `id`. ERR_NOT_FOUND: missing. On error nothing is left open. */
enum err log_read_begin(struct log *log, u64 id, struct log_read *read);
void log_read_end(struct log_read *read);

/* The second copies of the definitions that came with events of ids [from, to), whose blocks may be
 * damaged or merged; as block_read_defs(). *count: definitions found. ERR_CORRUPT: a copy does not
 * hold; those before it have been visited. */
enum err log_read_defs(struct log *log, u64 from, u64 to, struct block_reader *reader,
                       enum err (*visit)(void *context, const struct series_def *def, u64 last_id),
                       void *context, u32 *count);

#endif
