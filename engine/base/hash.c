/* hash.c: one-shot calls only: the streaming state would need aligned memory of its own. */
#include "base/hash.h"

#include <xxhash.h>

u64 hash64(const void *data, usize bytes, u64 seed) {
    return XXH3_64bits_withSeed(data, bytes, seed);
}

struct hash128 hash128(const void *data, usize bytes, u64 seed) {
    XXH128_hash_t hash = XXH3_128bits_withSeed(data, bytes, seed);
    return (struct hash128){hash.low64, hash.high64};
}
