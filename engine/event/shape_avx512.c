/* shape_avx512.c: shape_match with AVX-512: (text ^ literal) & mask is one instruction. */
#include "event/shape.h"

#if defined(__x86_64__)

#include <immintrin.h>

static inline __m256i load(const void *at) {
    return _mm256_loadu_si256((const __m256i *)at);
}

static inline bool pieces_differ(const struct shape *shape, const u16 *quote, const char *base) {
    __m256i different = _mm256_setzero_si256();
    for (u32 i = 0; i < shape->piece_count; i++) {
        const char *at = base + quote[shape->piece[i].quote] + shape->piece[i].after;
        /* Table of (a ^ b) & c, with a the highest of the three bits that choose a row. */
        __m256i change = _mm256_ternarylogic_epi64(load(at), load(shape->literal[i]),
                                                   load(shape->mask[i]), 0x28);
        different = _mm256_or_si256(different, change);
    }
    return _mm256_testz_si256(different, different) == 0;
}

#define MATCH_NAME shape_match_avx512
#include "event/shape_match.h"

#endif
