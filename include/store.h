/*
 * store.h: what the engine asks of storage, and all that it sees of it.
 *
 * A data directory holds three things: the log (events in columnar blocks, append only), the
 * control tables (accounts, keys: their own LMDB environment, so that creating a key never waits
 * behind ingest), and derived state: snapshots, and runs of idempotency keys. The log is the truth;
 * snapshots and runs may be deleted.
 *
 * Threads: store_append() belongs to one thread at a time (the disk thread), store_merge() to the
 * background thread. Scans, snapshots and table reads may run on any thread beside them.
 */
#ifndef MARGIN_STORE_H
#define MARGIN_STORE_H

#include "base.h"
#include "event.h"

struct store;

/* Dimensions by which events can be filtered: the texts of a series, then its source and account.
 */
enum store_dim {
    DIM_EVENT_NAME = TEXT_EVENT_NAME,
    DIM_CUSTOMER = TEXT_CUSTOMER,
    DIM_FEATURE = TEXT_FEATURE,
    DIM_MODEL = TEXT_MODEL,
    DIM_PROVIDER = TEXT_PROVIDER,
    DIM_COST_TYPE = TEXT_COST_TYPE,
    DIM_SOURCE = SERIES_TEXTS,
    DIM_ACCOUNT,
    STORE_DIMS
};
/* A series' value in DIM_SOURCE is the enum event_source, in DIM_ACCOUNT the account's number. */
#define DIM_NONE UINT32_MAX /* the series has no value in this dimension */

struct store_options {
    const char *dir;     /* made if missing (mode 0700) */
    usize log_map_bytes; /* LMDB map of the log; the most the log can grow to. 0: default, 1 TiB */
    bool read_only;      /* for tools; may run beside a server */
    bool skip_sync;      /* benchmarks of the path above the disk only; never a server default */

    /* The value ids (by enum store_dim) of a series, for the indexes; the engine owns them. Called
     * on any thread for series that store_append() or store_scan has passed. Segments keep value
     * ids in their indexes: replaying the log must give the same ids. NULL (tools): no filters by
     * dimension, no indexes. Lifetime: the store's. */
    const u32 *(*series_dims)(void *context, u32 series);
    void *context;
};

/* Opens or makes the data directory. On failure `why` is one line that says what to do, else it is
 * empty. Snapshots of positions past the log's end are removed.
 * Errors: ERR_LOCKED (another server), ERR_VERSION, ERR_CORRUPT, ERR_NO_SPACE, ERR_SYSTEM. */
enum err store_open(const struct store_options *options, struct store **out, char *why,
                    usize why_bytes);
void store_close(struct store *store);

/* --- appending ------------------------------------------------------------------------------ */

/* Some rows of one batch, in the order in which they get their ids. */
struct store_part {
    const struct event_batch *batch;
    const u32 *rows;
    u32 row_count;
};

/* One commit: becomes one block. Event k of the group gets the id store_next_id() + k; the parts'
 * `id` columns are not read. Every row's series is resolved. */
struct store_group {
    const struct store_part *parts;
    u32 part_count;
    u32 event_count;               /* sum of row_count, 1..COMMIT_GROUP_EVENTS_MAX */
    const struct series_def *defs; /* series that appear for the first time, ascending ids */
    u32 def_count;
};

/* The id the next event gets: 1 on an empty log. */
u64 store_next_id(const struct store *store);

/* Packs the keys of rows from batch->packed_count on, as far as they are UUIDs. Whoever has just
 * made the rows has their text in its cache, and the disk thread has not. May be left out; must be
 * left out once somebody else has the batch. A row whose key changes is not to be packed. */
void store_pack_keys(struct event_batch *batch);

/* Encodes the group as one block and commits it with sync. ERR_OK: durable. ERR_NO_SPACE,
 * ERR_NO_MEMORY: nothing was written and the same group may be tried again. ERR_LIMIT: the group's
 * texts are too large for a block; nothing was written. ERR_IO: what the disk holds is unknown; the
 * caller must stop the process. */
enum err store_append(struct store *store, const struct store_group *group);

