/* row_test.c: rows overflow into wide sums and never lose a bit. */
#include "agg/row.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct heap heap;
static struct undo undo;
static struct array wides;

static void make(void) {
    heap_init(&heap);
    cr_assert(array_init(&wides, &heap, &undo, 0, sizeof(struct sums), 4, 1000));
    cr_assert(array_reserve(&wides, 1));
    cr_assert_eq(array_push(&wides), 0); /* 0 means none */
}

static struct event_batch *batch_of(i64 cost, i64 tokens) {
    struct event_batch *batch = calloc(1, sizeof *batch);
    cr_assert_not_null(batch);
    batch->count = 1;
    batch->present[0] =
        NUM_BIT(NUM_TIME) | NUM_BIT(NUM_COST) | NUM_BIT(NUM_INPUT) | NUM_BIT(NUM_DURATION);
    batch->number[NUM_COST][0] = cost;
    batch->number[NUM_INPUT][0] = tokens;
    batch->number[NUM_DURATION][0] = 7;
    batch->cost_source[0] = COST_UNPRICED;
    return batch;
}

static void add_many(i64 cost, i64 tokens, u32 times) {
    make();
    struct event_batch *batch = batch_of(cost, tokens);
    struct delta delta;
    delta_read(&delta, batch, 0);
    struct row row = {.series = 3, .stamp = 9, .last = 5};
    for (u32 i = 1; i <= times; i++) {
        row_add(&row, &delta, &wides, TIME_NONE, 0);
    }
    struct sums sums = {0};
    row_read(&row, &wides, &sums);
    cr_assert_eq(sums.events, times);
    cr_assert(sums.cost == (i128)cost * times);
    cr_assert_eq(sums.input, (u64)tokens * times);
    cr_assert_eq(sums.duration_ms, (u64)7 * times);
    cr_assert_eq(sums.durations, times);
    cr_assert_eq(sums.unpriced, times);
    cr_assert(sums.revenue == 0 && sums.usage == 0 && sums.output == 0);
    cr_assert_eq(row.series, 3);
    cr_assert_eq(row.stamp, 9);
    cr_assert_eq(row.last, 5);
    free(batch);
    heap_destroy(&heap);
}

Test(row, every_field_overflows_exactly) {
    add_many(1, 1, 32767);
    add_many(1, 1, 32768);
    add_many(1, 1, 100000);                /* counts */
    add_many(((i64)1 << 61) + 1, 1, 9);    /* money */
    add_many(-((i64)1 << 62), 1, 9);       /* the least that fits */
    add_many(INT64_MAX, 1, 9);             /* never fits */
    add_many(INT64_MIN, 1, 9);             /* nor does this */
    add_many(1, ((i64)1 << 31) - 1, 9);    /* tokens */
    add_many(1, (i64)1 << 31, 9);          /* tokens of one event */
    add_many(-5, EVENT_TOKENS_MAX, 40000); /* all of it */
}

/* Moving rows from one band to another leaves both exact, however they overflowed. */
Test(row, what_is_taken_away_arrives) {
    make();
    struct event_batch *small = batch_of(11, 13);
    struct event_batch *large = batch_of(EVENT_MONEY_MAX, EVENT_TOKENS_MAX);
    struct delta deltas[2];
    delta_read(&deltas[0], small, 0);
    delta_read(&deltas[1], large, 0);
    cr_assert(!deltas[0].wide && deltas[1].wide);
    struct row all = {0};
    struct row part = {0};
    struct row other = {0};
    for (u32 i = 0; i < 70000; i++) {
        const struct delta *delta = &deltas[i % 1000 == 0];
        row_add(&all, delta, &wides, TIME_NONE, 0);
        if (i % 2 == 0) {
            row_add(&part, delta, &wides, TIME_NONE, 0);
        }
    }
    row_subtract(&all, &part, &wides);
    row_merge(&other, &part, &wides);
    struct sums left = {0};
    struct sums moved = {0};
    row_read(&all, &wides, &left);
    row_read(&other, &wides, &moved);
    cr_assert_eq(left.events, 35000);
    cr_assert_eq(moved.events, 35000);
    cr_assert(left.cost == (i128)11 * 35000);
    cr_assert(moved.cost == (i128)11 * 34930 + (i128)EVENT_MONEY_MAX * 70);
    cr_assert_eq(left.input, 13u * 35000u);
    cr_assert_eq(moved.input, 13u * 34930u + (u64)EVENT_TOKENS_MAX * 70u);
    free(small);
    free(large);
    heap_destroy(&heap);
}
