/* histogram.c: reading and merging; recording is inline in the header. */
#include "base/histogram.h"

#define HALF ((usize)1 << HISTOGRAM_HALF_BITS)
#define WHOLE ((u32)1000000)

void histogram_merge(struct histogram *into, const struct histogram *from) {
    into->count += from->count;
    into->sum += from->sum;
    into->most = MAX(into->most, from->most);
    for (usize i = 0; i < HISTOGRAM_BUCKETS; i++) {
        into->bucket[i] += from->bucket[i];
    }
}

/* The greatest value that falls into a bucket: the inverse of histogram_index(). */
static u64 upper_end(usize index) {
    if (index < 2 * HALF) {
        return index;
    }
    usize shift = index / HALF - 1;
    u64 first = (u64)(index % HALF + HALF) << shift;
    return first + (((u64)1 << shift) - 1);
}

u64 histogram_quantile(const struct histogram *histogram, u32 per_million) {
    check(per_million <= WHOLE);
    u64 wanted = (u64)(((u128)histogram->count * per_million + WHOLE - 1) / WHOLE);
    wanted = MAX(wanted, (u64)1);
    u64 seen = 0;
    for (usize i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->bucket[i];
        if (seen >= wanted) {
            return MIN(upper_end(i), histogram->most);
        }
    }
    return 0;
}