/* Merges waiting small blocks into one segment, if enough wait. Sets *did. Errors as
 * store_append(); after ERR_NO_SPACE and ERR_NO_MEMORY the log is as before. The result is
 * committed with the next append if one comes within a moment; coding never delays appends. ERR_IO
 * as for store_append(). */
enum err store_merge(struct store *store, bool *did);

/* Drops blocks that hold nothing but expired events, some at a time; what they defined stays. Then
 * takes expired events out of segments most of which they are. Sets *did. Thread and errors as
 * store_merge(). Scans that were opened before the expiry lose what they have not read yet. */
enum err store_drop(struct store *store, bool *did);

/* Gives the file system back what merging and dropping have freed, where it has not been taken
 * again since it was looked at before; thread as store_merge(). Appends wait meanwhile: so it is a
 * bounded piece, of some 15 ms, and true says that there are more. Where it fails, only the space
 * stays. */
bool store_trim(struct store *store);

/* --- amendments ------------------------------------------------------------------------------- */

/* The log is append only, and so are changes to what is in it: an amendment is a record of its own,
 * kept beside the blocks, that every scan takes into account. The figures follow (agg/amend.h), so
 * that they are at any time what adding up a scan gives.
 *
 *  - A clear removes events: those of certain series that have been stored by then. Either all of
 *    an account, whose idempotency keys are then free again (a key lives as long as its event), or
 *    those of one source, and of certain event names if any are named.
 *  - A change of revenue gives events another amount and another source of it.
 *  - An expiry removes all events of all accounts from before a time; their keys are free again.
 *    Whoever appends sees to it that no event from before that time comes any more. What holds
 *    nothing else is dropped from the disk in time: store_drop().
 */
enum store_amend_kind { STORE_CLEAR = 1, STORE_REVENUE = 2, STORE_EXPIRE = 3 };

struct store_revenue {
    u64 id;
    i64 revenue; /* picodollars */
    u8 source;   /* enum revenue_source */
};

struct store_received { /* events of an account in a calendar month */
    u32 account;
    i64 month_ms;
    u64 count;
};

struct store_amendment {
    enum store_amend_kind kind;
    u32 account;
    i64 made_ms;

    /* Of a clear: what was asked for, */
    u32 source; /* enum event_source; DIM_NONE: any */
    const struct slice *names;
    u32 name_count; /* 0: any */
    /* the series which that is, ascending, */
    const u32 *series;
    u32 series_count;
    /* and how many events the account has received in which month, for replaying will not see the
     * removed ones: see account/usage.h. */
    i64 received_month_ms;
    u64 received;

    const struct store_revenue *revenues; /* of a change of revenue, ascending ids */
    u32 revenue_count;

    /* Of an expiry, which has no account: the time, ms, and what `received` is of a clear for each
     * account, ascending. */
    i64 before_ms;
    const struct store_received *accounts;
    u32 account_count;
};

/* Makes an amendment, and appends a group with it unless that is NULL (to replace is to clear and
 * to append): both or nothing. The events of the group are not concerned. Thread and errors as
 * store_append(); ERR_INVALID: it is no amendment. ERR_OK: durable, but nobody sees any of it, so
 * that it can show in the same moment as the figures that follow from it. */
enum err store_amend(struct store *store, const struct store_amendment *amendment,
                     const struct store_group *group);
/* Shows the last amendment and its group; before anything else is appended or amended. Any thread;
 * takes a moment. */
void store_show(struct store *store);
/* How many there are. Derived state belongs to a log position and a number of amendments. */
u64 store_amendments(struct store *store);
/* How often all events of the account were removed: part of how its keys are hashed. */
u32 store_key_epoch(struct store *store, u32 account);
/* What the account's last clear noted, and the position at which it did; false: there was none. */
bool store_received(struct store *store, u32 account, u64 *position, i64 *month_ms, u64 *count);
/* Whether an event is still there and has the revenue it was read with. */
bool store_event_stands(struct store *store, u32 series, u64 id, i64 time, i64 revenue,
                        u8 revenue_source);
/* Events from before this time are gone, ms; 0: none are for their age. */
i64 store_expired(struct store *store);

