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
#include "event.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

struct set_key { /* a hash as the set keeps it */
    u64 high;
    u32 low;
};

/* 0 in `high` means a free entry, so a hash that has it is taken for its neighbour. */
static inline struct set_key set_key_of(struct hash128 hash) {
    return (struct set_key){hash.high + (hash.high == 0), (u32)hash.low};
}

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

/* gcc 12 takes a function that only prefetches for one without effect and drops its calls, so such
 * functions, and those that only call them, have to be inlined before it looks. */
#define SET_INLINED inline __attribute__((always_inline))

static inline struct set_entry *set_home(const struct set_part *part, u64 high) {
    return part->entries + (usize)set_bucket_of(part, high) * BUCKET_ENTRIES;
}

/* --- one bucket ------------------------------------------------------------------------------
 * Where in a bucket the answer lies is random, and a mispredicted branch costs more than comparing
 * all four entries at once. Masks have bit 4 * i for entry i. */

#ifdef __SSE2__
/* A bit for each 32-bit word of the bucket that equals its word of `entry`. */
static inline u32 bucket_equal_words(const struct set_entry *bucket, __m128i entry) {
    const __m128i *at = (const __m128i *)(const void *)bucket;
    __m128i low = _mm_packs_epi32(_mm_cmpeq_epi32(_mm_load_si128(at), entry),
                                  _mm_cmpeq_epi32(_mm_load_si128(at + 1), entry));
    __m128i high = _mm_packs_epi32(_mm_cmpeq_epi32(_mm_load_si128(at + 2), entry),
                                   _mm_cmpeq_epi32(_mm_load_si128(at + 3), entry));
    return (u32)_mm_movemask_epi8(_mm_packs_epi16(low, high));
}

static inline u32 bucket_same(const struct set_entry *bucket, u64 high, u32 low) {
    u32 words = bucket_equal_words(bucket, _mm_set_epi64x((i64)low, (i64)high));
    return words & words >> 1 & words >> 2 & 0x1111;
}

static inline u32 bucket_free(const struct set_entry *bucket) {
    u32 words = bucket_equal_words(bucket, _mm_setzero_si128());
    return words & words >> 1 & 0x1111;
}
#else
static inline u32 bucket_same(const struct set_entry *bucket, u64 high, u32 low) {
    u32 mask = 0;
    for (u32 i = 0; i < BUCKET_ENTRIES; i++) {
        mask |= (u32)((bucket[i].high == high) & (bucket[i].low == low)) << (4 * i);
    }
    return mask;
}

static inline u32 bucket_free(const struct set_entry *bucket) {
    u32 mask = 0;
    for (u32 i = 0; i < BUCKET_ENTRIES; i++) {
        mask |= (u32)(bucket[i].high == 0) << (4 * i);
    }
    return mask;
}
#endif

static inline u32 bucket_first(u32 mask) {
    return (u32)__builtin_ctz(mask) / 4;
}

/* --- looking up ------------------------------------------------------------------------------
 * In time, it takes two steps before: ask for the hash's bucket; and when that is there, for the
 * next two if the bucket is full (entries fill from the first to the last). Asking for all at once
 * would triple the traffic. The first goes to the second cache, which waits for more lines at a
 * time than the first one. */

static SET_INLINED void set_prefetch(const struct set_entry *home) {
    __builtin_prefetch(home, 1, 2);
}

static SET_INLINED void set_prefetch_next(const struct set_entry *home) {
    usize full = home[BUCKET_ENTRIES - 1].high != 0;
    __builtin_prefetch(home + full * BUCKET_ENTRIES, 1);
    __builtin_prefetch(home + full * 2 * BUCKET_ENTRIES, 1);
}

/* Finds the entry, or the free one where it belongs; *found tells which. `home` is its bucket. */
static inline struct set_entry *set_seek_from(struct set_part *part, struct set_entry *home,
                                              u64 high, u32 low, bool *found) {
    struct set_entry *bucket = home;
    for (u32 steps = 0;; steps++, bucket += BUCKET_ENTRIES) {
        u32 same = bucket_same(bucket, high, low);
        if (same != 0) {
            *found = true;
            return &bucket[bucket_first(same)];
        }
        u32 free = bucket_free(bucket);
        if (likely(free != 0)) {
            if (unlikely(steps > part->reach)) {
                part->reach = steps;
            }
            *found = false;
            return &bucket[bucket_first(free)];
        }
    }
}

static inline struct set_entry *set_seek(struct set_part *part, u64 high, u32 low, bool *found) {
    return set_seek_from(part, set_home(part, high), high, low, found);
}

/* Whether an entry may be added at this place without growing first. */
static inline bool set_has_room(const struct set_part *part, const struct set_entry *at) {
    return part->count < part->limit && at < part->entries + (usize)part->last * BUCKET_ENTRIES;
}

#endif
