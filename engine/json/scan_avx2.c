/*
 * scan_avx2.c: the kernel for x86-64 processors with AVX2: 32 bytes a step. The comparisons are
 * cheap; what counts is that one branch decides for all 32 bytes.
 */
#include "json/scan.h"

#if defined(__x86_64__)

#include "json/scan_utf8.h"

#include <immintrin.h>
#include <string.h>

static inline __m256i load(const char *at) {
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

static inline u32 mask_equal(__m256i bytes, char c) {
    return (u32)_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(c)));
}

/* Below 0x20: the unsigned minimum with 0x1f is the byte itself. */
static inline u32 mask_control(__m256i bytes) {
    __m256i least = _mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f));
    return (u32)_mm256_movemask_epi8(_mm256_cmpeq_epi8(least, bytes));
}

static const char *text_stop(const char *at, const char *end, bool *high) {
    for (; end - at >= 32; at += 32) {
        __m256i bytes = load(at);
        u32 stops = mask_equal(bytes, '"') | mask_equal(bytes, '\\') | mask_control(bytes);
        u32 tops = (u32)_mm256_movemask_epi8(bytes);
        if (stops != 0) {
            u32 before = (stops & (0 - stops)) - 1;
            *high |= (tops & before) != 0;
            return at + __builtin_ctz(stops);
        }
        *high |= tops != 0;
    }
    return scan_scalar.text_stop(at, end, high);
}

/* --- UTF-8 -------------------------------------------------------------------------------------
 */

static inline __m256i table(__m256i halves, const u8 entries[16]) {
    __m128i half = _mm_loadu_si128((const __m128i *)(const void *)entries);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(half), halves);
}

static inline __m256i high_half(__m256i bytes) {
    return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0f));
}

/* Not zero in the bytes where `now`, coming after `before`, is wrong. */
static inline __m256i utf8_errors(__m256i now, __m256i before) {
    static const u8 first_high[16] = {UTF8_FIRST_HIGH};
    static const u8 first_low[16] = {UTF8_FIRST_LOW};
    static const u8 second_high[16] = {UTF8_SECOND_HIGH};
    __m256i across = _mm256_permute2x128_si256(before, now, 0x21);
    __m256i back1 = _mm256_alignr_epi8(now, across, 15);
    __m256i back2 = _mm256_alignr_epi8(now, across, 14);
    __m256i back3 = _mm256_alignr_epi8(now, across, 13);
    __m256i low = _mm256_and_si256(back1, _mm256_set1_epi8(0x0f));
    __m256i wrong = _mm256_and_si256(
        _mm256_and_si256(table(high_half(back1), first_high), table(low, first_low)),
        table(high_half(now), second_high));
    __m256i third = _mm256_subs_epu8(back2, _mm256_set1_epi8(0xe0 - 0x80));
    __m256i fourth = _mm256_subs_epu8(back3, _mm256_set1_epi8(0xf0 - 0x80));
    __m256i demanded =
        _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));
    return _mm256_xor_si256(demanded, wrong);
}

static bool is_utf8(const char *data, usize bytes) {
    __m256i before = _mm256_setzero_si256();
    __m256i errors = before;
    usize at = 0;
    for (; at + 32 <= bytes; at += 32) {
        __m256i now = load(data + at);
        errors = _mm256_or_si256(errors, utf8_errors(now, before));
        before = now;
    }
    /* The rest, and zeros behind it, so that a sequence cut short is seen. */
    char rest[32] = {0};
    memcpy(rest, data + at, bytes - at);
    errors = _mm256_or_si256(errors, utf8_errors(load(rest), before));
    return _mm256_testz_si256(errors, errors) != 0;
}

static usize utf8_prefix(const char *data, usize bytes) {
    return is_utf8(data, bytes) ? bytes : scan_scalar.utf8_prefix(data, bytes);
}

/* --- index -------------------------------------------------------------------------------------
 */

/* Writes the positions of the bits, eight at a time: a fixed count needs no branch a bit, and what
 * is written too much is overwritten by the next block. */
static inline u32 put_positions(u16 *to, u64 bits, u32 base) {
    u32 count = (u32)__builtin_popcountll(bits);
    for (u32 done = 0; done < count; done += 8) {
        for (u32 i = 0; i < 8; i++) {
            to[done + i] = (u16)(base + (u32)_tzcnt_u64(bits));
            bits = _blsr_u64(bits);
        }
    }
    return count;
}

static inline u64 join(u32 low, u32 high) {
    return (u64)high << 32 | low;
}

/* Backslashes, control characters and bytes past ASCII. */
static inline u32 mask_odd(__m256i bytes) {
    __m256i least = _mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f));
    __m256i control = _mm256_cmpeq_epi8(least, bytes);
    __m256i backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\'));
    __m256i either = _mm256_or_si256(control, backslash);
    return (u32)_mm256_movemask_epi8(_mm256_or_si256(either, bytes));
}

/* Enters one block, with `count` quotes before it; returns how many it has. `carry` is that of
 * scan_escaped(). */
static inline u32 index_block(struct scan_window *out, usize block, const char *at, u64 valid,
                              u64 *carry, u32 count) {
    __m256i a = load(at);
    __m256i b = load(at + 32);
    u64 quote = join(mask_equal(a, '"'), mask_equal(b, '"')) & valid;
    u64 odd = join(mask_odd(a), mask_odd(b)) & valid;
    out->special[block] = 0;
    if (unlikely((odd | *carry) != 0)) {
        u64 backslash = join(mask_equal(a, '\\'), mask_equal(b, '\\')) & valid;
        u64 high = join((u32)_mm256_movemask_epi8(a), (u32)_mm256_movemask_epi8(b)) & valid;
        u64 control = odd & ~(backslash | high);
        quote = scan_special(out, block, count, quote, backslash, control, high, carry);
    }
    return put_positions(out->quote + count, quote, (u32)(block * SCAN_BLOCK));
}

static void index_window(const char *data, usize bytes, struct scan_window *out) {
    check(bytes <= SCAN_WINDOW_MAX);
    u32 count = 0;
    u64 carry = 0;
    usize block = 0;
    out->any_special = false;
    for (; (block + 1) * SCAN_BLOCK <= bytes; block++) {
        const char *at = data + block * SCAN_BLOCK;
        count += index_block(out, block, at, ~(u64)0, &carry, count);
    }
    if (block * SCAN_BLOCK < bytes) {
        u64 valid = ((u64)1 << (bytes - block * SCAN_BLOCK)) - 1;
        count += index_block(out, block, data + block * SCAN_BLOCK, valid, &carry, count);
    }
    out->bytes = (u32)bytes;
    out->quote_count = count;
}

const struct scan_kernel scan_avx2 = {"avx2", text_stop, utf8_prefix, index_window};

#endif