/* --- reading -------------------------------------------------------------------------------- */

struct store_filter {
    i64 time_from; /* ms, inclusive; INT64_MIN for no bound */
    i64 time_to;   /* ms, exclusive; INT64_MAX for no bound */
    u64 id_from;   /* inclusive */
    u64 id_to;     /* exclusive; UINT64_MAX for no bound */
    u32 dim_mask;  /* bit d: dimension d must have value dim_value[d]; DIM_NONE: no value */
    u32 dim_value[STORE_DIMS];
    struct slice trace; /* empty: any */
    struct slice agent; /* empty: any */
};

/* Matches everything. */
extern const struct store_filter store_filter_all;

struct store_scan_options {
    struct store_filter filter;
    bool newest_first; /* descending id, else ascending */
    /* Blocks come in the order of time, which is not that of their ids: the one with the latest
     * event first, or with the earliest without newest_first. So whoever looks for the first few
     * events by time, and narrows the scan as soon as it has enough, reads little else. What is
     * committed later is not seen. */
    bool by_time;
    /* Only events with these ids, ascending, in the order of their ids; they must last as long as
     * the scan. NULL: all. */
    const u64 *ids;
    u32 id_count;
    /* For whoever looks for events and reads them later: of what always comes there are the series
     * and the id alone. The filter names an account. */
    bool bare;
    u32 columns; /* TEXT_BIT | NUM_BIT wanted; series, id, sources and flags always come */
    /* Not wanted, but an event with damage in them is damaged all the same: so scans of different
     * columns agree on which events there are. */
    u32 sound_columns;
    bool want_defs;   /* recovery: also deliver series definitions */
    bool as_received; /* without amendments: removed events too */
};

struct store_scan;

/* Opens a scan over what is committed now and later, but for amendments: after the first one that
 * comes it goes on to give what there was before it. No read transaction stays open between calls.
 */
enum err store_scan_open(struct store *store, const struct store_scan_options *options,
                         struct store_scan **out);

/* Gives the next matching events, in order, of one account, at most EVENT_BATCH_MAX; the batch and
 * its text belong to the scan, last until the next call, and may be written to until then.
 * batch->count 0 with ERR_OK: the end. With want_defs, *defs are the definitions to apply before
 * the batch's events (the empty batch at the end may have some, too). A damaged part of a block, or
 * all of it, gives ERR_CORRUPT once, with its range in *damage; calling again goes on behind it.
 * Definitions of damaged blocks come from their second copy. Rows that a filter leaves out are not
 * looked at, so damage there goes unseen. */
struct store_damage {
    u64 id_from;
    u64 id_to;
    char what[96];
};
enum err store_scan_next(struct store_scan *scan, const struct event_batch **batch,
                         const struct series_def **defs, u32 *def_count,
                         struct store_damage *damage);
void store_scan_close(struct store_scan *scan);

/* Of a scan by time: what comes behind the event `id` of that time is no longer wanted, with equal
 * times the smaller ids. The scan ends when nothing else can be left; what it gives may still be
 * behind. */
void store_scan_narrow(struct store_scan *scan, i64 time, u64 id);

struct store_stats {
    u64 events;  /* ever received */
    u64 dropped; /* of them, such as are on the disk no more: store_drop() */
    u64 blocks;
    u64 segments;
    u64 log_bytes;     /* pages in use by the log's environment, in bytes */
    u64 payload_bytes; /* sum of block sizes */
    u64 map_bytes;
    u64 append_count;
    u64 append_ns;      /* time in store_append */
    u64 sync_ns;        /* of that, in the LMDB commit */
    u64 damaged_blocks; /* found so far */
    u64 amendments;
    u64 readers; /* read transactions open now, of all processes */
    u64 readers_most;
    u64 reader_lag; /* commits since the oldest one began */
};
void store_get_stats(struct store *store, struct store_stats *out);

/* Re-reads the whole log: checksums, chain, ids. Calls `report` for each damage found. */
enum err store_verify(struct store *store,
                      void (*report)(void *context, const struct store_damage *),
                      void (*progress)(void *context, u64 done, u64 total), void *context);

