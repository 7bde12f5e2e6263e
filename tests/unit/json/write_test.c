/* write_test.c: what is written is JSON, exact, and reads back as it was. */
#include "json/write.h"

#include <criterion/criterion.h>
#include <string.h>

#include "json/reader.h"

static void expect(struct buf *buf, const char *wanted) {
    cr_assert_not(buf->failed);
    cr_assert_eq(buf->bytes, strlen(wanted), "%.*s", (int)buf->bytes, buf->data);
    cr_assert_eq(memcmp(buf->data, wanted, buf->bytes), 0, "%.*s", (int)buf->bytes, buf->data);
    buf_clear(buf);
}

Test(write, nesting_and_commas) {
    struct buf buf;
    buf_init(&buf, MIB);
    struct json_writer json = json_writer(&buf);
    json_object_begin(&json);
    json_key(&json, "a");
    json_array_begin(&json);
    json_array_end(&json);
    json_key(&json, "b");
    json_array_begin(&json);
    json_i64(&json, -5);
    json_null(&json);
    json_object_begin(&json);
    json_object_end(&json);
    json_bool(&json, true);
    json_u64(&json, UINT64_MAX);
    json_array_end(&json);
    json_key(&json, "c");
    json_text(&json, "x");
    json_key(&json, "d");
    json_raw(&json, SLICE("[1]"));
    json_key(&json, "t");
    json_time(&json, 1777638896789);
    json_object_end(&json);
    expect(&buf, "{\"a\":[],\"b\":[-5,null,{},true,18446744073709551615],\"c\":\"x\",\"d\":[1],"
                 "\"t\":\"2026-05-01T12:34:56.789Z\"}");
    buf_free(&buf);
}

Test(write, strings_read_back) {
    struct buf buf;
    buf_init(&buf, MIB);
    struct json_writer json = json_writer(&buf);
    json_text(&json, "\" \\ \n\r\t\b\f \x01 \x1f \x7f \xc3\xa9 /");
    expect(&buf, "\"\\\" \\\\ \\n\\r\\t\\b\\f \\u0001 \\u001f \x7f \xc3\xa9 /\"");
    for (u32 c = 1; c < 128; c++) {
        char text[3] = {'a', (char)c, 'b'};
        json = json_writer(&buf);
        json_string(&json, (struct slice){text, 3});
        struct json_reader reader = json_reader(buf.data, buf.bytes);
        struct slice back;
        cr_assert(json_read_string(&reader, &back) && json_read_finish(&reader));
        cr_assert(back.bytes == 3 && memcmp(back.data, text, 3) == 0, "%u", c);
        buf_clear(&buf);
    }
    buf_free(&buf);
}

Test(write, decimals) {
    static const struct {
        i64 value;
        u32 scale;
        const char *text;
    } cases[] = {{70500000, 12, "0.0000705"},
                 {0, 12, "0"},
                 {-1, 12, "-0.000000000001"},
                 {5, 0, "5"},
                 {-50, 1, "-5"},
                 {1500000, 6, "1.5"},
                 {1000000, 6, "1"},
                 {100, 2, "1"},
                 {-1050, 3, "-1.05"},
                 {INT64_MIN, 0, "-9223372036854775808"}};
    struct buf buf;
    buf_init(&buf, MIB);
    for (usize i = 0; i < ARRAY_COUNT(cases); i++) {
        struct json_writer json = json_writer(&buf);
        json_decimal(&json, cases[i].value, cases[i].scale);
        expect(&buf, cases[i].text);
    }
    struct json_writer json = json_writer(&buf);
    i128 most = (i128)(((u128)1 << 127) - 1);
    json_decimal(&json, most, 12);
    expect(&buf, "170141183460469231731687303.715884105727");
    json = json_writer(&buf);
    json_decimal(&json, -most - 1, 39);
    expect(&buf, "-0.170141183460469231731687303715884105728");
    buf_free(&buf);
}
