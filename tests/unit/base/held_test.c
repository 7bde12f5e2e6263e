/* held_test.c: counted memory is what is held, to the last byte. */
#include "base/held.h"

#include <criterion/criterion.h>
#include <stdlib.h>

Test(held, counts_what_is_held) {
    u64 before = held_bytes();
    char *first = held_take(malloc(1000));
    char *second = held_take(calloc(1, 100000));
    cr_assert(first != NULL && second != NULL);
    u64 both = held_bytes() - before;
    cr_expect(both >= 101000 && both < 120000, "%llu", (unsigned long long)both);
    first = held_resize(first, 50000);
    cr_assert(first != NULL);
    cr_expect(held_bytes() - before >= 150000);
    held_free(second);
    cr_expect(held_bytes() - before < 60000);
    cr_expect(held_take(NULL) == NULL);
    held_free(NULL);
    second = held_resize(NULL, 10);
    held_free(second);
    held_free(first);
    cr_expect_eq(held_bytes(), before);
}
