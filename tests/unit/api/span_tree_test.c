/* span_tree_test.c: the tree of spans for every odd way in which parents can be named. */
#include <criterion/criterion.h>
#include <string.h>

#include "api/span_tree.h"

#define ROWS_MAX 16

static struct text_ref add_text(struct event_rows *rows, const char *text) {
    struct text_ref ref = {(u32)rows->text.bytes, (u32)strlen(text)};
    buf_put_text(&rows->text, text);
    return ref;
}

/* Writes the tree of (span, parent) pairs, each row's id being its place from 1 on. */
static void expect_tree(const char *const (*pairs)[2], u32 count, const char *expected) {
    struct event_row storage[ROWS_MAX];
    struct event_rows rows = {.rows = storage, .count = count};
    buf_init(&rows.text, KIB);
    buf_put_text(&rows.text, "x"); /* an absent id is an empty range of some text */
    for (u32 i = 0; i < count; i++) {
        storage[i] = (struct event_row){.id = i + 1};
        storage[i].span = add_text(&rows, pairs[i][0]);
        storage[i].parent = add_text(&rows, pairs[i][1]);
    }
    struct buf out;
    buf_init(&out, 64 * KIB);
    struct json_writer json = json_writer(&out);
    cr_assert_eq(span_tree_write(&json, &rows), ERR_OK);
    buf_put_char(&out, '\0');
    cr_assert_str_eq(out.data, expected);
    buf_free(&out);
    buf_free(&rows.text);
}

#define NODE(span, id, children)                                                                   \
    "{\"span_id\":" span ",\"event_id\":" id ",\"children\":[" children "]}"

Test(span_tree, shapes) {
    static const char *const family[][2] = {{"r", ""}, {"a", "r"}, {"b", "r"}, {"c", "a"}};
    expect_tree(
        family, 4,
        "[" NODE("\"r\"", "1",
                 NODE("\"a\"", "2", NODE("\"c\"", "4", "")) "," NODE("\"b\"", "3", "")) "]");
    static const char *const upside_down[][2] = {{"c", "b"}, {"b", "a"}, {"a", ""}};
    expect_tree(upside_down, 3,
                "[" NODE("\"a\"", "3", NODE("\"b\"", "2", NODE("\"c\"", "1", ""))) "]");
    static const char *const strangers[][2] = {{"a", "gone"}, {"b", "b"}, {"", ""}, {"", "a"}};
    expect_tree(strangers, 4,
                "[" NODE("\"a\"", "1", NODE("null", "4", "")) "," NODE("\"b\"", "2", "") "," NODE(
                    "null", "3", "") "]");
    expect_tree(NULL, 0, "[]");
}

Test(span_tree, cycles_and_repeats) {
    static const char *const pair[][2] = {{"a", "b"}, {"b", "a"}};
    expect_tree(pair, 2, "[" NODE("\"b\"", "2", NODE("\"a\"", "1", "")) "]");
    /* A retry repeats the span id: children hang under the first of them. */
    static const char *const retry[][2] = {{"r", ""}, {"r", ""}, {"x", "r"}, {"x", "r"}};
    expect_tree(retry, 4,
                "[" NODE("\"r\"", "1", NODE("\"x\"", "3", "") "," NODE("\"x\"", "4", "")) "," NODE(
                    "\"r\"", "2", "") "]");
    static const char *const triangle[][2] = {{"a", "c"}, {"b", "a"}, {"c", "b"}, {"d", "c"}};
    expect_tree(
        triangle, 4,
        "[" NODE("\"c\"", "3",
                 NODE("\"a\"", "1", NODE("\"b\"", "2", "")) "," NODE("\"d\"", "4", "")) "]");
}
