/* csv_test.c: rows and fields, what is refused and where, in front of an unreadable page. */
#include "csv/csv.h"

#include "tests/support/guard.h"

#include <criterion/criterion.h>
#include <string.h>

/* Rows end in '|', fields in ';'; a refusal is "!" and its line. */
struct reading {
    const char *text;
    const char *rows;
};

static const struct reading readings[] = {
    {"", ""},
    {"\n\r\n\n", ""},
    {"a", "a;|"},
    {"a,b\n1,2\n", "a;b;|1;2;|"},
    {"a,b\r\n1,2\r\n", "a;b;|1;2;|"},
    {"a,b\r\n\r\n\n1,2", "a;b;|1;2;|"},
    {",", ";;|"},
    {",,\n,", ";;;|;;|"},
    {"a,\n,b", "a;;|;b;|"},
    {"\xef\xbb\xbf"
     "a,b",
     "a;b;|"},
    {"\xef\xbb", "\xef\xbb;|"},
    {"\"a\",\"b\"", "a;b;|"},
    {"\"\"", ";|"},
    {"\"\"\"\"", "\";|"},
    {"\"a\"\"b\"", "a\"b;|"},
    {"\"a,b\r\nc\nd\",e\nf", "a,b\r\nc\nd;e;|f;|"},
    {" a , b ", " a ; b ;|"},
    {"a\rb,c\r", "a\rb;c\r;|"},
    {"a\"b", "!1"},
    {"a\n b\"", "a;|!2"},
    {"\"a", "!1"},
    {"\"", "!1"},
    {"\"a\n\nb", "!1"},
    {"x\n\"a\nb\"\ny\n\"", "x;|a\nb;|y;|!5"},
    {"\"a\"b", "!1"},
    {"\"a\" ,b", "!1"},
    {"\"a\"\r", "!1"},
};

static void put(char *out, const char *text, usize bytes) {
    usize at = strlen(out);
    memcpy(out + at, text, bytes);
    out[at + bytes] = 0;
}

static void read_all(char *text, usize bytes, char *out) {
    struct csv_reader reader = csv_reader(text, bytes);
    struct csv_row row;
    enum csv_step step;
    *out = 0;
    while ((step = csv_next(&reader, &row)) == CSV_ROW) {
        for (u32 i = 0; i < row.count; i++) {
            put(out, row.field[i].data, row.field[i].bytes);
            put(out, ";", 1);
        }
        put(out, "|", 1);
    }
    if (step == CSV_BAD) {
        char line[2] = {(char)('0' + reader.line), 0};
        cr_assert(reader.error != NULL);
        put(out, "!", 1);
        put(out, line, 1);
        cr_assert_eq(csv_next(&reader, &row), CSV_BAD, "a refusal sticks");
    }
}

Test(csv, rows) {
    struct guard guard = guard_create(4096);
    for (u32 i = 0; i < ARRAY_COUNT(readings); i++) {
        char out[256];
        usize bytes = strlen(readings[i].text);
        char *text = guard_copy(&guard, (struct slice){readings[i].text, bytes}, 0, '"');
        read_all(text, bytes, out);
        cr_assert_str_eq(out, readings[i].rows, "reading %u: %s", i, readings[i].text);
    }
    guard_destroy(&guard);
}

Test(csv, bounds) {
    char text[2 * CSV_FIELDS_MAX + 1];
    struct csv_row row;
    memset(text, ',', sizeof text);
    struct csv_reader most = csv_reader(text, CSV_FIELDS_MAX - 1);
    cr_assert_eq(csv_next(&most, &row), CSV_ROW);
    cr_assert_eq(row.count, CSV_FIELDS_MAX);
    struct csv_reader more = csv_reader(text, CSV_FIELDS_MAX);
    cr_assert_eq(csv_next(&more, &row), CSV_BAD);
    cr_assert_str_eq(more.error, "too many columns");

    char blanks[] = " \t a b \t ,\"\n c\n\"";
    struct csv_reader trimmed = csv_reader(blanks, sizeof blanks - 1);
    cr_assert_eq(csv_next(&trimmed, &row), CSV_ROW);
    cr_assert(csv_field(&row, 0).bytes == 3 && memcmp(csv_field(&row, 0).data, "a b", 3) == 0);
    cr_assert(csv_field(&row, 1).bytes == 1 && csv_field(&row, 1).data[0] == 'c');
    cr_assert_eq(csv_field(&row, 2).bytes, 0);
    cr_assert_eq(csv_field(&row, UINT32_MAX).bytes, 0);
}
