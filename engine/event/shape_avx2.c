/* shape_avx2.c: shape_match with AVX2, 32 bytes at a time. */
#include "event/shape.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define MATCH_REACH 64
#define MATCH_NEAR 32

static inline __m256i load(const void *at) {
    return _mm256_loadu_si256((const __m256i *)at);
}

static inline u32 mask_quotes(__m256i bytes) {
    return (u32)_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('"')));
}

/* Control characters and bytes above ASCII are, with a sign, below 0x20. */
static inline u32 mask_special(__m256i bytes) {
    __m256i below = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), bytes);
    __m256i backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\'));
    return (u32)_mm256_movemask_epi8(_mm256_or_si256(below, backslash));
}

static inline usize find_near(const char *at, u64 *special) {
    __m256i bytes = load(at);
    usize found = _tzcnt_u32(mask_quotes(bytes));
    *special |= _bzhi_u32(mask_special(bytes), (u32)found);
    return found;
}

static inline usize find_quote(const char *at, u64 *special) {
    __m256i low = load(at);
    __m256i high = load(at + 32);
    usize found = _tzcnt_u64(mask_quotes(low) | (u64)mask_quotes(high) << 32);
    *special |= _bzhi_u64(mask_special(low) | (u64)mask_special(high) << 32, (u32)found);
    return found;
}

static inline bool literal_differs(const char *at, const struct shape_step *step) {
    __m256i change = _mm256_xor_si256(load(at), load(step->literal));
    return _mm256_testz_si256(change, load(step->mask)) == 0;
}

#define MATCH_NAME shape_match_avx2
#include "event/shape_match.h"

#endif
