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

/* Some keys, of which the ranking knows the groups' maxima, and which reach its bound. */
static void draw_keys(struct ranking *ranking, i128 *sorted, u32 different) {
    ranking->present = 0;
    for (u32 i = 0; i < ranking->count; i++) {
        i128 key = random_below(20) == 0
                       ? RANKING_NONE
                       : ((i128)random_below(different) - different / 2) * ((i128)1 << 70);
        ranking->present += key != RANKING_NONE;
        ranking->keys[i] = sorted[i] = key;
        u32 group = i / RANKING_GROUP;
        ranking->greatest[group] =
            i % RANKING_GROUP == 0 ? key : MAX(ranking->greatest[group], key);
        ranking->reached[group] &= i % RANKING_GROUP == 0 ? 0 : UINT64_MAX;
        ranking->reached[group] |= (u64)(key >= ranking->bound) << i % RANKING_GROUP;
    }
    qsort(sorted, ranking->count, sizeof *sorted, descending);
}

/* Exactly the best are there, with those that tie with the last. */
static void compare_best(struct ranking *ranking, const i128 *sorted, u32 k) {
    cr_assert(ranking_best(ranking, k));
    u32 expected = MIN(k, ranking->present);
    while (expected > 0 && expected < ranking->present &&
           sorted[expected] == sorted[expected - 1]) {
        expected++;
    }
    cr_assert_eq(ranking->best_count, expected);
    for (u32 i = 0; i < expected; i++) {
        const struct ranked *ranked = &ranking->best[i];
        cr_assert(ranked->key == ranking->keys[ranked->place]);
        cr_assert(ranked->key >= sorted[expected - 1]);
        for (u32 j = 0; j < i; j++) {
            cr_assert_neq(ranking->best[j].place, ranked->place);
        }
    }
}

/* With what one question leaves behind for the next, of other keys or more or fewer of them. */
static void ask_some(u32 count, u32 different) {
    u32 groups = (count + RANKING_GROUP - 1) / RANKING_GROUP;
    struct ranking ranking = {.count = count, .keys = malloc((count + 1) * sizeof(i128))};
    ranking.greatest = malloc((groups + 1) * sizeof(i128));
    ranking.reached = calloc(groups + 1, sizeof(u64));
    i128 *sorted = malloc((count + 1) * sizeof(i128));
    cr_assert(ranking.keys && ranking.greatest && ranking.reached && sorted);
    for (u32 i = 0; i < 3; i++) {
        draw_keys(&ranking, sorted, i == 1 ? different * 3 / 4 + 1 : different);
        compare_best(&ranking, sorted, 1 + random_below(60));
        compare_best(&ranking, sorted, 1 + random_below(60));
    }
    free(ranking.keys);
    free(ranking.greatest);
    free(ranking.reached);
    free(ranking.best);
    free(sorted);
}

Test(ranking, best_are_those_of_a_sort) {
    for (u32 round = 0; round < 300; round++) {
        u32 count = random_below(round % 2 == 0 ? 3000 : 200);
        ask_some(count, round % 3 == 0 ? 5 : 1000000);
    }
}

Test(ranking, more_that_tie_than_fit_are_told) {
    struct ranking ranking = {.count = RANKED_MAX + 1, .present = RANKED_MAX + 1};
    ranking.keys = calloc(ranking.count, sizeof(i128));
    ranking.greatest = calloc(ranking.count / RANKING_GROUP + 1, sizeof(i128));
    ranking.reached = calloc(ranking.count / RANKING_GROUP + 1, sizeof(u64));
    cr_assert(ranking.keys && ranking.greatest && ranking.reached);
    cr_assert(!ranking_best(&ranking, 10));
    ranking.count--;
    cr_assert(ranking_best(&ranking, 10));
    cr_assert_eq(ranking.best_count, RANKED_MAX);
    free(ranking.keys);
    free(ranking.greatest);
    free(ranking.reached);
    free(ranking.best);
}
