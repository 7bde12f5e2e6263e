/*
 * hash.c: one-shot calls only: the streaming state would need aligned memory of its own. Debian's
 * library hashes long input without vectors, 5 bytes a nanosecond, unless it is asked to look which
 * processor it has, as its other header has it do: 45 then. The hash is the same.
 */
#include "base/hash.h"

#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

u64 hash64(const void *data, usize bytes, u64 seed) {
    return XXH3_64bits_withSeed(data, bytes, seed);
}

struct hash128 hash128(const void *data, usize bytes, u64 seed) {
    XXH128_hash_t hash = XXH3_128bits_withSeed(data, bytes, seed);
    return (struct hash128){hash.low64, hash.high64};
}
