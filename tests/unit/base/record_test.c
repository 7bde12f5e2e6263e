/* record_test.c: records keep what they are given, grow by new tags, and refuse every damage. */
#include "base/record.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/hash.h"

struct old_shape {
    u32 id;
    i64 created_ms;
    char name[8];
};

struct shape {
    u32 id;
    i64 created_ms;
    i128 used;
    bool limited;
    char name[8];
    u8 digest[4];
    struct slice text;
};

static const struct record_member old_members[] = {
    RECORD(1, RECORD_U32, struct old_shape, id),
    RECORD(2, RECORD_I64, struct old_shape, created_ms),
    RECORD(5, RECORD_TEXT, struct old_shape, name),
};
static const struct record_member members[] = {
    RECORD(1, RECORD_U32, struct shape, id),     RECORD(2, RECORD_I64, struct shape, created_ms),
    RECORD(3, RECORD_I128, struct shape, used),  RECORD(4, RECORD_BOOL, struct shape, limited),
    RECORD(5, RECORD_TEXT, struct shape, name),  RECORD(900, RECORD_BYTES, struct shape, digest),
    RECORD(7, RECORD_SLICE, struct shape, text),
};

static struct slice write_shape(const struct shape *shape, char memory[256]) {
    struct slice record = {NULL, 0};
    cr_assert_eq(record_write(members, ARRAY_COUNT(members), shape, memory, 256, &record), ERR_OK);
    return record;
}

static void expect_same(const struct shape *a, const struct shape *b) {
    cr_assert(a->id == b->id && a->created_ms == b->created_ms && a->used == b->used);
    cr_assert(a->limited == b->limited && memcmp(a->digest, b->digest, 4) == 0);
    cr_assert_str_eq(a->name, b->name);
    cr_assert(a->text.bytes == b->text.bytes);
    cr_assert(a->text.bytes == 0 || memcmp(a->text.data, b->text.data, a->text.bytes) == 0);
}

Test(record, round_trip) {
    const struct shape shapes[] = {
        {0},
        {.id = UINT32_MAX, .created_ms = INT64_MAX, .used = -1, .limited = true},
        {.created_ms = INT64_MIN, .used = (i128)1 << 100, .name = "seven77"},
        {.id = 1, .created_ms = -1, .digest = {0, 0, 0, 9}, .text = SLICE("any\0thing")},
    };
    for (u32 i = 0; i < ARRAY_COUNT(shapes); i++) {
        char memory[256];
        struct slice record = write_shape(&shapes[i], memory);
        struct shape read;
        memset(&read, 0x55, sizeof read);
        cr_assert_eq(record_read(members, ARRAY_COUNT(members), record, &read), ERR_OK, "shape %u",
                     i);
        expect_same(&shapes[i], &read);
        /* Every flipped bit and every cut is seen. */
        for (usize bit = 0; bit < record.bytes * 8; bit++) {
            memory[bit / 8] = (char)(memory[bit / 8] ^ (1 << (bit % 8)));
            cr_assert_eq(record_read(members, ARRAY_COUNT(members), record, &read), ERR_CORRUPT);
            memory[bit / 8] = (char)(memory[bit / 8] ^ (1 << (bit % 8)));
        }
        for (usize bytes = 0; bytes < record.bytes; bytes++) {
            struct slice cut = {record.data, bytes};
            cr_assert_eq(record_read(members, ARRAY_COUNT(members), cut, &read), ERR_CORRUPT);
        }
    }
}

Test(record, formats_grow) {
    const struct shape full = {.id = 7,
                               .created_ms = 8,
                               .used = 9,
                               .limited = true,
                               .name = "n",
                               .digest = {1, 2, 3, 4},
                               .text = SLICE("text")};
    char memory[256];
    struct old_shape old;
    cr_assert_eq(
        record_read(old_members, ARRAY_COUNT(old_members), write_shape(&full, memory), &old),
        ERR_OK, "new tags are passed over");
    cr_assert(old.id == 7 && old.created_ms == 8 && strcmp(old.name, "n") == 0);

    struct slice record;
    struct shape read;
    cr_assert_eq(
        record_write(old_members, ARRAY_COUNT(old_members), &old, memory, sizeof memory, &record),
        ERR_OK);
    cr_assert_eq(record_read(members, ARRAY_COUNT(members), record, &read), ERR_OK);
    const struct shape expected = {.id = 7, .created_ms = 8, .name = "n"};
    expect_same(&expected, &read);
}

