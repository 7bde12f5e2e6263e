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

#endif
