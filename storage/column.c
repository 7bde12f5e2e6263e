/*
 * column.c: see column.h. Which code this machine gets, and what needs no loops. Coded bytes are
 * the same from all of them.
 */
#include "storage/column.h"

#include <stdatomic.h>

#define COLUMN_KERNEL column_plain
#include "storage/column_codec.h"

bool varint_get(const u8 **at, const u8 *end, u64 *value) {
    u64 result = 0;
    const u8 *byte = *at;
    for (u32 shift = 0; shift < 64 && byte < end; shift += 7) {
        u64 low = *byte & 0x7f;
        if (shift == 63 && low > 1) {
            return false;
        }
        result |= low << shift;
        if ((*byte++ & 0x80) == 0) {
            *at = byte;
            *value = result;
            return true;
        }
    }
    return false;
}

bool column_constant(const u8 *data, usize bytes, i64 *value) {
    if (bytes < 2 || data[0] != CODING_CONSTANT) {
        return false;
    }
    const u8 *at = data + 1;
    u64 coded;
    if (!varint_get(&at, data + bytes, &coded) || at != data + bytes) {
        return false;
    }
    *value = unzigzag(coded);
    return true;
}

/* --- kinds of processors ---------------------------------------------------------------------- */

u32 column_kernels(const struct column_kernel *out[COLUMN_KERNELS_MAX]) {
    u32 count = 0;
    out[count++] = &column_plain;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
        out[count++] = &column_avx2;
        if (__builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
            __builtin_cpu_supports("avx512dq")) {
            out[count++] = &column_avx512;
        }
    }
#endif
    return count;
}

static const struct column_kernel *best_kernel(void) {
    static _Atomic(const struct column_kernel *) best;
    const struct column_kernel *known = atomic_load_explicit(&best, memory_order_relaxed);
    if (known == NULL) {
        /* Two threads may both get here; they find the same answer. */
        const struct column_kernel *list[COLUMN_KERNELS_MAX];
        u32 count = column_kernels(list);
        known = list[count - 1];
        atomic_store_explicit(&best, known, memory_order_relaxed);
    }
    return known;
}

usize column_pack(u8 *out, const i64 *values, u32 count) {
    check(count > 0 && count <= FRAME_ROWS_MAX);
    return best_kernel()->pack(out, values, count);
}

bool column_unpack(const u8 *data, usize bytes, i64 *values, u32 count) {
    check(count > 0 && count <= FRAME_ROWS_MAX);
    return best_kernel()->unpack(data, bytes, values, count);
}

const char *column_coding(const u8 *data, usize bytes) {
    static const char *const names[] = {"constant", "packed", "delta"};
    if (bytes == 0 || data[0] >= ARRAY_COUNT(names)) {
        return "unknown";
    }
    const u8 *at = data + 1;
    u64 value;
    if (data[0] == CODING_PACKED && varint_get(&at, data + bytes, &value) &&
        varint_get(&at, data + bytes, &value) && value > 1) {
        return "divided";
    }
    return names[data[0]];
}
