/*
 * digest_avx512.c: digests of eight events at a time (digest.h). A column of numbers is one
 * register; the two words of a text are multiplied side by side.
 */
#include "event/digest.h"

#include "base/hash.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define BLOCK DIGEST_BLOCK
_Static_assert(BLOCK == 8, "words of a register");

static inline __m512i load(const void *at) {
    return _mm512_loadu_si512(at);
}

/* Adds what a column's texts are multiplied to; of a longer one that is its begin, by bzhi_u32. */
static inline void add_texts(const struct event_batch *batch, u32 column, u32 row, __m128i keys,
                             __m128i sum[BLOCK]) {
    const struct text_ref *refs = &batch->ref[column][row];
    for (u32 i = 0; i < BLOCK; i++) {
        __mmask16 valid = (__mmask16)_bzhi_u32(UINT16_MAX, refs[i].bytes);
        __m128i text = _mm_maskz_loadu_epi8(valid, batch->text + refs[i].offset);
        sum[i] = _mm_add_epi64(sum[i], _mm_mullo_epi64(text, keys));
    }
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

static void digest_block(struct event_batch *batch, u32 row, u32 present,
                         const struct digest_keys *keys) {
    __m128i sum[BLOCK] = {0};
    u64 besides[BLOCK] = {0};
    for (u32 texts = present & 0xffff; texts != 0; texts &= texts - 1) {
        u32 column = (u32)__builtin_ctz(texts);
        __m128i words = _mm_set_epi64x((i64)keys->high[column], (i64)keys->low[column]);
        add_texts(batch, column, row, words, sum);
        __m512i bytes = _mm512_srli_epi64(load(&batch->ref[column][row]), 32);
        u32 rows = _mm512_cmpgt_epu64_mask(bytes, _mm512_set1_epi64(16));
        if (rows != 0) {
            add_long_texts(batch, column, row, rows, keys, besides);
        }
    }
    __m256i low = _mm256_set_m128i(join(sum[2], sum[3]), join(sum[0], sum[1]));
    __m256i high = _mm256_set_m128i(join(sum[6], sum[7]), join(sum[4], sum[5]));
    __m512i all = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    all = _mm512_add_epi64(all, load(besides));
    for (u32 numbers = present >> 16; numbers != 0; numbers &= numbers - 1) {
        u32 column = (u32)__builtin_ctz(numbers);
        __m512i value = load(&batch->number[column][row]);
        value = _mm512_xor_si512(value, _mm512_set1_epi64((i64)keys->high[TEXT_COUNT + column]));
        __m512i factor = _mm512_set1_epi64((i64)keys->low[TEXT_COUNT + column]);
        all = _mm512_add_epi64(all, _mm512_mullo_epi64(value, factor));
    }
    all = _mm512_srli_epi64(mix(all), 32);
    _mm256_storeu_si256((__m256i *)(void *)&batch->digest[row], _mm512_cvtepi64_epi32(all));
}

/* What the eight events say; 0 if they do not all say the same. */
static inline u32 common_fields(const struct event_batch *batch, u32 row) {
    u32 first = batch->present[row];
    __m256i present = _mm256_loadu_si256((const __m256i *)(const void *)&batch->present[row]);
    u64 flags;
    __builtin_memcpy(&flags, &batch->flags[row], sizeof flags);
    const u64 all = EVENT_FLAG_TIME_DEFAULT * (u64)0x0101010101010101;
    if (_mm256_cmpneq_epu32_mask(present, _mm256_set1_epi32((i32)first)) != 0 ||
        ((flags & all) != 0 && (flags & all) != all)) {
        return 0;
    }
    u32 unsaid = (flags & all) != 0 ? TEXT_BIT(TEXT_KEY) | NUM_BIT(NUM_TIME) : TEXT_BIT(TEXT_KEY);
    return first & ~unsaid;
}

u32 digest_rows_avx512(struct event_batch *batch, u32 first, u32 count,
                       const struct digest_keys *keys) {
    u32 done = 0;
    for (; count - done >= BLOCK; done += BLOCK) {
        u32 present = common_fields(batch, first + done);
        if (present == 0) {
            break;
        }
        digest_block(batch, first + done, present, keys);
    }
    return done;
}

#endif
