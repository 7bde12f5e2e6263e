/* shape_avx512.c: shape_match with AVX-512: (text ^ literal) & mask is one instruction. */
#include "event/shape.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define MATCH_REACH 64
#define MATCH_NEAR 32

/* Control characters and bytes above ASCII are, with a sign, below 0x20. */
static inline usize find_quote(const char *at, u64 *special) {
    __m512i bytes = _mm512_loadu_si512(at);
    usize found = _tzcnt_u64(_mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('"')));
    u64 below = _mm512_cmplt_epi8_mask(bytes, _mm512_set1_epi8(0x20)) |
                _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\\'));
    *special |= _bzhi_u64(below, (u32)found);
    return found;
}

static inline __m256i load(const void *at) {
    return _mm256_loadu_si256((const __m256i *)at);
}

static inline usize find_near(const char *at, u64 *special) {
    __m256i bytes = load(at);
    __m256i quotes = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('"'));
    usize found = _tzcnt_u32((u32)_mm256_movemask_epi8(quotes));
    u32 below = _mm256_cmplt_epi8_mask(bytes, _mm256_set1_epi8(0x20)) |
                _mm256_cmpeq_epi8_mask(bytes, _mm256_set1_epi8('\\'));
    *special |= _bzhi_u32(below, (u32)found);
    return found;
}

static inline bool literal_differs(const char *at, const struct shape_step *step) {
    /* Table of (a ^ b) & c, with a the highest of the three bits that choose a row. */
    __m256i change =
        _mm256_ternarylogic_epi64(load(at), load(step->literal), load(step->mask), 0x28);
    return _mm256_testz_si256(change, change) == 0;
}

#define MATCH_NAME shape_match_avx512
#include "event/shape_match.h"

#endif
