/* index_test.c: an index gives every matching row, and few others, and shows every damage. */
#include "storage/index.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 100000

static u32 value_of(u32 dim, u32 row) {
    u64 mixed = (row + 1) * 0x9e3779b97f4a7c15u;
    mixed ^= mixed >> 31;
    switch (dim) {
    case DIM_CUSTOMER:
        return (u32)(mixed % 60000); /* rare */
    case DIM_MODEL:
        return (u32)(mixed % 300) * 7; /* common */
    case DIM_PROVIDER:
        return (u32)(mixed % 4); /* dense */
    case DIM_FEATURE:
        return row % 5 == 0 ? DIM_NONE : row < 50000 ? 1000000 + row / 500 : (u32)(mixed % 9);
    case DIM_SOURCE: /* one value for a long time */
        return row < 3000 ? 2 : 2 + (u32)(mixed % 5000);
    default:
        return INDEX_TRACE == dim ? (u32)(row / 3 * 2654435761u) : DIM_NONE;
    }
}

static const u32 *dims_of(void *context, u32 series) {
    u32(*dims)[STORE_DIMS] = context;
    for (u32 dim = 0; dim < STORE_DIMS; dim++) {
        dims[series][dim] = value_of(dim, series);
    }
    return dims[series];
}

static struct slice build(struct index_builder *builder, u32 rows) {
    struct slice index;
    static u32 series[ROWS];
    static u32 dims[ROWS][STORE_DIMS];
    index_begin(builder);
    for (u32 row = 0, count; row < rows; row += count) {
        count = MIN(1 + row % 1500, rows - row);
        for (u32 i = 0; i < count; i++) {
            u32 trace = value_of(INDEX_TRACE, row + i);
            series[i] = row + i;
            index_add_text(builder, INDEX_TRACE, (struct slice){(char *)&trace, 4}, row + i);
        }
        index_add_rows(builder, dims_of, dims, series, count);
    }
    cr_assert_eq(index_finish(builder, &index), ERR_OK);
    return index;
}

static struct index_term term_of(u32 dim, u32 row) {
    u32 value = value_of(dim, row);
    return (struct index_term){
        dim, dim < STORE_DIMS ? value : index_text_value((struct slice){(char *)&value, 4})};
}

/* Terms are those of row `like`. */
static void check_terms(struct slice index, u32 rows, const u32 *dims, u32 dim_count, u32 like,
                        bool exact) {
    struct index_term terms[4];
    struct index_rows *found;
    static u32 taken[ROWS];
    static bool given[ROWS];
    for (u32 i = 0; i < dim_count; i++) {
        terms[i] = term_of(dims[i], like);
    }
    cr_assert_eq(index_match(index, terms, dim_count, &found), ERR_OK);
    u32 count = index_rows_take(found, 0, rows, taken);
    memset(given, 0, sizeof given);
    for (u32 i = 0; i < count; i++) {
        cr_assert(taken[i] < rows && !given[taken[i]]);
        given[taken[i]] = true;
    }
    for (u32 row = 0; row < rows; row++) {
        bool match = true;
        for (u32 i = 0; i < dim_count; i++) {
            match = match && value_of(dims[i], row) == value_of(dims[i], like);
        }
        cr_assert(given[row] || !match, "row %u is missing", row);
        cr_assert(!exact || given[row] == match, "row %u should not be there", row);
    }
    u32 frame = like / FRAME_ROWS_MAX * FRAME_ROWS_MAX;
    cr_assert(index_rows_any(found, frame, frame + FRAME_ROWS_MAX));
    cr_assert(index_rows_any(found, like, like + 1));
    cr_assert_eq(index_rows_take(found, like, like + 1, taken), 1u);
    cr_assert_eq(taken[0], 0u);
    index_rows_free(found);
}

Test(index, finds_rows) {
    struct index_builder *builder;
    struct index_rows *found;
    cr_assert_eq(index_builder_create(&builder), ERR_OK);
    for (u32 round = 0; round < 2; round++) { /* a builder is used again */
        u32 rows = round == 0 ? ROWS : 700;
        struct slice index = build(builder, rows);
        cr_assert_eq(index_verify(index), ERR_OK);
        for (u32 like = 1; like < rows; like += rows / 23) {
            check_terms(index, rows, (u32[]){DIM_CUSTOMER}, 1, like, true);
            check_terms(index, rows, (u32[]){DIM_MODEL}, 1, like, round == 0);
            check_terms(index, rows, (u32[]){DIM_PROVIDER}, 1, like, false);
            check_terms(index, rows, (u32[]){DIM_SOURCE}, 1, like, false);
            check_terms(index, rows, (u32[]){INDEX_TRACE}, 1, like, true);
            check_terms(index, rows, (u32[]){DIM_CUSTOMER, DIM_MODEL}, 2, like, true);
            check_terms(index, rows, (u32[]){DIM_PROVIDER, DIM_MODEL}, 2, like, false);
            if (like % 5 != 0) {
                check_terms(index, rows, (u32[]){DIM_FEATURE}, 1, like, false);
            }
        }
        struct index_term none = {DIM_CUSTOMER, 4000000000u};
        cr_assert_eq(index_match(index, &none, 1, &found), ERR_OK);
        cr_assert(!index_rows_any(found, 0, rows));
        index_rows_free(found);
        none = (struct index_term){DIM_COST_TYPE, 0};
        cr_assert_eq(index_match(index, &none, 1, &found), ERR_OK);
        cr_assert(!index_rows_any(found, 0, rows));
        index_rows_free(found);
        cr_assert(round == 1 || index.bytes < ROWS * 12, "%zu bytes", index.bytes);
    }
    index_builder_destroy(builder);
}

Test(index, shows_damage) {
    struct index_builder *builder;
    cr_assert_eq(index_builder_create(&builder), ERR_OK);
    struct slice index = build(builder, 3000);
    u8 *copy = malloc(index.bytes);
    cr_assert(copy != NULL);
    memcpy(copy, index.data, index.bytes);
    struct slice damaged = {(char *)copy, index.bytes};
    for (usize at = 0; at < index.bytes; at += at < 400 ? 1 : 37) {
        copy[at] ^= 0x10;
        cr_assert_eq(index_verify(damaged), ERR_CORRUPT, "byte %zu", at);
        copy[at] ^= 0x10;
    }
    cr_assert_eq(index_verify(damaged), ERR_OK);
    for (usize bytes = 0; bytes < index.bytes; bytes += 97) {
        damaged.bytes = bytes;
        cr_assert_eq(index_verify(damaged), ERR_CORRUPT, "%zu bytes", bytes);
    }
    free(copy);
    index_builder_destroy(builder);
}
