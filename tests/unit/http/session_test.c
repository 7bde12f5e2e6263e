/* session_test.c: sessions driven through a connection that is not there. */
#include "http/session.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "event.h"
#include "tests/support/http_peer.h"

/* --- handlers -----------------------------------------------------------------------------------
 */

static enum call_outcome echo(struct http_call *call) {
    struct http_peer *peer = call->context;
    struct slice value;
    peer->calls++;
    buf_put_slice(&call->reply, call->path);
    for (u32 at = 0; at < call->capture_count; at++) {
        buf_put_text(&call->reply, "|");
        buf_put_slice(&call->reply, call->capture[at]);
    }
    for (u32 at = 0; at < call->param_count; at++) {
        buf_put_text(&call->reply, "&");
        buf_put_slice(&call->reply, call->param[at].name);
        buf_put_text(&call->reply, "=");
        buf_put_slice(&call->reply, call->param[at].value);
    }
    if (http_call_header(call, "x-color", &value)) {
        buf_put_text(&call->reply, " color ");
        buf_put_slice(&call->reply, value);
    }
    buf_put_text(&call->reply, " ");
    buf_put_slice(&call->reply, call->body);
    if (call->body.bytes > 0) { /* promised to be ours */
        memset((char *)(uintptr_t)call->body.data + call->body.bytes, 'P', EVENT_TEXT_PADDING);
    }
    cr_assert(!http_call_param(call, "absent", &value));
    return CALL_DONE;
}

static enum call_outcome slow(struct http_call *call) {
    struct http_peer *peer = call->context;
    peer->calls++;
    cr_assert_null(peer->kept);
    peer->kept = call;
    return CALL_PENDING;
}

static enum call_outcome take(struct http_call *call) {
    struct http_peer *peer = call->context;
    peer->taken = http_call_take_body(call);
    buf_put_slice(&call->reply, call->body);
    call->content_type = "text/plain";
    call->status = 201;
    buf_put_text(&call->headers, "X-More: 1\r\n");
    cr_assert_str_eq(http_call_peer(call), "192.0.2.1");
    return CALL_DONE;
}

static enum call_outcome big(struct http_call *call) {
    ((struct http_peer *)call->context)->calls++;
    memset(buf_reserve(&call->reply, 300000), 'B', 300000);
    call->reply.bytes += 300000;
    return CALL_DONE;
}

static enum call_outcome too_big(struct http_call *call) {
    call->reply.failed = true;
    buf_put_text(&call->headers, "X-Lost: 1\r\n");
    return CALL_DONE;
}

static enum call_outcome empty(struct http_call *call) {
    call->status = 204;
    buf_put_text(&call->reply, "not to be sent");
    return CALL_DONE;
}

static const struct http_route routes[] = {
    {HTTP_GET, "/echo", echo, 1000, 0},    {HTTP_POST, "/echo", echo, MIB, 0},
    {HTTP_POST, "/slow", slow, MIB, 0},    {HTTP_POST, "/take", take, MIB, 0},
    {HTTP_GET, "/big", big, 0, 0},         {HTTP_GET, "/too-big", too_big, 0, 0},
    {HTTP_DELETE, "/empty", empty, 0, 0},  {HTTP_POST, "/small", echo, 100, 0},
    {HTTP_GET, "/i/{id}/{x}", echo, 0, 0},
};

/* --- driving ------------------------------------------------------------------------------------
 */

static struct http_peer *peer_create(usize pool_bytes) {
    return http_peer_create(routes, ARRAY_COUNT(routes), pool_bytes);
}

static void give_text(struct http_peer *peer, const char *text) {
    http_peer_give(peer, text, strlen(text));
}

static void finish_kept(struct http_peer *peer, const char *text) {
    struct http_call *call = peer->kept;
    peer->kept = NULL;
    buf_put_text(&call->reply, text);
    http_call_finish(call);
    http_peer_run(peer);
}

/* Forgets the output so far. */
static void expect_output(struct http_peer *peer, const char *wanted) {
    cr_assert_eq(peer->out.bytes, strlen(wanted), "got: %.*s\nwanted: %s", (int)peer->out.bytes,
                 peer->out.data, wanted);
    cr_assert(peer->out.bytes == 0 || memcmp(peer->out.data, wanted, peer->out.bytes) == 0,
              "got: %.*s\nwanted: %s", (int)peer->out.bytes, peer->out.data, wanted);
    buf_clear(&peer->out);
}

