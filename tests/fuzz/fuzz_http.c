/*
 * fuzz_http.c: HTTP sessions fed with anything, in pieces of any size. Besides not breaking, the
 * output must not depend on how the input was cut (but for 100 Continue, which is only sent while
 * the body has not begun to come). The first byte decides how it is cut.
 */
#include <stdlib.h>
#include <string.h>

#include "api/cors.h"
#include "event.h"
#include "tests/support/http_peer.h"

static enum call_outcome echo(struct http_call *call) {
    struct slice value;
    for (u32 at = 0; at < call->capture_count; at++) {
        buf_put_slice(&call->reply, call->capture[at]);
    }
    for (u32 at = 0; at < call->param_count; at++) {
        buf_put_slice(&call->reply, call->param[at].name);
        buf_put_slice(&call->reply, call->param[at].value);
    }
    if (http_call_header(call, "x-color", &value)) {
        buf_put_slice(&call->reply, value);
    }
    buf_put_slice(&call->reply, call->body);
    if (call->body.bytes > 0) {
        memset((char *)(uintptr_t)call->body.data + call->body.bytes, 'P', EVENT_TEXT_PADDING);
    }
    return CALL_DONE;
}

static enum call_outcome slow(struct http_call *call) {
    ((struct http_peer *)call->context)->kept = call;
    return CALL_PENDING;
}

static enum call_outcome take(struct http_call *call) {
    struct http_peer *peer = call->context;
    pool_give(peer->server.pool, peer->taken);
    peer->taken = http_call_take_body(call);
    check(call->body.bytes == 0 || call->body.data == peer->taken.data);
    buf_put_u64(&call->reply, call->body.bytes);
    return CALL_DONE;
}

static const struct http_route routes[] = {
    {.method = HTTP_GET, .pattern = "/e", .handler = echo, .body_bytes_max = 1000},
    {.method = HTTP_POST, .pattern = "/e", .handler = echo, .body_bytes_max = 64 * KIB},
    {.method = HTTP_POST, .pattern = "/s", .handler = slow, .body_bytes_max = 1000},
    {.method = HTTP_POST, .pattern = "/t", .handler = take, .body_bytes_max = 64 * KIB},
    {.method = HTTP_DELETE, .pattern = "/i/{id}/{x}", .handler = echo, .body_bytes_max = 0},
};

/* What stands before the handlers: as the server's own, but refusing by a header. */
static void begin(struct http_call *call) {
    cors_put(call, "https://a.example");
}

static bool preflight(struct http_call *call, u32 methods) {
    return call->method == HTTP_OPTIONS && cors_preflight(call, "https://a.example", methods);
}

static bool enter(struct http_call *call) {
    struct slice value;
    bool refused = http_call_last_header(call, "x-refuse", &value);
    call->status = refused ? 429 : 200;
    return !refused;
}

static void finish(struct http_peer *peer) {
    while (peer->kept != NULL) {
        struct http_call *call = peer->kept;
        peer->kept = NULL;
        buf_put_slice(&call->reply, call->body);
        http_call_finish(call);
        http_peer_run(peer);
    }
}

static usize without_continue(char *out, usize bytes) {
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char *at;
    while (bytes > 0 && (at = memmem(out, bytes, line, sizeof line - 1)) != NULL) {
        bytes -= sizeof line - 1;
        memmove(at, at + sizeof line - 1, bytes - (usize)(at - out));
    }
    return bytes;
}

static struct http_peer *serve(const char *data, usize bytes, u32 seed) {
    struct http_peer *peer = http_peer_create(routes, ARRAY_COUNT(routes), 64 * MIB);
    peer->server.begin = begin;
    peer->server.preflight = preflight;
    peer->server.enter = enter;
    u32 state = seed;
    for (usize at = 0; at < bytes;) {
        usize part = bytes - at;
        if (seed != 0) {
            state = state * 1103515245 + 12345;
            part = MIN(part, 1 + (state >> 16) % (seed % 2 == 1 ? 4 : 200));
        }
        http_peer_give(peer, data + at, part);
        at += part;
        if (seed % 4 < 2 || at == bytes) {
            finish(peer);
        }
    }
    if (seed % 3 == 1) {
        peer->dead = true;
    }
    http_session_closed(&peer->session);
    finish(peer);
    http_peer_run(peer);
    return peer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > MIB) {
        return 0;
    }
    const char *stream = (const char *)data + 1;
    struct http_peer *whole = serve(stream, size - 1, 0);
    struct http_peer *cut = serve(stream, size - 1, data[0]);
    whole->out.bytes = without_continue(whole->out.data, whole->out.bytes);
    cut->out.bytes = without_continue(cut->out.data, cut->out.bytes);
    check(whole->out.bytes == cut->out.bytes);
    check(cut->out.bytes == 0 || memcmp(whole->out.data, cut->out.data, cut->out.bytes) == 0);
    http_peer_destroy(whole);
    http_peer_destroy(cut);
    return 0;
}
