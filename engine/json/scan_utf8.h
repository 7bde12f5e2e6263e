/*
 * scan_utf8.h: the tables of the vector kernels' UTF-8 check, after John Keiser and Daniel Lemire,
 * "Validating UTF-8 in less than one instruction per byte" (2020). Each table tells which errors
 * one half byte of two neighbouring bytes allows; an error that all three half bytes allow is
 * there. The top bit says "two continuations", which is right exactly where the byte two or three
 * places before demands it.
 */
#ifndef MARGIN_JSON_SCAN_UTF8_H
#define MARGIN_JSON_SCAN_UTF8_H

#define UTF8_TOO_SHORT 0x01      /* a lead byte, then no continuation */
#define UTF8_TOO_LONG 0x02       /* ASCII, then a continuation */
#define UTF8_OVERLONG_3 0x04     /* E0 80..9F */
#define UTF8_TOO_LARGE 0x08      /* F4 90..BF, F5.. */
#define UTF8_SURROGATE 0x10      /* ED A0..BF */
#define UTF8_OVERLONG_2 0x20     /* C0, C1 */
#define UTF8_OVERLONG_4 0x40     /* F0 80..8F */
#define UTF8_TOO_LARGE_1000 0x40 /* F5.. 80..8F; shares its bit */
#define UTF8_TWO_CONTS 0x80
#define UTF8_CARRY (UTF8_TOO_SHORT | UTF8_TOO_LONG | UTF8_TWO_CONTS)
#define UTF8_LARGE (UTF8_CARRY | UTF8_TOO_LARGE | UTF8_TOO_LARGE_1000)

/* By the high half of the first byte. */
#define UTF8_FIRST_HIGH                                                                            \
    UTF8_TOO_LONG, UTF8_TOO_LONG, UTF8_TOO_LONG, UTF8_TOO_LONG, UTF8_TOO_LONG, UTF8_TOO_LONG,      \
        UTF8_TOO_LONG, UTF8_TOO_LONG, UTF8_TWO_CONTS, UTF8_TWO_CONTS, UTF8_TWO_CONTS,              \
        UTF8_TWO_CONTS, UTF8_TOO_SHORT | UTF8_OVERLONG_2, UTF8_TOO_SHORT,                          \
        UTF8_TOO_SHORT | UTF8_OVERLONG_3 | UTF8_SURROGATE,                                         \
        UTF8_TOO_SHORT | UTF8_TOO_LARGE | UTF8_TOO_LARGE_1000

/* By the low half of the first byte. */
#define UTF8_FIRST_LOW                                                                             \
    UTF8_CARRY | UTF8_OVERLONG_2 | UTF8_OVERLONG_3 | UTF8_OVERLONG_4,                              \
        UTF8_CARRY | UTF8_OVERLONG_2, UTF8_CARRY, UTF8_CARRY, UTF8_CARRY | UTF8_TOO_LARGE,         \
        UTF8_LARGE, UTF8_LARGE, UTF8_LARGE, UTF8_LARGE, UTF8_LARGE, UTF8_LARGE, UTF8_LARGE,        \
        UTF8_LARGE, UTF8_LARGE | UTF8_SURROGATE, UTF8_LARGE, UTF8_LARGE

/* By the high half of the second byte. */
#define UTF8_SECOND_HIGH                                                                           \
    UTF8_TOO_SHORT, UTF8_TOO_SHORT, UTF8_TOO_SHORT, UTF8_TOO_SHORT, UTF8_TOO_SHORT,                \
        UTF8_TOO_SHORT, UTF8_TOO_SHORT, UTF8_TOO_SHORT,                                            \
        UTF8_TOO_LONG | UTF8_OVERLONG_2 | UTF8_TWO_CONTS | UTF8_OVERLONG_3 | UTF8_TOO_LARGE_1000,  \
        UTF8_TOO_LONG | UTF8_OVERLONG_2 | UTF8_TWO_CONTS | UTF8_OVERLONG_3 | UTF8_TOO_LARGE,       \
        UTF8_TOO_LONG | UTF8_OVERLONG_2 | UTF8_TWO_CONTS | UTF8_SURROGATE | UTF8_TOO_LARGE,        \
        UTF8_TOO_LONG | UTF8_OVERLONG_2 | UTF8_TWO_CONTS | UTF8_SURROGATE | UTF8_TOO_LARGE,        \
        UTF8_TOO_SHORT, UTF8_TOO_SHORT, UTF8_TOO_SHORT, UTF8_TOO_SHORT

#endif
