/*
 * hash.h: the only user of xxHash. XXH3 is fast and good, but not collision resistant against
 * somebody who knows the seed: seeds are random per installation, kept secret, and never change.
 */
#ifndef MARGIN_BASE_HASH_H
#define MARGIN_BASE_HASH_H

#include "base.h"
#include "event.h"

u64 hash64(const void *data, usize bytes, u64 seed);
struct hash128 hash128(const void *data, usize bytes, u64 seed);

/* A cheap bijective mixer for integers (no library call): for tables keyed by ids. */
#define HASH_MIX_FACTOR 0xd6e8feb86659fd93u
static inline u64 hash_mix(u64 value) {
    value ^= value >> 32;
    value *= HASH_MIX_FACTOR;
    value ^= value >> 32;
    value *= HASH_MIX_FACTOR;
    return value ^ (value >> 32);
}

#endif
