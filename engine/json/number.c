/*
 * number.c: see number.h. Nearly all numbers have at most 18 digits, no exponent and no more
 * decimals than the scale: they are an integer times a power of ten. The others go through
 * scale_long, which follows the schoolbook: line up the digits, cut, look at what was cut off.
 */
#include "json/number.h"

#include <string.h>

const i64 number_powers[NUMBER_SCALE_MAX + 1] = {
    1,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    10000000000,
    100000000000,
    1000000000000,
    10000000000000,
    100000000000000,
    1000000000000000,
    10000000000000000,
    100000000000000000,
    1000000000000000000,
};

bool number_scale16(const char *at, usize bytes, u32 scale, i64 *out) {
    if (bytes - 1 > 15) {
        return false;
    }
    u64 half[2];
    memcpy(half, at, sizeof half);
    u32 dot = 0;
    while (dot < bytes && at[dot] != '.') {
        dot++;
    }
    u128 word = (u128)half[1] << 64 | half[0];
    u32 digits = (u32)bytes;
    u32 decimals = 0;
    if (dot < digits) {
        u128 before = ((u128)1 << (8 * dot)) - 1;
        word = (word & before) | (word >> 8 & ~before);
        decimals = --digits - dot;
        if (dot == 0 || decimals == 0) {
            return false;
        }
    }
    word = (word ^ ((u128)0x3030303030303030 << 64 | 0x3030303030303030)) << (8 * (16 - digits));
    u64 first = (u64)word;
    u64 last = (u64)(word >> 64);
    if (!number_all_digits(first) || !number_all_digits(last) || decimals > scale ||
        (*at == '0' && digits - decimals > 1)) {
        return false;
    }
    i64 value = (i64)(number_join8(first) * 100000000 + number_join8(last));
    return !__builtin_mul_overflow(value, number_powers[scale - decimals], out);
}

usize number_decimal16(const char *at, u32 scale, i64 *out) {
    usize bytes = 0;
    while (bytes <= 16 && ((u8)(at[bytes] - '0') < 10 || at[bytes] == '.')) {
        bytes++;
    }
    return number_scale16(at, bytes, scale, out) ? bytes : 0;
}

static bool is_digit(char c) {
    return (u8)(c - '0') < 10;
}

static const char *skip_digits(const char *at, const char *end) {
    while (at < end && is_digit(*at)) {
        at++;
    }
    return at;
}

usize number_scan(const char *begin, const char *end) {
    const char *at = begin;
    if (at < end && *at == '-') {
        at++;
    }
    if (at >= end || !is_digit(*at)) {
        return 0;
    }
    at = *at == '0' ? at + 1 : skip_digits(at, end);
    if (at < end && *at == '.') {
        const char *digits = at + 1;
        at = skip_digits(digits, end);
        if (at == digits) {
            return 0;
        }
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) {
            at++;
        }
        const char *digits = at;
        at = skip_digits(digits, end);
        if (at == digits) {
            return 0;
        }
    }
    return (usize)(at - begin);
}

bool number_is_negative(struct slice text) {
    if (text.bytes == 0 || text.data[0] != '-') {
        return false;
    }
    for (usize i = 1; i < text.bytes && (text.data[i] | 0x20) != 'e'; i++) {
        if (text.data[i] >= '1' && text.data[i] <= '9') {
            return true;
        }
    }
    return false;
}

/* A number taken apart: its value is 0.DDD * 10^point, where DDD are the digits between `digits`
 * and `end`, a dot among them to be passed over; the first digit is not 0. */
struct parts {
    const char *digits; /* NULL: the value is zero */
    const char *end;
    i64 point;
    bool negative;
};

/* Saturates far beyond any exponent that matters, but far from overflow. */
static i64 read_exponent(const char *at, const char *end) {
    bool negative = *at == '-';
    at += *at == '-' || *at == '+';
    i64 value = 0;
    for (; at < end && value < ((i64)1 << 40); at++) {
        value = value * 10 + (*at - '0');
    }
    return negative ? -value : value;
}

static struct parts take_apart(struct slice text) {
    const char *at = text.data;
    const char *text_end = text.data + text.bytes;
    struct parts parts = {.negative = *at == '-'};
    at += parts.negative;
    bool dot = false;
    for (const char *p = at;; p++) {
        if (p == text_end || (*p | 0x20) == 'e') {
            parts.end = p;
            parts.point += p == text_end ? 0 : read_exponent(p + 1, text_end);
            return parts;
        }
        if (*p == '.') {
            dot = true;
        } else if (parts.digits == NULL && *p == '0') {
            parts.point -= dot;
        } else {
            parts.digits = parts.digits == NULL ? p : parts.digits;
            parts.point += !dot;
        }
    }
}

/* Compares what was cut off with one half: 0 nothing was, 1 less, 2 exactly half, 3 more. */
static int compare_half(const char *at, const char *end, bool first_is_tenth) {
    int result = 0;
    bool first = first_is_tenth;
    for (; at < end; at++) {
        if (*at == '.') {
            continue;
        }
        if (first) {
            result = *at > '5' ? 3 : *at == '5' ? 2 : *at > '0' ? 1 : 0;
        } else if (*at != '0') {
            result = result == 0 ? 1 : result == 2 ? 3 : result;
        }
        first = false;
    }
    return result;
}

static enum err scale_long(struct slice text, u32 scale, enum number_rounding rounding, i64 *out) {
    struct parts parts = take_apart(text);
    *out = 0;
    if (parts.digits == NULL) {
        return ERR_OK;
    }
    i64 whole_digits = parts.point + scale;
    if (whole_digits > 19) {
        return ERR_LIMIT;
    }
    u64 value = 0; /* at most 19 digits, which u64 holds */
    const char *at = parts.digits;
    i64 taken = 0;
    for (; taken < whole_digits; at += at < parts.end) {
        if (at < parts.end && *at == '.') {
            continue;
        }
        value = value * 10 + (at < parts.end ? (u64)(*at - '0') : 0);
        taken++;
    }
    int rest = compare_half(at, parts.end, whole_digits >= 0);
    if (rest != 0 && rounding == NUMBER_EXACT) {
        return ERR_INVALID;
    }
    bool up = rest == 3 || (rest == 2 && (rounding == NUMBER_HALF_UP || (value & 1) != 0));
    value += up;
    if (value > (u64)INT64_MAX + parts.negative) {
        return ERR_LIMIT;
    }
    *out = parts.negative ? (i64)(0 - value) : (i64)value;
    return ERR_OK;
}

enum err number_scale(struct slice text, u32 scale, enum number_rounding rounding, i64 *out) {
    check(scale <= NUMBER_SCALE_MAX && text.bytes > 0);
    if (text.bytes > 18) {
        return scale_long(text, scale, rounding, out);
    }
    bool negative = text.data[0] == '-';
    i64 value = 0;
    usize dot = text.bytes; /* index of the dot, or the end */
    for (usize i = negative; i < text.bytes; i++) {
        char c = text.data[i];
        if (is_digit(c)) {
            value = value * 10 + (c - '0');
        } else if (c == '.') {
            dot = i;
        } else {
            return scale_long(text, scale, rounding, out);
        }
    }
    usize decimals = dot == text.bytes ? 0 : text.bytes - dot - 1;
    if (decimals > scale || __builtin_mul_overflow(value, number_powers[scale - decimals], out)) {
        return scale_long(text, scale, rounding, out);
    }
    *out = negative ? -*out : *out;
    return ERR_OK;
}
