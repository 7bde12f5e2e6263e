/* hooks_test.c: what a server does before its handlers: begin, preflight, enter. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/http_peer.h"

static enum call_outcome echo(struct http_call *call) {
    ((struct http_peer *)call->context)->calls++;
    buf_put_slice(&call->reply, call->body);
    return CALL_DONE;
}

static const struct http_route routes[] = {
    {HTTP_GET, "/echo", echo, 1000, 7},
    {HTTP_POST, "/echo", echo, MIB, 8},
    {HTTP_POST, "/echo/{id}", echo, MIB, 9},
};

static void begin(struct http_call *call) {
    struct slice origin;
    bool found = http_call_header(call, "origin", &origin);
    buf_put_text(&call->headers, found ? "X-Begun: with origin\r\n" : "X-Begun: 1\r\n");
}

static bool preflight(struct http_call *call, u32 methods) {
    if (call->method != HTTP_OPTIONS) {
        return false;
    }
    call->status = 204;
    http_put_methods(&call->headers, "X-Methods", methods);
    return true;
}

static u32 entered;

static bool enter(struct http_call *call) {
    struct slice token;
    entered++;
    cr_assert(call->route != NULL && call->route->row >= 7);
    if (http_call_last_header(call, "x-token", &token) && token.data[0] == 'g') {
        return true;
    }
    call->status = 429;
    buf_put_text(&call->reply, "no");
    return false;
}

static struct http_peer *peer_create(void) {
    struct http_peer *peer = http_peer_create(routes, ARRAY_COUNT(routes), 16 * MIB);
    peer->server.begin = begin;
    peer->server.preflight = preflight;
    peer->server.enter = enter;
    entered = 0;
    return peer;
}

static u32 count_text(const struct http_peer *peer, const char *text) {
    u32 count = 0;
    const char *at = peer->out.data;
    const char *end = at + peer->out.bytes;
    while (at < end && (at = memmem(at, (usize)(end - at), text, strlen(text))) != NULL) {
        count++;
        at++;
    }
    return count;
}

/* Gives the text, and forgets the answer after looking for one piece of it. */
static void expect(struct http_peer *peer, const char *text, const char *wanted) {
    http_peer_give(peer, text, strlen(text));
    cr_assert_eq(count_text(peer, wanted), 1, "no \"%s\" in: %.*s", wanted, (int)peer->out.bytes,
                 peer->out.data);
    cr_assert_geq(count_text(peer, "X-Begun: "), 1);
    buf_clear(&peer->out);
}

#define HEAD(line) line " HTTP/1.1\r\nHost: x\r\n"

Test(hooks, every_answer_has_begun) {
    struct http_peer *peer = peer_create();
    expect(peer, HEAD("GET /echo") "X-Token: g\r\nOrigin: o\r\n\r\n", "X-Begun: with origin\r\n");
    expect(peer, HEAD("GET /echo") "X-Token: b\r\nX-Token: g\r\n\r\n", "HTTP/1.1 200");
    expect(peer, HEAD("GET /nothing") "\r\n", "HTTP/1.1 404");
    expect(peer, HEAD("PUT /echo") "\r\n", "Allow: GET, HEAD, POST\r\n");
    expect(peer, HEAD("GET /echo") "\r\n", "HTTP/1.1 429");
    cr_assert(entered == 3 && peer->calls == 2);
    http_session_closed(&peer->session);
    http_peer_destroy(peer);
}

Test(hooks, preflights) {
    struct http_peer *peer = peer_create();
    expect(peer, HEAD("OPTIONS /echo") "\r\n", "X-Methods: GET, HEAD, POST\r\n");
    expect(peer, HEAD("OPTIONS /echo/1") "\r\n", "X-Methods: POST\r\n");
    expect(peer, HEAD("OPTIONS /nothing") "\r\n", "HTTP/1.1 404");
    cr_assert(entered == 0 && peer->calls == 0 && !peer->closing);
    http_session_closed(&peer->session);
    http_peer_destroy(peer);
}

/* Whoever may not enter is not asked for his body; what comes of it nevertheless is read over. */
Test(hooks, refused_bodies) {
    struct http_peer *peer = peer_create();
    expect(peer, HEAD("POST /echo") "Content-Length: 5\r\n\r\nhello", "HTTP/1.1 429");
    expect(peer, HEAD("POST /echo/7") "Content-Length: 60000\r\n\r\n", "HTTP/1.1 429");
    static char body[60000];
    http_peer_give(peer, body, sizeof body);
    cr_assert_eq(peer->out.bytes, 0);
    expect(peer, HEAD("POST /echo") "X-Token: g\r\nContent-Length: 5\r\n\r\nhello", "\r\nhello");
    cr_assert(entered == 3 && peer->calls == 1 && !peer->closing);
    expect(peer, HEAD("POST /echo") "Content-Length: 900000\r\n\r\n", "Connection: close\r\n");
    cr_assert(peer->closing);
    http_session_closed(&peer->session);
    http_peer_reopen(peer);
    expect(peer, HEAD("POST /echo") "Transfer-Encoding: chunked\r\n\r\n", "Connection: close\r\n");
    http_session_closed(&peer->session);
    http_peer_reopen(peer);
    expect(peer, HEAD("POST /echo") "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
           "Connection: close\r\n");
    cr_assert_eq(peer->calls, 1);
    http_session_closed(&peer->session);
    http_peer_destroy(peer);
}
