/* head_test.c: every case whole, byte by byte, and against an unreadable page. */
#include "http/head.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/guard.h"

#define H "Host: a\r\n"

static struct guard guard;

static enum http_head_answer parse(struct http_head *head, const char *text, usize bytes,
                                   usize *consumed) {
    http_head_init(head);
    const char *at = guard_copy(&guard, (struct slice){text, bytes}, 0, 0);
    return http_head_parse(head, at, bytes, consumed);
}

/* Byte by byte must give the answer of the whole at the first byte where it can be known. */
static enum http_head_answer parse_slowly(struct http_head *head, const char *text, usize bytes,
                                          usize *consumed) {
    http_head_init(head);
    enum http_head_answer answer = HEAD_INCOMPLETE;
    for (usize part = 1; part <= bytes && answer == HEAD_INCOMPLETE; part++) {
        const char *at = guard_copy(&guard, (struct slice){text, part}, 0, 0);
        answer = http_head_parse(head, at, part, consumed);
    }
    return answer;
}

static void expect_malformed(const char *text, u16 status) {
    struct http_head head;
    usize consumed;
    cr_assert_eq(parse(&head, text, strlen(text), &consumed), HEAD_MALFORMED, "%s", text);
    cr_assert_eq(head.status, status, "%u for %s", head.status, text);
    cr_assert_gt(strlen(head.error), 0);
    cr_assert_eq(parse_slowly(&head, text, strlen(text), &consumed), HEAD_MALFORMED, "%s", text);
    cr_assert_eq(head.status, status, "%u slowly for %s", head.status, text);
}

static void expect_good(const char *text, struct http_head *head) {
    struct http_head slow;
    usize consumed = 0;
    usize bytes = strlen(text);
    cr_assert_eq(parse_slowly(&slow, text, bytes, &consumed), HEAD_CONSUMED, "%s", text);
    cr_assert_eq(consumed, bytes);
    cr_assert_eq(parse(head, text, bytes, &consumed), HEAD_CONSUMED, "%s", text);
    cr_assert_eq(consumed, bytes);
    cr_assert_eq(slow.field_count, head->field_count);
    cr_assert_eq(memcmp(slow.field, head->field, head->field_count * sizeof *slow.field), 0);
    cr_assert_eq(slow.content_bytes, head->content_bytes);
    cr_assert_eq(slow.keep_alive, head->keep_alive);
    for (usize part = 0; part < bytes; part++) {
        cr_assert_eq(parse(&slow, text, part, &consumed), HEAD_INCOMPLETE, "%zu of %s", part, text);
    }
}

static void expect_range(const char *text, struct http_range range, const char *wanted) {
    cr_assert_eq(range.bytes, strlen(wanted), "%s", wanted);
    cr_assert_eq(memcmp(text + range.at, wanted, range.bytes), 0, "%s", wanted);
}

Test(head, good) {
    guard = guard_create(64 * KIB);
    struct http_head head;
    const char *text = "POST /a/b%20c?x=1&y=?2 HTTP/1.1\r\nhOsT:\t example.com:80 \r\nX-Empty:\r\n"
                       "Content-length: 0012\r\nConnection: a, Close ,b\r\nX: \x80\xff\t!\r\n\r\n";
    expect_good(text, &head);
    cr_assert_eq(head.method, HTTP_POST);
    cr_assert_eq(head.field_count, 5);
    expect_range(text, head.path, "/a/b%20c");
    expect_range(text, head.query, "x=1&y=?2");
    expect_range(text, head.field[0].name, "hOsT");
    expect_range(text, head.field[0].value, "example.com:80");
    expect_range(text, head.field[1].value, "");
    expect_range(text, head.field[4].value, "\x80\xff\t!");
    cr_assert(head.has_length && head.content_bytes == 12 && !head.keep_alive && !head.is_chunked);

    expect_good("GET / HTTP/1.1\r\n" H "\r\n", &head);
    cr_assert(head.method == HTTP_GET && head.keep_alive && !head.has_length);
    cr_assert_eq(head.query.bytes, 0);
    expect_good("PURGE / HTTP/1.0\r\n\r\n", &head);
    cr_assert(head.method == HTTP_METHODS && !head.keep_alive);
    expect_good("OPTIONS * HTTP/1.1\r\n" H "\r\n", &head);
    text = "GET http://x.Y:8080/p?q HTTP/1.1\r\nHost: X.y:8080\r\n\r\n";
    expect_good(text, &head);
    expect_range(text, head.path, "/p");
    expect_range(text, head.query, "q");
    expect_good("PUT / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\nExpect: 100-Continue\r\n"
                "Content-Encoding: gzip\r\n\r\n",
                &head);
    cr_assert(head.is_chunked && head.expects_continue && head.coding == CODING_GZIP);
    expect_good("PUT / HTTP/1.1\r\n" H "Content-Encoding: ZSTD\r\n\r\n", &head);
    cr_assert_eq(head.coding, CODING_ZSTD);
    expect_good("PUT / HTTP/1.1\r\n" H "Content-Encoding: gzip, zstd\r\n\r\n", &head);
    cr_assert_eq(head.coding, CODING_UNKNOWN);
    expect_good("PUT / HTTP/1.1\r\n" H "Content-Length: 999999999999999999\r\n\r\n", &head);
    cr_assert_eq(head.content_bytes, 999999999999999999u);
    guard_destroy(&guard);
}

