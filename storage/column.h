/*
 * column.h: columns of integers as few bits as a cheap look at them allows. A frame of at most
 * FRAME_ROWS_MAX values is coded on its own, so that any frame of a block can be read alone.
 *
 * A frame is one of: a constant; packed distances from the minimum, divided by their greatest
 * common divisor (money is priced in multiples); or packed differences of neighbours (times,
 * counters). Packing is the classic frame of reference of Goldstein, Ramakrishnan and Shaft (1998):
 * all values with the same number of bits, no branches on data.
 *
 * Pure functions; any thread. Bytes that come from a disk are not trusted: unpacking checks
 * everything and reads nothing outside its input.
 */
#ifndef MARGIN_STORAGE_COLUMN_H
#define MARGIN_STORAGE_COLUMN_H

#include "base.h"
#include "limits.h"

/* Bytes column_pack() may write for `count` values, working room included. */
#define COLUMN_BYTES_MAX(count) ((usize)(count)*8 + 64)

/* Codes values[0..count), count 1..FRAME_ROWS_MAX; returns the bytes written. */
usize column_pack(u8 *out, const i64 *values, u32 count);

/* Reads back exactly `count` values. False if the bytes are not a coded frame of that many. */
bool column_unpack(const u8 *data, usize bytes, i64 *values, u32 count);

/* True if the frame is one value for all rows: the reader may fill instead of unpacking. */
bool column_constant(const u8 *data, usize bytes, i64 *value);

/* The same two for each kind of processor this machine could be taken for, the best last; all code
 * the same bytes. */
struct column_kernel {
    usize (*pack)(u8 *out, const i64 *values, u32 count);
    bool (*unpack)(const u8 *data, usize bytes, i64 *values, u32 count);
};
#define COLUMN_KERNELS_MAX 3
u32 column_kernels(const struct column_kernel *out[COLUMN_KERNELS_MAX]);
extern const struct column_kernel column_plain;
#if defined(__x86_64__)
extern const struct column_kernel column_avx2;
extern const struct column_kernel column_avx512;
#endif

/* A word for tools: "constant", "packed", "divided", "delta". */
const char *column_coding(const u8 *data, usize bytes);

/* --- little-endian numbers of variable length, shared by the codecs of storage --------------- */

#define VARINT_BYTES_MAX 10

static inline u8 *varint_put(u8 *out, u64 value) {
    while (value >= 0x80) {
        *out++ = (u8)(value | 0x80);
        value >>= 7;
    }
    *out++ = (u8)value;
    return out;
}

/* Advances *at; false past `end` or for more than 64 bits. */
bool varint_get(const u8 **at, const u8 *end, u64 *value);

static inline u64 zigzag(i64 value) {
    return ((u64)value << 1) ^ (u64)(value >> 63);
}

static inline i64 unzigzag(u64 value) {
    return (i64)(value >> 1) ^ -(i64)(value & 1);
}

#endif