/* Re-reads what lies beside the log, the control tables, snapshots and runs of keys: calls `report`
 * with a line for each that does not hold. */
void store_verify_beside(const char *dir, void (*report)(void *context, const char *what),
                         void *context);

/* --- snapshots ------------------------------------------------------------------------------ */

/* A snapshot is a sequence of sections (tag, bytes) that belong to one position of one log: it is
 * bound to the event before that position, and to a number of amendments. One that knows fewer than
 * the log has is of no use: what they changed may be anywhere in it. */
struct snapshot_writer;
/* `next_id` and `amendments` are at most the log's. */
enum err snapshot_begin(struct store *store, u64 next_id, u64 amendments,
                        struct snapshot_writer **out);
enum err snapshot_write(struct snapshot_writer *writer, u32 tag, const void *data, usize bytes);
enum err snapshot_finish(struct snapshot_writer *writer); /* sync, rename, drop the oldest */
void snapshot_abort(struct snapshot_writer *writer);

/* Opens the newest valid snapshot (skip = 0), the one before (1)...; ERR_NOT_FOUND past the last,
 * ERR_CORRUPT for a damaged one and for one of another log, ERR_VERSION for one from before an
 * amendment; after any error but ERR_NOT_FOUND the
 * next may be better. Everything is verified before the first section. */
struct snapshot_reader;
enum err snapshot_open(struct store *store, u32 skip, struct snapshot_reader **out, u64 *next_id);
/* The next section; false at the end. The bytes last until snapshot_close. 8-byte aligned. */
bool snapshot_next(struct snapshot_reader *reader, u32 *tag, const void **data, usize *bytes);
void snapshot_close(struct snapshot_reader *reader);

/* --- copies ----------------------------------------------------------------------------------- */

/* A backup is a copy of a data directory without what can be made anew (snapshots), taken while a
 * server may run on it: a state that the directory had at one moment between the call and its end,
 * with everything that was acknowledged before the call. Restoring copies it back. Both read the
 * copy again before it gets its name: until then it is DIR.partial. For tools. */
struct store_copy {
    const char *from;
    const char *to;           /* must be absent or empty */
    const char *const *files; /* further files of the directory, copied if they are there */
    u32 file_count;
    void (*progress)(void *context, const char *step, u64 done, u64 total); /* may be NULL */
    void *context;

    u64 events; /* result; removed ones included */
    u64 amendments;
};
/* ERR_EXISTS: `to` is not empty; ERR_CORRUPT: what was copied does not hold, or is no backup;
 * ERR_NO_SPACE, ERR_LOCKED (somebody else makes the same copy), ERR_BUSY, ERR_SYSTEM... `why` says
 * what to do; on error nothing is left but what was cut off before. One thread. */
enum err store_backup(struct store_copy *copy, char *why, usize why_bytes);
enum err store_restore(struct store_copy *copy, char *why, usize why_bytes);

/* --- runs ------------------------------------------------------------------------------------ */

/* A run is a file DIR/keys/<id>.run of records that were written once, in their order, and of one
 * more thing that belongs to them (`extra`: bytes that are read whole). It is derived state: losing
 * one costs time, never data. Its id is a digest of all it holds, so whoever names a run names this
 * content and no other. Records have 16 bytes and are the caller's; they lie in pages that are
 * verified when they are read. Functions take the data directory's path.
 *
 * Threads: a writer belongs to one thread at a time; an open run may be read by any number. */
#define RUN_RECORD_BYTES 16
#define RUN_PAGE_BYTES 4096
#define RUN_PAGE_RECORDS ((RUN_PAGE_BYTES - 16) / RUN_RECORD_BYTES)

/* Begins a file DIR/keys/unfinished-<purpose>; one left there by a crash is overwritten.
 * ERR_NO_MEMORY, ERR_NO_SPACE, ERR_IO, ERR_SYSTEM. */
