/* table_test.c: the hash table against a list, with removals that must not break chains. */
#include "agg/state.h"

#include <criterion/criterion.h>

#define ITEMS 5000

static u64 hash_of(u32 index) {
    return (u64)(index % 700) << 33 | (index % 3); /* many collide */
}

static bool finds(const struct table *table, u32 index) {
    u32 cursor = 0;
    for (;;) {
        u32 found = table_next(table, hash_of(index), &cursor);
        if (found == UINT32_MAX || found == index) {
            return found == index;
        }
    }
}

Test(table, removal_keeps_chains) {
    struct heap heap;
    heap_init(&heap);
    struct table table = {0};
    bool inside[ITEMS] = {false};
    u32 count = 0;
    u32 state = 12345;
    cr_assert(!finds(&table, 3));
    for (u32 step = 0; step < 20000; step++) {
        state = state * 1664525 + 1013904223;
        u32 index = (state >> 8) % ITEMS;
        if (inside[index]) {
            table_remove(&table, hash_of(index), index);
            count--;
        } else {
            cr_assert(table_reserve(&table, &heap, hash_of(index)));
            table_put(&table, hash_of(index), index);
            count++;
        }
        inside[index] = !inside[index];
        cr_assert_eq(table.count, count);
        if (step % 1000 == 0) {
            for (u32 i = 0; i < ITEMS; i++) {
                cr_assert_eq(finds(&table, i), inside[i]);
            }
        }
    }
    heap_destroy(&heap);
}
