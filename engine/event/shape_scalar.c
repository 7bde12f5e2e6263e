/* shape_scalar.c: shape_match without vectors, eight bytes at a time. */
#include "event/shape.h"

#include <string.h>

#define MATCH_REACH 64
#define MATCH_NEAR MATCH_REACH

static inline u64 load64(const void *at) {
    u64 word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* The lowest of these bits is that of the lowest byte that is zero. */
static inline u64 zero_bytes(u64 word) {
    return (word - 0x0101010101010101) & ~word & 0x8080808080808080;
}

static inline usize find_quote(const char *at, u64 *special) {
    const u64 ones = 0x0101010101010101;
    for (usize i = 0; i < MATCH_REACH; i += 8) {
        u64 word = load64(at + i);
        u64 quotes = zero_bytes(word ^ '"' * ones);
        /* The bits below the quote's. Borrows go upwards, out of bytes that are special anyway. */
        u64 before = (quotes & (0 - quotes)) - 1;
        *special |=
            (word | (word - 0x20 * ones) | zero_bytes(word ^ '\\' * ones)) & 0x80 * ones & before;
        if (quotes != 0) {
            return i + (u32)__builtin_ctzll(quotes) / 8;
        }
    }
    return MATCH_REACH;
}

static inline usize find_near(const char *at, u64 *special) {
    return find_quote(at, special);
}

static inline bool literal_differs(const char *at, const struct shape_step *step) {
    u64 different = 0;
    for (usize i = 0; i < SHAPE_PIECE; i += 8) {
        different |= (load64(at + i) ^ load64(step->literal + i)) & load64(step->mask + i);
    }
    return different != 0;
}

#define MATCH_NAME shape_match_scalar
#include "event/shape_match.h"
