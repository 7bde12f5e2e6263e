/*
 * reader_test.c: what is JSON and what is not, each case with every kernel, at the edge of an
 * unreadable page; then the typed steps and their errors.
 */
#include "json/reader.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/guard.h"

static struct guard guard;

static bool accepts(const char *text, usize bytes, const struct scan_kernel *scan,
                    struct json_cursor *cursor) {
    const char *at = guard_copy(&guard, (struct slice){text, bytes}, 0, 0);
    struct json_value value;
    *cursor = json_cursor(at, bytes, scan);
    json_space(cursor);
    return json_step_value(cursor, JSON_DEPTH_MAX, &value) && json_step_end(cursor);
}

static void expect(const char *text, usize bytes, bool good, i64 position) {
    const struct scan_kernel *kernels[SCAN_KERNELS_MAX];
    u32 count = scan_list(kernels);
    for (u32 i = 0; i < count; i++) {
        struct json_cursor cursor;
        bool accepted = accepts(text, bytes, kernels[i], &cursor);
        cr_assert_eq(accepted, good, "%s: %.*s", kernels[i]->name, (int)bytes, text);
        if (!good) {
            cr_assert_not_null(cursor.error);
            cr_assert(position < 0 || cursor.error_at - cursor.begin == position, "%s: %.*s at %td",
                      kernels[i]->name, (int)bytes, text, cursor.error_at - cursor.begin);
        }
    }
}

Test(reader, accepts) {
    static const char *const good[] = {
        "[]",
        "{}",
        " [ ] ",
        "[[]]",
        "[1,2]",
        "{\"a\":1}",
        "{\"a\":{\"b\":[null,true,false]}}",
        "\"\"",
        "1",
        "-0",
        "null",
        "true",
        " 1 ",
        "[1e1,1E1,1e+1,1e-1,0.1e1]",
        "{\"\":0}",
        "{\"a\":1,\"a\":2}",
        "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"]",
        "[\"\\ud83d\\ude00\"]",
        "[\"\\ud83d\"]",
        "[\"\\u0000\"]",
        "[\"\x7f\"]",
        "[\"\xc2\x80\"]",
        "[\"\xed\x9f\xbf\"]",
        "[\"\xee\x80\x80\"]",
        "[\"\xf4\x8f\xbf\xbf\"]",
        "[\"\xef\xbf\xbf\"]",
        "\t\r\n [\t\r\n1\t\r\n,\t\r\n2\t\r\n]\t\r\n",
        "{ \"a\" : 1 , \"b\" : [ ] }",
        "[123456789012345678901234567890]",
        "[-123.456e-789]",
    };
    guard = guard_create(64 * KIB);
    for (usize i = 0; i < ARRAY_COUNT(good); i++) {
        expect(good[i], strlen(good[i]), true, 0);
    }
    guard_destroy(&guard);
}

struct refusal {
    const char *text;
    i64 position; /* -1: not looked at */
};

