/* hash_test.c: hashes that are on disks stay what they are, whichever code this processor gets. */
#include "base/hash.h"

#include <criterion/criterion.h>

Test(hash, stays_the_same) {
    static u8 data[5000];
    u64 state = 1;
    for (u32 i = 0; i < sizeof data; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        data[i] = (u8)(state >> 56);
    }
    u64 sum = 0;
    struct hash128 sums = {0, 0};
    for (usize bytes = 0; bytes < 4096; bytes++) {
        const u8 *from = data + bytes % 64;
        u64 seed = bytes % 3 * 7919;
        struct hash128 hash = hash128(from, bytes, seed);
        sum = sum * 31 + hash64(from, bytes, seed);
        sums.low = sums.low * 31 + hash.low;
        sums.high = sums.high * 31 + hash.high;
    }
    /* By the library's scalar code. */
    cr_assert_eq(sum, 0x7bb9c9fe39eb2258u);
    cr_assert(sums.low == 0x720392e4efc25eeu && sums.high == 0x5405f9ca1ddcb165u);
}
