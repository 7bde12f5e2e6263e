/* shape_avx2.c: shape_match with AVX2: a piece is one load, and one branch decides for all. */
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
        __m256i change = _mm256_xor_si256(load(at), load(shape->literal[i]));
        different = _mm256_or_si256(different, _mm256_and_si256(change, load(shape->mask[i])));
    }
    return _mm256_testz_si256(different, different) == 0;
}

#define MATCH_NAME shape_match_avx2
#include "event/shape_match.h"

#endif