static bool has_output(const struct http_peer *peer, const char *text) {
    return memmem(peer->out.data, peer->out.bytes, text, strlen(text)) != NULL;
}

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define OK_JSON(bytes)                                                                             \
    "HTTP/1.1 200 OK\r\n" DATE "Content-Type: application/json\r\nContent-Length: " bytes "\r\n"

/* --- tests --------------------------------------------------------------------------------------
 */

Test(session, requests_and_replies) {
    struct http_peer *peer = peer_create(16 * MIB);
    give_text(peer, "GET /echo?a=1&b=%41+c HTTP/1.1\r\nHost: x\r\nX-Color: red\r\n\r\n");
    expect_output(peer, OK_JSON("26") "\r\n/echo&a=1&b=A c color red ");
    cr_assert_eq(peer->deadline_ns, 0);
    give_text(peer, "\r\nPOST /echo HTTP/1.1\r\nHost: x\r\nX-Request-ID: ab-1\r\n"
                    "Content-Length: 5\r\n\r\nhello");
    expect_output(peer, OK_JSON("11") "X-Request-ID: ab-1\r\n\r\n/echo hello");
    give_text(peer, "HEAD /echo HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\"b\r\n\r\n");
    expect_output(peer, OK_JSON("6") "\r\n");
    give_text(peer, "GET /i/%2f%20/b+c/ HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_output(peer, OK_JSON("22") "\r\n/i/%2f%20/b+c/|/ |b+c ");
    for (u32 twice = 0; twice < 2; twice++) { /* a path like its pattern still has captures */
        give_text(peer, "GET /i/{id}/{x} HTTP/1.1\r\nHost: x\r\n\r\n");
        expect_output(peer, OK_JSON("21") "\r\n/i/{id}/{x}|{id}|{x} ");
    }
    give_text(peer,
              "POST /echo?a=%41%42&c=+ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nsomething");
    expect_output(peer, OK_JSON("24") "\r\n/echo&a=AB&c=  something");
    give_text(peer, "DELETE /empty HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_output(peer, "HTTP/1.1 204 No Content\r\n" DATE "\r\n");
    give_text(peer, "POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    expect_output(peer, "HTTP/1.1 201 Created\r\n" DATE "Content-Type: text/plain\r\n"
                        "Content-Length: 3\r\nX-More: 1\r\n\r\nabc");
    cr_assert_eq(memcmp(peer->taken.data, "abc", 3), 0);
    give_text(peer, "GET /too-big HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_assert(has_output(peer, "500 Internal") && has_output(peer, "\"code\":\"internal\"}") &&
              !has_output(peer, "X-Lost"));
    buf_clear(&peer->out);
    give_text(peer, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "2\r\nhe\r\n3;x\r\nllo\r\n0\r\nA: b\r\n\r\nGET /echo HTTP/1.0\r\n\r\n");
    expect_output(peer,
                  OK_JSON("11") "\r\n/echo hello" OK_JSON("6") "Connection: close\r\n\r\n/echo ");
    cr_assert(peer->closing);
    http_session_closed(&peer->session);
    http_peer_destroy(peer);
}

/* Sends one request to a fresh session and expects this status, code and fate. */
static void expect_error(const char *request, u16 status, const char *code, bool close) {
    struct http_peer *peer = peer_create(16 * MIB);
    char wanted[64];
    give_text(peer, request);
    snprintf(wanted, sizeof wanted, "HTTP/1.1 %u ", status);
    cr_assert_eq(memcmp(peer->out.data, wanted, strlen(wanted)), 0, "%s: %.*s", request,
                 (int)peer->out.bytes, peer->out.data);
    snprintf(wanted, sizeof wanted, "\",\"code\":\"%s\"}", code);
    cr_assert(has_output(peer, wanted) && has_output(peer, "{\"error\":\""), "%s: %.*s", request,
              (int)peer->out.bytes, peer->out.data);
    cr_assert_eq(peer->closing, close, "%s", request);
    cr_assert_eq(has_output(peer, "Connection: close"), close, "%s", request);
    cr_assert_eq(peer->calls, 0);
    if (!close) { /* and the connection still serves */
        buf_clear(&peer->out);
        give_text(peer, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
        expect_output(peer, OK_JSON("6") "\r\n/echo ");
    }
    http_session_closed(&peer->session);
    http_peer_destroy(peer);
}

Test(session, errors) {
    expect_error("GET / HTTP/1.1\nHost: x\n\n", 400, "invalid_request", true);
    expect_error("GET / HTTP/1.1\r\n\r\n", 400, "invalid_request", true);
    expect_error("HEAD / HTTP/3.1\r\nHost: x\r\n\r\n", 505, "unsupported", true);
    expect_error("GET /none HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not_found", false);
    expect_error("POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", 404,
                 "not_found", false);
    expect_error("POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nbody", 404,
                 "not_found", true);
    expect_error("POST /none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 404, "not_found", true);
    expect_error("PUT /echo HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method_not_allowed", false);
    expect_error("BREW /echo HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method_not_allowed", false);
    expect_error("GET /i/%zz/x HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_request", false);
    expect_error("GET /echo?a=%0 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_request", false);
    expect_error("POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n"
                 "Expect: 100-continue\r\n\r\n",
                 413, "too_large", true);
    expect_error("POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 413,
                 "too_large", true);
    expect_error("POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "65\r\n12345678901234567890123456789012345678901234567890"
                 "123456789012345678901234567890123456789012345678901\r\n",
                 413, "too_large", true);
    expect_error("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx", 400,
                 "invalid_request", true);
    expect_error("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Encoding: br\r\n"
                 "Content-Length: 2\r\n\r\nxx",
                 415, "unsupported", false);
    expect_error("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n"
                 "Content-Length: 2\r\n\r\nxx",
                 400, "invalid_request", false);
    expect_error("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: cake\r\n\r\n", 417, "unsupported",
                 true);
    struct http_peer *peer = peer_create(16 * MIB);
    give_text(peer, "DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_assert(has_output(peer, "\r\nAllow: GET, HEAD, POST\r\n"));
    http_session_closed(&peer->session);
    http_peer_destroy(peer);
}

/* A stream of every kind of request; the output must not depend on how the input is cut. */
Test(session, every_split) {
    char stream[4096];
    char packed[256];
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    char text[600];
    memset(text, 'z', sizeof text);
    z.next_in = (Bytef *)text;
    z.avail_in = sizeof text;
    z.next_out = (Bytef *)packed;
    z.avail_out = sizeof packed;
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    int used = snprintf(stream, sizeof stream,
                        "GET /echo?q=%%20x HTTP/1.1\r\nHost: x\r\n\r\n"
                        "\r\nPOST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nGET / HTT"
                        "POST /echo?a=b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "4;ext\r\nabcd\r\n0a\r\n0123456789\r\n0\r\nT: t\r\n\r\n"
                        "POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nGET /echo "
                        "HEAD /i/a/b HTTP/1.1\r\nHost: x\r\nX-Request-Id: 7\r\n\r\n"
                        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n"
                        "Content-Length: %lu\r\n\r\n",
                        z.total_out);
    memcpy(stream + used, packed, z.total_out);
    usize bytes = (usize)used + z.total_out;
    deflateEnd(&z);
    memcpy(stream + bytes, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nX", 52);
    bytes += 52;
    struct http_peer *whole = peer_create(16 * MIB);
    http_peer_give(whole, stream, bytes);
    cr_assert(whole->closing && whole->calls == 6);
    for (usize cut = 1; cut < bytes; cut++) {
        struct http_peer *peer = peer_create(16 * MIB);
        http_peer_give(peer, stream, cut);
        http_peer_give(peer, stream + cut, bytes - cut);
        cr_assert_eq(peer->out.bytes, whole->out.bytes, "cut at %zu", cut);
        cr_assert_eq(memcmp(peer->out.data, whole->out.data, peer->out.bytes), 0, "cut at %zu",
                     cut);
        http_session_closed(&peer->session);
        http_peer_destroy(peer);
    }
    for (usize step = 1; step < 40; step++) {
        struct http_peer *peer = peer_create(16 * MIB);
        for (usize at = 0; at < bytes; at += step) {
            http_peer_give(peer, stream + at, MIN(step, bytes - at));
        }
        cr_assert_eq(peer->out.bytes, whole->out.bytes, "steps of %zu", step);
        cr_assert_eq(memcmp(peer->out.data, whole->out.data, peer->out.bytes), 0, "steps of %zu",
                     step);
        http_session_closed(&peer->session);
        http_peer_destroy(peer);
    }
    http_session_closed(&whole->session);
    http_peer_destroy(whole);
}

Test(session, large_bodies) {
    struct http_peer *peer = peer_create(16 * MIB);
    usize bytes = 300000;
    char *body = malloc(bytes);
    for (usize at = 0; at < bytes; at++) {
        body[at] = (char)('a' + at * 7 % 26);
    }
    static const usize steps[] = {300000, 65536, 4096, 1000};
    for (usize at = 0; at < ARRAY_COUNT(steps); at++) {
        buf_clear(&peer->out);
        give_text(peer, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n");
        for (usize from = 0; from < bytes; from += steps[at]) {
            http_peer_give(peer, body + from, MIN(steps[at], bytes - from));
        }
        cr_assert(has_output(peer, "Content-Length: 300006\r\n\r\n/echo ah"));
        cr_assert_eq(memcmp(peer->out.data + peer->out.bytes - bytes, body, bytes), 0);
    }
    give_text(peer, "POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n");
    http_peer_give(peer, body, bytes);
    cr_assert_eq(memcmp(peer->taken.data, body, bytes), 0);
    cr_assert_geq(peer->taken.capacity, bytes + HTTP_BODY_SLACK);
    free(body);
    http_session_closed(&peer->session);
    http_peer_destroy(peer);
}

Test(session, pending_and_pipelined) {
    struct http_peer *peer = peer_create(16 * MIB);
    give_text(peer, "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
                    "GET /echo HTTP/1.1\r\nHost: x\r\n\r\nPOST /slow HTT");
    expect_output(peer, "");
    cr_assert(peer->holds == 1 && peer->calls == 1 && peer->deadline_ns == UINT64_MAX);
    cr_assert_eq(memcmp(peer->kept->body.data, "ab", 2), 0);
    finish_kept(peer, "one");
    expect_output(peer, OK_JSON("3") "\r\none" OK_JSON("6") "\r\n/echo ");
    cr_assert(peer->holds == 0 && peer->calls == 2);
    give_text(peer, "P/1.1\r\nHost: x\r\n\r\n");
    /* Much pipelined input: the connection is paused, and everything is served in order. */
    const char *request = "POST /slow HTTP/1.1\r\nHost: x\r\n\r\n";
    for (u32 at = 0; at < 2000; at++) {
        give_text(peer, request);
    }
    cr_assert(peer->paused);
    cr_assert_leq(peer->session.waiting_end, HTTP_WAITING_BYTES_MAX + strlen(request));
    for (u32 at = 0; at <= 2000; at++) {
        cr_assert_not_null(peer->kept, "%u", at);
        finish_kept(peer, "x");
    }
    cr_assert(peer->kept == NULL && !peer->paused && peer->holds == 0 && peer->calls == 2003);
    http_session_closed(&peer->session);
    http_peer_destroy(peer);
}

Test(session, the_peer_goes) {
    /* While a call is pending: it finishes into nothing. */
    struct http_peer *peer = peer_create(16 * MIB);
    give_text(peer, "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
                    "POST /slow HTTP/1.1\r\n");
    peer->dead = true;
    http_session_closed(&peer->session);
    cr_assert_eq(peer->holds, 1);
    finish_kept(peer, "late");
    expect_output(peer, "");
    http_peer_destroy(peer);
    /* It has only stopped sending: everything that came whole is answered. */
    peer = peer_create(16 * MIB);
    give_text(peer, "POST /slow HTTP/1.1\r\nHost: x\r\n\r\nPOST /slow HTTP/1.1\r\nHost: x\r\n\r\n"
                    "GET /echo HTTP/1.1\r\nHost: x\r\n\r\nGET /ec");
    http_session_closed(&peer->session);
    finish_kept(peer, "1");
    cr_assert_eq(peer->holds, 1);
    finish_kept(peer, "2");
    expect_output(peer, OK_JSON("1") "\r\n1" OK_JSON("1") "\r\n2" OK_JSON("6") "\r\n/echo ");
    http_peer_destroy(peer);
    /* In the middle of a head, of a body, of nothing. */
    static const char body_begun[] = "POST /echo HTTP/1.1\r\nHost: x\r\n"
                                     "Content-Length: 99999\r\n\r\nxx";
    static const char *const parts[] = {"GET /ec", "", body_begun};
    for (usize at = 0; at < ARRAY_COUNT(parts); at++) {
        peer = peer_create(16 * MIB);
        give_text(peer, parts[at]);
        peer->dead = true;
        http_session_closed(&peer->session);
        http_peer_destroy(peer);
    }
    /* With a call pending that wanted to close. */
    peer = peer_create(16 * MIB);
    give_text(peer, "POST /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nrest");
    finish_kept(peer, "bye");
    cr_assert(peer->closing && has_output(peer, "Connection: close"));
    http_session_closed(&peer->session);
    http_peer_destroy(peer);
}

Test(session, expectations) {
    struct http_peer *peer = peer_create(16 * MIB);
    const char *head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
                       "Expect: 100-continue\r\n\r\n";
    give_text(peer, head);
    expect_output(peer, "HTTP/1.1 100 Continue\r\n\r\n");
    give_text(peer, "ab");
    expect_output(peer, OK_JSON("8") "\r\n/echo ab");
    give_text(peer, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
                    "Expect: 100-continue\r\n\r\na");
    expect_output(peer, ""); /* the body comes already */
    give_text(peer, "b");
    buf_clear(&peer->out);
    give_text(peer, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n");
    expect_output(peer, OK_JSON("6") "\r\n/echo ");
    http_session_closed(&peer->session);
    http_peer_destroy(peer);
}

Test(session, deadlines) {
    struct http_peer *peer = peer_create(16 * MIB);
    peer->now_ns = 1000;
    give_text(peer, "GET /echo HT");
    cr_assert_eq(peer->deadline_ns, 1010);
    peer->now_ns = 1005;
    give_text(peer, "TP/1.1\r\nHost:");
    cr_assert_eq(peer->deadline_ns, 1010, "bytes alone buy no time");
    http_session_expired(&peer->session);
    cr_assert(has_output(peer, "HTTP/1.1 408 ") && peer->closing);
    http_session_closed(&peer->session);
    http_peer_destroy(peer);

    peer = peer_create(16 * MIB);
    give_text(peer, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n");
    cr_assert_eq(peer->deadline_ns, 1020);
    peer->now_ns = 1010;
    char part[1000];
    memset(part, 'x', sizeof part);
    http_peer_give(peer, part, sizeof part);
    cr_assert_eq(peer->deadline_ns, 1020);
    for (u32 at = 0; at < 100; at++) {
        http_peer_give(peer, part, sizeof part);
    }
    cr_assert_eq(peer->deadline_ns, 1030, "64 KiB do");
    char *into;
    usize room;
    cr_assert(http_session_direct(&peer->session, &into, &room));
    http_session_expired(&peer->session);
    cr_assert(has_output(peer, "HTTP/1.1 408 ") && peer->closing);
    memset(into, 'x', room); /* the edge may still receive into it */
    http_session_received(&peer->session, room);
    http_session_closed(&peer->session);
    http_peer_destroy(peer);

    peer = peer_create(16 * MIB);
    http_session_expired(&peer->session);
    cr_assert(peer->closing && peer->out.bytes == 0);
    http_session_closed(&peer->session);
    http_peer_destroy(peer);
}

Test(session, no_memory) {
    struct http_peer *peer = peer_create(64 * KIB);
    give_text(peer, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n");
    cr_assert(has_output(peer, "HTTP/1.1 503 ") && has_output(peer, "\r\nRetry-After: 1\r\n") &&
              has_output(peer, "\"code\":\"overloaded\""));
    cr_assert(!peer->closing);
    char *body = calloc(1, 50000);
    http_peer_give(peer, body, 50000);
    free(body);
    buf_clear(&peer->out);
    give_text(peer, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_output(peer, OK_JSON("6") "\r\n/echo ");
    struct block all[16];
    for (u32 at = 0; at < 16; at++) {
        all[at] = pool_take(peer->server.pool, 4096);
    }
    give_text(peer, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_assert(has_output(peer, "HTTP/1.1 503 ") && peer->closing);
    http_session_closed(&peer->session);
    pool_give(peer->server.pool, all[0]); /* room for the head, none for a copy of the body */
    all[0] = (struct block){NULL, 0};
    http_peer_reopen(peer);
    give_text(peer, "POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    cr_assert(has_output(peer, "\r\n\r\nabc") && memcmp(peer->taken.data, "abc", 3) == 0);
    for (u32 at = 0; at < 16; at++) {
        pool_give(peer->server.pool, all[at]);
    }
    http_session_closed(&peer->session);
    http_peer_destroy(peer);
}

Test(session, slow_reader) {
    struct http_peer *peer = peer_create(16 * MIB);
    peer->slow = true;
    for (u32 at = 0; at < 10; at++) {
        give_text(peer, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    cr_assert_eq(peer->calls, 4, "stops at the mark");
    cr_assert_eq(peer->holds, 1);
    peer->slow = false;
    peer->unsent = 0;
    http_session_drained(&peer->session);
    http_peer_run(peer);
    cr_assert_eq(peer->calls, 10);
    cr_assert_eq(peer->holds, 0);
    peer->slow = true;
    for (u32 at = 0; at < 6; at++) {
        buf_clear(&peer->out);
        give_text(peer, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    cr_assert_eq(peer->holds, 1);
    peer->dead = true; /* gives up while we wait */
    http_session_closed(&peer->session);
    http_peer_run(peer);
    http_peer_destroy(peer);
}
