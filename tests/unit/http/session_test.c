/*
 * session_test.c: sessions driven through a fake connection that keeps the promises of the real
 * edge: paused input is kept, later() comes from the loop, output is collected.
 */
#include "http/session.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "event.h"

#define OUT_MAX (4 * MIB)

struct fake {
    struct http_session session;
    struct http_server server;
    char *out;
    usize out_bytes;
    usize unsent; /* what output_bytes() says: as much as has not been "sent" */
    bool slow;    /* the peer does not read: unsent grows */
    bool closing;
    bool dead;
    bool paused;
    bool later;
    u32 holds;
    u64 deadline_ns;
    char *stash;
    usize stash_bytes;
    struct http_call *kept; /* of the route that answers later */
    u32 calls;
    struct block taken;
};

static u64 fake_now = 1000;

static void fake_send(void *conn, const void *data, usize bytes) {
    struct fake *fake = conn;
    if (fake->dead) {
        return;
    }
    cr_assert(!fake->closing, "output after the last reply");
    cr_assert_leq(fake->out_bytes + bytes, OUT_MAX);
    if (bytes > 0) {
        memcpy(fake->out + fake->out_bytes, data, bytes);
    }
    fake->out_bytes += bytes;
    fake->unsent += fake->slow ? bytes : 0;
}

static usize fake_output_bytes(const void *conn) {
    return ((const struct fake *)conn)->unsent;
}

static void fake_close_after_send(void *conn) {
    ((struct fake *)conn)->closing = true;
}

static void fake_pause(void *conn) {
    ((struct fake *)conn)->paused = true;
}

static void fake_resume(void *conn) {
    ((struct fake *)conn)->paused = false;
}

static void fake_call_later(void *conn) {
    ((struct fake *)conn)->later = true;
}

static void fake_set_deadline(void *conn, u64 deadline_ns) {
    ((struct fake *)conn)->deadline_ns = deadline_ns;
}

static void fake_hold(void *conn) {
    ((struct fake *)conn)->holds++;
}

static void fake_release(void *conn) {
    cr_assert_gt(((struct fake *)conn)->holds, 0);
    ((struct fake *)conn)->holds--;
}

static bool fake_is_closed(const void *conn) {
    return ((const struct fake *)conn)->dead;
}

static const char *fake_peer(const void *conn) {
    (void)conn;
    return "192.0.2.1";
}

static u64 fake_monotonic_ns(void) {
    return fake_now;
}

static i64 fake_wall_ms(void) {
    return 784111777000; /* Sun, 06 Nov 1994 08:49:37 GMT */
}

static const struct http_io fake_io = {
    .send = fake_send,
    .output_bytes = fake_output_bytes,
    .close_after_send = fake_close_after_send,
    .pause = fake_pause,
    .resume = fake_resume,
    .call_later = fake_call_later,
    .set_deadline = fake_set_deadline,
    .hold = fake_hold,
    .release = fake_release,
    .is_closed = fake_is_closed,
    .peer = fake_peer,
    .monotonic_ns = fake_monotonic_ns,
    .wall_ms = fake_wall_ms,
};

/* --- handlers -----------------------------------------------------------------------------------
 */

static enum call_outcome echo(struct http_call *call) {
    struct fake *fake = call->context;
    struct slice value;
    fake->calls++;
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
    struct fake *fake = call->context;
    fake->calls++;
    cr_assert_null(fake->kept);
    fake->kept = call;
    return CALL_PENDING;
}

static enum call_outcome take(struct http_call *call) {
    struct fake *fake = call->context;
    fake->taken = http_call_take_body(call);
    buf_put_slice(&call->reply, call->body);
    call->content_type = "text/plain";
    call->status = 201;
    buf_put_text(&call->headers, "X-More: 1\r\n");
    cr_assert_str_eq(http_call_peer(call), "192.0.2.1");
    return CALL_DONE;
}

