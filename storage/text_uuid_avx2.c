/*
 * text_uuid_avx2.c: a UUID's 32 digits at once: shuffled out from between the dashes, turned into
 * their values, written again and compared, which finds everything that is no lower-case digit.
 */
#include "storage/text_hex.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define Z (-128) /* a shuffle's zero */

static inline __m128i load(const void *at) {
    return _mm_loadu_si128((const __m128i *)at);
}

static inline __m256i both(__m128i low, __m128i high) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

static inline __m256i digits_of(__m256i values) {
    __m256i all = _mm256_broadcastsi128_si256(load("0123456789abcdef"));
    return _mm256_shuffle_epi8(all, values);
}

/* Digits stand at 0-7, 9-12, 14-17 | 19-22, 24-35: two loads, and what they leave out. */
static inline __m256i gather(const char *text) {
    const __m128i low_from = _mm_setr_epi8(Z, Z, 0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 14, 15);
    const __m128i high_from = _mm_setr_epi8(Z, 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    u16 first;
    memcpy(&first, text, 2);
    __m128i low = _mm_shuffle_epi8(load(text + 2), low_from);
    __m128i high = _mm_shuffle_epi8(load(text + 20), high_from);
    return both(_mm_insert_epi16(low, first, 0), _mm_insert_epi8(high, text[19], 0));
}

static inline bool read(const char *text, u8 *out) {
    __m256i digits = gather(text);
    __m256i letters = _mm256_and_si256(_mm256_srli_epi16(digits, 6), _mm256_set1_epi8(1));
    __m256i nine = _mm256_add_epi8(_mm256_slli_epi16(letters, 3), letters);
    __m256i values = _mm256_add_epi8(_mm256_and_si256(digits, _mm256_set1_epi8(15)), nine);
    values = _mm256_and_si256(values, _mm256_set1_epi8(15));
    __m256i wrong = _mm256_xor_si256(digits_of(values), digits);
    int dashes = (text[8] ^ '-') | (text[13] ^ '-') | (text[18] ^ '-') | (text[23] ^ '-');
    __m256i pairs = _mm256_maddubs_epi16(values, _mm256_set1_epi16(0x0110));
    __m128i packed =
        _mm_packus_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    _mm_storeu_si128((__m128i *)out, packed);
    return _mm256_testz_si256(wrong, wrong) != 0 && dashes == 0;
}

static bool pack(u8 *out, const struct slice *values, u32 count) {
    for (u32 i = 0; i < count; i++, out += UUID_PACKED) {
        if (values[i].bytes != UUID_BYTES || !read(values[i].data, out)) {
            return false;
        }
    }
    return true;
}

/* Positions 0-15 and 20-35 are shuffles of one half each; four characters are left between. */
static inline void write(const u8 *packed, char *out) {
    const __m128i low_from = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, Z, 8, 9, 10, 11, Z, 12, 13);
    const __m128i high_from = _mm_setr_epi8(1, 2, 3, Z, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i low_dash = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, '-', 0, 0, 0, 0, '-', 0, 0);
    const __m128i high_dash = _mm_setr_epi8(0, 0, 0, '-', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    __m256i bytes = _mm256_cvtepu8_epi16(load(packed));
    __m256i halves = _mm256_or_si256(_mm256_srli_epi16(bytes, 4), _mm256_slli_epi16(bytes, 8));
    __m256i digits = digits_of(_mm256_and_si256(halves, _mm256_set1_epi8(15)));
    __m128i low = _mm256_castsi256_si128(digits);
    __m128i high = _mm256_extracti128_si256(digits, 1);
    u32 middle =
        (u32)_mm_extract_epi16(low, 7) | (u32)'-' << 16 | (u32)_mm_extract_epi8(high, 0) << 24;
    low = _mm_or_si128(_mm_shuffle_epi8(low, low_from), low_dash);
    high = _mm_or_si128(_mm_shuffle_epi8(high, high_from), high_dash);
    _mm_storeu_si128((__m128i *)out, low);
    memcpy(out + 16, &middle, 4);
    _mm_storeu_si128((__m128i *)(out + 20), high);
}

static void unpack(const u8 *packed, u32 count, char *out) {
    for (u32 i = 0; i < count; i++) {
        write(packed + (usize)i * UUID_PACKED, out + (usize)i * UUID_BYTES);
    }
}

const struct uuid_kernel uuid_avx2 = {pack, unpack};

#endif
