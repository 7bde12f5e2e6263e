/*
 * wire_peer.h: a wire session with everything around it made up: a connection that only records, a
 * clock that stands still, and a service whose answers are easy to foretell. For the session's unit
 * tests and its fuzzer.
 *
 * The service: key "good" is known until peer->revoked. INGEST_JSON and INGEST_NATIVE adopt their
 * block if they have one and answer with the hash of the payload; POINT echoes; AGGREGATE answers
 * later (wire_peer_answer); SUBSCRIBE sets a timer 5 ms from now, which sends an empty PUSH.
 */
#ifndef TEST_SUPPORT_WIRE_PEER_H
#define TEST_SUPPORT_WIRE_PEER_H

#include "wire/session.h"

#define WIRE_PEER_WAITING_MAX 1024

struct wire_peer {
    struct wire_session session;
    struct wire_server server;
    struct pool *pool; /* its own, of the made-up service; else NULL */
    struct buf sent;
    usize unsent; /* what output_bytes() says */
    bool closing;
    bool paused;
    bool revoked;
    u32 pauses;
    u32 holds;
    u64 deadline_ns;
    u32 waiting[WIRE_PEER_WAITING_MAX]; /* request numbers of AGGREGATE */
    u32 waiting_count;
};

extern u64 wire_peer_now_ns; /* both clocks */

void wire_peer_open(struct wire_peer *peer, usize pool_bytes);
/* With a service of the caller's and a pool that stays the caller's. */
void wire_peer_open_with(struct wire_peer *peer, const struct wire_service *service, void *context,
                         struct pool *pool);
/* Answers what waits, closes, frees; everything taken must have been given back. */
void wire_peer_close(struct wire_peer *peer);
/* Gives the session a copy of the bytes that ends where its memory ends, or puts them where it
 * wants them, as far as it does. */
void wire_peer_receive(struct wire_peer *peer, const char *data, usize bytes);
/* Answers the oldest AGGREGATE that waits. */
void wire_peer_answer(struct wire_peer *peer);

/* Appends a frame. */
void wire_peer_frame(struct buf *out, u8 type, u32 request, const void *payload, usize bytes);
/* Appends HELLO and AUTH with the key. */
void wire_peer_greet(struct buf *out, const char *key);
/* Reads frame after frame of what was sent; false at the end. Bad frames stop the program. */
bool wire_peer_next(const struct wire_peer *peer, usize *at, struct wire_header *header,
                    struct slice *payload);

#endif
