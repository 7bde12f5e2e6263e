/*
 * text_hex.h: hexadecimal digits, turned eight at a time inside a 64-bit word (SWAR), and texts
 * that are UUIDs, for which there is code for each kind of processor. All code the same bytes.
 */
#ifndef MARGIN_STORAGE_TEXT_HEX_H
#define MARGIN_STORAGE_TEXT_HEX_H

#include "base.h"

#include <string.h>

static inline u64 load64(const void *from) {
    u64 word;
    memcpy(&word, from, 8);
    return word;
}

#define EACH(byte) (0x0101010101010101u * (u64)(byte))

/* Eight lower-case digits to four bytes; false if one is none. */
static inline bool hex_read8(u64 digits, u32 *out) {
    u64 letter = (digits >> 6) & EACH(1);
    u64 value = (digits & EACH(0x0f)) + letter * 9;
    /* Writing the value again must give the same digits; that catches everything else. */
    u64 tall = ((value + EACH(6)) >> 4) & EACH(1);
    bool good = (value & EACH(0xf0)) == 0 && value + EACH('0') + tall * ('a' - '0' - 10) == digits;
    u64 pairs = (value << 4 | value >> 8) & 0x00ff00ff00ff00ffu;
    pairs = (pairs | pairs >> 8) & 0x0000ffff0000ffffu;
    *out = (u32)(pairs | pairs >> 16);
    return good;
}

static inline u64 hex_write8(u32 bytes) {
    u64 spread = ((u64)bytes | (u64)bytes << 16) & 0x0000ffff0000ffffu;
    spread = (spread | spread << 8) & 0x00ff00ff00ff00ffu;
    u64 value = (spread >> 4 & EACH(0x0f)) | (spread & 0x000f000f000f000fu) << 8;
    value &= EACH(0x0f);
    u64 tall = ((value + EACH(6)) >> 4) & EACH(1);
    return value + EACH('0') + tall * ('a' - '0' - 10);
}

/* --- UUIDs ------------------------------------------------------------------------------------ */

#define UUID_BYTES 36 /* 8-4-4-4-12 lower-case digits */
#define UUID_PACKED 16

struct uuid_kernel {
    /* False if some text is no such UUID. */
    bool (*pack)(u8 *out, const struct slice *values, u32 count);
    void (*unpack)(const u8 *packed, u32 count, char *out);
};
/* Those this machine can run, the best last. */
#define UUID_KERNELS_MAX 2
u32 uuid_kernels(const struct uuid_kernel *out[UUID_KERNELS_MAX]);
const struct uuid_kernel *uuid_best(void);
extern const struct uuid_kernel uuid_plain;
#if defined(__x86_64__)
extern const struct uuid_kernel uuid_avx2;
#endif

#endif
