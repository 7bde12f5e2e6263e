/*
 * set.h: a set of 96-bit hashes with 32 bits beside each: 256 partitions, each an open-addressed
 * table of cache lines (buckets) of four 16-byte entries.
 *
 * The bucket is the hash's place on a line from 0 to the number of buckets ("fast range"), so that
 * a larger table has the same entries in the same order, whatever its size: growing is one
 * sequential pass, by any factor, and in place. An entry that finds its bucket full goes to the
 * next one; spare buckets at the end take those of the last bucket, and the very last one stays
 * empty so that every search ends. Partitions start with different sizes, which keeps their growth
 * apart in time and the memory per key even.
 *
 * Address space is reserved for each partition at once and made usable as it grows: the kernel
 * zeroes each page once, and there are no two copies of a partition at any time.
 *
 * Hashes must be seeded with a secret: nothing here survives chosen hashes.
 */
#ifndef MARGIN_DEDUP_SET_H
#define MARGIN_DEDUP_SET_H

#include "base.h"

#define SET_PARTS 256
#define BUCKET_ENTRIES 4

struct set_entry {
    u64 high; /* of the hash; 0: the entry is free */
    u32 low;  /* low 32 bits of the hash's low half */
    u32 digest;
};
_Static_assert(sizeof(struct set_entry) == 16, "four entries are a cache line");

struct set_part {
    struct set_entry *entries; /* whole buckets, on a page of their own */
    u32 buckets;               /* without the spare ones */
    u32 count;
    u32 limit;   /* entries at which it grows */
    u32 last;    /* index of the bucket that stays empty */
    u32 reach;   /* no entry lies further than this behind its bucket */
    u32 index;   /* which partition it is */
    usize size;  /* by which `limit` is set; sizes double */
    usize bytes; /* usable: `size`, rounded up to pages; 0: none, and `entries` is a bucket nobody
                    writes */
};

struct set {
    char *reserved; /* address space of all partitions */
    struct set_part part[SET_PARTS];
};

/* ERR_NO_MEMORY: not even address space. */
enum err set_init(struct set *set);
void set_free(struct set *set);
/* Empties the partition and gives its memory back. */
void set_part_clear(struct set *set, struct set_part *part);
u64 set_count(const struct set *set);
u64 set_bytes(const struct set *set);

/* Gives the partition room for `count` entries in all. ERR_NO_MEMORY leaves it as it was. */
enum err set_part_reserve(struct set *set, struct set_part *part, u64 count);
/* Gives it the next larger size. Likewise. */
enum err set_part_grow(struct set *set, struct set_part *part);

/* Takes an entry out, if it is there. */
bool set_remove(struct set *set, u64 high, u32 low);

static inline u32 set_part_of(u64 high) {
    return (u32)(high >> 56);
}

static inline u32 set_bucket_of(const struct set_part *part, u64 high) {
    return (u32)(((high >> 24 & UINT32_MAX) * part->buckets) >> 32);
}

/* Always inlined: gcc 12 takes a function that only prefetches for one without effect, and drops
 * the call. */
static inline __attribute__((always_inline)) void set_prefetch(const struct set *set, u64 high) {
    const struct set_part *part = &set->part[set_part_of(high)];
    const struct set_entry *bucket =
        part->entries + (usize)set_bucket_of(part, high) * BUCKET_ENTRIES;
    __builtin_prefetch(bucket, 1);
    __builtin_prefetch(bucket + BUCKET_ENTRIES, 1);
}

/* Finds the entry, or the free one where it belongs; *found tells which. All four entries of a
 * bucket are compared before the first branch: where in the bucket the answer lies is random, and a
 * mispredicted branch costs more than the comparisons. */
static inline struct set_entry *set_seek(struct set_part *part, u64 high, u32 low, bool *found) {
    struct set_entry *bucket = part->entries + (usize)set_bucket_of(part, high) * BUCKET_ENTRIES;
    for (u32 steps = 0;; steps++, bucket += BUCKET_ENTRIES) {
        u32 same = (u32)(bucket[0].high == high) | (u32)(bucket[1].high == high) << 1 |
                   (u32)(bucket[2].high == high) << 2 | (u32)(bucket[3].high == high) << 3;
        u32 free = (u32)(bucket[0].high == 0) | (u32)(bucket[1].high == 0) << 1 |
                   (u32)(bucket[2].high == 0) << 2 | (u32)(bucket[3].high == 0) << 3;
        for (; unlikely(same != 0); same &= same - 1) {
            struct set_entry *entry = &bucket[__builtin_ctz(same)];
            if (entry->low == low) {
                *found = true;
                return entry;
            }
        }
        if (likely(free != 0)) {
            if (unlikely(steps > part->reach)) {
                part->reach = steps;
            }
            *found = false;
            return &bucket[__builtin_ctz(free)];
        }
    }
}

/* Whether an entry may be added at this place without growing first. */
static inline bool set_has_room(const struct set_part *part, const struct set_entry *at) {
    return part->count < part->limit && at < part->entries + (usize)part->last * BUCKET_ENTRIES;
}

#endif
