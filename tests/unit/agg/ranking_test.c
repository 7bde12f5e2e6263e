/* ranking_test.c: the best of many keys, against sorting them all. */
#include "agg/ranking.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static int descending(const void *left, const void *right) {
    i128 a = *(const i128 *)left;
    i128 b = *(const i128 *)right;
    return (a < b) - (a > b);
}

static u64 state = 7;

static u32 random_below(u32 bound) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (u32)((state >> 32) * bound >> 32);
}

static void compare_best(u32 count, u32 k, u32 different) {
    u32 groups = (count + RANKING_GROUP - 1) / RANKING_GROUP;
    struct ranking ranking = {.count = count, .keys = malloc((count + 1) * sizeof(i128))};
    ranking.greatest = malloc((groups + 1) * sizeof(i128));
    i128 *sorted = malloc((count + 1) * sizeof(i128));
    u32 *places = malloc((count + 1) * sizeof(u32));
    cr_assert(ranking.keys && ranking.greatest && sorted && places);
    u32 present = 0;
    for (u32 i = 0; i < count; i++) {
        i128 key = random_below(20) == 0
                       ? RANKING_NONE
                       : ((i128)random_below(different) - different / 2) * ((i128)1 << 70);
        present += key != RANKING_NONE;
        ranking.keys[i] = sorted[i] = key;
        u32 group = i / RANKING_GROUP;
        ranking.greatest[group] = i % RANKING_GROUP == 0 ? key : MAX(ranking.greatest[group], key);
    }
    qsort(sorted, count, sizeof *sorted, descending);
    u32 found = count;
    cr_assert(ranking_best(&ranking, k, places, &found));
    u32 expected = MIN(k, present);
    cr_assert_geq(found, expected);
    i128 bound = expected == 0 ? RANKING_NONE : sorted[expected - 1];
    u32 good = 0;
    u32 ties = 0;
    for (u32 i = 0; i < found; i++) {
        cr_assert(ranking.keys[places[i]] != RANKING_NONE);
        good += ranking.keys[places[i]] >= bound;
    }
    for (u32 i = 0; i < present; i++) {
        ties += sorted[i] >= bound;
    }
    cr_assert_eq(good,
                 expected == 0 ? found : ties); /* all that may belong to the best are there */
    if (found > 0) {
        u32 room = found - 1;
        cr_assert(!ranking_best(&ranking, k, places, &room));
    }
    free(ranking.keys);
    free(ranking.greatest);
    free(sorted);
    free(places);
}

Test(ranking, best_are_those_of_a_sort) {
    for (u32 round = 0; round < 300; round++) {
        u32 count = random_below(round % 2 == 0 ? 3000 : 200);
        compare_best(count, 1 + random_below(60), round % 3 == 0 ? 5 : 1000000);
    }
}
