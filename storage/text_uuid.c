/* text_uuid.c: UUIDs as 16 bytes, a word at a time; and which code this machine gets. */
#include "storage/text_hex.h"

#include <stdatomic.h>

static inline u64 load32(const char *from) {
    u32 word;
    memcpy(&word, from, 4);
    return word;
}

static inline bool uuid_read(const char *text, u8 *out) {
    u32 packed[4];
    bool good = text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-';
    good &= hex_read8(load64(text), &packed[0]);
    good &= hex_read8(load32(text + 9) | load32(text + 14) << 32, &packed[1]);
    good &= hex_read8(load32(text + 19) | load32(text + 24) << 32, &packed[2]);
    good &= hex_read8(load64(text + 28), &packed[3]);
    memcpy(out, packed, sizeof packed);
    return good;
}

static inline void uuid_write(const u8 *packed, char *out) {
    u32 words[4];
    memcpy(words, packed, sizeof words);
    u64 digits[4];
    for (u32 i = 0; i < 4; i++) {
        digits[i] = hex_write8(words[i]);
    }
    memcpy(out, &digits[0], 8);
    out[8] = '-';
    memcpy(out + 9, &digits[1], 4);
    out[13] = '-';
    memcpy(out + 14, (char *)&digits[1] + 4, 4);
    out[18] = '-';
    memcpy(out + 19, &digits[2], 4);
    out[23] = '-';
    memcpy(out + 24, (char *)&digits[2] + 4, 4);
    memcpy(out + 28, &digits[3], 8);
}

static bool pack(u8 *out, const struct slice *values, u32 count) {
    for (u32 i = 0; i < count; i++, out += UUID_PACKED) {
        if (values[i].bytes != UUID_BYTES || !uuid_read(values[i].data, out)) {
            return false;
        }
    }
    return true;
}

static void unpack(const u8 *packed, u32 count, char *out) {
    for (u32 i = 0; i < count; i++) {
        uuid_write(packed + (usize)i * UUID_PACKED, out + (usize)i * UUID_BYTES);
    }
}

const struct uuid_kernel uuid_plain = {pack, unpack};

u32 uuid_kernels(const struct uuid_kernel *out[UUID_KERNELS_MAX]) {
    u32 count = 0;
    out[count++] = &uuid_plain;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
        out[count++] = &uuid_avx2;
    }
#endif
    return count;
}

const struct uuid_kernel *uuid_best(void) {
    static _Atomic(const struct uuid_kernel *) best;
    const struct uuid_kernel *known = atomic_load_explicit(&best, memory_order_relaxed);
    if (known == NULL) {
        /* Two threads may both get here; they find the same answer. */
        const struct uuid_kernel *list[UUID_KERNELS_MAX];
        u32 count = uuid_kernels(list);
        known = list[count - 1];
        atomic_store_explicit(&best, known, memory_order_relaxed);
    }
    return known;
}
