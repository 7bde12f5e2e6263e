/*
 * session.h: one HTTP/1.1 connection as a state machine: bytes in, calls to handlers, bytes out.
 * It knows nothing of sockets: what it needs of a connection is the table of functions below, bound
 * to the network edge by net/protocols.c and to a fake in the tests.
 *
 * One call is open at a time; what a client pipelines behind it waits, up to a bound, and then the
 * connection is paused. The request's head is copied once into a pool block, small bodies follow it
 * there; a larger body has a block of its own with room behind it, which a handler may adopt.
 *
 * Thread rule: everything of a session happens on its front thread.
 */
#ifndef MARGIN_HTTP_SESSION_H
#define MARGIN_HTTP_SESSION_H

#include "base.h"
#include "base/pool.h"
#include "http/call.h"
#include "http/chunked.h"
#include "http/head.h"
#include "http/reply.h"
#include "http/route.h"

struct http_io {
    void (*send)(void *conn, const void *data, usize bytes);
    usize (*output_bytes)(const void *conn);
    void (*close_after_send)(void *conn);
    void (*pause)(void *conn);
    void (*resume)(void *conn);
    void (*call_later)(void *conn);                    /* http_session_later(), from the loop */
    void (*set_deadline)(void *conn, u64 deadline_ns); /* 0: the idle time-out */
    void (*hold)(void *conn);
    void (*release)(void *conn);
    bool (*is_closed)(const void *conn);
    const char *(*peer)(const void *conn);
    bool (*is_secure)(const void *conn);
    u64 (*monotonic_ns)(void);
    i64 (*wall_ms)(void);
};

/* What a listener serves; one per front thread, since the pool is. */
struct http_server {
    const struct http_router *router;
    void *context; /* call->context */
    /* Writes the body of an answer that this layer gives; the path is empty if it is not known. The
     * code of the status is http_status_code(). NULL: {"error", "code"}. */
    void (*refusal)(struct http_call *call, const char *text);
    /* Every request whose head is good: may add headers to whatever its answer will be. Or NULL. */
    void (*begin)(struct http_call *call);
    /* A method that the path does not know; `methods` are those it does. True: answered. Or NULL.
     */
    bool (*preflight)(struct http_call *call, u32 methods);
    /* Every request that has a route, before its body is received: may it go on? On false the reply
     * is complete. Or NULL. */
    bool (*enter)(struct http_call *call);
    /* Asked before memory is taken for a large or a compressed body: may this caller send one?
     * On false the reply is complete. NULL: everybody may. */
    bool (*admit)(struct http_call *call);
    struct pool *pool;            /* heads, bodies, waiting input */
    struct http_answers *answers; /* counted there; NULL: nowhere */
    u64 head_ns;                  /* from a request's first byte to the end of its head */
    u64 body_ns;                  /* for every HTTP_PROGRESS_BYTES of a body, or its end */
};

#define HTTP_PROGRESS_BYTES (64 * KIB)
#define HTTP_BODY_SLACK (64 * KIB) /* behind a body with its own block, for who adopts it */

enum http_state {
    HTTP_READ_HEAD,
    HTTP_READ_BODY,
    HTTP_READ_CHUNKS,
    HTTP_DISCARD_BODY,
    HTTP_CALLING, /* a handler has the call */
    HTTP_ENDED    /* the last reply is written; input is ignored */
};

struct http_session {
    struct http_call call; /* first: calls are cast back */
    const struct http_server *server;
    const struct http_io *io;
    void *conn;
    enum http_state state;
    bool pending;     /* the handler said CALL_PENDING */
    bool expecting;   /* the peer waits for 100 Continue */
    bool close;       /* after this reply */
    bool input_ended; /* the edge told us that the peer has closed */
    bool paused;
    bool held;
    bool blocked;      /* too much output: waits for http_session_drained() */
    bool line_skipped; /* an empty line before this request */
    bool body_in_head; /* the body lies behind the head, in its block */

    struct http_head head;
    struct block head_block;
    usize head_bytes; /* used of it: head and, once complete, decoded text */

    struct block body_block;
    char *body;
    usize body_bytes; /* received */
    usize body_end;   /* expected; of a chunked body: the most that is allowed */
    usize progress_bytes;
    struct http_chunked chunked;

    struct block waiting; /* pipelined input */
    usize waiting_at;
    usize waiting_end;

    const struct http_route *route;
    u8 request_id_bytes;
    char request_id[HTTP_REQUEST_ID_MAX];
};

/* The session's memory is zeroed. */
void http_session_open(struct http_session *session, const struct http_server *server,
                       const struct http_io *io, void *conn);
void http_session_receive(struct http_session *session, const char *data, usize bytes);
/* Where the next bytes of a large body belong; see net_protocol.direct. */
bool http_session_direct(struct http_session *session, char **into, usize *bytes);
void http_session_received(struct http_session *session, usize bytes);
void http_session_closed(struct http_session *session);
void http_session_expired(struct http_session *session);
void http_session_drained(struct http_session *session);
void http_session_later(struct http_session *session);

#endif
