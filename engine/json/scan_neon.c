/*
 * scan_neon.c: the kernel for 64-bit ARM: 16 bytes a step for strings; a block's masks are made by
 * weighting each byte with its bit and adding neighbours pairwise.
 */
#include "json/scan.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

static inline uint8x16_t load(const char *at) {
    return vld1q_u8((const u8 *)at);
}

static inline uint8x16_t stops_of(uint8x16_t bytes) {
    return vorrq_u8(vorrq_u8(vceqq_u8(bytes, vdupq_n_u8('"')), vceqq_u8(bytes, vdupq_n_u8('\\'))),
                    vcltq_u8(bytes, vdupq_n_u8(0x20)));
}

/* Four bits for each byte, as 64 bits. */
static inline u64 nibbles(uint8x16_t truth) {
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(truth), 4)), 0);
}

static const char *text_stop(const char *at, const char *end, bool *high) {
    for (; end - at >= 16; at += 16) {
        uint8x16_t bytes = load(at);
        u64 stops = nibbles(stops_of(bytes));
        u64 tops = nibbles(vcgeq_u8(bytes, vdupq_n_u8(0x80)));
        if (stops != 0) {
            *high |= (tops & ((stops & (0 - stops)) - 1)) != 0;
            return at + __builtin_ctzll(stops) / 4;
        }
        *high |= tops != 0;
    }
    return scan_scalar.text_stop(at, end, high);
}

static usize utf8_prefix(const char *data, usize bytes) {
    usize at = 0;
    while (at + 16 <= bytes && vmaxvq_u8(load(data + at)) < 0x80) {
        at += 16;
    }
    return at + scan_scalar.utf8_prefix(data + at, bytes - at);
}

/* One bit for each of 64 bytes that are 0 or 0xff. */
static inline u64 bits_of(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
    static const u8 weights[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t weight = vld1q_u8(weights);
    uint8x16_t low = vpaddq_u8(vandq_u8(a, weight), vandq_u8(b, weight));
    uint8x16_t high = vpaddq_u8(vandq_u8(c, weight), vandq_u8(d, weight));
    uint8x16_t all = vpaddq_u8(low, high);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(all, all)), 0);
}

static void index_window(const char *data, usize bytes, struct scan_window *out) {
    check(bytes <= SCAN_WINDOW_MAX);
    u32 count = 0;
    u64 carry = 0;
    out->any_special = false;
    for (usize block = 0; block * SCAN_BLOCK < bytes; block++) {
        const char *at = data + block * SCAN_BLOCK;
        uint8x16_t v[4] = {load(at), load(at + 16), load(at + 32), load(at + 48)};
        uint8x16_t q[4];
        uint8x16_t s[4];
        uint8x16_t k[4];
        uint8x16_t h[4];
        for (int i = 0; i < 4; i++) {
            q[i] = vceqq_u8(v[i], vdupq_n_u8('"'));
            s[i] = vceqq_u8(v[i], vdupq_n_u8('\\'));
            k[i] = vcltq_u8(v[i], vdupq_n_u8(0x20));
            h[i] = vcgeq_u8(v[i], vdupq_n_u8(0x80));
        }
        usize left = bytes - block * SCAN_BLOCK;
        u64 valid = left >= SCAN_BLOCK ? ~(u64)0 : ((u64)1 << left) - 1;
        u64 quote = bits_of(q[0], q[1], q[2], q[3]) & valid;
        u64 backslash = bits_of(s[0], s[1], s[2], s[3]) & valid;
        u64 control = bits_of(k[0], k[1], k[2], k[3]) & valid;
        u64 high = bits_of(h[0], h[1], h[2], h[3]) & valid;
        quote = scan_special(out, block, count, quote, backslash, control, high, &carry);
        for (; quote != 0; quote &= quote - 1) {
            out->quote[count++] = (u16)(block * SCAN_BLOCK + (usize)__builtin_ctzll(quote));
        }
    }
    out->bytes = (u32)bytes;
    out->quote_count = count;
}

const struct scan_kernel scan_neon = {"neon", text_stop, utf8_prefix, index_window};

#endif