static const struct refusal bad[] = {
    {"", 0},
    {" ", 1},
    {"[", 1},
    {"]", 0},
    {"[1", 2},
    {"[1,", 3},
    {"[1,]", 3},
    {"[,1]", 1},
    {"[1,,2]", 3},
    {"[1 2]", 3},
    {"{", 1},
    {"{\"a\"", 4},
    {"{\"a\":", 5},
    {"{\"a\":1", 6},
    {"{\"a\":1,}", 7},
    {"{,}", 1},
    {"{a:1}", 1},
    {"{'a':1}", 1},
    {"{1:1}", 1},
    {"{\"a\" 1}", 5},
    {"{\"a\":1 \"b\":2}", 7},
    {"{\"a\":1}}", 7},
    {"[1]]", 3},
    {"[1]x", 3},
    {"1 2", 2},
    {"{]", 1},
    {"[}", 1},
    {"[{]", 2},
    {"nul", 0},
    {"nulll", 4},
    {"True", 0},
    {"NaN", 0},
    {"[Infinity]", 1},
    {"[01]", 2},
    {"[+1]", 1},
    {"[.5]", 1},
    {"[1.]", 1},
    {"[1e]", 1},
    {"[1e+]", 1},
    {"[-]", 1},
    {"[0x1]", 2},
    {"[1_0]", 2},
    {"\"", 1},
    {"\"a", 2},
    {"\"\\", 1},
    {"\"\\\"", 3},
    {"\"\\x41\"", 1},
    {"\"\\u12\"", 1},
    {"\"\\u12g4\"", 1},
    {"\"\\U0041\"", 1},
    {"\"a\nb\"", 2},
    {"\"\x01\"", 1},
    {"\"\x1f\"", 1},
    {"[\"a\tb\"]", 3},
    {"\"\x80\"", 1},
    {"\"\xc0\x80\"", 1},
    {"\"\xc1\xbf\"", 1},
    {"\"\xc3\"", 1},
    {"\"\xe0\x80\x80\"", 1},
    {"\"\xe2\x82\"", 1},
    {"\"\xed\xa0\x80\"", 1},
    {"\"\xf0\x80\x80\x80\"", 1},
    {"\"\xf4\x90\x80\x80\"", 1},
    {"\"\xf5\x80\x80\x80\"", 1},
    {"\"\xff\"", 1},
    {"\"ab\xe2\x28\xa1\"", 3},
    {"\xef\xbb\xbf[]", 0},
    {"[\xc3\xa9]", 1},
    {"[1]\x0b", 3},
    {"\x0c[]", 0},
    {"[1/*x*/]", 2},
    {"//\n[]", 0},
    {"['a']", 1},
    {"{\"a\":\"b\"", 8},
    {"[\"a\",\n\"b]", 9},
    {"{\"a\":tru}", 5},
    {"[fals]", 1},
};

Test(reader, refuses) {
    guard = guard_create(64 * KIB);
    for (usize i = 0; i < ARRAY_COUNT(bad); i++) {
        expect(bad[i].text, strlen(bad[i].text), false, bad[i].position);
    }
    expect("[\"a\0b\"]", 7, false, 3);
    expect("[1\0]", 4, false, 2);
    guard_destroy(&guard);
}

Test(reader, depth) {
    guard = guard_create(64 * KIB);
    char text[1000];
    for (usize depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
        for (usize i = 0; i < depth; i++) {
            text[i] = '[';
            text[2 * depth - 1 - i] = ']';
        }
        expect(text, 2 * depth, depth <= JSON_DEPTH_MAX, JSON_DEPTH_MAX);
    }
    memset(text, '[', sizeof text);
    expect(text, sizeof text, false, JSON_DEPTH_MAX);
    guard_destroy(&guard);
}

Test(reader, every_prefix_is_refused) {
    static const char text[] = "{\"a\":[1,-2.5e3,\"x\\u00e9\\n\",{\"b\":null}],\"c\":true}";
    guard = guard_create(64 * KIB);
    expect(text, sizeof text - 1, true, 0);
    for (usize bytes = 0; bytes < sizeof text - 1; bytes++) {
        expect(text, bytes, false, -1);
    }
    guard_destroy(&guard);
}

static struct json_reader start(char *copy, const char *text) {
    strcpy(copy, text);
    return json_reader(copy, strlen(text));
}

