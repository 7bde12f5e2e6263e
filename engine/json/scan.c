/* scan.c: which kernel this machine gets. */
#include "json/scan.h"

#include <stdatomic.h>

u32 scan_list(const struct scan_kernel *out[SCAN_KERNELS_MAX]) {
    u32 count = 0;
    out[count++] = &scan_scalar;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
        out[count++] = &scan_avx2;
        if (__builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
            __builtin_cpu_supports("avx512dq")) {
            out[count++] = &scan_avx512;
        }
    }
#elif defined(__aarch64__)
    out[count++] = &scan_neon;
#endif
    return count;
}

const struct scan_kernel *scan_best(void) {
    static _Atomic(const struct scan_kernel *) best;
    const struct scan_kernel *known = atomic_load_explicit(&best, memory_order_relaxed);
    if (known == NULL) {
        /* Two threads may both get here; they find the same answer. */
        const struct scan_kernel *list[SCAN_KERNELS_MAX];
        u32 count = scan_list(list);
        known = list[count - 1];
        atomic_store_explicit(&best, known, memory_order_relaxed);
    }
    return known;
}
