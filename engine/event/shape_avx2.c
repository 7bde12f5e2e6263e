/* shape_avx2.c: shape_match with AVX2: literals are compared 32 bytes at a time. */
#include "base.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* Reads up to 31 bytes past both texts: the body and the shape's literals are padded. */
static inline bool literal_differs(const char *at, const char *literal, u32 bytes) {
    for (;; at += 32, literal += 32, bytes -= 32) {
        __m256i equal =
            _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(const void *)at),
                              _mm256_loadu_si256((const __m256i *)(const void *)literal));
        u32 different = ~(u32)_mm256_movemask_epi8(equal);
        if (bytes <= 32) {
            return (u32)((u64)different << (32 - bytes)) != 0;
        }
        if (different != 0) {
            return true;
        }
    }
}

#define MATCH_NAME shape_match_avx2
#include "event/shape_match.h"

#endif
