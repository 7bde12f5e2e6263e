/* buf_test.c: content, growth, and what happens past the bound. */
#include "base/buf.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect_text(const struct buf *buf, const char *text) {
    cr_expect_eq(buf->bytes, strlen(text), "%zu bytes for \"%s\"", buf->bytes, text);
    cr_expect_eq(memcmp(buf->data, text, buf->bytes), 0, "%s", text);
}

Test(buf, puts_every_kind) {
    struct buf buf;
    buf_init(&buf, 4096);
    cr_expect_eq(buf_slice(&buf).bytes, 0);
    buf_put(&buf, NULL, 0);
    buf_put_text(&buf, "a");
    buf_put_slice(&buf, SLICE("bc"));
    buf_put_char(&buf, ' ');
    buf_put_u64(&buf, 0);
    buf_put_char(&buf, ' ');
    buf_put_u64(&buf, UINT64_MAX);
    buf_put_char(&buf, ' ');
    buf_put_i64(&buf, INT64_MIN);
    buf_put_char(&buf, ' ');
    buf_put_i64(&buf, -1);
    buf_put_format(&buf, " %s=%d", "x", 7);
    expect_text(&buf, "abc 0 18446744073709551615 -9223372036854775808 -1 x=7");
    cr_expect_not(buf.failed);
    buf_clear(&buf);
    cr_expect_eq(buf.bytes, 0);
    buf_put_text(&buf, "again");
    expect_text(&buf, "again");
    buf_free(&buf);
    cr_expect_eq(buf.data, NULL);
    cr_expect_eq(buf.bytes_max, 4096);
}

Test(buf, grows_to_its_bound_and_fails_past_it) {
    struct buf buf;
    buf_init(&buf, 5000);
    for (u32 i = 0; i < 5000; i++) {
        buf_put_char(&buf, (char)('a' + i % 26));
    }
    cr_expect_not(buf.failed);
    for (u32 i = 0; i < 5000; i++) {
        cr_assert_eq(buf.data[i], (char)('a' + i % 26), "byte %u", i);
    }
    buf_put_char(&buf, 'x');
    cr_expect(buf.failed);
    cr_expect_eq(buf.bytes, 5000);
    cr_expect_eq(buf_reserve(&buf, 0), NULL, "a failed buffer takes nothing more");
    buf_put_format(&buf, "%d", 1);
    buf_put_u64(&buf, 1);
    cr_expect_eq(buf.bytes, 5000);
    buf_clear(&buf);
    cr_expect_not(buf.failed);
    cr_expect_eq(buf_reserve(&buf, SIZE_MAX), NULL, "no overflow of the sum");
    cr_expect(buf.failed);
    buf_free(&buf);
}
