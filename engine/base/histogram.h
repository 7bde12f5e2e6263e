/*
 * histogram.h: how long things took, by log-linear buckets as in HdrHistogram (Tene): exact below
 * 256, above it 128 buckets for every doubling, so that a quantile is at most 0.8 % too high at any
 * magnitude. Recording is a few instructions; histograms of several threads are merged to be read.
 *
 * A histogram is plain memory (58 KiB), zeroed to start, without pointers: it may be copied. One
 * thread at a time.
 */
#ifndef MARGIN_BASE_HISTOGRAM_H
#define MARGIN_BASE_HISTOGRAM_H

#include "base.h"

#define HISTOGRAM_HALF_BITS 7 /* 2^7 buckets a doubling */
#define HISTOGRAM_BUCKETS ((usize)(65 - HISTOGRAM_HALF_BITS) << HISTOGRAM_HALF_BITS)
#define HISTOGRAM_MEDIAN ((u32)500000) /* quantiles are parts of a million */

struct histogram {
    u64 count;
    u64 sum; /* wraps past 2^64 */
    u64 most;
    u64 bucket[HISTOGRAM_BUCKETS];
};

/* The bucket of a value: values below 2^8 have one each. */
static inline usize histogram_index(u64 value) {
    unsigned top = 63 - (unsigned)__builtin_clzll(value | 1);
    unsigned shift = top > HISTOGRAM_HALF_BITS ? top - HISTOGRAM_HALF_BITS : 0;
    return ((usize)shift << HISTOGRAM_HALF_BITS) + (usize)(value >> shift);
}

static inline void histogram_record(struct histogram *histogram, u64 value) {
    histogram->bucket[histogram_index(value)]++;
    histogram->count++;
    histogram->sum += value;
    histogram->most = MAX(histogram->most, value);
}

void histogram_merge(struct histogram *into, const struct histogram *from);

/* The least recorded value (to the bucket's upper end) that at least `per_million` parts of all
 * values do not exceed; 0 for an empty histogram. 1000000 gives the exact maximum. */
u64 histogram_quantile(const struct histogram *histogram, u32 per_million);

#endif
