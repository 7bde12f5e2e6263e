/*
 * column_codec.h: the loops of column.h, in plain C that compilers vectorise. Each column*.c file
 * includes it once, to define the kernel COLUMN_KERNEL, and is compiled for a kind of processor:
 * comparing and multiplying 64 bits needs more than the least of them has.
 *
 * Coding takes two passes over values that are in the first-level cache: one for the bounds, one
 * for the differences; then packing through a 64-bit accumulator. Unpacking loads eight bytes at
 * the value's first byte, shifts and masks: widths above 56 bits are stored as 64 so that one load
 * always suffices.
 */
#ifndef MARGIN_STORAGE_COLUMN_CODEC_H
#define MARGIN_STORAGE_COLUMN_CODEC_H

#include "storage/column.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "stored numbers are little-endian");

enum coding {
    CODING_CONSTANT, /* zig-zag value */
    CODING_PACKED,   /* zig-zag minimum, divisor, width, values */
    CODING_DELTA,    /* zig-zag minimum, divisor, first, zig-zag least difference, width, values */
};

#define DIVISOR_SAMPLES 16 /* values looked at before a divisor is believed possible */
#define DELTA_SAMPLES 32
#define DIVISOR_WIDTH_MIN 8 /* narrower columns gain too little */

static u32 width_of(u64 range) {
    u32 width = range == 0 ? 0 : 64 - (u32)__builtin_clzll(range);
    return width > 56 ? 64 : width;
}

/* --- bits ------------------------------------------------------------------------------------ */

static usize bits_bytes(u32 count, u32 width) {
    return ((usize)count * width + 7) / 8;
}

/* Joins neighbours while two fit a word: the loop vectorises, and the packing loop gets shorter. */
static void bits_join(u64 *values, u32 *count, u32 *width) {
    while (*width <= 32 && *count % 2 == 0) {
        u32 half = *count / 2;
        for (u32 i = 0; i < half; i++) {
            values[i] = values[2 * i] | values[2 * i + 1] << *width;
        }
        *count = half;
        *width *= 2;
    }
}

/* Destroys `values`. Writes up to 7 bytes more than it returns. */
static usize bits_put(u8 *out, u64 *values, u32 count, u32 width) {
    usize bytes = bits_bytes(count, width);
    if (width == 0) {
        return 0;
    }
    bits_join(values, &count, &width);
    u64 word = 0;
    u32 filled = 0;
    for (u32 i = 0; i < count; i++) {
        u64 value = values[i];
        word |= value << filled;
        filled += width;
        if (filled >= 64) {
            memcpy(out, &word, 8);
            out += 8;
            filled -= 64;
            word = filled > 0 ? value >> (width - filled) : 0;
        }
    }
    memcpy(out, &word, 8);
    return bytes;
}

static u64 bits_load_tail(const u8 *data, usize bytes, usize at) {
    u64 word = 0;
    memcpy(&word, data + at, bytes - at);
    return word;
}

/* `data` holds bits_bytes(count, width) bytes. */
static void bits_get(const u8 *data, u64 *values, u32 count, u32 width) {
    if (width == 0) {
        memset(values, 0, count * sizeof *values);
        return;
    }
    usize bytes = bits_bytes(count, width);
    u64 mask = width == 64 ? UINT64_MAX : ((u64)1 << width) - 1;
    /* Values whose eight bytes lie inside; the few behind them are loaded byte-exact. */
    u32 whole = bytes < 8 ? 0 : (u32)MIN((u64)count, ((u64)(bytes - 8) * 8) / width + 1);
    usize bit = 0;
    for (u32 i = 0; i < whole; i++, bit += width) {
        u64 word;
        memcpy(&word, data + (bit >> 3), 8);
        values[i] = (word >> (bit & 7)) & mask;
    }
    for (u32 i = whole; i < count; i++, bit += width) {
        values[i] = (bits_load_tail(data, bytes, bit >> 3) >> (bit & 7)) & mask;
    }
}

