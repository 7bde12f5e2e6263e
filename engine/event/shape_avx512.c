/* shape_avx512.c: shape_match with AVX-512: nearly every literal is one masked comparison. */
#include "base.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* Masked loads read nothing past the texts. */
static inline bool literal_differs(const char *at, const char *literal, u32 bytes) {
    for (; unlikely(bytes > 32); at += 32, literal += 32, bytes -= 32) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)at);
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)literal);
        if (_mm256_cmpneq_epi8_mask(a, b) != 0) {
            return true;
        }
    }
    __mmask32 valid = _bzhi_u32(~(u32)0, bytes);
    __m256i a = _mm256_maskz_loadu_epi8(valid, at);
    __m256i b = _mm256_maskz_loadu_epi8(valid, literal);
    return _mm256_cmpneq_epi8_mask(a, b) != 0;
}

#define MATCH_NAME shape_match_avx512
#include "event/shape_match.h"

#endif
