/*
 * apply_avx512.c: the kernel for processors with AVX-512 (Ice Lake, Zen 4 and later). A row is one
 * register: one load, one addition, one test of all fields' ranges, one store.
 */
#include "agg/apply.h"

#if defined(__x86_64__)

#include <immintrin.h>

struct addend {
    __m512i row;
    struct delta delta; /* for what few events need */
};

static inline __attribute__((always_inline)) void
addend_read(struct addend *addend, const struct event_batch *batch, u32 index) {
    delta_read(&addend->delta, batch, index);
    const row_pair *pairs = addend->delta.pairs;
    __m256i low = _mm256_set_m128i((__m128i)pairs[1], (__m128i)pairs[0]);
    __m256i high = _mm256_set_m128i((__m128i)pairs[3], (__m128i)pairs[2]);
    addend->row = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

/* As row_add(), which also does what does not fit. */
static inline __attribute__((always_inline)) void addend_add(struct row *row,
                                                             const struct addend *addend,
                                                             struct array *wides,
                                                             enum row_time kind, i64 time) {
    const u64 top = (u64)1 << 63;
    const u64 both = 0x8000000080000000u;
    const __m512i sign = _mm512_set_epi64(0, 0, 0, 0, 0, (i64)top, (i64)top, (i64)top);
    const __m512i over =
        _mm512_set_epi64(0, 0x0000800080008000, (i64)both, (i64)both, (i64)1 << 31, 0, 0, 0);
    __m512i sum = _mm512_add_epi64(_mm512_load_si512(row), addend->row);
    __m512i bad = _mm512_xor_si512(sum, _mm512_add_epi64(sum, sum));
    bad = _mm512_and_si512(bad, sign);
    bad = _mm512_ternarylogic_epi64(bad, sum, over, 0xf8); /* bad | (sum & over) */
    u32 odd = _mm512_test_epi64_mask(bad, bad);
    u64 last = kind == TIME_SEEN ? (u64)time + 1 : (u64)time;
    if (kind == TIME_SEEN) { /* the stamp: high bits, which hardly ever change */
        __m512i stamp = _mm512_set1_epi16((short)(last >> 32));
        odd |= _mm512_mask_cmpneq_epu16_mask((__mmask32)1 << 27, sum, stamp);
    }
    if (unlikely((odd | addend->delta.wide) != 0)) {
        row_add(row, &addend->delta, wides, kind, time);
        return;
    }
    if (kind != TIME_NONE) {
        sum = _mm512_mask_max_epu32(sum, (__mmask16)1 << 14, sum, _mm512_set1_epi32((i32)last));
    }
    _mm512_store_si512(row, sum);
}

#define APPLY_NAME apply_slice_avx512
#include "agg/apply_slice.h"

#endif
