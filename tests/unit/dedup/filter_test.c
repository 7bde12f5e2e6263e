/* filter_test.c: every hash is found at its place, few others are, and what a hash costs. */
#include "dedup/filter.h"

#include "base/hash.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct filter filter;

static void teardown(void) {
    filter_free(&filter);
}

TestSuite(filter, .fini = teardown);

static int compare_u64(const void *left, const void *right) {
    u64 a = *(const u64 *)left;
    u64 b = *(const u64 *)right;
    return a < b ? -1 : a > b;
}

/* Hashes by number, sorted; in `crowded` many are equal, and most lie close together. */
static u64 *make(u32 count, bool crowded) {
    u64 *hash = malloc(count * sizeof *hash);
    cr_assert(hash != NULL);
    for (u32 i = 0; i < count; i++) {
        hash[i] = hash_mix(crowded && i % 3 == 0 ? i / 300 : i);
        if (crowded && i % 5 != 0) {
            hash[i] >>= 7 + i % 40;
        }
    }
    if (crowded && count > 2) {
        hash[0] = UINT64_MAX;
        hash[1] = 0;
    }
    qsort(hash, count, sizeof *hash, compare_u64);
    cr_assert_eq(filter_create(&filter, count), ERR_OK);
    for (u32 i = 0; i < count; i++) {
        filter_add(&filter, hash[i]);
    }
    filter_seal(&filter);
    return hash;
}

static struct filter_range look_up(u64 hash) {
    struct filter_place place = filter_place_of(&filter, hash);
    struct filter_range range = filter_slot_range(&filter, place);
    cr_assert(range.first <= filter.count && range.count <= filter.count - range.first);
    return filter_match(&filter, range, place.print);
}

static void find_all(const u64 *hash, u32 count) {
    for (u32 i = 0; i < count; i++) {
        struct filter_range match = look_up(hash[i]);
        cr_assert(i >= match.first && i - match.first < match.count, "hash %u of %u", i, count);
    }
    cr_assert(filter_is_sound(&filter));
}

Test(filter, every_hash_is_where_the_filter_says) {
    static const u32 counts[] = {1, 2, 31, 32, 33, 63, 64, 65, 1000, 100000};
    for (u32 i = 0; i < 2 * ARRAY_COUNT(counts); i++) {
        u32 count = counts[i / 2];
        u64 *hash = make(count, i % 2 == 1);
        find_all(hash, count);
        free(hash);
        filter_free(&filter);
    }
}

Test(filter, one_in_65536_others_is_found) {
    const u32 count = 1000000;
    u64 *hash = make(count, false);
    u32 found = 0;
    u32 asked = 20 * count;
    for (u32 i = 0; i < asked; i++) {
        found += look_up(hash_mix((u64)1 << 40 | i)).count > 0;
    }
    cr_expect_lt(found, asked / 65536 * 12 / 10, "%u of %u", found, asked);
    cr_expect_gt(found, asked / 65536 * 8 / 10, "%u of %u: it does not look", found, asked);
    double bytes = (double)filter.bytes / count;
    cr_expect_lt(bytes, 2.51, "%.2f bytes a hash", bytes);
    free(hash);
}

/* A file may hold anything: an image that would lead a look-up out of the filter is seen. */
Test(filter, images_that_lead_astray_are_unsound) {
    u32 count = 5000;
    u64 *hash = make(count, false);
    usize bytes = filter_image_bytes(count);
    u8 *image = (u8 *)filter.block;
    usize blocks = (usize)((u8 *)filter.print - image);
    u32 seen = 0;
    for (u32 i = 0; i < 20000; i++) {
        usize at = hash_mix(i) % blocks;
        u8 bit = (u8)(1 << hash_mix(~(u64)i) % 8);
        image[at] ^= bit;
        bool sound = filter_is_sound(&filter);
        for (u32 k = 0; k < 50 && sound; k++) {
            look_up(hash_mix(i * 50 + k)); /* asserts its bounds */
        }
        seen += !sound;
        image[at] ^= bit;
    }
    cr_expect_gt(seen, 10000);
    cr_expect_eq(bytes, blocks + 2 * count);
    find_all(hash, count);
    free(hash);
}
