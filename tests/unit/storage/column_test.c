/* column_test.c: which coding a column gets, what it costs, and what is refused. */
#include "storage/column.h"

#include <criterion/criterion.h>
#include <string.h>

static u8 packed[COLUMN_BYTES_MAX(FRAME_ROWS_MAX)];
static i64 values[FRAME_ROWS_MAX];
static i64 back[FRAME_ROWS_MAX];

/* Packs `count` values, checks coding and size, and that they come back. */
static void check_coding(u32 count, const char *coding, usize bytes_most) {
    usize bytes = column_pack(packed, values, count);
    cr_assert_str_eq(column_coding(packed, bytes), coding);
    cr_assert_leq(bytes, bytes_most, "%s of %u: %zu bytes", coding, count, bytes);
    memset(back, 0xee, sizeof back);
    cr_assert(column_unpack(packed, bytes, back, count));
    cr_assert(memcmp(values, back, count * sizeof *back) == 0, "%s of %u", coding, count);
    if (count < FRAME_ROWS_MAX) {
        cr_assert_eq(back[count], (i64)0xeeeeeeeeeeeeeeee, "wrote past the end");
    }
}

Test(column, codings) {
    for (u32 i = 0; i < FRAME_ROWS_MAX; i++) {
        values[i] = -7;
    }
    check_coding(FRAME_ROWS_MAX, "constant", 2);
    check_coding(1, "constant", 2);
    for (u32 i = 0; i < FRAME_ROWS_MAX; i++) {
        values[i] = 1000000 + (i64)(i * 37 % 101);
    }
    check_coding(FRAME_ROWS_MAX, "packed", 16 + FRAME_ROWS_MAX * 7 / 8);
    for (u32 i = 0; i < FRAME_ROWS_MAX; i++) {
        values[i] = 150000 * (i64)(i * 7919 % 1000) + 5;
    }
    check_coding(FRAME_ROWS_MAX, "divided", 16 + FRAME_ROWS_MAX * 10 / 8);
    for (u32 i = 0; i < FRAME_ROWS_MAX; i++) {
        values[i] = 1700000000000 + (i64)i * 1000 + (i64)(i * 31 % 7);
    }
    check_coding(FRAME_ROWS_MAX, "delta", 32 + FRAME_ROWS_MAX * 4 / 8);
    for (u32 i = 0; i < FRAME_ROWS_MAX; i++) {
        values[i] = i % 2 ? INT64_MAX : INT64_MIN;
    }
    check_coding(FRAME_ROWS_MAX, "divided", 40 + FRAME_ROWS_MAX / 8);
    values[5] = 0;
    values[6] = 3;
    check_coding(FRAME_ROWS_MAX, "packed", 40 + FRAME_ROWS_MAX * 8);
}

Test(column, all_widths_and_counts) {
    for (u32 width = 0; width <= 64; width++) {
        u64 mask = width == 64 ? UINT64_MAX : ((u64)1 << width) - 1;
        for (u32 count = 1; count <= FRAME_ROWS_MAX; count = count * 3 / 2 + 1) {
            u64 from = 12345 + width;
            for (u32 i = 0; i < count; i++) {
                from = from * 6364136223846793005u + 1442695040888963407u;
                values[i] = (i64)((from ^ from >> 29) & mask);
            }
            usize bytes = column_pack(packed, values, count);
            cr_assert_leq(bytes + 8, COLUMN_BYTES_MAX(count));
            cr_assert(column_unpack(packed, bytes, back, count), "width %u count %u", width, count);
            cr_assert(memcmp(values, back, count * sizeof *back) == 0, "width %u count %u", width,
                      count);
            cr_assert(!column_unpack(packed, bytes - 1, back, count), "cut");
            packed[bytes] = 0;
            cr_assert(!column_unpack(packed, bytes + 1, back, count), "one byte more");
        }
    }
}

Test(column, refuses) {
    static const struct {
        const char *what;
        u8 bytes[16];
        u32 size;
    } cases[] = {
        {"empty", {0}, 0},
        {"coding alone", {0}, 1},
        {"unknown coding", {9, 0, 0}, 3},
        {"constant with a tail", {0, 2, 2}, 3},
        {"endless varint", {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 11},
        {"65 bits", {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, 11},
        {"divisor 0", {1, 0, 0, 2, 1}, 5},
        {"width 65", {1, 0, 1, 65, 0}, 5},
        {"width 57", {1, 0, 1, 57, 0, 0, 0, 0, 0, 0, 0, 0}, 12},
        {"no width", {1, 0, 1}, 3},
        {"too few bits", {1, 0, 1, 9, 0}, 5},
        {"delta cut", {2, 0, 1, 0}, 4},
    };
    for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
        cr_assert(!column_unpack(cases[i].bytes, cases[i].size, back, 1), "%s", cases[i].what);
    }
    i64 constant;
    static const u8 good[] = {0, 3};
    cr_assert(column_constant(good, 2, &constant) && constant == -2);
    cr_assert(!column_constant(good, 1, &constant));
}
