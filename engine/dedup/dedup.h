/*
 * dedup.h: the idempotency set: which (account, key) pairs have an event. 16 bytes an entry: 96
 * bits of the pair's hash (among a billion keys two share them with a probability of 6e-12) and the
 * payload digest.
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

enum err dedup_create(struct dedup **out);
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
 * nothing is claimed by this call. */
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

u64 dedup_count(const struct dedup *dedup);
u64 dedup_memory_bytes(const struct dedup *dedup);

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

#endif