Test(reader, typed_steps) {
    char copy[256];
    struct json_reader r =
        start(copy, " {\"s\":\"a\\n\\u00e9\\u0000b\",\"i\":5.0,\"d\":1.25e-2,\"b\":true,"
                    "\"n\":null,\"skip\":[{}],\"raw\":\"q\",\"l\":[1,2,3]} ");
    struct slice name;
    struct slice text = {NULL, 0};
    struct slice raw = {NULL, 0};
    i64 whole = 0;
    i64 decimal = 0;
    i64 sum = 0;
    bool yes = false;
    bool was_null = false;
    cr_assert_eq(json_read_kind(&r), JSON_OBJECT);
    cr_assert(json_read_object(&r));
    while (json_read_member(&r, &name)) {
        if (slice_is(name, "s")) {
            json_read_string(&r, &text);
        } else if (slice_is(name, "i")) {
            json_read_i64(&r, &whole);
        } else if (slice_is(name, "d")) {
            json_read_decimal(&r, 12, NUMBER_HALF_EVEN, &decimal);
        } else if (slice_is(name, "b")) {
            json_read_bool(&r, &yes);
        } else if (slice_is(name, "n")) {
            was_null = json_read_null(&r);
        } else if (slice_is(name, "raw")) {
            json_read_raw(&r, &raw);
        } else if (slice_is(name, "l")) {
            json_read_array(&r);
            while (json_read_element(&r)) {
                i64 element = 0;
                json_read_i64(&r, &element);
                sum = sum * 10 + element;
            }
        } else {
            json_read_skip(&r);
        }
    }
    cr_assert(json_read_finish(&r), "%s", r.error.text);
    cr_assert(slice_is(text, "a\n\xc3\xa9"
                             "b"));
    cr_assert(whole == 5 && decimal == 12500000000 && yes && was_null && sum == 123);
    cr_assert(slice_is(raw, "\"q\""));
}

static struct json_error read_limit(const char *text) {
    char copy[256];
    struct json_reader r = start(copy, text);
    struct slice name;
    i64 value;
    if (json_read_object(&r)) {
        while (json_read_member(&r, &name)) {
            json_read_i64(&r, &value);
        }
    }
    cr_assert_eq(json_read_finish(&r), r.error.code == ERR_OK);
    return r.error;
}

Test(reader, errors) {
    static const struct {
        const char *text;
        enum err code;
        usize position;
    } cases[] = {{"{\"a\":1}", ERR_OK, 0},
                 {"{\"a\":\"x\"}", ERR_INVALID, 5},
                 {"[1]", ERR_INVALID, 0},
                 {"{\"a\":1.5}", ERR_INVALID, 5},
                 {"{\"a\":99999999999999999999}", ERR_LIMIT, 5},
                 {"{\"a\":1,}", ERR_INVALID, 7},
                 {"{\"a\":1 2}", ERR_INVALID, 7},
                 {"{\"a\":1}x", ERR_INVALID, 7},
                 {"{\"a\":[1}", ERR_INVALID, 7},
                 {"{\"\\ud800\":1}", ERR_INVALID, 1},
                 {"{\"a\":1", ERR_INVALID, 6}};
    for (usize i = 0; i < ARRAY_COUNT(cases); i++) {
        struct json_error error = read_limit(cases[i].text);
        cr_assert_eq(error.code, cases[i].code, "%s: %s", cases[i].text, error.text);
        cr_assert_eq(error.position, cases[i].position, "%s at %zu", cases[i].text, error.position);
    }
}

Test(reader, unescapes) {
    static const struct {
        const char *from;
        const char *to;
    } cases[] = {{"", ""},
                 {"abc", "abc"},
                 {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
                 {"\\u0041\\u00e9\\u20AC", "A\xc3\xa9\xe2\x82\xac"},
                 {"\\ud83d\\ude00!", "\xf0\x9f\x98\x80!"},
                 {"\\ud83dx", "\xef\xbf\xbdx"},
                 {"\\udc00", "\xef\xbf\xbd"},
                 {"\\u0000a\\u0000", "a"}};
    for (usize i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[64];
        strcpy(text, cases[i].from);
        struct slice escaped = {text, strlen(text)};
        usize wanted = strlen(cases[i].to);
        cr_assert_eq(json_unescape(escaped, NULL, 0), wanted);
        char small[2] = {'#', '#'};
        cr_assert_eq(json_unescape(escaped, small, 1), wanted);
        cr_assert_eq(small[1], '#');
        cr_assert_eq(json_unescape(escaped, text, sizeof text), wanted, "%s", cases[i].from);
        cr_assert_eq(memcmp(text, cases[i].to, wanted), 0, "%s", cases[i].from);
    }
}
