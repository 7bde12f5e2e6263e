/*
 * http_peer.h: a connection that is not there, for HTTP sessions under test. It keeps the promises
 * of the real edge: paused input is kept, later() comes from the loop, a large body is received in
 * place, output is collected. What a session gets are copies that are wiped afterwards.
 */
#ifndef MARGIN_TESTS_HTTP_PEER_H
#define MARGIN_TESTS_HTTP_PEER_H

#include "http/session.h"

#define HTTP_PEER_WALL_MS 784111777000 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define HTTP_PEER_HEAD_NS 10
#define HTTP_PEER_BODY_NS 20

struct http_peer {
    struct http_session session;
    struct http_server server;
    struct http_router router;
    struct buf out; /* everything sent so far */
    usize unsent;   /* what output_bytes() says */
    bool slow;      /* the peer does not read, so `unsent` grows */
    bool closing;
    bool dead;
    bool paused;
    bool later;
    u32 holds;
    u64 now_ns;
    u64 deadline_ns;
    struct buf stash; /* input that came while it was paused */
    /* For the handlers, which get the peer as call->context. */
    struct http_call *kept;
    u32 calls;
    struct block taken;
};

struct http_peer *http_peer_create(const struct http_route *routes, u32 route_count,
                                   usize pool_bytes);
/* Opens the session anew, as if the connection was another one. */
void http_peer_reopen(struct http_peer *peer);
/* Checks that nothing is held and that every block is back in the pool. */
void http_peer_destroy(struct http_peer *peer);
void http_peer_give(struct http_peer *peer, const char *data, usize bytes);
/* Does what the session has put off. */
void http_peer_run(struct http_peer *peer);

#endif
