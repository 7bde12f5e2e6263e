/*
 * run.h: numbers by bucket of time, ascending: where the few records of one owner stand. Most are
 * added at the end; a late one moves those behind it, of which there are at most a few thousand.
 */
#ifndef MARGIN_AGG_RUN_H
#define MARGIN_AGG_RUN_H

#include "agg/heap.h"

struct run {
    u64 *entries; /* bucket << 32 | number */
    u32 count;
    u32 capacity;
};

/* The place of the first entry whose bucket is not below. */
u32 run_lower_bound(const struct run *run, u32 bucket);
/* The number of a bucket; 0: it has none. */
u32 run_find(const struct run *run, u32 bucket);
/* The bucket must not be there yet. False: no memory. */
bool run_insert(struct run *run, struct heap *heap, u32 bucket, u32 number);
/* Takes away the first `count` entries. */
void run_drop(struct run *run, struct heap *heap, u32 count);

static inline u32 run_bucket(const struct run *run, u32 place) {
    return (u32)(run->entries[place] >> 32);
}
static inline u32 run_number(const struct run *run, u32 place) {
    return (u32)run->entries[place];
}

#endif
