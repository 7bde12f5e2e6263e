/* histogram_test.c: quantiles against a sorted list, bucket edges, merging. */
#include "base/histogram.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define VALUES 20000

static u64 histogram_test_random(u64 *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int histogram_test_order(const void *a, const void *b) {
    u64 x = *(const u64 *)a;
    u64 y = *(const u64 *)b;
    return (x > y) - (x < y);
}

Test(histogram, index_is_monotonic_and_bounded) {
    cr_expect_eq(histogram_index(0), 0);
    cr_expect_eq(histogram_index(255), 255);
    cr_expect_eq(histogram_index(256), 256);
    cr_expect_eq(histogram_index(257), 256);
    cr_expect_eq(histogram_index(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    usize last = 0;
    for (unsigned shift = 1; shift < 64; shift++) {
        u64 power = (u64)1 << shift;
        for (int d = -1; d <= 1; d++) {
            usize index = histogram_index(power + (u64)(i64)d);
            cr_assert(index >= last && index < HISTOGRAM_BUCKETS, "2^%u%+d", shift, d);
            last = index;
        }
    }
}

Test(histogram, quantiles_match_a_sorted_list) {
    static struct histogram all;
    static struct histogram half[2];
    static struct histogram merged;
    static u64 values[VALUES];
    u64 state = 42;
    u64 sum = 0;
    for (usize i = 0; i < VALUES; i++) {
        values[i] = histogram_test_random(&state) >> (histogram_test_random(&state) % 64);
        sum += values[i];
        histogram_record(&all, values[i]);
        histogram_record(&half[i % 2], values[i]);
    }
    qsort(values, VALUES, sizeof values[0], histogram_test_order);
    histogram_merge(&merged, &half[0]);
    histogram_merge(&merged, &half[1]);
    static const u32 wanted[] = {0, 1, 50, 1000, 250000, 500000, 990000, 999000, 999999, 1000000};
    for (usize i = 0; i < ARRAY_COUNT(wanted); i++) {
        u64 rank = ((u64)VALUES * wanted[i] + 999999) / 1000000;
        u64 exact = values[rank > 0 ? rank - 1 : 0];
        u64 got = histogram_quantile(&all, wanted[i]);
        cr_expect(got >= exact && got - exact <= exact / 128, "%u ppm: %llu for %llu", wanted[i],
                  (unsigned long long)got, (unsigned long long)exact);
        cr_expect_eq(histogram_quantile(&merged, wanted[i]), got);
    }
    cr_expect_eq(all.count, VALUES);
    cr_expect_eq(merged.sum, sum);
    cr_expect_eq(histogram_quantile(&merged, 1000000), values[VALUES - 1]);
}

Test(histogram, empty_and_small) {
    static struct histogram histogram;
    cr_expect_eq(histogram_quantile(&histogram, HISTOGRAM_MEDIAN), 0);
    histogram_record(&histogram, 7);
    cr_expect_eq(histogram_quantile(&histogram, 0), 7);
    histogram_record(&histogram, 9);
    histogram_record(&histogram, 11);
    cr_expect_eq(histogram_quantile(&histogram, HISTOGRAM_MEDIAN), 9);
    cr_expect_eq(histogram_quantile(&histogram, 1000000), 11);
}