static enum call_outcome big(struct http_call *call) {
    ((struct fake *)call->context)->calls++;
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

static struct fake *fake_create(usize pool_bytes) {
    struct fake *fake = calloc(1, sizeof *fake);
    fake->out = malloc(OUT_MAX);
    fake->stash = malloc(OUT_MAX);
    cr_assert_eq(pool_create(pool_bytes, &fake->server.pool), ERR_OK);
    fake->server.routes = routes;
    fake->server.route_count = ARRAY_COUNT(routes);
    fake->server.context = fake;
    fake->server.head_ns = 10;
    fake->server.body_ns = 20;
    http_session_open(&fake->session, &fake->server, &fake_io, fake);
    return fake;
}

static void fake_destroy(struct fake *fake) {
    cr_assert_eq(fake->holds, 0);
    pool_give(fake->server.pool, fake->taken);
    pool_destroy(fake->server.pool); /* checks that every block is back */
    free(fake->out);
    free(fake->stash);
    free(fake);
}

static void deliver(struct fake *fake, const char *data, usize bytes) {
    /* A copy of its own, so that nothing may point into the input afterwards. */
    char *copy = malloc(MAX(bytes, (usize)1));
    memcpy(copy, data, bytes);
    usize at = 0;
    char *into;
    usize room;
    while (at < bytes && http_session_direct(&fake->session, &into, &room) && at % 2 == 0) {
        usize part = MIN(room, bytes - at);
        memcpy(into, copy + at, part);
        http_session_received(&fake->session, part);
        at += part;
    }
    if (at < bytes) {
        http_session_receive(&fake->session, copy + at, bytes - at);
    }
    memset(copy, '#', bytes);
    free(copy);
}

static void run_loop(struct fake *fake) {
    while (fake->later || (!fake->paused && fake->stash_bytes > 0)) {
        if (fake->later) {
            fake->later = false;
            http_session_later(&fake->session);
            continue;
        }
        usize bytes = fake->stash_bytes;
        fake->stash_bytes = 0;
        deliver(fake, fake->stash, bytes);
    }
}

static void give(struct fake *fake, const char *data, usize bytes) {
    if (fake->closing || fake->dead) {
        return;
    }
    if (fake->paused || fake->stash_bytes > 0) {
        memcpy(fake->stash + fake->stash_bytes, data, bytes);
        fake->stash_bytes += bytes;
    } else {
        deliver(fake, data, bytes);
    }
    run_loop(fake);
}

static void give_text(struct fake *fake, const char *text) {
    give(fake, text, strlen(text));
}

static void finish_kept(struct fake *fake, const char *text) {
    struct http_call *call = fake->kept;
    fake->kept = NULL;
    buf_put_text(&call->reply, text);
    http_call_finish(call);
    run_loop(fake);
}

/* Forgets the output so far. */
static void expect_output(struct fake *fake, const char *wanted) {
    cr_assert_eq(fake->out_bytes, strlen(wanted), "got: %.*s\nwanted: %s", (int)fake->out_bytes,
                 fake->out, wanted);
    cr_assert_eq(memcmp(fake->out, wanted, fake->out_bytes), 0, "got: %.*s\nwanted: %s",
                 (int)fake->out_bytes, fake->out, wanted);
    fake->out_bytes = 0;
}

static bool has_output(const struct fake *fake, const char *text) {
    return memmem(fake->out, fake->out_bytes, text, strlen(text)) != NULL;
}

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define OK_JSON(bytes)                                                                             \
    "HTTP/1.1 200 OK\r\n" DATE "Content-Type: application/json\r\nContent-Length: " bytes "\r\n"

/* --- tests --------------------------------------------------------------------------------------
 */

Test(session, requests_and_replies) {
    struct fake *fake = fake_create(16 * MIB);
    give_text(fake, "GET /echo?a=1&b=%41+c HTTP/1.1\r\nHost: x\r\nX-Color: red\r\n\r\n");
    expect_output(fake, OK_JSON("26") "\r\n/echo&a=1&b=A c color red ");
    cr_assert_eq(fake->deadline_ns, 0);
    give_text(fake, "\r\nPOST /echo HTTP/1.1\r\nHost: x\r\nX-Request-ID: ab-1\r\n"
                    "Content-Length: 5\r\n\r\nhello");
    expect_output(fake, OK_JSON("11") "X-Request-ID: ab-1\r\n\r\n/echo hello");
    give_text(fake, "HEAD /echo HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\"b\r\n\r\n");
    expect_output(fake, OK_JSON("6") "\r\n");
    give_text(fake, "GET /i/%2f%20/b+c/ HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_output(fake, OK_JSON("22") "\r\n/i/%2f%20/b+c/|/ |b+c ");
    give_text(fake, "DELETE /empty HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_output(fake, "HTTP/1.1 204 No Content\r\n" DATE "\r\n");
    give_text(fake, "POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    expect_output(fake, "HTTP/1.1 201 Created\r\n" DATE "Content-Type: text/plain\r\n"
                        "Content-Length: 3\r\nX-More: 1\r\n\r\nabc");
    cr_assert_eq(memcmp(fake->taken.data, "abc", 3), 0);
    give_text(fake, "GET /too-big HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_assert(has_output(fake, "500 Internal") && has_output(fake, "\"code\":\"internal\"}") &&
              !has_output(fake, "X-Lost"));
    fake->out_bytes = 0;
    give_text(fake, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "2\r\nhe\r\n3;x\r\nllo\r\n0\r\nA: b\r\n\r\nGET /echo HTTP/1.0\r\n\r\n");
    expect_output(fake,
                  OK_JSON("11") "\r\n/echo hello" OK_JSON("6") "Connection: close\r\n\r\n/echo ");
    cr_assert(fake->closing);
    http_session_closed(&fake->session);
    fake_destroy(fake);
}

/* Sends one request to a fresh session and expects this status, code and fate. */
static void expect_error(const char *request, u16 status, const char *code, bool close) {
    struct fake *fake = fake_create(16 * MIB);
    char wanted[64];
    give_text(fake, request);
    snprintf(wanted, sizeof wanted, "HTTP/1.1 %u ", status);
    cr_assert_eq(memcmp(fake->out, wanted, strlen(wanted)), 0, "%s: %.*s", request,
                 (int)fake->out_bytes, fake->out);
    snprintf(wanted, sizeof wanted, "\",\"code\":\"%s\"}", code);
    cr_assert(has_output(fake, wanted) && has_output(fake, "{\"error\":\""), "%s: %.*s", request,
              (int)fake->out_bytes, fake->out);
    cr_assert_eq(fake->closing, close, "%s", request);
    cr_assert_eq(has_output(fake, "Connection: close"), close, "%s", request);
    cr_assert_eq(fake->calls, 0);
    if (!close) { /* and the connection still serves */
        fake->out_bytes = 0;
        give_text(fake, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
        expect_output(fake, OK_JSON("6") "\r\n/echo ");
    }
    http_session_closed(&fake->session);
    fake_destroy(fake);
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
    struct fake *fake = fake_create(16 * MIB);
    give_text(fake, "DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_assert(has_output(fake, "\r\nAllow: GET, HEAD, POST\r\n"));
    http_session_closed(&fake->session);
    fake_destroy(fake);
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
    struct fake *whole = fake_create(16 * MIB);
    give(whole, stream, bytes);
    cr_assert(whole->closing && whole->calls == 6);
    for (usize cut = 1; cut < bytes; cut++) {
        struct fake *fake = fake_create(16 * MIB);
        give(fake, stream, cut);
        give(fake, stream + cut, bytes - cut);
        cr_assert_eq(fake->out_bytes, whole->out_bytes, "cut at %zu", cut);
        cr_assert_eq(memcmp(fake->out, whole->out, fake->out_bytes), 0, "cut at %zu", cut);
        http_session_closed(&fake->session);
        fake_destroy(fake);
    }
    for (usize step = 1; step < 40; step++) {
        struct fake *fake = fake_create(16 * MIB);
        for (usize at = 0; at < bytes; at += step) {
            give(fake, stream + at, MIN(step, bytes - at));
        }
        cr_assert_eq(fake->out_bytes, whole->out_bytes, "steps of %zu", step);
        cr_assert_eq(memcmp(fake->out, whole->out, fake->out_bytes), 0, "steps of %zu", step);
        http_session_closed(&fake->session);
        fake_destroy(fake);
    }
    http_session_closed(&whole->session);
    fake_destroy(whole);
}

Test(session, large_bodies) {
    struct fake *fake = fake_create(16 * MIB);
    usize bytes = 300000;
    char *body = malloc(bytes);
    for (usize at = 0; at < bytes; at++) {
        body[at] = (char)('a' + at * 7 % 26);
    }
    static const usize steps[] = {300000, 65536, 4096, 1000};
    for (usize at = 0; at < ARRAY_COUNT(steps); at++) {
        fake->out_bytes = 0;
        give_text(fake, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n");
        for (usize from = 0; from < bytes; from += steps[at]) {
            give(fake, body + from, MIN(steps[at], bytes - from));
        }
        cr_assert(has_output(fake, "Content-Length: 300006\r\n\r\n/echo ah"));
        cr_assert_eq(memcmp(fake->out + fake->out_bytes - bytes, body, bytes), 0);
    }
    give_text(fake, "POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n");
    give(fake, body, bytes);
    cr_assert_eq(memcmp(fake->taken.data, body, bytes), 0);
    cr_assert_geq(fake->taken.capacity, bytes + HTTP_BODY_SLACK);
    free(body);
    http_session_closed(&fake->session);
    fake_destroy(fake);
}

Test(session, pending_and_pipelined) {
    struct fake *fake = fake_create(16 * MIB);
    give_text(fake, "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
                    "GET /echo HTTP/1.1\r\nHost: x\r\n\r\nPOST /slow HTT");
    expect_output(fake, "");
    cr_assert(fake->holds == 1 && fake->calls == 1 && fake->deadline_ns == UINT64_MAX);
    cr_assert_eq(memcmp(fake->kept->body.data, "ab", 2), 0);
    finish_kept(fake, "one");
    expect_output(fake, OK_JSON("3") "\r\none" OK_JSON("6") "\r\n/echo ");
    cr_assert(fake->holds == 0 && fake->calls == 2);
    give_text(fake, "P/1.1\r\nHost: x\r\n\r\n");
    /* Much pipelined input: the connection is paused, and everything is served in order. */
    const char *request = "POST /slow HTTP/1.1\r\nHost: x\r\n\r\n";
    for (u32 at = 0; at < 2000; at++) {
        give_text(fake, request);
    }
    cr_assert(fake->paused);
    cr_assert_leq(fake->session.waiting_end, HTTP_WAITING_BYTES_MAX + strlen(request));
    for (u32 at = 0; at <= 2000; at++) {
        cr_assert_not_null(fake->kept, "%u", at);
        finish_kept(fake, "x");
    }
    cr_assert(fake->kept == NULL && !fake->paused && fake->holds == 0 && fake->calls == 2003);
    http_session_closed(&fake->session);
    fake_destroy(fake);
}

Test(session, the_peer_goes) {
    /* While a call is pending: it finishes into nothing. */
    struct fake *fake = fake_create(16 * MIB);
    give_text(fake, "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
                    "POST /slow HTTP/1.1\r\n");
    fake->dead = true;
    http_session_closed(&fake->session);
    cr_assert_eq(fake->holds, 1);
    finish_kept(fake, "late");
    expect_output(fake, "");
    fake_destroy(fake);
    /* It has only stopped sending: everything that came whole is answered. */
    fake = fake_create(16 * MIB);
    give_text(fake, "POST /slow HTTP/1.1\r\nHost: x\r\n\r\nPOST /slow HTTP/1.1\r\nHost: x\r\n\r\n"
                    "GET /echo HTTP/1.1\r\nHost: x\r\n\r\nGET /ec");
    http_session_closed(&fake->session);
    finish_kept(fake, "1");
    cr_assert_eq(fake->holds, 1);
    finish_kept(fake, "2");
    expect_output(fake, OK_JSON("1") "\r\n1" OK_JSON("1") "\r\n2" OK_JSON("6") "\r\n/echo ");
    fake_destroy(fake);
    /* In the middle of a head, of a body, of nothing. */
    static const char *const parts[] = {"GET /ec", "",
                                        "POST /echo HTTP/1.1\r\nHost: x\r\n"
                                        "Content-Length: 99999\r\n\r\nxx"};
    for (usize at = 0; at < ARRAY_COUNT(parts); at++) {
        fake = fake_create(16 * MIB);
        give_text(fake, parts[at]);
        fake->dead = true;
        http_session_closed(&fake->session);
        fake_destroy(fake);
    }
    /* With a call pending that wanted to close. */
    fake = fake_create(16 * MIB);
    give_text(fake, "POST /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nrest");
    finish_kept(fake, "bye");
    cr_assert(fake->closing && has_output(fake, "Connection: close"));
    http_session_closed(&fake->session);
    fake_destroy(fake);
}

Test(session, expectations) {
    struct fake *fake = fake_create(16 * MIB);
    const char *head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
                       "Expect: 100-continue\r\n\r\n";
    give_text(fake, head);
    expect_output(fake, "HTTP/1.1 100 Continue\r\n\r\n");
    give_text(fake, "ab");
    expect_output(fake, OK_JSON("8") "\r\n/echo ab");
    give_text(fake, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
                    "Expect: 100-continue\r\n\r\na");
    expect_output(fake, ""); /* the body comes already */
    give_text(fake, "b");
    fake->out_bytes = 0;
    give_text(fake, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n");
    expect_output(fake, OK_JSON("6") "\r\n/echo ");
    http_session_closed(&fake->session);
    fake_destroy(fake);
}

Test(session, deadlines) {
    struct fake *fake = fake_create(16 * MIB);
    fake_now = 1000;
    give_text(fake, "GET /echo HT");
    cr_assert_eq(fake->deadline_ns, 1010);
    fake_now = 1005;
    give_text(fake, "TP/1.1\r\nHost:");
    cr_assert_eq(fake->deadline_ns, 1010, "bytes alone buy no time");
    http_session_expired(&fake->session);
    cr_assert(has_output(fake, "HTTP/1.1 408 ") && fake->closing);
    http_session_closed(&fake->session);
    fake_destroy(fake);

    fake = fake_create(16 * MIB);
    give_text(fake, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n");
    cr_assert_eq(fake->deadline_ns, 1025);
    fake_now = 1020;
    char part[1000];
    memset(part, 'x', sizeof part);
    give(fake, part, sizeof part);
    cr_assert_eq(fake->deadline_ns, 1025);
    for (u32 at = 0; at < 100; at++) {
        give(fake, part, sizeof part);
    }
    cr_assert_eq(fake->deadline_ns, 1040, "64 KiB do");
    char *into;
    usize room;
    cr_assert(http_session_direct(&fake->session, &into, &room));
    http_session_expired(&fake->session);
    cr_assert(has_output(fake, "HTTP/1.1 408 ") && fake->closing);
    memset(into, 'x', room); /* the edge may still receive into it */
    http_session_received(&fake->session, room);
    http_session_closed(&fake->session);
    fake_destroy(fake);

    fake = fake_create(16 * MIB);
    http_session_expired(&fake->session);
    cr_assert(fake->closing && fake->out_bytes == 0);
    http_session_closed(&fake->session);
    fake_destroy(fake);
}

Test(session, no_memory) {
    struct fake *fake = fake_create(64 * KIB);
    give_text(fake, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n");
    cr_assert(has_output(fake, "HTTP/1.1 503 ") && has_output(fake, "\r\nRetry-After: 1\r\n") &&
              has_output(fake, "\"code\":\"overloaded\""));
    cr_assert(!fake->closing);
    char *body = calloc(1, 50000);
    give(fake, body, 50000);
    free(body);
    fake->out_bytes = 0;
    give_text(fake, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_output(fake, OK_JSON("6") "\r\n/echo ");
    struct block all[16];
    for (u32 at = 0; at < 16; at++) {
        all[at] = pool_take(fake->server.pool, 4096);
    }
    give_text(fake, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_assert(has_output(fake, "HTTP/1.1 503 ") && fake->closing);
    http_session_closed(&fake->session);
    pool_give(fake->server.pool, all[0]); /* room for the head, none for a copy of the body */
    all[0] = (struct block){NULL, 0};
    memset(&fake->session, 0, sizeof fake->session);
    fake->closing = false;
    fake->out_bytes = 0;
    http_session_open(&fake->session, &fake->server, &fake_io, fake);
    give_text(fake, "POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    cr_assert(has_output(fake, "\r\n\r\nabc") && memcmp(fake->taken.data, "abc", 3) == 0);
    for (u32 at = 0; at < 16; at++) {
        pool_give(fake->server.pool, all[at]);
    }
    http_session_closed(&fake->session);
    fake_destroy(fake);
}

Test(session, slow_reader) {
    struct fake *fake = fake_create(16 * MIB);
    fake->slow = true;
    for (u32 at = 0; at < 10; at++) {
        give_text(fake, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    cr_assert_eq(fake->calls, 4, "stops at the mark");
    cr_assert_eq(fake->holds, 1);
    fake->slow = false;
    fake->unsent = 0;
    http_session_drained(&fake->session);
    run_loop(fake);
    cr_assert_eq(fake->calls, 10);
    cr_assert_eq(fake->holds, 0);
    fake->slow = true;
    for (u32 at = 0; at < 6; at++) {
        fake->out_bytes = 0;
        give_text(fake, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    cr_assert_eq(fake->holds, 1);
    fake->dead = true; /* gives up while we wait */
    http_session_closed(&fake->session);
    run_loop(fake);
    fake_destroy(fake);
}