Test(head, malformed) {
    guard = guard_create(64 * KIB);
    static const struct {
        const char *text;
        u16 status;
    } cases[] = {
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "A: b\r\n c\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n: a\r\n" H "\r\n", 400},
        {"GET / HTTP/1.1\r\nA\x80: a\r\n" H "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\x7f\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaa\x7f"
         "aaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n",
         400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H H "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /  HTTP/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/1.1 \r\n" H "\r\n", 400},
        {"GET / http/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/11\r\n" H "\r\n", 400},
        {"GET /\r\n" H "\r\n", 400},
        {"GET\r\n" H "\r\n", 400},
        {"G@T / HTTP/1.1\r\n" H "\r\n", 400},
        {" GET / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET a HTTP/1.1\r\n" H "\r\n", 400},
        {"GET http:/// HTTP/1.1\r\n" H "\r\n", 400},
        {"GET http://a HTTP/1.1\r\n" H "\r\n", 400},
        {"GET http://b/ HTTP/1.1\r\n" H "\r\n", 400},
        {"GET http://u@a/ HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /a#b HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /\t HTTP/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/2.0\r\n" H "\r\n", 505},
        {"GET / HTTP/1.2\r\n" H "\r\n", 505},
        {"GET / HTTP/0.9\r\n" H "\r\n", 505},
        {"PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\n" H "Content-Length: 1 1\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\n" H "Content-Length: 9999999999999999999\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"PUT / HTTP/1.1\r\n" H "Transfer-Encoding: \013chunked\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\n" H "Expect: cake\r\n\r\n", 417},
    };
    for (usize at = 0; at < ARRAY_COUNT(cases); at++) {
        expect_malformed(cases[at].text, cases[at].status);
    }
    struct http_head head;
    usize consumed;
    static const char zero[] = "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n";
    cr_assert_eq(parse(&head, zero, sizeof zero - 1, &consumed), HEAD_MALFORMED);
    guard_destroy(&guard);
}

Test(head, bounds) {
    guard = guard_create(64 * KIB);
    static char text[32 * KIB];
    struct http_head head;
    for (u32 fields = HTTP_HEADERS_MAX - 1; fields <= HTTP_HEADERS_MAX + 1; fields++) {
        strcpy(text, "GET / HTTP/1.1\r\n" H);
        for (u32 at = 1; at < fields; at++) {
            strcat(text, "A: b\r\n");
        }
        strcat(text, "\r\n");
        if (fields <= HTTP_HEADERS_MAX) {
            expect_good(text, &head);
            cr_assert_eq(head.field_count, fields);
        } else {
            expect_malformed(text, 431);
        }
    }
    usize consumed;
    static const usize targets[] = {HTTP_TARGET_BYTES_MAX, HTTP_TARGET_BYTES_MAX + 1};
    for (usize at = 0; at < ARRAY_COUNT(targets); at++) {
        strcpy(text, "GET /");
        memset(text + 5, 'a', targets[at] - 1);
        strcpy(text + 4 + targets[at], " HTTP/1.1\r\n" H "\r\n");
        enum http_head_answer answer = parse(&head, text, strlen(text), &consumed);
        cr_assert_eq(answer, at == 0 ? HEAD_CONSUMED : HEAD_MALFORMED);
        cr_assert(at == 0 || head.status == 414);
    }
    memset(text + 4, '/', 20000);
    cr_assert_eq(parse(&head, text, 10000, &consumed), HEAD_MALFORMED);
    cr_assert_eq(head.status, 414);
    /* A head of exactly the bound, and one byte more. */
    for (usize more = 0; more < 2; more++) {
        usize bytes = HTTP_HEAD_BYTES_MAX + more;
        strcpy(text, "GET / HTTP/1.1\r\n" H "A: ");
        usize used = strlen(text);
        memset(text + used, 'a', bytes - used - 4);
        memcpy(text + bytes - 4, "\r\n\r\n", 4);
        enum http_head_answer answer = parse(&head, text, bytes, &consumed);
        cr_assert_eq(answer, more == 0 ? HEAD_CONSUMED : HEAD_MALFORMED);
        cr_assert(more == 0 || head.status == 431);
    }
    guard_destroy(&guard);
}