struct run_writer;
enum err run_begin(const char *dir, const char *purpose, struct run_writer **out);
/* The first error sticks. Now and then waits for the disk, so that little is in its queue. */
enum err run_add(struct run_writer *writer, const void *records, usize count);
/* Syncs, gives the file its name, syncs that. Ends the writer, also on error. */
enum err run_finish(struct run_writer *writer, const void *extra, usize extra_bytes, u64 *id);
void run_abort(struct run_writer *writer);

/* ERR_NOT_FOUND, ERR_CORRUPT (the file is not what its name says), ERR_IO, ERR_NO_MEMORY. */
struct run;
enum err run_open(const char *dir, u64 id, struct run **out);
void run_close(struct run *run);
u64 run_records(const struct run *run);
usize run_extra_bytes(const struct run *run);
u64 run_file_bytes(const struct run *run);
enum err run_read_extra(struct run *run, void *out); /* verified; likewise */
/* Reads pages, verifies them and puts their records together in `out`, which has room for as many
 * whole pages. All pages but the last have RUN_PAGE_RECORDS. ERR_CORRUPT, ERR_IO. */
enum err run_read_pages(struct run *run, u64 first, u32 count, void *out, u32 *records);
/* Reads all of it. Errors as run_open(). */
enum err run_check(const char *dir, u64 id, u64 *records, u64 *bytes);
void run_want_page(struct run *run, u64 page);              /* it will be read soon */
void run_drop_pages(struct run *run, u64 first, u32 count); /* they will not */
/* Ids of the files there are, at most `most`; how many there are in all. */
u32 run_list(const char *dir, u64 *ids, u32 most);
/* Reports those that are damaged, while a server runs, too. */
void run_files_verify(const char *dir, void (*report)(void *context, const char *what),
                      void *context);
/* Removes the file; it can still be read where it is open. */
void run_remove(const char *dir, u64 id);
/* Removes the files of all runs but these; with `unfinished`, what crashes left, too. */
void run_keep_only(const char *dir, const u64 *ids, u32 count, bool unfinished);

/* --- control tables ------------------------------------------------------------------------- */

/* What is set up rather than received (accounts, keys, prices, plans), in DIR/control, safe to open
 * from another process (marginctl) while a server runs. Two tables:
 *
 *  - meta: names and values of the installation itself, say its secrets;
 *  - objects: rows that belong to an account (0: to the installation), have a kind and, among those
 *    of their kind, a number, a name, or both. They are ordered by account, kind, number, name.
 *
 * Values are at most 64 KiB; base/record.h is the way to write them. Every write is one synced
 * transaction: milliseconds, so not for front threads. Reads cost about a microsecond. */
struct control;

/* Rows are checked, all of them here and each when it is read. ERR_CORRUPT: `why` says what does
 * not hold. */
enum err control_open(const char *dir, bool create, struct control **out, char *why,
                      usize why_bytes);
void control_close(struct control *control);

/* A write failed: what the disk holds is unknown, every call is ERR_IO from now on, and the process
 * should end. */
bool control_failed(const struct control *control);

/* Copies the value into `value` (at most *bytes), sets *bytes. ERR_NOT_FOUND. */
enum err control_meta_get(struct control *control, struct slice name, void *value, usize *bytes);
/* ERR_EXISTS if the name is there. */
enum err control_meta_add(struct control *control, struct slice name, struct slice value);

/* Bytes in use, and the most there can be. */
void control_get_size(struct control *control, u64 *used_bytes, u64 *map_bytes);
/* Changes whenever any process commits; cheap enough for every request. While a commit waits for
 * the disk it is that one's, which nobody sees yet. What is kept of a look at the tables holds as
 * long as this is what seen_version() was before the look; 0: keep nothing. */
u64 control_version(struct control *control);
u64 control_seen_version(struct control *control);

/* The kinds of objects. The numbers are on disk: never reuse one. */
enum control_kind {
    CONTROL_SEQUENCE = 1, /* the last number given, by kind: see control_next_number() */

