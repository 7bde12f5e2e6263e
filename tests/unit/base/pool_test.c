/* pool_test.c: sizes, reuse, the bound over all sizes, growing. */
#include "base/pool.h"

#include <criterion/criterion.h>
#include <string.h>

Test(pool, gives_powers_of_two_and_takes_them_back) {
    struct pool *pool;
    cr_assert_eq(pool_create(MIB, &pool), ERR_OK);
    static const usize wanted[] = {0, 1, 4096, 4097, 65536, 65537};
    static const usize given[] = {4096, 4096, 4096, 8192, 65536, 131072};
    for (usize i = 0; i < ARRAY_COUNT(wanted); i++) {
        struct block block = pool_take(pool, wanted[i]);
        cr_assert_neq(block.data, NULL);
        cr_expect_eq(block.capacity, given[i], "%zu bytes", wanted[i]);
        memset(block.data, 0xa5, block.capacity);
        pool_give(pool, block);
        struct block again = pool_take(pool, wanted[i]);
        cr_expect_eq(again.data, block.data, "the same block, without malloc");
        pool_give(pool, again);
    }
    pool_give(pool, (struct block){NULL, 0});
    pool_destroy(pool);
    pool_destroy(NULL);
}

Test(pool, bound_covers_what_is_out_and_kept) {
    struct pool *pool;
    cr_assert_eq(pool_create(64 * KIB, &pool), ERR_OK);
    struct block small[16];
    for (usize i = 0; i < ARRAY_COUNT(small); i++) {
        small[i] = pool_take(pool, 4 * KIB);
        cr_assert_neq(small[i].data, NULL, "block %zu", i);
    }
    cr_expect_eq(pool_take(pool, 1).data, NULL, "all is out");
    for (usize i = 0; i < ARRAY_COUNT(small); i++) {
        pool_give(pool, small[i]);
    }
    struct block large = pool_take(pool, 64 * KIB);
    cr_expect_neq(large.data, NULL, "kept blocks make room for another size");
    cr_expect_eq(pool_take(pool, 1).data, NULL);
    pool_give(pool, large);
    cr_expect_eq(pool_take(pool, 65 * KIB).data, NULL);
    cr_expect_eq(pool_take(pool, SIZE_MAX).data, NULL);
    pool_destroy(pool);
}

Test(pool, grows_with_content) {
    struct pool *pool;
    cr_assert_eq(pool_create(32 * KIB, &pool), ERR_OK);
    struct block block = pool_take(pool, 4 * KIB);
    memset(block.data, 'x', 100);
    struct block same = pool_grow(pool, block, 100, 4 * KIB);
    cr_expect_eq(same.data, block.data);
    struct block larger = pool_grow(pool, block, 100, 9 * KIB);
    cr_assert_eq(larger.capacity, 16 * KIB);
    for (usize i = 0; i < 100; i++) {
        cr_assert_eq(larger.data[i], 'x');
    }
    cr_expect_eq(pool_grow(pool, larger, 100, 17 * KIB).data, NULL, "past the bound");
    cr_expect_eq(larger.data[99], 'x', "the old block is still ours");
    pool_give(pool, larger);
    pool_destroy(pool);
}

/* Blocks of bodies share slabs of 2 MiB. */
Test(pool, slabs_go_from_size_to_size) {
    struct pool *pool;
    struct block block[32];
    cr_assert_eq(pool_create(5 * MIB, &pool), ERR_OK);
    for (usize i = 0; i < 32; i++) { /* two slabs */
        block[i] = pool_take(pool, 128 * KIB);
        cr_assert_neq(block[i].data, NULL);
        memset(block[i].data, (int)i + 1, block[i].capacity);
    }
    for (usize i = 0; i < 32; i++) {
        cr_expect_eq(block[i].data[0], (char)(i + 1), "nobody else's");
        cr_expect_eq(block[i].data[128 * KIB - 1], (char)(i + 1), "nobody else's");
    }
    cr_expect_eq(pool_held_bytes(pool), 4 * MIB);
    struct block beside = pool_take(pool, 512 * KIB);
    cr_expect_neq(beside.data, NULL, "what has no room for a slab is no part of one");
    cr_expect_eq(pool_held_bytes(pool), 4 * MIB + 512 * KIB);
    pool_give(pool, beside);
    for (usize i = 1; i < 32; i++) {
        pool_give(pool, block[i]);
    }
    beside = pool_take(pool, 2 * MIB);
    cr_assert_neq(beside.data, NULL, "a slab whose blocks are all free serves another size");
    memset(beside.data, 'x', beside.capacity);
    cr_expect_eq(block[0].data[128 * KIB - 1], 1, "one of which a block is in use does not");
    cr_expect_eq(pool_take(pool, 2 * MIB).data, NULL, "the bound counts whole slabs");
    pool_give(pool, block[0]);
    pool_give(pool, beside);
    beside = pool_take(pool, 4 * MIB);
    cr_expect_neq(beside.data, NULL, "and larger than a slab");
    pool_give(pool, beside);
    pool_destroy(pool);
}
