/*
 * digest_avx512.c: digests of eight events at a time (digest.h). A column of numbers is one
 * register; the two words of a text are multiplied side by side.
 */
#include "event/digest.h"

#include "base/hash.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define BLOCK 8 /* words of a register */

static inline __m512i load(const void *at) {
    return _mm512_loadu_si512(at);
}

/* What texts of more than 16 bytes add besides. Their lengths were looked at as bzhi does, which
 * knows only the lowest 8 bits of a count. */
static __attribute__((noinline)) void add_long_texts(const struct event_batch *batch, u32 column,
                                                     u32 row, u32 rows,
                                                     const struct digest_keys *keys,
                                                     u64 sum[BLOCK]) {
    for (; rows != 0; rows &= rows - 1) {
        u32 i = (u32)__builtin_ctz(rows);
        struct text_ref ref = batch->ref[column][row + i];
        const char *text = batch->text + ref.offset;
        u32 taken = MIN(ref.bytes & UINT8_MAX, 16u);
        sum[i] += digest_text(text, ref.bytes, keys->low[column], keys->high[column]) -
                  digest_text(text, taken, keys->low[column], keys->high[column]);
    }
}

/* Adds what the texts of a column are multiplied to, for the rows that have one: a text that is not
 * there is empty. Of a long one that is what it begins with; the rest goes to `besides`. */
static inline void add_texts(const struct event_batch *batch, u32 column, u32 row, __mmask8 rows,
                             const struct digest_keys *keys, __m128i sum[BLOCK],
                             u64 besides[BLOCK]) {
    __m128i words = _mm_set_epi64x((i64)keys->high[column], (i64)keys->low[column]);
    const struct text_ref *ref = &batch->ref[column][row];
    __m512i refs = _mm512_maskz_loadu_epi64(rows, ref);
    struct text_ref some[BLOCK];
    if (rows != UINT8_MAX) {
        _mm512_storeu_si512(some, refs);
        ref = some;
    }
    for (u32 i = 0; i < BLOCK; i++) {
        __mmask16 valid = (__mmask16)_bzhi_u32(UINT16_MAX, ref[i].bytes);
        __m128i text = _mm_maskz_loadu_epi8(valid, batch->text + ref[i].offset);
        sum[i] = _mm_add_epi64(sum[i], _mm_mullo_epi64(text, words));
    }
    __m512i bytes = _mm512_srli_epi64(refs, 32);
    u32 longs = _mm512_cmpgt_epu64_mask(bytes, _mm512_set1_epi64(16));
    if (longs != 0) {
        add_long_texts(batch, column, row, longs, keys, besides);
    }
}

static inline __m512i mix(__m512i value) {
    const __m512i factor = _mm512_set1_epi64((i64)HASH_MIX_FACTOR);
    for (u32 i = 0; i < 2; i++) {
        value = _mm512_xor_si512(value, _mm512_srli_epi64(value, 32));
        value = _mm512_mullo_epi64(value, factor);
    }
    return _mm512_xor_si512(value, _mm512_srli_epi64(value, 32));
}

static inline __m128i join(__m128i a, __m128i b) {
    return _mm_add_epi64(_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b));
}

static inline __m512i add_numbers(__m512i sum, const struct event_batch *batch, u32 column, u32 row,
                                  __mmask8 rows, const struct digest_keys *keys) {
    __m512i value = load(&batch->number[column][row]);
    value = _mm512_xor_si512(value, _mm512_set1_epi64((i64)keys->high[TEXT_COUNT + column]));
    value = _mm512_mullo_epi64(value, _mm512_set1_epi64((i64)keys->low[TEXT_COUNT + column]));
    return _mm512_mask_add_epi64(sum, rows, sum, value);
}

/* The rows of the block whose event says `bit`. */
static inline __mmask8 rows_with(__m256i present, u32 bit) {
    return _mm256_test_epi32_mask(present, _mm256_set1_epi32((i32)bit));
}

static inline u32 any_of(__m256i present) {
    __m128i any =
        _mm_or_si128(_mm256_castsi256_si128(present), _mm256_extracti128_si256(present, 1));
    any = _mm_or_si128(any, _mm_unpackhi_epi64(any, any));
    u64 two = (u64)_mm_cvtsi128_si64(any);
    return (u32)(two | two >> 32);
}

static void digest_block(struct event_batch *batch, u32 row, const struct digest_keys *keys) {
    /* What each event says: not its key, and not a time that is only assumed. */
    __m256i present = _mm256_loadu_si256((const __m256i *)(const void *)&batch->present[row]);
    __m256i flags = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)&batch->flags[row]));
    present = _mm256_andnot_si256(_mm256_set1_epi32((i32)TEXT_BIT(TEXT_KEY)), present);
    present = _mm256_mask_andnot_epi32(present, rows_with(flags, EVENT_FLAG_TIME_DEFAULT),
                                       _mm256_set1_epi32((i32)NUM_BIT(NUM_TIME)), present);
    u32 any = any_of(present);
    __m128i sum[BLOCK] = {0};
    u64 besides[BLOCK] = {0};
    for (u32 texts = any & 0xffff; texts != 0; texts &= texts - 1) {
        u32 column = (u32)__builtin_ctz(texts);
        __mmask8 rows = rows_with(present, TEXT_BIT(column));
        add_texts(batch, column, row, rows, keys, sum, besides);
    }
    __m256i low = _mm256_set_m128i(join(sum[2], sum[3]), join(sum[0], sum[1]));
    __m256i high = _mm256_set_m128i(join(sum[6], sum[7]), join(sum[4], sum[5]));
    __m512i all = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    all = _mm512_add_epi64(all, load(besides));
    for (u32 numbers = any >> 16; numbers != 0; numbers &= numbers - 1) {
        u32 column = (u32)__builtin_ctz(numbers);
        all = add_numbers(all, batch, column, row, rows_with(present, NUM_BIT(column)), keys);
    }
    all = _mm512_srli_epi64(mix(all), 32);
    _mm256_storeu_si256((__m256i *)(void *)&batch->digest[row], _mm512_cvtepi64_epi32(all));
}

u32 digest_rows_avx512(struct event_batch *batch, u32 first, u32 count,
                       const struct digest_keys *keys) {
    u32 done = 0;
    for (; count - done >= BLOCK; done += BLOCK) {
        digest_block(batch, first + done, keys);
    }
    return done;
}

#endif