    /* account/ */
    CONTROL_ACCOUNT = 2,       /* account: the account itself; number 0 */
    CONTROL_KEY = 3,           /* account: an API key, by its id */
    CONTROL_KEY_DIGEST = 4,    /* installation: digest of an API key -> account and id */
    CONTROL_USER = 5,          /* installation: by id */
    CONTROL_USER_EMAIL = 6,    /* installation: e-mail -> id of the user */
    CONTROL_MEMBER = 7,        /* account: a user's role in it, by the user's id */
    CONTROL_MEMBERSHIP = 8,    /* installation: by the user's id; the name is the account's id */
    CONTROL_SESSION = 9,       /* installation: by the user's id; the name is the token's digest */
    CONTROL_USAGE_NOTICE = 10, /* account: warnings already queued, by month */
    CONTROL_OUTBOX = 11,       /* account: mail that waits to be sent, by id */

    /* price/ */
    CONTROL_FEATURE_PRICE = 20, /* account */
    CONTROL_MODEL_PRICE = 21,   /* account */
    CONTROL_PRICE_CHANGE = 22,  /* account */
    CONTROL_FEATURE = 23,       /* account: a definition */

    /* customer/ */
    CONTROL_CUSTOMER = 30,     /* account: what is known of a customer beside its events */
    CONTROL_PRODUCT = 31,      /* account: a product plan, by its source */
    CONTROL_SUBSCRIPTION = 32, /* account: likewise */
    CONTROL_LINK_CURSOR = 33,  /* installation: see pipeline/links.h */
    CONTROL_HALF_CHANGE = 34,  /* installation: a change with another half, by account's number */
};

struct control_object {
    u32 account; /* 0: the installation's own */
    enum control_kind kind;
    u64 number;
    struct slice name; /* at most CONTROL_NAME_MAX bytes */
};

/* As control_meta_get(). ERR_INVALID: the name is too long; likewise below. */
enum err control_get(struct control *control, const struct control_object *object, void *value,
                     usize *bytes);
/* One write, a transaction of its own. */
enum err control_put(struct control *control, const struct control_object *object,
                     struct slice value);
/* ERR_NOT_FOUND. */
enum err control_delete(struct control *control, const struct control_object *object);
/* Calls `visit` for every object of one kind in one account, in order of number and name, until it
 * returns false. `visit` must not write to the tables nor begin a transaction. */
typedef bool (*control_visit)(void *context, const struct control_object *object,
                              struct slice value);
enum err control_each(struct control *control, u32 account, enum control_kind kind,
                      control_visit visit, void *context);
/* The same, from a number on. */
enum err control_each_from(struct control *control, const struct control_object *from,
                           control_visit visit, void *context);

/* Several writes that happen together or not at all, and reads that no other write comes between:
 *
 *     struct control_txn txn;
 *     control_begin(control, &txn);
 *     u64 number = control_next_number(&txn, account, CONTROL_FEATURE);
 *     control_txn_put(&txn, &object, row);
 *     control_txn_delete(&txn, &other);
 *     err = control_commit(&txn);
 *
 * The first error sticks (not ERR_NOT_FOUND of a read or delete): calls after it do nothing, and
 * control_commit() returns it, having changed nothing. Every begin is followed by exactly one
 * commit or abort, on the same thread, and soon: other writers wait. */
struct control_txn {
    struct control *control;
    void *handle;
    u64 used_bytes; /* when it began */
    enum err err;   /* the first one */
};
enum err control_begin(struct control *control, struct control_txn *txn);
enum err control_commit(struct control_txn *txn);
void control_abort(struct control_txn *txn);
/* The value lasts until the next write, commit or abort. */
enum err control_txn_get(struct control_txn *txn, const struct control_object *object,
                         struct slice *value);
enum err control_txn_put(struct control_txn *txn, const struct control_object *object,
                         struct slice value);
enum err control_txn_delete(struct control_txn *txn, const struct control_object *object);
enum err control_txn_each(struct control_txn *txn, u32 account, enum control_kind kind,
                          control_visit visit, void *context);
enum err control_txn_each_from(struct control_txn *txn, const struct control_object *from,
                               control_visit visit, void *context);
/* Counts 1, 2, ... for each kind in each account; no number is given twice, not even after the
 * object with the largest one was deleted. 0 after an error. */
u64 control_next_number(struct control_txn *txn, u32 account, enum control_kind kind);

#endif
