/* utf8.c: see utf8.h. Written to be read: the vector kernels are tested against it. */
#include "base/utf8.h"

/* Bytes of the valid sequence at `at`, or 0. Table 3-7 of the Unicode standard, "Well-Formed UTF-8
 * Byte Sequences": only the second byte's range depends on the first byte. */
static usize sequence_bytes(const u8 *at, usize room) {
    u8 first = at[0];
    if (first < 0x80) {
        return 1;
    }
    usize bytes = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first < 0xc2 || first > 0xf4 || bytes > room) {
        return 0;
    }
    u8 low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    u8 top = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > top) {
        return 0;
    }
    for (usize i = 2; i < bytes; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return bytes;
}

usize utf8_prefix(const char *data, usize bytes) {
    const u8 *text = (const u8 *)data;
    usize at = 0;
    while (at < bytes) {
        usize step = sequence_bytes(text + at, bytes - at);
        if (step == 0) {
            break;
        }
        at += step;
    }
    return at;
}
