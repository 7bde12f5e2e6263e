/*
 * sift.h: which keys of the runs stay, while their events are read from the log: a filter that
 * never loses one, and takes one in some twenty of the others for such (Bloom 1970, in one word a
 * key, so that a look-up is one cache line). A byte an event, for as long as it takes.
 */
#ifndef MARGIN_DEDUP_SIFT_H
#define MARGIN_DEDUP_SIFT_H

#include "dedup/set.h"

struct sift {
    u64 *word; /* NULL: none */
    u64 words;
};

#define SIFT_KEYS_A_WORD 8

static inline usize sift_bytes(const struct sift *sift) {
    return sift->words * sizeof *sift->word;
}

static inline u64 *sift_word(const struct sift *sift, u32 low) {
    return &sift->word[(u64)low * sift->words >> 32];
}

/* Runs are in the order of `high`, so its last bits are those of nothing else. */
static inline u64 sift_bits(u64 high) {
    return (u64)1 << (high & 63) | (u64)1 << (high >> 6 & 63) | (u64)1 << (high >> 12 & 63);
}

static inline void sift_add(struct sift *sift, struct set_key key) {
    *sift_word(sift, key.low) |= sift_bits(key.high);
}

static inline bool sift_may_stay(const struct sift *sift, u64 high, u32 low) {
    u64 bits = sift_bits(high);
    return (*sift_word(sift, low) & bits) == bits;
}

#endif
