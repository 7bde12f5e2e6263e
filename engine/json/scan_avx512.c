/*
 * scan_avx512.c: the kernel for processors with AVX-512 VBMI2 (Ice Lake, Zen 4 and later): 64 bytes
 * a step, comparisons that give bit masks, masked loads that end exactly where the text ends, and
 * compression of an index vector by a mask, which lists the quotes of a block without a loop.
 */
#include "json/scan.h"

#if defined(__x86_64__)

#include "json/scan_utf8.h"

#include <immintrin.h>

static inline __mmask64 first_bytes(usize count) {
    return count >= 64 ? ~(u64)0 : _bzhi_u64(~(u64)0, (u32)count);
}

static inline u64 mask_stops(__m512i bytes) {
    return _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('"')) |
           _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\\')) |
           _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8(0x20));
}

static const char *text_stop(const char *at, const char *end, bool *high) {
    for (; end - at >= 64; at += 64) {
        __m512i bytes = _mm512_loadu_si512(at);
        u64 stops = mask_stops(bytes);
        u64 tops = _mm512_movepi8_mask(bytes);
        if (likely(stops != 0)) {
            *high |= (tops & _blsmsk_u64(stops)) != 0;
            return at + _tzcnt_u64(stops);
        }
        *high |= tops != 0;
    }
    /* The lanes behind the end are not loaded and hold zeros, which stop there. */
    __mmask64 valid = first_bytes((usize)(end - at));
    __m512i bytes = _mm512_maskz_loadu_epi8(valid, at);
    u64 stops = mask_stops(bytes);
    u64 tops = _mm512_movepi8_mask(bytes);
    *high |= (tops & _blsmsk_u64(stops)) != 0;
    return at + _tzcnt_u64(stops);
}

/* --- UTF-8 -------------------------------------------------------------------------------------
 */

static inline __m512i table(__m512i halves, const u8 entries[16]) {
    __m128i half = _mm_loadu_si128((const __m128i *)(const void *)entries);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(half), halves);
}

static inline __m512i high_half(__m512i bytes) {
    return _mm512_and_si512(_mm512_srli_epi16(bytes, 4), _mm512_set1_epi8(0x0f));
}

/* Not zero in the bytes where `now`, coming after `before`, is wrong. */
static inline __m512i utf8_errors(__m512i now, __m512i before) {
    static const u8 first_high[16] = {UTF8_FIRST_HIGH};
    static const u8 first_low[16] = {UTF8_FIRST_LOW};
    static const u8 second_high[16] = {UTF8_SECOND_HIGH};
    /* The last 16 bytes of `before`, then the first 48 of `now`. */
    __m512i across = _mm512_alignr_epi64(now, before, 6);
    __m512i back1 = _mm512_alignr_epi8(now, across, 15);
    __m512i back2 = _mm512_alignr_epi8(now, across, 14);
    __m512i back3 = _mm512_alignr_epi8(now, across, 13);
    __m512i low = _mm512_and_si512(back1, _mm512_set1_epi8(0x0f));
    __m512i wrong = _mm512_and_si512(
        _mm512_and_si512(table(high_half(back1), first_high), table(low, first_low)),
        table(high_half(now), second_high));
    __m512i third = _mm512_subs_epu8(back2, _mm512_set1_epi8(0xe0 - 0x80));
    __m512i fourth = _mm512_subs_epu8(back3, _mm512_set1_epi8(0xf0 - 0x80));
    __m512i demanded =
        _mm512_and_si512(_mm512_or_si512(third, fourth), _mm512_set1_epi8((char)0x80));
    return _mm512_xor_si512(demanded, wrong);
}

static usize utf8_prefix(const char *data, usize bytes) {
    __m512i before = _mm512_setzero_si512();
    __m512i errors = before;
    for (usize at = 0; at < bytes; at += 64) {
        __m512i now = _mm512_maskz_loadu_epi8(first_bytes(bytes - at), data + at);
        errors = _mm512_or_si512(errors, utf8_errors(now, before));
        before = now;
    }
    /* Zeros behind the text, so that a sequence cut short is seen. */
    errors = _mm512_or_si512(errors, utf8_errors(_mm512_setzero_si512(), before));
    bool good = _mm512_test_epi8_mask(errors, errors) == 0;
    return good ? bytes : scan_scalar.utf8_prefix(data, bytes);
}

/* --- index -------------------------------------------------------------------------------------
 */

/* 16 places in a block as offsets in the window. */
static inline void put_places(u16 *to, __m128i found, __m256i base) {
    __m256i offsets = _mm256_add_epi16(_mm256_cvtepu8_epi16(found), base);
    _mm256_storeu_si256((__m256i *)(void *)to, offsets);
}

/* Enters one block, with `count` quotes before it; returns how many it has. `carry` is that of
 * scan_escaped(). */
static inline u32 index_block(struct scan_window *out, usize block, __m512i now, __mmask64 valid,
                              u64 *carry, u32 count) {
    static const u8 counting[64] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
                                    32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
                                    48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    __mmask64 quote = _mm512_cmpeq_epi8_mask(now, _mm512_set1_epi8('"'));
    /* Control characters and high bytes are what is left of or past the 96 ASCII characters. */
    __m512i shifted = _mm512_sub_epi8(now, _mm512_set1_epi8(0x20));
    __mmask64 outside = _mm512_mask_cmpge_epu8_mask(valid, shifted, _mm512_set1_epi8(0x60));
    __mmask64 backslash = _mm512_cmpeq_epi8_mask(now, _mm512_set1_epi8('\\'));
    out->special[block] = 0;
    if (unlikely((outside | backslash | *carry) != 0)) {
        u64 high = _mm512_movepi8_mask(now);
        quote = scan_special(out, block, count, quote, backslash, outside & ~high, high, carry);
    }
    __m512i found = _mm512_maskz_compress_epi8(quote, _mm512_loadu_si512(counting));
    __m256i base = _mm256_set1_epi16((i16)(block * SCAN_BLOCK));
    u16 *to = out->quote + count;
    put_places(to, _mm512_castsi512_si128(found), base);
    u32 quotes = (u32)_mm_popcnt_u64(quote);
    if (unlikely(quotes > 16)) {
        put_places(to + 16, _mm512_extracti32x4_epi32(found, 1), base);
        put_places(to + 32, _mm512_extracti32x4_epi32(found, 2), base);
        put_places(to + 48, _mm512_extracti32x4_epi32(found, 3), base);
    }
    return quotes;
}

static void index_window(const char *data, usize bytes, struct scan_window *out) {
    check(bytes <= SCAN_WINDOW_MAX);
    u32 count = 0;
    u64 carry = 0;
    usize block = 0;
    out->any_special = false;
    for (; (block + 1) * SCAN_BLOCK <= bytes; block++) {
        __m512i now = _mm512_loadu_si512(data + block * SCAN_BLOCK);
        count += index_block(out, block, now, ~(__mmask64)0, &carry, count);
    }
    if (block * SCAN_BLOCK < bytes) {
        __mmask64 valid = first_bytes(bytes - block * SCAN_BLOCK);
        __m512i now = _mm512_maskz_loadu_epi8(valid, data + block * SCAN_BLOCK);
        count += index_block(out, block, now, valid, &carry, count);
        block++;
    }
    out->bytes = (u32)bytes;
    out->quote_count = count;
}

const struct scan_kernel scan_avx512 = {"avx512", text_stop, utf8_prefix, index_window};

#endif
