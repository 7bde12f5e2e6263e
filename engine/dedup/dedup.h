/*
 * dedup.h: the idempotency set: which (account, key) pairs have an event. 16 bytes an entry: 96
 * bits of the pair's hash (among a billion keys two share them with a probability of 6e-12) and the
 * payload digest.
 *
 * Past a bound on memory the keys there are become a run on disk, of which 2.5 bytes a key stay in
 * memory (cold.h), and the set goes on with newer ones. Answers are exact as before: a known key
 * that is in a run costs a read. Runs are derived from the log, as all of this: a snapshot names
 * those that belong to it, and runs that no snapshot names are removed at the next start.
 *
 * One writer (the commit thread; recovery before it). A claim is final once it is settled; until
 * then it can be taken back, so that a failed commit never leaves a key without its event. Claims
 * are settled from the oldest on and taken back from the newest on, each time up to a mark: so one
 * group's claims are settled while the next group's are open already.
 */
#ifndef MARGIN_DEDUP_DEDUP_H
#define MARGIN_DEDUP_DEDUP_H

#include "event.h"

struct dedup;

enum dedup_verdict {
    DEDUP_NEW,       /* claimed now */
    DEDUP_DUPLICATE, /* known, same payload digest */
    DEDUP_CONFLICT   /* known, another payload digest */
};

struct dedup_options {
    const char *dir;  /* the data directory, copied; NULL: all keys stay in memory */
    u64 memory_bytes; /* of keys that are in no run; while a run is made, and briefly, a bit more */
};

enum err dedup_create(struct dedup **out); /* without a directory */
enum err dedup_open(const struct dedup_options *options, struct dedup **out);
void dedup_destroy(struct dedup *dedup);

/* Fills batch->key_hash for events first .. first + count that have TEXT_KEY. Any thread. */
void dedup_hash_keys(struct event_batch *batch, u32 first, u32 count, u64 seed);

/* The seed for an account's keys after all its events were removed so often: the same texts are
 * other keys then. What the set has of those before is never met again. */
static inline u64 dedup_epoch_seed(u64 seed, u32 epoch) {
    return seed ^ (u64)epoch << 32; /* accounts' numbers are below it */
}

/* Decides events first .. first + count of the batch in order, claiming new keys; an event without
 * a key is always DEDUP_NEW. Within the call the first occurrence of a key wins. ERR_NO_MEMORY:
 * nothing is claimed by this call. ERR_IO, ERR_CORRUPT: likewise, and what is known cannot be said
 * any more: the process has to stop, and the next start makes the set anew. */
enum err dedup_claim(struct dedup *dedup, const struct event_batch *batch, u32 first, u32 count,
                     u8 *verdict);
/* How far claims have come. Settling and taking back move no mark but those taken back. */
u64 dedup_mark(const struct dedup *dedup);
/* Claims before the mark are final. It is not before the last one settled. */
void dedup_settle_to(struct dedup *dedup, u64 mark);
/* Takes back all claims since the mark. None of them is settled. A verdict against one of them no
 * longer holds. */
void dedup_undo_to(struct dedup *dedup, u64 mark);
void dedup_settle(struct dedup *dedup); /* all */
void dedup_undo(struct dedup *dedup);   /* all that are not settled */

/* Takes out the keys of events first .. first + count, which are gone; those that are not known are
 * passed over. Those in runs stay known until these are sifted. The writer,
 * while the other thread (see runs) rests; nothing is unsettled and no snapshot is under way.
 * ERR_NO_MEMORY: all are still known, as with ERR_BUSY, after which it is called again: see
 * snapshot_begin(). */
enum err dedup_forget(struct dedup *dedup, const struct event_batch *batch, u32 first, u32 count);

u64 dedup_count(const struct dedup *dedup);
u64 dedup_memory_bytes(const struct dedup *dedup);

