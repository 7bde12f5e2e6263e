/* chunked_test.c: every body whole and in every split, and what must be refused. */
#include "http/chunked.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* Feeds text in pieces of at most `step` bytes, collects the payload, returns the last answer. */
static enum http_chunked_answer read_all(const char *text, usize bytes, usize step, char *out,
                                         usize *out_bytes, usize *used) {
    struct http_chunked chunked = {0};
    *out_bytes = 0;
    *used = 0;
    while (*used < bytes) {
        usize part = MIN(step, bytes - *used);
        usize consumed = 0;
        struct slice payload;
        enum http_chunked_answer answer =
            http_chunked_read(&chunked, text + *used, part, &consumed, &payload);
        if (answer == CHUNKED_MALFORMED) {
            return answer;
        }
        cr_assert(consumed > 0 && consumed <= part);
        *used += consumed;
        if (answer == CHUNKED_PAYLOAD) {
            memcpy(out + *out_bytes, payload.data, payload.bytes);
            *out_bytes += payload.bytes;
        }
        if (answer == CHUNKED_DONE) {
            return answer;
        }
    }
    return CHUNKED_MORE;
}

Test(chunked, good) {
    static const struct {
        const char *text;
        const char *body;
    } cases[] = {
        {"0\r\n\r\n", ""},
        {"5\r\nhello\r\n0\r\n\r\n", "hello"},
        {"05\r\nhello\r\n1;a=\"b\"\r\n!\r\n000\r\nTrailer: x\r\nB: y\r\n\r\n", "hello!"},
        {"a\r\n0123456789\r\nA\r\n0123456789\r\n0;x\r\n\r\n", "01234567890123456789"},
    };
    char out[256];
    for (usize at = 0; at < ARRAY_COUNT(cases); at++) {
        char text[256];
        int bytes = snprintf(text, sizeof text, "%sGET", cases[at].text);
        for (usize step = 1; step <= (usize)bytes; step++) {
            usize out_bytes;
            usize used;
            cr_assert_eq(read_all(text, (usize)bytes, step, out, &out_bytes, &used), CHUNKED_DONE,
                         "%s by %zu", cases[at].text, step);
            cr_assert_eq(used, strlen(cases[at].text));
            cr_assert_eq(out_bytes, strlen(cases[at].body));
            cr_assert_eq(memcmp(out, cases[at].body, out_bytes), 0);
        }
    }
}

Test(chunked, malformed) {
    static const char *const cases[] = {
        "\r\n",           "g\r\n",
        "-1\r\n",         " 1\r\na",
        "1 \r\na",        "0x1\r\na",
        "1\na\r\n",       "1\r\nab\r\n",
        "1\r\na\n",       "1\r\na\rX",
        "1;\x01\r\na",    "1\rX",
        "0\r\n\n",        "0\r\nA\n",
        "0\r\nA\x7f\r\n", "1000000000000000\r\n",
        "0\r\n\rX",       "1;a\nb",
        "5\r\nabcdefgh",  "0000000000000001\r\na",
        "1\r\na\r\n\r\n", "1\r\na\r\n;x\r\n",
        "0\r\nA\r\n",     "0\r\n A: b\r\n",
        "0\r\nA : b\r\n", "0\r\n: b\r\n",
    };
    char out[256];
    for (usize at = 0; at < ARRAY_COUNT(cases); at++) {
        for (usize step = 1; step <= strlen(cases[at]); step++) {
            usize out_bytes;
            usize used;
            cr_assert_eq(read_all(cases[at], strlen(cases[at]), step, out, &out_bytes, &used),
                         CHUNKED_MALFORMED, "%s by %zu", cases[at], step);
        }
    }
}

Test(chunked, overhead_is_bounded) {
    static char text[256 * KIB];
    static char out[256 * KIB];
    usize out_bytes;
    usize used;
    memset(text, 'x', sizeof text);
    memcpy(text, "1;", 2);
    cr_assert_eq(read_all(text, sizeof text, 4096, out, &out_bytes, &used), CHUNKED_MALFORMED);
    memcpy(text, "0\r\n", 3);
    cr_assert_eq(read_all(text, sizeof text, 4096, out, &out_bytes, &used), CHUNKED_MALFORMED);
    usize bytes = 0; /* one-byte chunks are silly, not hostile */
    while (bytes + 11 < sizeof text) {
        memcpy(text + bytes, "1\r\na\r\n", 6);
        bytes += 6;
    }
    memcpy(text + bytes, "0\r\n\r\n", 5);
    cr_assert_eq(read_all(text, bytes + 5, 4096, out, &out_bytes, &used), CHUNKED_DONE);
    cr_assert_eq(out_bytes, bytes / 6);
}
