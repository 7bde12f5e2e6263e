/*
 * number.h: JSON numbers as exact decimals. A number is read as an integer count of 10^-scale
 * units, with one stated rounding, and never passes through binary floating point.
 */
#ifndef MARGIN_JSON_NUMBER_H
#define MARGIN_JSON_NUMBER_H

#include "base.h"

enum number_rounding {
    NUMBER_HALF_EVEN,
    NUMBER_HALF_UP, /* half away from zero */
    NUMBER_EXACT    /* digits past the scale must be zeros, else ERR_INVALID */
};

#define NUMBER_SCALE_MAX 18

/* Bytes of the longest RFC 8259 number at `at`, or 0 if there is none. */
usize number_scan(const char *at, const char *end);

/* text * 10^scale. `text` is a number by the grammar of number_scan, of any length.
 * ERR_LIMIT: does not fit 64 bits. ERR_INVALID: not exact (NUMBER_EXACT only). */
enum err number_scale(struct slice text, u32 scale, enum number_rounding rounding, i64 *out);

/* Whether the number is below zero ("-0" and "-0.0e5" are not). */
bool number_is_negative(struct slice text);

/* 10^0 .. 10^18. */
extern const i64 number_powers[NUMBER_SCALE_MAX + 1];

/* --- short numbers, eight digits at a time -----------------------------------------------------
 */

/* The bytes of a word as decimal digits, the lowest byte the first digit; each is 0..9. Neighbours
 * are joined to pairs, pairs to fours, fours to eight: three multiplications instead of eight. */
static inline u64 number_join8(u64 digits) {
    digits = digits * 10 + (digits >> 8);
    u64 low = (digits & 0x000000ff000000ff) * 0x000f424000000064;
    u64 high = ((digits >> 16) & 0x000000ff000000ff) * 0x0000271000000001;
    return (low + high) >> 32;
}

/* Whether every byte of a word is 0..9. */
static inline bool number_all_digits(u64 digits) {
    return (((digits + 0x7676767676767676) | digits) & 0x8080808080808080) == 0;
}

/* A whole number of 1 to 8 digits; 8 bytes are readable at `at`. False: it is none. */
static inline bool number_whole8(const char *at, usize bytes, i64 *out) {
    u64 word;
    __builtin_memcpy(&word, at, sizeof word);
    word = (word ^ 0x3030303030303030) << (8 * (8 - bytes) & 63);
    *out = (i64)number_join8(word);
    return number_all_digits(word) && (*at != '0' || bytes == 1);
}

/* The high bit of each byte of a word of text that is no digit; of one behind a byte above ASCII it
 * may be wrong. */
static inline u64 number_mask_others(u64 word) {
    u64 digits = word ^ 0x3030303030303030;
    return ((digits + 0x7676767676767676) | digits) & 0x8080808080808080;
}

/* The whole number at `at`, up to where its digits end; 8 bytes are readable. Returns its bytes; 0
 * if it has more than 7, or none, or a leading zero. */
static inline usize number_whole_short(const char *at, i64 *out) {
    u64 word;
    __builtin_memcpy(&word, at, sizeof word);
    u64 others = number_mask_others(word);
    u32 bytes = (u32)__builtin_ctzll(others | (u64)1 << 63) / 8;
    *out = (i64)number_join8((word ^ 0x3030303030303030) << (8 * (8 - bytes) & 63));
    bool good = bytes > 0 && (others != 0) && (*at != '0' || bytes == 1);
    return likely(good) ? bytes : 0;
}

/* As number_scale without rounding, for a number of 1 to 8 characters without sign and exponent and
 * with no more decimals than the scale. 8 bytes are readable at `at`. False: the number is another,
 * or malformed. */
static inline bool number_scale8(const char *at, usize bytes, u32 scale, i64 *out) {
    u64 word;
    __builtin_memcpy(&word, at, sizeof word);
    /* The lowest byte that is a dot: a zero byte after the exclusive or. */
    u64 zero = word ^ 0x2e2e2e2e2e2e2e2e;
    u64 dots = (zero - 0x0101010101010101) & ~zero & 0x8080808080808080;
    u32 dot = dots != 0 ? (u32)__builtin_ctzll(dots) / 8 : 8;
    u32 digits = (u32)bytes;
    u32 decimals = 0;
    if (dot < digits) {
        u64 before = ((u64)1 << (8 * dot)) - 1;
        word = (word & before) | (word >> 8 & ~before);
        decimals = --digits - dot;
        if (unlikely(dot == 0 || decimals == 0)) {
            return false;
        }
    }
    word = (word ^ 0x3030303030303030) << (8 * (8 - digits) & 63);
    if (unlikely(!number_all_digits(word) || decimals > scale ||
                 (*at == '0' && digits - decimals > 1))) {
        return false;
    }
    return !__builtin_mul_overflow((i64)number_join8(word), number_powers[scale - decimals], out);
}

/* The same for up to 16 characters; 16 bytes are readable at `at`. */
bool number_scale16(const char *at, usize bytes, u32 scale, i64 *out);

static inline bool number_scale_short(const char *at, usize bytes, u32 scale, i64 *out) {
    return likely(bytes - 1 < 8) ? number_scale8(at, bytes, scale, out)
                                 : number_scale16(at, bytes, scale, out);
}

/* As number_decimal_short, for what does not fit a word. */
usize number_decimal16(const char *at, u32 scale, i64 *out);

/* The number at `at`, up to where it ends, * 10^scale; 17 bytes are readable. Returns its bytes; 0
 * if it is none, has more than 16 bytes, a sign, an exponent or more decimals than the scale. */
static inline usize number_decimal_short(const char *at, u32 scale, i64 *out) {
    u64 word;
    __builtin_memcpy(&word, at, sizeof word);
    u64 others = number_mask_others(word);
    u32 bytes = (u32)__builtin_ctzll(others | (u64)1 << 63) / 8;
    if (likely(at[bytes] == '.')) {
        u32 whole = bytes;
        others &= others - 1;
        if (unlikely(others == 0)) {
            return number_decimal16(at, scale, out);
        }
        bytes = (u32)__builtin_ctzll(others) / 8;
        u64 before = ((u64)1 << (8 * whole)) - 1;
        word = (word & before) | (word >> 8 & ~before);
        u32 decimals = bytes - whole - 1;
        word = (word ^ 0x3030303030303030) << (8 * (9 - bytes) & 63);
        if (unlikely(whole == 0 || decimals - 1 >= scale || (*at == '0' && whole > 1))) {
            return 0;
        }
        return __builtin_mul_overflow((i64)number_join8(word), number_powers[scale - decimals], out)
                   ? 0
                   : bytes;
    }
    if (unlikely(others == 0 || bytes == 0 || (*at == '0' && bytes > 1))) {
        return others == 0 ? number_decimal16(at, scale, out) : 0;
    }
    word = (word ^ 0x3030303030303030) << (8 * (8 - bytes) & 63);
    return __builtin_mul_overflow((i64)number_join8(word), number_powers[scale], out) ? 0 : bytes;
}

#endif
