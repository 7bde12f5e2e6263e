/*
 * native_text.c: checks over text that arrives as a column. Nearly all of it is ASCII, so 32 bytes
 * at a time are looked at for a high bit or a NUL; only a piece that has one is read bytewise.
 */
#include "event/native_text.h"

#include <string.h>

#define ONES 0x0101010101010101u
#define HIGHS 0x8080808080808080u

static u64 load(const char *at) {
    u64 word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* The high bit of some byte is set if a byte of the word is NUL or not ASCII. */
static u64 odd_bytes(u64 word) {
    return ((word - ONES) | word) & HIGHS;
}

/* Length of the UTF-8 sequence at `at` (Unicode 15, table 3-7), or 0. */
static usize sequence_bytes(const u8 *at, usize bytes) {
    u8 lead = at[0];
    if (lead < 0x80) {
        return lead != 0;
    }
    usize length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead < 0xc2 || lead > 0xf4 || bytes < length) {
        return 0;
    }
    u8 low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    u8 high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high) {
        return 0;
    }
    for (usize i = 2; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

bool native_text_is_clean(const char *data, usize bytes) {
    usize at = 0;
    while (at < bytes) {
        if (bytes - at >= 32) {
            u64 odd = odd_bytes(load(data + at)) | odd_bytes(load(data + at + 8)) |
                      odd_bytes(load(data + at + 16)) | odd_bytes(load(data + at + 24));
            if (likely(odd == 0)) {
                at += 32;
                continue;
            }
        }
        usize stop = MIN(bytes, at + 32);
        while (at < stop) {
            usize length = sequence_bytes((const u8 *)data + at, bytes - at);
            if (length == 0) {
                return false;
            }
            at += length;
        }
    }
    return true;
}

bool native_text_lower_is_usd(char *data, usize bytes) {
    for (usize i = 0; i < bytes; i++) {
        if (data[i] >= 'A' && data[i] <= 'Z') {
            data[i] = (char)(data[i] + ('a' - 'A'));
        }
    }
    return bytes == 3 && memcmp(data, "usd", 3) == 0;
}
