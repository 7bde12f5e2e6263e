/*
 * recover.h: from snapshot and log tail to the idempotency set and the figures. Both are derived:
 * they can always be made again from the log alone, which is what happens when no snapshot is
 * usable.
 */
#ifndef MARGIN_RECOVER_H
#define MARGIN_RECOVER_H

#include "account/usage.h"
#include "agg/agg.h"
#include "dedup/dedup.h"
#include "store.h"

#include <stdatomic.h>

struct recover_options {
    struct store *store;
    struct dedup_options keys;
    u64 series_seed;
    u64 dedup_seed;
    struct agg_caps caps; /* of the figures from then on; what the log has is not asked */
    i64 now_ms;
    const _Atomic bool *stop; /* set by a signal: give up with ERR_BUSY */
    /* Where the figures under construction are, for the store's look-ups of series. */
    _Atomic(struct agg *) *agg_place;
};

struct recovered {
    struct agg *agg; /* owned by the caller from now on */
    struct dedup *dedup;
    struct usage *usage;
    u64 snapshot_id;    /* log position of the snapshot used; 1: none that the next start can use */
    u64 events;         /* replayed from the log */
    bool keys_lost;     /* the snapshot's figures were used, its keys could or should not be */
    u64 damaged_blocks; /* or parts of them; skipped, each reported with its range */
};

/* ERR_NO_MEMORY, ERR_CORRUPT (definitions of series are missing in both copies: a line of the log
 * names the damage), ERR_BUSY, errors of the store. */
enum err recover_run(const struct recover_options *options, struct recovered *out);
void recover_free(struct recovered *recovered);

#endif
