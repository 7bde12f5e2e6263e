/* http_peer.c: see http_peer.h. */
#include "tests/support/http_peer.h"

#include <stdlib.h>
#include <string.h>

static u64 clock_ns; /* of the peer that was driven last: the session's clock has no argument */

static void peer_send(void *conn, const void *data, usize bytes) {
    struct http_peer *peer = conn;
    if (peer->dead) {
        return;
    }
    check(!peer->closing);
    buf_put(&peer->out, data, bytes);
    check(!peer->out.failed);
    peer->unsent += peer->slow ? bytes : 0;
}

static usize peer_output_bytes(const void *conn) {
    return ((const struct http_peer *)conn)->unsent;
}

static void peer_close_after_send(void *conn) {
    ((struct http_peer *)conn)->closing = true;
}

static void peer_pause(void *conn) {
    ((struct http_peer *)conn)->paused = true;
}

static void peer_resume(void *conn) {
    ((struct http_peer *)conn)->paused = false;
}

static void peer_call_later(void *conn) {
    ((struct http_peer *)conn)->later = true;
}

static void peer_set_deadline(void *conn, u64 deadline_ns) {
    ((struct http_peer *)conn)->deadline_ns = deadline_ns;
}

static void peer_hold(void *conn) {
    ((struct http_peer *)conn)->holds++;
}

static void peer_release(void *conn) {
    check(((struct http_peer *)conn)->holds > 0);
    ((struct http_peer *)conn)->holds--;
}

static bool peer_is_secure(const void *conn) {
    (void)conn;
    return false;
}

static bool peer_is_closed(const void *conn) {
    return ((const struct http_peer *)conn)->dead;
}

static const char *peer_peer(const void *conn) {
    (void)conn;
    return "192.0.2.1";
}

static u64 peer_monotonic_ns(void) {
    return clock_ns;
}

static i64 peer_wall_ms(void) {
    return HTTP_PEER_WALL_MS;
}

static const struct http_io peer_io = {
    .send = peer_send,
    .output_bytes = peer_output_bytes,
    .close_after_send = peer_close_after_send,
    .pause = peer_pause,
    .resume = peer_resume,
    .call_later = peer_call_later,
    .set_deadline = peer_set_deadline,
    .hold = peer_hold,
    .release = peer_release,
    .is_closed = peer_is_closed,
    .peer = peer_peer,
    .is_secure = peer_is_secure,
    .monotonic_ns = peer_monotonic_ns,
    .wall_ms = peer_wall_ms,
};

struct http_peer *http_peer_create(const struct http_route *routes, u32 route_count,
                                   usize pool_bytes) {
    struct http_peer *peer = calloc(1, sizeof *peer);
    check(peer != NULL);
    buf_init(&peer->out, 64 * MIB);
    buf_init(&peer->stash, 64 * MIB);
    check(pool_create(pool_bytes, &peer->server.pool) == ERR_OK);
    peer->now_ns = 1000;
    http_router_init(&peer->router, routes, route_count);
    peer->server.router = &peer->router;
    peer->server.context = peer;
    peer->server.head_ns = HTTP_PEER_HEAD_NS;
    peer->server.body_ns = HTTP_PEER_BODY_NS;
    http_session_open(&peer->session, &peer->server, &peer_io, peer);
    return peer;
}

void http_peer_reopen(struct http_peer *peer) {
    memset(&peer->session, 0, sizeof peer->session);
    peer->closing = false;
    peer->dead = false;
    buf_clear(&peer->out);
    http_session_open(&peer->session, &peer->server, &peer_io, peer);
}

void http_peer_destroy(struct http_peer *peer) {
    check(peer->holds == 0);
    pool_give(peer->server.pool, peer->taken);
    pool_destroy(peer->server.pool);
    buf_free(&peer->out);
    buf_free(&peer->stash);
    free(peer);
}

/* A copy of its own, so that nothing may point into the input afterwards. */
static void deliver(struct http_peer *peer, const char *data, usize bytes) {
    char *copy = malloc(MAX(bytes, (usize)1));
    check(copy != NULL);
    memcpy(copy, data, bytes);
    clock_ns = peer->now_ns;
    usize at = 0;
    char *into;
    usize room;
    while (at < bytes && bytes % 2 == 0 && http_session_direct(&peer->session, &into, &room)) {
        usize part = MIN(room, bytes - at);
        memcpy(into, copy + at, part);
        http_session_received(&peer->session, part);
        at += part;
    }
    if (at < bytes) {
        http_session_receive(&peer->session, copy + at, bytes - at);
    }
    memset(copy, '#', bytes);
    free(copy);
}

void http_peer_run(struct http_peer *peer) {
    while (peer->later || (!peer->paused && peer->stash.bytes > 0)) {
        if (peer->later) {
            peer->later = false;
            http_session_later(&peer->session);
            continue;
        }
        struct buf stash = peer->stash;
        buf_init(&peer->stash, 64 * MIB);
        deliver(peer, stash.data, stash.bytes);
        buf_free(&stash);
    }
}

void http_peer_give(struct http_peer *peer, const char *data, usize bytes) {
    if (peer->closing || peer->dead) {
        return;
    }
    if (peer->paused || peer->stash.bytes > 0) {
        buf_put(&peer->stash, data, bytes);
        check(!peer->stash.failed);
    } else {
        deliver(peer, data, bytes);
    }
    http_peer_run(peer);
}