Test(record, what_does_not_fit) {
    struct shape shape = {.id = 1, .text = SLICE("0123456789")};
    char memory[256];
    struct slice record;
    usize needed = write_shape(&shape, memory).bytes;
    for (usize room = 1; room < needed; room++) {
        cr_assert_eq(record_write(members, ARRAY_COUNT(members), &shape, memory, room, &record),
                     ERR_LIMIT);
    }
    memset(shape.name, 'x', sizeof shape.name); /* no NUL */
    cr_assert_eq(record_write(members, ARRAY_COUNT(members), &shape, memory, 256, &record),
                 ERR_INVALID);

    /* Values of another type, or too large for their member. */
    struct {
        u32 tag;
        bool is_text;
        i64 number;
        struct slice text;
    } bad[] = {{1, false, -1, SLICE("")},    {1, false, (i64)UINT32_MAX + 1, SLICE("")},
               {4, false, 2, SLICE("")},     {5, true, 0, SLICE("12345678")},
               {900, true, 0, SLICE("123")}, {3, true, 0, SLICE("123456789012345")},
               {1, true, 0, SLICE("text")},  {7, false, 5, SLICE("")}};
    for (u32 i = 0; i < ARRAY_COUNT(bad); i++) {
        struct record_writer writer = record_writer(memory, sizeof memory);
        if (bad[i].is_text) {
            record_put_text(&writer, bad[i].tag, bad[i].text);
        } else {
            record_put_number(&writer, bad[i].tag, bad[i].number);
        }
        cr_assert_eq(record_end(&writer, &record), ERR_OK);
        cr_assert_eq(record_read(members, ARRAY_COUNT(members), record, &shape), ERR_CORRUPT, "%u",
                     i);
    }
}

/* Bytes as a record with the right checksum. */
static enum err read_bytes(const char *bytes, usize count, struct shape *out) {
    char memory[64];
    u32 sum = (u32)hash64(bytes, count, 0);
    memcpy(memory, bytes, count);
    memcpy(memory + count, &sum, sizeof sum);
    return record_read(members, ARRAY_COUNT(members), (struct slice){memory, count + sizeof sum},
                       out);
}

Test(record, what_is_no_record) {
    struct shape read;
    const struct {
        struct slice bytes;
        enum err err;
    } cases[] = {
        {SLICE("\1"), ERR_OK},
        {SLICE("\2"), ERR_VERSION},
        {SLICE(""), ERR_CORRUPT},
        {SLICE("\1\2"), ERR_CORRUPT},                                       /* no value */
        {SLICE("\1\2\x80"), ERR_CORRUPT},                                   /* half a value */
        {SLICE("\1\4\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), ERR_OK},      /* 2^64 - 1 */
        {SLICE("\1\4\xff\xff\xff\xff\xff\xff\xff\xff\xff\2"), ERR_CORRUPT}, /* more */
        {SLICE("\1\4\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\1"), ERR_CORRUPT},
        {SLICE("\1\0\1"), ERR_CORRUPT},       /* no tag */
        {SLICE("\1\xd2\x0f\1"), ERR_CORRUPT}, /* tag 1001 */
        {SLICE("\1\x0b\3ab"), ERR_CORRUPT},   /* a text that ends too early */
        {SLICE("\1\x0b\2ab"), ERR_OK},
    };
    for (u32 i = 0; i < ARRAY_COUNT(cases); i++) {
        enum err err = read_bytes(cases[i].bytes.data, cases[i].bytes.bytes, &read);
        cr_assert_eq(err, cases[i].err, "%u: %s", i, err_text(err));
    }
}

Test(record, lists) {
    char memory[256];
    struct slice record;
    struct record_writer writer = record_writer(memory, sizeof memory);
    for (i64 i = -2; i <= 2; i++) {
        record_put_number(&writer, 3, i * ((i64)1 << 40));
        record_put_text(&writer, 3, SLICE("each"));
    }
    cr_assert_eq(record_end(&writer, &record), ERR_OK);
    struct record_reader reader = record_reader(record);
    struct record_field field;
    for (i64 i = -2; i <= 2; i++) {
        cr_assert(record_next(&reader, &field) && field.tag == 3 && !field.is_text);
        cr_assert_eq(field.number, i * ((i64)1 << 40));
        cr_assert(record_next(&reader, &field) && field.tag == 3 && field.is_text);
        cr_assert(field.text.bytes == 4 && memcmp(field.text.data, "each", 4) == 0);
    }
    cr_assert(!record_next(&reader, &field));
    cr_assert_eq(reader.err, ERR_OK);
}
