/*
 * db.h: the only user of LMDB: environments of named tables, with our own error values.
 *
 * In a transaction the first error sticks: calls after it do nothing and db_commit() returns it, so
 * callers check once. Slices that point into a table last until the transaction ends.
 *
 * Errors: ERR_NO_SPACE (map or disk full; nothing was written, reads go on), ERR_IO (a write or
 * sync failed: what the disk holds is unknown), ERR_NOT_FOUND, ERR_EXISTS, ERR_CORRUPT,
 * ERR_NO_MEMORY, ERR_BUSY (too many readers), ERR_SYSTEM.
 *
 * Threads: one write transaction at a time (LMDB waits); any number of readers. An environment is
 * never used in a forked child (checked).
 */
#ifndef MARGIN_STORAGE_DB_H
#define MARGIN_STORAGE_DB_H

#include "base.h"

struct db;

#define DB_TABLES_MAX 8

struct db_options {
    const char *dir;  /* the data directory */
    const char *name; /* the environment's own directory inside it */
    usize map_bytes;  /* halved until the system grants it, with a log line */
    const char *const *tables;
    u32 table_count;
    u32 optional; /* bit i: read-only, table i may be missing and is empty then */
    bool create;
    bool read_only;
    bool skip_sync;
    bool any_order; /* keys that are out of order are the caller's to put right, and no damage */
};

/* `why` gets one line that says what to do. */
enum err db_open(const struct db_options *options, struct db **out, char *why, usize why_bytes);
void db_close(struct db *db);

struct db_txn {
    struct db *db;
    void *handle;
    enum err err; /* the first one */
    bool write;
};

enum err db_begin(struct db *db, bool write, struct db_txn *txn);
void db_abort(struct db_txn *txn); /* also ends a read transaction */
enum err db_commit(struct db_txn *txn);

enum err db_get(struct db_txn *txn, u32 table, struct slice key, struct slice *value);
/* The last pair whose key is at most `key`. */
enum err db_get_before(struct db_txn *txn, u32 table, struct slice key, struct slice *found,
                       struct slice *value);
/* Says that all of a value is read soon. The map is not read ahead, which is right for all but long
 * values that are read as a whole: page by page those take ten times as long from a disk. */
void db_will_need(struct slice value);

enum db_put { DB_REPLACE, DB_ADD /* ERR_EXISTS if there */, DB_APPEND /* the largest key */ };
enum err db_put(struct db_txn *txn, u32 table, struct slice key, struct slice value,
                enum db_put how);
enum err db_delete(struct db_txn *txn, u32 table, struct slice key);
/* The same, but a pair that is not there is no error. */
enum err db_delete_any(struct db_txn *txn, u32 table, struct slice key);
/* All pairs from the key `from` on (empty: all), in key order, until `visit` returns false. */
enum err db_each(struct db_txn *txn, u32 table, struct slice from,
                 bool (*visit)(void *context, struct slice key, struct slice value), void *context);

/* Gives the pair at this place (as db_each() counts them) another key: for keys that are not in the
 * order they should be in, which no search finds. */
enum err db_move(struct db_txn *txn, u32 table, u64 place, struct slice key);

/* After commits that skipped it. ERR_NO_SPACE, ERR_IO. */
enum err db_sync(struct db *db);
u64 db_version(struct db *db); /* id of the last commit of any process */
/* Of what the transaction sees. While a commit is on its way to the disk, the environment's is
 * newer than what a transaction that begins then sees. */
u64 db_txn_version(const struct db_txn *txn);
u64 db_seen_version(struct db *db);    /* of one that begins now; 0: none can */
u64 db_used_bytes(struct db_txn *txn); /* pages that hold tables, in bytes */
u64 db_map_bytes(struct db *db);
/* Where giving back goes on. */
struct db_trim {
    u64 commit; /* with the pages that it freed; 0: there is no more */
    u64 page;   /* of those of a call, this one and those behind it */
};
/* Gives pages that no table uses back to the file system, where at least `pages_min` lie side by
 * side: those that commits from place->commit to `to` freed, a bounded number a call; *place is
 * where the next one goes on. What open read transactions may see, and what the last commit freed,
 * stays. No commit begins meanwhile. ERR_NO_MEMORY, ERR_CORRUPT, ERR_NO_SPACE, ERR_IO, and
 * ERR_SYSTEM where the file system cannot do it. */
enum err db_trim(struct db *db, struct db_trim *place, u64 to, u32 pages_min);
/* Read transactions that are open now, of all processes, and how many commits the oldest one lags
 * behind: pages freed since then cannot be used again. */
void db_readers(struct db *db, u64 *count, u64 *lag);

/* --- the data directory ----------------------------------------------------------------------- */

/* Makes the directory (if `create`), checks or writes the format version. */
enum err db_dir_prepare(const char *dir, bool create, char *why, usize why_bytes);
/* Brings a directory of an older format to the newest one, after which older programs refuse it.
 * The caller holds its lock. */
enum err db_dir_upgrade(const char *dir, char *why, usize why_bytes);
/* Makes what was created, renamed or removed in the directory last: a synced file whose name is
 * lost with the power is lost, too. ERR_NO_SPACE, ERR_IO. */
enum err db_dir_sync(const char *dir);
/* One server a directory: ERR_LOCKED if another process holds the lock. Released by close(). */
enum err db_dir_lock(const char *dir, int *fd, char *why, usize why_bytes);

#endif
