/*
 * scan.h: the loops over raw JSON bytes that vectors make fast. Each kernel (scalar reference,
 * AVX2, AVX-512, NEON) gives exactly the same answers; tests compare them byte for byte. The best
 * one for this machine is chosen once, at run time.
 *
 * There is no tree and no token list. The cursor walks the bytes with `text_stop`. Objects of which
 * nothing is known before are read with `index`, which lists the quotes of a window (json/index.h).
 */
#ifndef MARGIN_JSON_SCAN_H
#define MARGIN_JSON_SCAN_H

#include "base.h"

#define SCAN_BLOCK 64             /* bytes a mask word stands for */
#define SCAN_WINDOW_MAX (8 * KIB) /* bytes one call of `index` covers; offsets fit u16 */
#define SCAN_PADDING 64           /* readable bytes that `index` needs behind its input */
#define SCAN_BLOCKS_MAX (SCAN_WINDOW_MAX / SCAN_BLOCK)

/* Where the characters that matter are. Bit i of word b stands for byte 64 * b + i. */
struct scan_window {
    u32 bytes;
    u32 quote_count;
    bool any_special;                 /* some byte is */
    u64 special[SCAN_BLOCKS_MAX];     /* escapes, other than ASCII, control characters in strings */
    u16 quote[SCAN_WINDOW_MAX + 128]; /* offsets of every '"' but escaped ones, ascending */
};

struct scan_kernel {
    const char *name;

    /* The first '"', '\\' or byte below 0x20 in [at, end), else end. Sets *high if a byte before it
     * is not ASCII (never clears it). Reads nothing outside [at, end). */
    const char *(*text_stop)(const char *at, const char *end, bool *high);

    /* How many bytes from the start are whole, valid UTF-8 sequences; `bytes` if all are. Refuses
     * overlong forms, surrogates and code points past U+10FFFF. Reads nothing outside. */
    usize (*utf8_prefix)(const char *data, usize bytes);

    /* Fills the window from data[0 .. bytes); bytes <= SCAN_WINDOW_MAX and SCAN_PADDING readable
     * bytes follow (their content does not matter). `data` begins outside of strings. */
    void (*index)(const char *data, usize bytes, struct scan_window *out);
};

/* For kernels: which bytes of a block a backslash escapes. *carry, 0 before the first block: the
 * block's first byte is escaped; then whether the next one's is. */
static inline u64 scan_escaped(u64 backslash, u64 *carry) {
    u64 escaped = *carry;
    *carry = 0;
    for (u64 left = backslash & ~escaped; left != 0;) {
        u64 lowest = left & (0 - left);
        escaped |= lowest << 1;
        *carry = lowest >> 63;
        left &= ~(lowest | lowest << 1);
    }
    return escaped;
}

/* For kernels: which bytes of a block are in strings, opening quotes among them. `open`: the block
 * begins in one. */
static inline u64 scan_inside(u64 quotes, bool open) {
    for (u32 step = 1; step < SCAN_BLOCK; step *= 2) {
        quotes ^= quotes << step;
    }
    return quotes ^ (0 - (u64)open);
}

/* For kernels: enters what is special in a block that has a backslash, a control character or a
 * byte past ASCII, or comes behind a backslash. `count`: the quotes before it. Returns the block's
 * quotes without those that are escaped. */
static inline u64 scan_special(struct scan_window *out, usize block, u32 count, u64 quotes,
                               u64 backslash, u64 control, u64 high, u64 *carry) {
    quotes &= ~scan_escaped(backslash, carry);
    u64 special = backslash | high | (control & scan_inside(quotes, (count & 1) != 0));
    out->special[block] = special;
    out->any_special |= special != 0;
    return quotes;
}

/* The fastest kernel this machine can run. Any thread. */
const struct scan_kernel *scan_best(void);

/* Every kernel this machine can run, the scalar one first, the best last; for tests and benchmarks.
 */
#define SCAN_KERNELS_MAX 4
u32 scan_list(const struct scan_kernel *out[SCAN_KERNELS_MAX]);

extern const struct scan_kernel scan_scalar;
#if defined(__x86_64__)
extern const struct scan_kernel scan_avx2;
extern const struct scan_kernel scan_avx512;
#elif defined(__aarch64__)
extern const struct scan_kernel scan_neon;
#endif

#endif