struct dedup_stats { /* counters since start; any thread */
    u64 keys;        /* all */
    u64 cold_keys;   /* of them, in runs */
    u64 runs;
    u64 filter_bytes; /* memory of the runs' filters */
    u64 run_bytes;    /* on disk, of runs in use */
    u64 reads;        /* pages read to look keys up */
    u64 read_ns;      /* time that took */
    u64 false_hits;   /* of them, for keys that were new */
    u64 spills;
    u64 spill_ns;
    u64 merges;
    u64 merge_ns;
};
void dedup_get_stats(const struct dedup *dedup, struct dedup_stats *out);

/* Snapshot while claims go on. begin(), on the writer thread or while it rests, fixes the content
 * as of now (nothing unsettled); ERR_NO_MEMORY: not now; ERR_BUSY: keys of the last snapshot's
 * time are still to be moved, of which each begin() and settle() does a bounded part. copy() gives
 * the next piece in `out` (at most out_bytes, a multiple of 16) until 0; the writer thread calls
 * claim/settle in between, from another thread. A piece is an array of opaque 16-byte entries;
 * restore() takes pieces in any order, fastest in theirs. end() also ends an unfinished one. */
enum err dedup_snapshot_begin(struct dedup *dedup);
usize dedup_snapshot_copy(struct dedup *dedup, void *out, usize out_bytes);
void dedup_snapshot_end(struct dedup *dedup);
enum err dedup_restore(struct dedup *dedup, const void *entries, usize bytes);

/* --- runs ---------------------------------------------------------------------------------------
 * By one thread at a time, beside the writer or the writer itself: the one that copies snapshots.
 */

/* Whether memory is at its bound: the next snapshot should spill instead of copying. */
bool dedup_is_full(const struct dedup *dedup);
/* Between begin() and end(), instead of copy(): makes a run of what is fixed. When the snapshot
 * ends the set goes on without it. On error nothing has changed. ERR_NO_SPACE, ERR_NO_MEMORY,
 * ERR_IO, ERR_LIMIT. */
enum err dedup_snapshot_spill(struct dedup *dedup);
/* What names the runs there are, for restore_runs(); lasts until the next call. Empty: none. Once
 * the snapshot is durable, named() removes runs that none of the kept ones needs. */
struct slice dedup_snapshot_runs(struct dedup *dedup);
void dedup_snapshot_named(struct dedup *dedup);
/* Runs of a snapshot, once, before any claim. ERR_CORRUPT, ERR_NOT_FOUND, ERR_IO: not all of them
 * are what they were; ERR_NO_MEMORY. */
enum err dedup_restore_runs(struct dedup *dedup, const void *names, usize bytes);
/* The set is at one with the log: removes all files that it does not need. */
void dedup_restored(struct dedup *dedup);
/* All of a snapshot's steps but the snapshot, on the writer thread: recovery, with more keys than
 * fit. ERR_BUSY as begin(), else as snapshot_spill(). */
enum err dedup_spill(struct dedup *dedup);
/* There are runs that no snapshot names: the next start would make them again. */
bool dedup_has_unnamed(const struct dedup *dedup);
/* Frees what is not needed any more and merges or sifts runs for a tenth of a second at most. True:
 * there is more to do. */
bool dedup_tend(struct dedup *dedup);

/* Keys in runs whose events are gone (dedup_forget()) cost disk and memory, and are free again only
 * when the runs are sifted: worth it as soon as that is half of them. begin(), with the number of
 * events that the log has; note() for all of them that were final by then, hashed, in any order;
 * end(): all of them were noted, and tend() does the rest, or not, and all stays as it was.
 * ERR_NO_MEMORY. */
bool dedup_wants_sift(const struct dedup *dedup);
enum err dedup_sift_begin(struct dedup *dedup, u64 events);
void dedup_sift_note(struct dedup *dedup, const struct event_batch *batch);
void dedup_sift_end(struct dedup *dedup, bool all);
/* At start: at least so many are known to be. */
void dedup_note_gone(struct dedup *dedup, u64 keys);

#endif