/* --- divisor --------------------------------------------------------------------------------- */

static u64 gcd(u64 a, u64 b) {
    while (b != 0) {
        u64 rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Inverse of an odd number modulo 2^64, by Newton's iteration (Hacker's Delight, 10-16). */
static u64 inverse_of(u64 odd) {
    u64 inverse = odd * 3 ^ 2;
    for (int i = 0; i < 4; i++) {
        inverse *= 2 - odd * inverse;
    }
    return inverse;
}

/* Divides all values by `divisor` if it divides them all: exact division is a multiplication by the
 * inverse, and its result is small exactly when nothing is left over. Returns the first value that
 * is no multiple, or `count`. */
static u32 divide_all(const u64 *values, u64 *out, u32 count, u64 divisor) {
    u32 twos = (u32)__builtin_ctzll(divisor);
    u64 odd = divisor >> twos;
    u64 inverse = inverse_of(odd);
    u64 limit = UINT64_MAX / odd;
    u64 low_mask = ((u64)1 << twos) - 1;
    for (u32 i = 0; i < count; i++) {
        u64 quotient = (values[i] >> twos) * inverse;
        if (quotient > limit || (values[i] & low_mask) != 0) {
            return i;
        }
        out[i] = quotient;
    }
    return count;
}

/* The greatest common divisor of all values (not all 0), with the quotients in `out` when it is
 * above 1. */
static u64 common_divisor(const u64 *values, u64 *out, u32 count) {
    u64 divisor = 0;
    u32 step = MAX(count / DIVISOR_SAMPLES, 1u);
    for (u32 i = 0; i < count && divisor != 1; i += step) {
        divisor = gcd(values[i], divisor);
    }
    while (divisor > 1) {
        u32 failed = divide_all(values, out, count, divisor);
        if (failed == count) {
            return divisor;
        }
        divisor = gcd(divisor, values[failed]);
    }
    /* All samples 0: the divisor is found from the others, if at all. */
    if (divisor == 0) {
        for (u32 i = 0; i < count && divisor != 1; i++) {
            divisor = gcd(values[i], divisor);
        }
        if (divisor > 1) {
            check(divide_all(values, out, count, divisor) == count);
        }
    }
    return divisor;
}

/* --- coding ---------------------------------------------------------------------------------- */

/* Width of the differences, and the least of them. A few differences that are as wide as `width`
 * already settle that they do not pay. */
static u32 delta_find(const u64 *values, u32 count, u32 width, i64 *least) {
    i64 most = INT64_MIN;
    *least = INT64_MAX;
    for (u32 from = 1, to; from < count; from = to) {
        to = MIN(from == 1 ? DELTA_SAMPLES : count, count);
        for (u32 i = from; i < to; i++) {
            i64 delta = (i64)(values[i] - values[i - 1]);
            *least = MIN(*least, delta);
            most = MAX(most, delta);
        }
        if (width_of((u64)most - (u64)*least) >= width) {
            break;
        }
    }
    return width_of((u64)most - (u64)*least);
}

static usize pack_delta(u8 *out, i64 least, u64 divisor, u64 *values, u32 count, i64 delta_least,
                        u32 width) {
    u8 *at = out;
    *at++ = CODING_DELTA;
    at = varint_put(at, zigzag(least));
    at = varint_put(at, divisor);
    at = varint_put(at, values[0]);
    at = varint_put(at, zigzag(delta_least));
    *at++ = (u8)width;
    for (u32 i = 0; i + 1 < count; i++) {
        values[i] = values[i + 1] - values[i] - (u64)delta_least;
    }
    return (usize)(at - out) + bits_put(at, values, count - 1, width);
}

static usize pack(u8 *out, const i64 *values, u32 count) {
    u8 *at = out;
    /* Equal to itself shifted by one: all the same. memcmp() stops at the first difference. */
    if (memcmp(values, values + 1, (count - 1) * sizeof *values) == 0) {
        *at++ = CODING_CONSTANT;
        return (usize)(varint_put(at, zigzag(values[0])) - out);
    }
    i64 least = values[0];
    i64 most = values[0];
    for (u32 i = 1; i < count; i++) {
        least = MIN(least, values[i]);
        most = MAX(most, values[i]);
    }
    u64 distance[FRAME_ROWS_MAX];
    for (u32 i = 0; i < count; i++) {
        distance[i] = (u64)values[i] - (u64)least;
    }
    u64 range = (u64)most - (u64)least;
    u64 quotient[FRAME_ROWS_MAX];
    u64 *scaled = distance;
    u64 divisor = 1;
    if (width_of(range) >= DIVISOR_WIDTH_MIN) {
        divisor = common_divisor(distance, quotient, count);
        scaled = divisor > 1 ? quotient : distance;
    }
    u32 width = width_of(range / divisor);
    i64 delta_least;
    u32 delta_width = delta_find(scaled, count, width, &delta_least);
    if (delta_width < width) {
        return pack_delta(out, least, divisor, scaled, count, delta_least, delta_width);
    }
    *at++ = CODING_PACKED;
    at = varint_put(at, zigzag(least));
    at = varint_put(at, divisor);
    *at++ = (u8)width;
    return (usize)(at - out) + bits_put(at, scaled, count, width);
}

static bool unpack_packed(const u8 *at, const u8 *end, i64 *values, u32 count) {
    u64 least;
    u64 divisor;
    if (!varint_get(&at, end, &least) || !varint_get(&at, end, &divisor) || at == end) {
        return false;
    }
    u32 width = *at++;
    if (width > 64 || (width > 56 && width < 64) || divisor == 0 ||
        (usize)(end - at) != bits_bytes(count, width)) {
        return false;
    }
    u64 *out = (u64 *)values;
    u64 base = (u64)unzigzag(least);
    bits_get(at, out, count, width);
    if (divisor == 1) {
        for (u32 i = 0; i < count; i++) {
            out[i] += base;
        }
    } else {
        for (u32 i = 0; i < count; i++) {
            out[i] = out[i] * divisor + base;
        }
    }
    return true;
}

static bool unpack_delta(const u8 *at, const u8 *end, i64 *values, u32 count) {
    u64 least;
    u64 divisor;
    u64 first;
    u64 delta_least;
    if (!varint_get(&at, end, &least) || !varint_get(&at, end, &divisor) ||
        !varint_get(&at, end, &first) || !varint_get(&at, end, &delta_least) || at == end) {
        return false;
    }
    u32 width = *at++;
    if (width > 64 || (width > 56 && width < 64) || divisor == 0 ||
        (usize)(end - at) != bits_bytes(count - 1, width)) {
        return false;
    }
    u64 *out = (u64 *)values;
    bits_get(at, out + 1, count - 1, width);
    /* The scale is applied to the differences, so that the running sum is the value itself. */
    u64 step = (u64)unzigzag(delta_least) * divisor;
    u64 value = first * divisor + (u64)unzigzag(least);
    out[0] = value;
    for (u32 i = 1; i < count; i++) {
        value += out[i] * divisor + step;
        out[i] = value;
    }
    return true;
}

static bool unpack(const u8 *data, usize bytes, i64 *values, u32 count) {
    if (bytes < 2) {
        return false;
    }
    const u8 *at = data + 1;
    const u8 *end = data + bytes;
    i64 value;
    switch (data[0]) {
    case CODING_CONSTANT:
        if (!column_constant(data, bytes, &value)) {
            return false;
        }
        for (u32 i = 0; i < count; i++) {
            values[i] = value;
        }
        return true;
    case CODING_PACKED:
        return unpack_packed(at, end, values, count);
    case CODING_DELTA:
        return unpack_delta(at, end, values, count);
    default:
        return false;
    }
}

const struct column_kernel COLUMN_KERNEL = {pack, unpack};

#endif
